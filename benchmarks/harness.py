"""Paired measurements: every variant in its own process, in turn, medians. Nothing here is a test.

A benchmark is a module with ``VARIANTS`` (name -> :class:`Variant`), and hands them to :func:`main`:

- ``python -m benchmarks.mlp`` measures all and writes ``benchmarks/results/mlp.json``: the machine, every single figure, medians and ratios;
- ``--repeats 1 --seconds 0.5`` is quicker, ``--to FOLDER`` writes elsewhere, ``--only "n = 8"`` runs the variants with that in their names and
  writes nothing.

Where CuPy sees a GPU the measurement is of the GPU and goes to ``results/NAME-DEVICE.json``; ``NETSIM_DEVICE=cpu`` (or ``cuda``) decides instead.
Everything is float32, without TF32.

A variant "on one thread" runs in a process that may use one core, with BLAS and OpenMP set to one thread before they are loaded. That holds for
XLA too, which takes as many threads as the process has cores.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

RESULTS = Path(__file__).parent / "results"
REPEATS = 3
SLOW = 25.0  # seconds of a process: what took longer is not repeated
SECONDS = "NETSIM_BENCHMARK_SECONDS"
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Figures = dict[str, float]
Ratios = dict[str, tuple[str, str, str]]


class Variant(NamedTuple):
    """What is measured, and whether in a process of one thread or of all."""

    measure: Callable[[], Figures]
    one_thread: bool = False


@cache
def device() -> ModuleType:
    """Return the array module of the device that is measured: the one place where that is decided."""
    name = os.environ.get("NETSIM_DEVICE", "auto")
    if name == "cpu" or (name == "auto" and find_spec("cupy") is None):
        import numpy

        return numpy
    from netsim.device import device_namespace  # not on a CPU, where netsim would count in everybody's memory

    return device_namespace(name)


def on_gpu() -> bool:
    """Return whether the device is a GPU."""
    return device().__name__ != "numpy"


def torch_device() -> str:
    """Return PyTorch's name of the device, with TF32 switched off."""
    import torch

    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    return "cuda" if on_gpu() else "cpu"


def jax_ready() -> None:
    """Set JAX up for the device, without TF32; raises where it does not see the device."""
    os.environ["JAX_PLATFORMS"] = "cuda" if on_gpu() else "cpu"
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    import jax

    jax.config.update("jax_default_matmul_precision", "highest")
    try:
        jax.devices()
    except (AssertionError, RuntimeError):
        raise RuntimeError("JAX sees no GPU: pip install 'jax[cuda12]' or 'jax[cuda13]'") from None


def synchronise() -> None:
    """Wait until the device has done all that it was asked for, by whatever library."""
    if on_gpu():
        device().cuda.Device().synchronize()


def memory_MiB() -> float:
    """Return the largest resident size of this process so far; on a GPU, its memory in use now.

    CuPy, PyTorch and JAX keep what they once had of a GPU's memory, so at the end that is the most they used.
    """
    if on_gpu():
        free, total = device().cuda.runtime.memGetInfo()
        return (total - free) / 2**20
    # not getrusage's: a process starts with its parent's
    status = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    return int(status["VmHWM"].split()[0]) / 1024


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


def gemm_peak(threads: int, side: int = 2048, repeats: int = 5) -> float:
    """Return the GFLOP/s of the fastest of some float32 matrix products; on a GPU ``threads`` is not read.

    On a CPU every thread makes products of its own, which is faster than one product by all.
    """
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np
    from threadpoolctl import threadpool_limits

    xp, at_once = device(), threads
    if on_gpu():
        side, at_once = 4 * side, 1
    a = xp.asarray(np.random.default_rng(0).random((side, side), dtype=np.float32))
    outs = [xp.empty_like(a) for _ in range(at_once)]

    def once() -> float:
        start = time.perf_counter()
        list(pool.map(lambda out: xp.matmul(a, a, out=out), outs))
        synchronise()
        return time.perf_counter() - start

    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(at_once) as pool:
        once()
        return at_once * 2 * side**3 / min(once() for _ in range(repeats)) / 1e9


def rate(
    once: Callable[[], None],
    n: int,
    samples: int,
    flop: float,
    seconds: float,
    before: float,
    wait: Callable[[], Any] = synchronise,
) -> Figures:
    """Repeat a step of n workers for some seconds, and at least twice, after one that is not counted.

    Parameters
    ----------
    once
        A gradient and an SGD step of all workers.
    n
        Number of workers.
    samples
        Samples of one worker's step.
    flop
        Arithmetic of one sample, forward and backward.
    seconds
        How long; the environment variable ``NETSIM_BENCHMARK_SECONDS`` says otherwise.
    before
        :func:`memory_MiB` before models and minibatches were made.
    wait
        Returns when all steps are done; called once before and as rarely as possible in the measurement.

    Returns
    -------
    dict
        ``worker_steps_per_s``; ``samples_per_s``; ``worker_steps_per_cpu_s``, per second of CPU time; ``peak_MiB``, of the whole process, and
        ``above_start_MiB``, without libraries and data; ``share_of_peak``: arithmetic over ``gemm_gflops``, :func:`gemm_peak` of as many
        threads in this process.
    """
    seconds = float(os.environ.get(SECONDS, seconds))
    once()
    wait()
    steps, block, start, cpu = 0, 1, time.perf_counter(), time.process_time()
    while True:
        for _ in range(block):
            once()
        wait()
        steps, elapsed = steps + block, time.perf_counter() - start
        if elapsed >= seconds and steps > 1:
            break
        block = max(1, min(steps, int((seconds - elapsed) * steps / elapsed)))
    return figures(n * steps, elapsed, samples, flop, before, time.process_time() - cpu)


def figures(worker_steps: float, seconds: float, samples: int, flop: float, before: float, cpu: float) -> Figures:
    """Return the figures of :func:`rate` from counts and times."""
    peak_MiB = memory_MiB()  # before the matrix products take theirs
    speed, peak = worker_steps / seconds, gemm_peak(cores())
    return {
        "worker_steps_per_s": speed,
        "samples_per_s": samples * speed,
        "worker_steps_per_cpu_s": worker_steps / cpu,
        "share_of_peak": samples * flop * speed / 1e9 / peak,
        "gemm_gflops": peak,
        "peak_MiB": peak_MiB,
        "above_start_MiB": peak_MiB - before,
    }


def beside_ours(names: Iterable[str]) -> Ratios:
    """Return the ratios of ours to all others, of names "WHO, WHAT" with the same WHAT: speed, and peak memory."""
    pairs = [name.split(", ", 1) for name in names]
    units = {"": "worker_steps_per_s", "peak memory, ": "peak_MiB"}
    return {
        f"{title}ours / {who}, {what}": (f"ours, {what}", f"{who}, {what}", figure)
        for title, figure in units.items()
        for who, what in pairs
        if who != "ours" and ["ours", what] in pairs
    }


def main(
    name: str,
    variants: Mapping[str, Variant],
    ratios: Ratios | None = None,
    left_out: Mapping[str, str] | None = None,
    repeats: int = REPEATS,
) -> None:
    """Run all variants in turn, each in a process of its own, and write their figures; see the module's description.

    Parameters
    ----------
    name
        Of the benchmark: its module's.
    variants
        What is measured.
    ratios
        Title: (variant, variant it is divided by, figure). Of each repeat, then the median.
    left_out
        Variants that are not even tried, and why; with those that fail they are ``"not_run"`` in the file.
    repeats
        How often each variant is run; what takes longer than ``SLOW`` once.
    """
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{name}")
    parser.add_argument("--variant", help="run this one here and print its figures as JSON")
    parser.add_argument("--only", help="run the variants with this in their names; write nothing")
    parser.add_argument("--repeats", type=int, default=repeats)
    parser.add_argument("--seconds", help="time of one run, where a variant has no fixed amount of work")
    parser.add_argument("--to", type=Path, default=RESULTS)
    options = parser.parse_args()
    if options.seconds:
        os.environ[SECONDS] = options.seconds
    if options.variant:
        print(json.dumps(variants[options.variant].measure()))
        return
    chosen = {key: variant for key, variant in variants.items() if (options.only or "") in key}
    before = None if options.only else json.loads(_run("harness", []))
    runs, stopped = measure(name, chosen, options.repeats)
    ran = {variant for variant, found in runs.items() if any(found)}
    result = {
        "machine": before,
        "load_average_after": _load(),
        "seconds_a_run": options.seconds or "as in the module",
        "repeats": options.repeats,
        **summary(runs, ratios or {}),
        "not_run": {**(left_out or {}), **{key: why for key, why in stopped.items() if key not in ran}},
        "not_repeated": {key: why for key, why in stopped.items() if key in ran},
        "runs": runs,
    }
    for variant, found in result["medians"].items():
        print(f"{name} | {variant} | " + " | ".join(f"{key} {value:,.4g}" for key, value in found.items()))
    for title, value in result["ratios"].items():
        print(f"{name} | {title} | {value:.3g}")
    if before is not None:
        gpu = f"-{before['gpu'].replace(' ', '-')}" if "gpu" in before else ""
        options.to.mkdir(parents=True, exist_ok=True)
        (options.to / f"{name}{gpu}.json").write_text(json.dumps(result, indent=1) + "\n")


def measure(
    name: str, variants: Mapping[str, Variant], repeats: int
) -> tuple[dict[str, list[Figures | None]], dict[str, str]]:
    """Return the figures of every variant and repeat, None where there are none, and why a variant was not run (again)."""
    runs: dict[str, list[Figures | None]] = {variant: [] for variant in variants}
    stopped: dict[str, str] = {}
    for repeat in range(repeats):
        for variant, (_, one_thread) in variants.items():
            figures = None
            if variant not in stopped:
                start = time.perf_counter()
                try:
                    with threads(one_thread):
                        figures = json.loads(_run(name, ["--variant", variant]).splitlines()[-1])
                except subprocess.CalledProcessError as error:
                    stopped[variant] = f"exit {error.returncode}: {(error.stderr.strip() or '-').splitlines()[-1]}"
                took = time.perf_counter() - start
                if figures and took > SLOW and repeat == 0 and repeats > 1:
                    stopped[variant] = f"one run took {took:.0f} s"
                print(f"{repeat + 1}/{repeats} {variant}: {figures or stopped[variant]}", file=sys.stderr)
            runs[variant].append(figures)
    return runs, stopped


def summary(runs: Mapping[str, list[Figures | None]], ratios: Ratios) -> dict[str, dict[str, Any]]:
    """Return the medians of every variant that ran, and the medians of the ratios of each repeat."""
    ran = {variant: [one for one in found if one] for variant, found in runs.items()}
    paired = {
        title: [a[figure] / b[figure] for a, b in zip(runs[over], runs[under], strict=True) if a and b]
        for title, (over, under, figure) in ratios.items()
        if over in runs and under in runs
    }
    return {
        "medians": {
            variant: {key: statistics.median(one[key] for one in found) for key in found[0]}
            for variant, found in ran.items()
            if found
        },
        "ratios": {title: statistics.median(found) for title, found in paired.items() if found},
    }


@contextmanager
def threads(one: bool) -> Iterator[None]:
    """Give processes that are started meanwhile one core, and libraries one thread; or all."""
    if not one:
        yield
        return
    allowed, environment = os.sched_getaffinity(0), dict(os.environ)
    os.sched_setaffinity(0, {max(allowed)})
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
        for key in THREADS:
            os.environ.pop(key)
        os.environ.update(environment)


def machine() -> dict[str, Any]:
    """Return what the figures are measured on."""
    import platform
    from importlib.metadata import distributions

    load, model = _load(), platform.processor()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    wanted = ("numpy", "scipy", "torch", "jax", "jaxlib", "cupy")
    versions = {each.name.lower(): each.version for each in distributions() if each.name.lower().startswith(wanted)}
    found: dict[str, Any] = {
        "cpu": model,
        "cores": cores(),
        "python": platform.python_version(),
        "versions": dict(sorted(versions.items())),
        "load_average_before": load,
    }
    if on_gpu():
        from netsim.device import device_name

        return {**found, "gpu": device_name(device()), "gemm_gflops": round(gemm_peak(0, repeats=10), 1)}
    for title, count in (("1_thread", 1), ("all_threads", cores())):
        cpu, start = time.process_time(), time.perf_counter()
        found[f"gemm_gflops_{title}"] = round(gemm_peak(count, 3072, 10), 1)
        # fewer than the threads: somebody else computed, and the figure is too low
        found[f"gemm_cores_had_{title}"] = round((time.process_time() - cpu) / (time.perf_counter() - start), 2)
    return found


def _load() -> list[float]:
    return [round(load, 2) for load in os.getloadavg()]


def _run(module: str, arguments: list[str]) -> str:
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=RESULTS.parents[1], check=True).stdout


if __name__ == "__main__":
    print(json.dumps(machine()))

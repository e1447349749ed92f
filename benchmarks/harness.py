"""Paired measurements: every variant in its own process, in turn, medians. Nothing here is a test.

A benchmark is a module with ``VARIANTS`` (name -> function that returns a dict of figures) and ``NAME``; ``python -m benchmarks.NAME`` runs it and
writes ``benchmarks/results/NAME.json`` with every single figure, the medians and the machine.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
REPEATS = 5


def gemm_peak(threads: int) -> float:
    """Return the best of five float32 matrix products of 2,048 x 2,048, in GFLOP/s."""
    import numpy as np
    from threadpoolctl import threadpool_limits

    a = np.ones((2048, 2048), dtype=np.float32)
    with threadpool_limits(threads):
        a @ a
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            a @ a
            seconds.append(time.perf_counter() - start)
    return 2 * 2048**3 / min(seconds) / 1e9


def machine() -> dict[str, Any]:
    """Return what the figures were measured on."""
    import numpy as np

    model = platform.processor()
    for line in Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []:
        if line.startswith("model name"):
            model = line.split(":", 1)[1].strip()
            break
    return {
        "cpu": model,
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "gemm_gflops_1_thread": round(gemm_peak(1), 1),
        "gemm_gflops_all_threads": round(gemm_peak(os.cpu_count() or 1), 1),
        "load_average_before": [round(load, 2) for load in os.getloadavg()],
    }


def main(name: str, variants: Mapping[str, Callable[[], dict[str, float]]], repeats: int = REPEATS) -> None:
    """Run one variant (``--variant NAME``, printed as JSON), or all of them in turn, each in a process of its own."""
    if len(sys.argv) == 3 and sys.argv[1] == "--variant":
        print(json.dumps(variants[sys.argv[2]]()))
        return
    before = machine()
    runs: dict[str, list[dict[str, float]]] = {variant: [] for variant in variants}
    for repeat in range(repeats):
        for variant in variants:
            command = [sys.executable, "-m", f"benchmarks.{name}", "--variant", variant]
            done = subprocess.run(command, capture_output=True, text=True, cwd=RESULTS.parents[1], check=False)
            if done.returncode:
                print(f"{variant}: {done.stderr.strip().splitlines()[-1]}", file=sys.stderr)
                continue
            runs[variant].append(json.loads(done.stdout.splitlines()[-1]))
            print(f"{repeat + 1}/{repeats} {variant}: {runs[variant][-1]}", file=sys.stderr)
    medians = {
        variant: {key: statistics.median(one[key] for one in found) for key in found[0]}
        for variant, found in runs.items()
        if found
    }
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps({"machine": before, "repeats": repeats, "medians": medians, "runs": runs}, indent=1)
    (RESULTS / f"{name}.json").write_text(text + "\n")
    for variant, figures in medians.items():
        print(f"{name} | {variant} | " + " | ".join(f"{key} {value:,.4g}" for key, value in figures.items()))

"""The arithmetic of the benchmarks: operations from shapes, medians, ratios, and a variant that fails."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import arithmetic, harness
from benchmarks.harness import Variant, beside_ours, measure, rate, summary, threads


def test_arithmetic_by_hand():
    assert arithmetic.mlp((64, 32, 10)) == 2 * (2 * 64 * 32 + 3 * 32 * 10)
    assert arithmetic.lstm(2000, 200, 2) == 6 * (2 * 4 * 200 * 400 + 200 * 2000)
    first, others = arithmetic.resnet20_forward()
    stages = 6 * 16 * 16 * 9 * 1024 + (16 + 5 * 32) * 32 * 9 * 256 + (32 + 5 * 64) * 64 * 9 * 64
    assert (first, others) == (442_368, stages + 16 * 32 * 256 + 32 * 64 * 64 + 640)
    assert first + others == 40_813_184
    assert arithmetic.resnet20() == 2 * (2 * first + 3 * others)


def test_arithmetic_as_pytorch_counts_it():
    torch = pytest.importorskip("torch")
    from oracles.resnet_torch import ResNet
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        ResNet(3, 10, (16, 32, 64), 3, "B")(torch.zeros(2, 3, 32, 32)).sum().backward()
    assert counter.get_total_flops() == 2 * arithmetic.resnet20()


def test_ratios_are_of_the_same_repeat_and_the_same_work():
    names = ["ours, n = 8", "loop, n = 8", "loop, n = 64"]
    ratios = beside_ours(names)
    assert list(ratios) == ["ours / loop, n = 8", "peak memory, ours / loop, n = 8"]
    ours = [{"worker_steps_per_s": speed, "peak_MiB": 50.0} for speed in (10.0, 20.0, 90.0)]
    loop = [{"worker_steps_per_s": speed, "peak_MiB": 100.0} for speed in (10.0, 40.0)]
    found = summary(dict(zip(names, (ours, [*loop, None], [None] * 3), strict=True)), ratios)
    assert found["ratios"] == {"ours / loop, n = 8": 0.75, "peak memory, ours / loop, n = 8": 0.5}
    assert found["medians"]["ours, n = 8"]["worker_steps_per_s"] == 20.0
    assert "loop, n = 64" not in found["medians"]


def test_a_variant_that_fails_is_named_with_its_reason(monkeypatch):
    def run(name, arguments):
        if arguments[1] == "broken":
            raise subprocess.CalledProcessError(1, name, stderr="Traceback\nMemoryError: too large\n")
        if arguments[1] == "killed":
            raise subprocess.CalledProcessError(-9, name, stderr="")
        return 'something\n{"speed": 1.0}\n'

    monkeypatch.setattr(harness, "_run", run)
    runs, stopped = measure("none", dict.fromkeys(("broken", "killed", "fine"), Variant(dict)), 2)
    assert runs == {"broken": [None, None], "killed": [None, None], "fine": [{"speed": 1.0}] * 2}
    assert stopped == {"broken": "exit 1: MemoryError: too large", "killed": "exit -9: -"}


def test_what_is_slow_runs_once(monkeypatch):
    monkeypatch.setattr(harness, "_run", lambda name, arguments: '{"speed": 1.0}')
    monkeypatch.setattr(harness, "SLOW", 0.0)
    runs, stopped = measure("none", {"slow": Variant(dict)}, 3)
    assert runs == {"slow": [{"speed": 1.0}, None, None]}
    assert stopped["slow"].startswith("one run took")


def test_one_thread_is_one_core_for_processes_started_meanwhile(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    before = os.sched_getaffinity(0), dict(os.environ)
    code = "import os; print(len(os.sched_getaffinity(0)), os.environ['OMP_NUM_THREADS'])"
    with threads(one=True):
        assert subprocess.check_output([sys.executable, "-c", code], text=True).split() == ["1", "1"]
    assert (os.sched_getaffinity(0), dict(os.environ)) == before


def test_rate_counts_workers_samples_and_arithmetic(monkeypatch):
    monkeypatch.setattr(harness, "gemm_peak", lambda threads: 2.0)
    monkeypatch.setenv("NETSIM_BENCHMARK_SECONDS", "0")
    calls = []
    found = rate(lambda: calls.append(0), n=8, samples=32, flop=1e6, seconds=1e9, before=1.0)
    assert len(calls) == 3  # one that is not counted, and two
    assert found["samples_per_s"] == 32 * found["worker_steps_per_s"]
    assert found["share_of_peak"] == pytest.approx(found["samples_per_s"] * 1e6 / 2e9)
    assert found["above_start_MiB"] == found["peak_MiB"] - 1.0

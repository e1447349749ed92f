"""Seconds to replay 400 networks x 5 algorithms x 1,000 rounds (8 workers on a ring), training not counted, on one core and on all.

The traces are those of real trainings of 25 rounds, their rounds repeated to 1,000 (the sizes of these methods' messages do not change).
"""

import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from benchmarks.harness import Figures, Variant, main
from netsim import Experiment, Network, sweep, topology, train
from netsim.algorithms import DCDPSGD, DPSGD, ECDPSGD, AllReduceSGD, StochasticQuantizer
from netsim.clock.compute import LogNormal
from netsim.clock.network import NetworkGrid
from netsim.models import MLP, digits
from netsim.runs.training import Run

ROUNDS = 1000
ALGORITHMS = (
    AllReduceSGD(),
    AllReduceSGD(StochasticQuantizer(8)),
    DPSGD(),
    DCDPSGD(StochasticQuantizer(8)),
    ECDPSGD(StochasticQuantizer(8)),
)
COMPUTE = 0.05


def grid(**fixed: Any) -> NetworkGrid:
    return Network.grid(np.geomspace(1e-4, 0.1, 20).tolist(), np.geomspace(1e6, 1e10, 20).tolist(), **fixed)


def runs() -> Iterator[Run]:
    task = MLP(digits(), batch=16)
    for algorithm in ALGORITHMS:
        run = train(Experiment(task, algorithm, topology.ring(8), steps=25, target=1.0, device="cpu"))
        last = run.trace.program_of[-1]
        longer = np.concatenate([run.trace.program_of, np.full(ROUNDS - 25, last)])
        yield replace(run, trace=replace(run.trace, program_of=longer))


def measure(**fixed: Any) -> Figures:
    done = list(runs())
    few = Network.grid([1e-3], [1e6, 1e7], **fixed)
    sweep(done, few)  # imports, and compiles once
    start, cpu = time.perf_counter(), time.process_time()
    result = sweep(done, grid(**fixed))
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    total = result.attrs["by_compiled"] + result.attrs["by_simpy"]
    messages = 400 * sum(run.trace.messages for run in done)
    return {
        "seconds": seconds,
        "cpu_seconds": cpu,
        "share_by_simpy": result.attrs["by_simpy"] / total,
        "million_messages_per_s": messages / seconds / 1e6,
    }


KINDS = {
    "fifo": {"compute": COMPUTE},
    "none": {"compute": COMPUTE, "sharing": "none"},
    "fifo, gradient times with 10 % noise per round": {"compute": LogNormal(COMPUTE, 0.1)},
}
VARIANTS = {
    f"{kind}, {cores}": Variant(partial(measure, **fixed), one_thread=cores == "one core")
    for kind, fixed in KINDS.items()
    for cores in ("one core", "all cores")
}

if __name__ == "__main__":
    main("replay_grid", VARIANTS)

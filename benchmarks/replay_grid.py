"""Seconds to replay 400 networks x 5 algorithms x 1,000 rounds (8 workers on a ring), training not counted, on one core.

The traces are those of real trainings of 25 rounds, their rounds repeated to 1,000 (the sizes of these methods' messages do not change).
"""

import time
from dataclasses import replace

import numpy as np
from threadpoolctl import threadpool_limits

from algorithms import DCDPSGD, DPSGD, ECDPSGD, AllReduceSGD, StochasticQuantizer
from benchmarks.harness import main
from models import MLP, digits
from netsim import Experiment, Network, sweep, topology, train
from netsim.compute import LogNormal

ROUNDS = 1000
ALGORITHMS = (
    AllReduceSGD(),
    AllReduceSGD(StochasticQuantizer(8)),
    DPSGD(),
    DCDPSGD(StochasticQuantizer(8)),
    ECDPSGD(StochasticQuantizer(8)),
)
COMPUTE = 0.05


def grid(**fixed):
    return Network.grid(np.geomspace(1e-4, 0.1, 20).tolist(), np.geomspace(1e6, 1e10, 20).tolist(), **fixed)


def runs():
    task = MLP(digits(), batch=16)
    for algorithm in ALGORITHMS:
        run = train(Experiment(task, algorithm, topology.ring(8), steps=25, target=1.0))
        last = run.trace.program_of[-1]
        longer = np.concatenate([run.trace.program_of, np.full(ROUNDS - 25, last)])
        yield replace(run, trace=replace(run.trace, program_of=longer))


def measure(**fixed) -> dict[str, float]:
    with threadpool_limits(1):
        done = list(runs())
        start = time.perf_counter()
        result = sweep(done, grid(**fixed))
        seconds = time.perf_counter() - start
    total = result.attrs["by_recurrence"] + result.attrs["by_simpy"]
    messages = 400 * sum(run.trace.messages for run in done)
    return {
        "seconds": seconds,
        "share_by_simpy": result.attrs["by_simpy"] / total,
        "million_messages_per_s": messages / seconds / 1e6,
    }


VARIANTS = {
    "fifo": lambda: measure(compute=COMPUTE),
    "none": lambda: measure(compute=COMPUTE, sharing="none"),
    "fifo, gradient times with 1 % noise per round": lambda: measure(compute=LogNormal(COMPUTE, 0.01)),
    "fifo, gradient times with 10 % noise per round": lambda: measure(compute=LogNormal(COMPUTE, 0.1)),
}

if __name__ == "__main__":
    main("replay_grid", VARIANTS, repeats=3)

"""Messages per second of the event engine alone: a ring exchange of 1 Mbit each way, beside a bare SimPy timeout with a callback."""

import time

import numpy as np
import simpy

from benchmarks.harness import Figures, Variant, main
from netsim.clock.network import Network
from netsim.clock.simpy_engine import run
from netsim.comm.topology import ring
from netsim.comm.trace import Operation, Trace

MESSAGES = 160_000


def exchange(n: int) -> Figures:
    rounds = MESSAGES // (2 * n)
    graph = ring(n)
    sizes = (np.array([[1_000_000]]), np.zeros((0, 0), dtype=int))
    program = (Operation("post"), Operation("wait", 0, 0, 0))
    trace = Trace(n, tuple(graph.neighbours(i) for i in range(n)), (program,), np.zeros(rounds, dtype=int), (sizes,))
    start = time.perf_counter()
    ticks = run(trace, Network(latency=1e-3, bandwidth=1e9), np.zeros((rounds, n)))
    return {"messages_per_s": ticks.messages / (time.perf_counter() - start)}


def noisy(n: int) -> Figures:
    """Every message at an instant of its own: random gradient times of 10 ms."""
    rounds = MESSAGES // (2 * n)
    graph = ring(n)
    sizes = (np.array([[1_000_000]]), np.zeros((0, 0), dtype=int), np.zeros((0, 0), dtype=int))
    program = (Operation("post"), Operation("compute"), Operation("wait", 0, 0, 0))
    trace = Trace(n, tuple(graph.neighbours(i) for i in range(n)), (program,), np.zeros(rounds, dtype=int), (sizes,))
    seconds = np.random.default_rng(0).exponential(0.01, (rounds, n))
    start = time.perf_counter()
    ticks = run(trace, Network(latency=1e-3, bandwidth=1e9), seconds)
    return {"messages_per_s": ticks.messages / (time.perf_counter() - start)}


def bare_simpy(pending: int) -> Figures:
    clock, count = simpy.Environment(), 0

    def again(event: simpy.Event) -> None:
        nonlocal count
        count += 1
        if count < MESSAGES:
            simpy.Timeout(clock, 1.0).callbacks.append(again)

    for _ in range(pending):
        simpy.Timeout(clock, 1.0).callbacks.append(again)
    start = time.perf_counter()
    clock.run()
    return {"events_per_s": count / (time.perf_counter() - start)}


VARIANTS = {
    "ring exchange, n = 8": Variant(lambda: exchange(8), one_thread=True),
    "ring exchange, n = 64": Variant(lambda: exchange(64), one_thread=True),
    "ring exchange, n = 1024": Variant(lambda: exchange(1024), one_thread=True),
    "ring exchange with random gradient times, n = 8": Variant(lambda: noisy(8), one_thread=True),
    "bare SimPy timeouts, 16 pending": Variant(lambda: bare_simpy(16), one_thread=True),
    "bare SimPy timeouts, 2048 pending": Variant(lambda: bare_simpy(2048), one_thread=True),
}

if __name__ == "__main__":
    main("events", VARIANTS)

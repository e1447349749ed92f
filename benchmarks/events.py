"""Messages per CPU second of both engines alone: a ring exchange of 1 Mbit each way, beside a bare SimPy timeout with a callback."""

import time
from functools import partial

import numpy as np
import simpy

from benchmarks.harness import Figures, Variant, main
from netsim.clock import compiled_engine, simpy_engine
from netsim.clock.compute import LogNormal
from netsim.clock.lowering import lower
from netsim.clock.network import Network
from netsim.comm.topology import ring
from netsim.comm.trace import Operation, Trace

EVENTS = 160_000


ENGINES = {"simpy": simpy_engine.run, "compiled": compiled_engine.run}
COUNT = {"simpy": 160_000, "compiled": 4_000_000}  # messages


def measured(engine: str, program: tuple[Operation, ...], seconds: np.ndarray) -> Figures:
    """Messages a CPU second of rounds that all go through one program, on a ring."""
    rounds, n = seconds.shape
    near = tuple(ring(n).neighbours(i) for i in range(n))
    none = np.zeros((0, 0), dtype=int)
    sizes = tuple(np.array([[1_000_000]]) if one.kind == "post" else none for one in program)
    lowered = lower(Trace(n, near, (program,), np.zeros(rounds, dtype=int), (sizes,)))
    first = lower(Trace(n, near, (program,), np.zeros(1, dtype=int), (sizes,)))
    run, network = ENGINES[engine], Network(latency=1e-3, bandwidth=1e9)
    run(first, network, seconds[:1])  # imports, and compiles once
    start = time.process_time()
    ticks = run(lowered, network, seconds)
    return {"messages_per_s": ticks.messages / (time.process_time() - start)}


def exchange(n: int, engine: str) -> Figures:
    return measured(engine, (Operation("post"), Operation("wait", 0, 0, 0)), np.zeros((COUNT[engine] // (2 * n), n)))


def noisy(n: int, engine: str, spread: float) -> Figures:
    """Every message at an instant of its own: gradients of 10 ms with this coefficient of variation."""
    seconds = LogNormal(0.01, spread).draw(COUNT[engine] // (2 * n), n)
    return measured(engine, (Operation("post"), Operation("compute"), Operation("wait", 0, 0, 0)), seconds)


def bare_simpy(pending: int) -> Figures:
    clock, count = simpy.Environment(), 0

    def again(event: simpy.Event) -> None:
        nonlocal count
        count += 1
        if count < EVENTS:
            simpy.Timeout(clock, 1.0).callbacks.append(again)

    for _ in range(pending):
        simpy.Timeout(clock, 1.0).callbacks.append(again)
    start = time.process_time()
    clock.run()
    return {"events_per_s": count / (time.process_time() - start)}


VARIANTS = {
    **{
        f"{engine}, ring exchange, n = {n}": Variant(partial(exchange, n, engine), one_thread=True)
        for engine in ENGINES
        for n in (8, 64, 1024)
    },
    **{
        f"{engine}, ring exchange, {spread:.0%} noise on gradients, n = 8": Variant(
            partial(noisy, 8, engine, spread), one_thread=True
        )
        for engine in ENGINES
        for spread in (0.1, 1.0)
    },
    "bare SimPy timeouts, 16 pending": Variant(lambda: bare_simpy(16), one_thread=True),
    "bare SimPy timeouts, 2048 pending": Variant(lambda: bare_simpy(2048), one_thread=True),
}

if __name__ == "__main__":
    main("events", VARIANTS)

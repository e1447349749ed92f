"""How the cost grows with the number of workers: MLP 64-32-10, batch 32, 8 to 1,024 workers on one device, on one thread.

``gradient``: gradients alone. ``dpsgd``: training steps of D-PSGD on a ring, whose mixing is a product with the (n, n) matrix; its arithmetic in
``share_of_peak`` is that of the gradients alone. The ratios are times of one worker-step, beside n = 8.
"""

import time
from functools import partial

import numpy as np

from benchmarks import arithmetic
from benchmarks.harness import Figures, Variant, device, figures, main, memory_MiB, rate
from netsim import Experiment, topology, train
from netsim.algorithms import DPSGD
from netsim.models import MLP, digits

WIDTHS, BATCH, SECONDS = (64, 32, 10), 32, 0.5
FLOP = arithmetic.mlp(WIDTHS)


def task_of(n: int) -> MLP:
    data = digits()
    copies = -(-n * BATCH // len(data.train_y))
    data = data._replace(train_x=np.tile(data.train_x, (copies, 1)), train_y=np.tile(data.train_y, copies))
    return MLP(data, WIDTHS[1:-1], BATCH)


def gradient(n: int) -> Figures:
    xp, task = device(), task_of(n)
    before, step = memory_MiB(), 0
    bound = task.bind(n, 0, xp)
    x = xp.tile(bound.initial(0), (n, 1))

    def once() -> None:
        nonlocal step
        bound.gradient(x, step)
        step += 1

    return rate(once, n, BATCH, FLOP, SECONDS, before)


def dpsgd(n: int) -> Figures:
    """Measure what twice as many steps take longer: setting up and evaluating is not counted."""
    task, graph = task_of(n), topology.ring(n)
    before = memory_MiB()

    def seconds(steps: int) -> tuple[float, float]:
        start, cpu = time.perf_counter(), time.process_time()
        train(Experiment(task, DPSGD(), graph, steps, lr=0.01, device=device(), evaluate_every=steps))
        return time.perf_counter() - start, time.process_time() - cpu

    steps = max(4, 16384 // n)
    (once, cpu), (twice, cpu_twice) = seconds(steps), seconds(2 * steps)
    return figures(n * steps, twice - once, BATCH, FLOP, before, cpu_twice - cpu)


WORKERS = (8, 16, 64, 256, 1024)
VARIANTS = {
    f"{measure.__name__}, n = {n}": Variant(partial(measure, n), one_thread=True)
    for measure in (gradient, dpsgd)
    for n in WORKERS
}
RATIOS = {
    f"time of a worker-step, {what}, n = {n} / n = 8": (f"{what}, n = 8", f"{what}, n = {n}", "worker_steps_per_s")
    for what in ("gradient", "dpsgd")
    for n in WORKERS[1:]
}

if __name__ == "__main__":
    main("scale", VARIANTS, RATIOS)

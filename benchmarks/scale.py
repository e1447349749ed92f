"""How the cost grows with the number of workers: MLP 64-32-10, batch 32, 8 to 1,024 workers on one device.

``gradient``: gradients alone. ``dpsgd``: training steps of D-PSGD on a ring, whose mixing is a product with the (n, n) matrix. ``share_of_peak``: the
gradients' arithmetic (three products a layer, but two in the first) over the GEMM peak on one thread, measured in the same process.
"""

import resource
import time

import numpy as np
from threadpoolctl import threadpool_limits

from algorithms import DPSGD
from benchmarks.harness import gemm_peak, main
from models import MLP, digits
from netsim import Experiment, topology, train

HIDDEN, BATCH, SECONDS = 32, 32, 2.0
FLOP = 2 * BATCH * (2 * 64 * HIDDEN + 3 * HIDDEN * 10)  # of one worker's gradient


def measured(n: int, whole: bool) -> dict[str, float]:
    with threadpool_limits(1):
        peak = gemm_peak(1)
        data = digits()
        copies = -(-n * BATCH // len(data.train_y))
        data = data._replace(train_x=np.tile(data.train_x, (copies, 1)), train_y=np.tile(data.train_y, copies))
        task = MLP(data, hidden=(HIDDEN,), batch=BATCH)
        seconds = of_training(task, n) if whole else of_gradients(task, n)
        return {
            "worker_steps_per_s": n / seconds,
            "share_of_peak": n * FLOP / seconds / 1e9 / peak,
            "peak_MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }


def of_gradients(task: MLP, n: int) -> float:
    """Return the seconds of one gradient of all workers."""
    bound = task.bind(n, 0)
    x = np.tile(bound.initial(0), (n, 1))
    bound.gradient(x, 0)
    steps, start = 0, time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        bound.gradient(x, steps)
        steps += 1
    return (time.perf_counter() - start) / steps


def of_training(task: MLP, n: int) -> float:
    """Return the seconds of one step: what twice as many steps take longer."""
    graph = topology.ring(n)

    def seconds(steps: int) -> float:
        start = time.perf_counter()
        train(Experiment(task, DPSGD(), graph, steps, lr=0.01, device="cpu", evaluate_every=steps))
        return time.perf_counter() - start

    steps = max(4, 16384 // n)
    return (seconds(2 * steps) - seconds(steps)) / steps


VARIANTS = {
    f"{'dpsgd' if whole else 'gradient'}, n = {n}": (lambda n=n, whole=whole: measured(n, whole))
    for whole in (False, True)
    for n in (8, 16, 64, 256, 1024)
}

if __name__ == "__main__":
    main("scale", VARIANTS, repeats=3)

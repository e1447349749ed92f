"""Worker-steps per second (one gradient and one SGD step of one worker) of the MLP, beside a loop over n PyTorch modules.

Needs ``pip install torch`` for the PyTorch variants. Every variant on one thread and on all.
"""

import os
import time
from itertools import pairwise

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.harness import main
from models import MLP, digits

SECONDS = 3.0


def ours(n: int, hidden: tuple[int, ...], batch: int, threads: int) -> dict[str, float]:
    with threadpool_limits(threads):
        data = digits()
        images, labels = np.tile(data.train_x, (2, 1)), np.tile(data.train_y, 2)  # enough for 64 shards
        twice = data._replace(train_x=images, train_y=labels)
        task = MLP(twice, hidden=hidden, batch=batch).bind(n, 0, np, "float32")
        x = np.tile(task.initial(0).astype(np.float32), (n, 1))
        step = 0

        def once() -> None:
            nonlocal x, step
            _, gradient = task.gradient(x, step)
            x = x - 0.01 * gradient
            step += 1

        return rate(once, n)


def torch_loop(n: int, hidden: tuple[int, ...], batch: int, threads: int) -> dict[str, float]:
    import torch

    torch.set_num_threads(threads)
    data = digits()
    images, labels = torch.tensor(data.train_x), torch.tensor(data.train_y.astype(np.int64))
    widths = (images.shape[1], *hidden, data.classes)
    models = []
    for _ in range(n):
        layers: list[torch.nn.Module] = []
        for inputs, outputs in pairwise(widths):
            layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
        models.append(torch.nn.Sequential(*layers[:-1]))
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.01) for model in models]
    loss_of = torch.nn.CrossEntropyLoss()
    order = torch.randint(len(images), (64, n, batch))
    step = 0

    def once() -> None:
        nonlocal step
        for worker, (model, optimizer) in enumerate(zip(models, optimizers, strict=True)):
            mine = order[step % 64, worker]
            optimizer.zero_grad()
            loss_of(model(images[mine]), labels[mine]).backward()
            optimizer.step()
        step += 1

    return rate(once, n)


def rate(once, n: int) -> dict[str, float]:
    for _ in range(5):
        once()
    steps, start = 0, time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        once()
        steps += 1
    return {"worker_steps_per_s": n * steps / (time.perf_counter() - start)}


SIZES = {"64-32-10, batch 32": ((32,), 32), "64-485-485-10, batch 16": ((485, 485), 16)}
VARIANTS = {
    f"{who.__name__.replace('_', ' ')}, {size}, n = {n}, {threads} thread{'s' * (threads > 1)}": (
        lambda who=who, n=n, hidden=hidden, batch=batch, threads=threads: who(n, hidden, batch, threads)
    )
    for size, (hidden, batch) in SIZES.items()
    for n in (8, 64)
    for threads in sorted({1, os.cpu_count() or 1})
    for who in (ours, torch_loop)
    if not (n == 64 and batch == 16)
}

if __name__ == "__main__":
    main("mlp", VARIANTS, repeats=3)

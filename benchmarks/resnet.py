"""Worker-steps per second (one gradient and one SGD step of one worker) of ResNet-20 on images of CIFAR-10's shape.

Beside a loop over n PyTorch modules, in PyTorch's own layout and channels last, and ``torch.func.vmap`` over their
stacked weights; all with batch norm in training. Needs ``pip install torch`` for these. ``peak_MiB`` is the largest
resident size of the process, libraries and images included; ``above_start_MiB`` leaves out what was there before the
models were made.
"""

import resource
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.harness import main
from models.datasets import Dataset
from models.resnet import resnet20

SECONDS = 8.0
BATCH = 32
IMAGES = 4096
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the PyTorch module that the tests hold ours against


def cifar_like() -> Dataset:
    random = np.random.default_rng(0)
    images = random.standard_normal((IMAGES, 3072), dtype=np.float32)
    labels = random.integers(10, size=IMAGES).astype(np.uint8)
    return Dataset("random", images, labels, images[:1], labels[:1], 10)


def ours(n: int) -> dict[str, float]:
    task = resnet20(cifar_like(), batch=BATCH)
    before = resident()
    bound = task.bind(n, 0, np, "float32")
    x = np.tile(bound.initial(0), (n, 1))
    buffers = bound.initial_buffers(n)
    step = 0

    def once() -> None:
        nonlocal x, step, buffers
        _, gradient, buffers = bound.gradient(x, step, buffers)
        x -= np.float32(0.01) * gradient
        step += 1

    return rate(once, n, before)


def torch_loop(n: int, channels_last: bool = False) -> dict[str, float]:
    import torch
    from oracles.resnet_torch import ResNet

    layout = torch.channels_last if channels_last else torch.contiguous_format
    data = cifar_like()
    images = torch.tensor(data.train_x.reshape(-1, 3, 32, 32))
    labels = torch.tensor(data.train_y.astype(np.int64))
    before = resident()
    models = [ResNet(3, 10, (16, 32, 64), 3, "B").to(memory_format=layout) for _ in range(n)]
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.01) for model in models]
    loss_of = torch.nn.CrossEntropyLoss()
    order = torch.randint(IMAGES, (64, n, BATCH))
    step = 0

    def once() -> None:
        nonlocal step
        for worker, (model, optimizer) in enumerate(zip(models, optimizers, strict=True)):
            mine = order[step % 64, worker]
            optimizer.zero_grad()
            loss_of(model(images[mine].to(memory_format=layout)), labels[mine]).backward()
            optimizer.step()
        step += 1

    return rate(once, n, before)


def torch_vmap(n: int) -> dict[str, float]:
    import torch
    from oracles.resnet_torch import ResNet

    data = cifar_like()
    images = torch.tensor(data.train_x.reshape(-1, 3, 32, 32))
    labels = torch.tensor(data.train_y.astype(np.int64))
    before = resident()
    module = ResNet(3, 10, (16, 32, 64), 3, "B")
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):  # vmap cannot update running statistics in place
            part.track_running_stats, part.running_mean, part.running_var = False, None, None
    weights = {name: p.detach().repeat(n, *[1] * p.dim()) for name, p in module.named_parameters()}
    order = torch.randint(IMAGES, (64, n, BATCH))

    def loss_of(p, x, y):  # type: ignore[no-untyped-def]
        return torch.nn.functional.cross_entropy(torch.func.functional_call(module, p, (x,)), y)

    gradients = torch.func.vmap(torch.func.grad(loss_of))
    step = 0

    def once() -> None:
        nonlocal step, weights
        mine = order[step % 64]
        found = gradients(weights, images[mine], labels[mine])
        weights = {name: p - 0.01 * found[name] for name, p in weights.items()}
        step += 1

    return rate(once, n, before)


def resident() -> float:
    """Return the largest resident size so far, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def rate(once, n: int, before: float) -> dict[str, float]:  # type: ignore[no-untyped-def]
    once()
    steps, start, busy = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - start < SECONDS or steps < 2:
        once()
        steps += 1
    seconds, busy = time.perf_counter() - start, time.process_time() - busy
    return {
        "worker_steps_per_s": n * steps / seconds,
        "samples_per_s": BATCH * n * steps / seconds,
        "worker_steps_per_cpu_s": n * steps / busy,
        "peak_MiB": resident(),
        "above_start_MiB": resident() - before,
    }


VARIANTS = {
    f"{name}, n = {n}": (lambda who=who, n=n: who(n))
    for n in (8, 16, 64)
    for name, who in {
        "ours": ours,
        "PyTorch loop": torch_loop,
        "PyTorch loop, channels last": lambda n: torch_loop(n, channels_last=True),
        "PyTorch vmap": torch_vmap,
    }.items()
    if not (n == 64 and who is torch_vmap)
}

if __name__ == "__main__":
    main("resnet", VARIANTS, repeats=3)

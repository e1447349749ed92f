"""Worker-steps per second (one gradient and one SGD step of one worker) of ResNet-20 on images of CIFAR-10's shape: ours beside PyTorch and JAX.

"PyTorch loop": n modules one after the other, in PyTorch's own layout and channels last. "PyTorch vmap": ``torch.func.vmap`` of the gradient over
stacked weights. "JAX vmap": the same under ``jit``, the SGD step in it. They need ``pip install torch jax``. All have batch norm in training; ours
and the loops update its running statistics, the two vmaps have none. Every variant draws its minibatches while the clock runs. On all threads.

A step of all workers is not counted, then at least two are; what takes more than 25 seconds so (JAX on a CPU, ``vmap`` of 64 workers) is run once.
"""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import arithmetic
from benchmarks.harness import (
    Figures,
    Variant,
    beside_ours,
    device,
    jax_ready,
    main,
    memory_MiB,
    on_gpu,
    rate,
    torch_device,
)
from netsim.models.data.datasets import Dataset
from netsim.models.images import named
from netsim.models.resnet import resnet20

SECONDS, RATE = 2.0, 0.01
BATCH, IMAGES = 32, 4096
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))  # the PyTorch module that the tests hold ours against


def cifar_like() -> Dataset:
    random = np.random.default_rng(0)
    images = random.standard_normal((IMAGES, 3072), dtype=np.float32)
    labels = random.integers(10, size=IMAGES).astype(np.uint8)
    return Dataset("random", images, labels, images[:1], labels[:1], 10)


def speed(once: Any, n: int, before: float, **wait: Any) -> Figures:
    return rate(once, n, BATCH, arithmetic.resnet20(), SECONDS, before, **wait)


def ours(n: int) -> Figures:
    xp, task = device(), resnet20(cifar_like(), batch=BATCH)
    before = memory_MiB()
    bound = task.bind(n, 0, xp, "float32")
    x, buffers, step = xp.tile(bound.initial(0), (n, 1)), bound.initial_buffers(n), 0
    moved = xp.empty_like(x)

    def once() -> None:
        nonlocal step, buffers
        _, gradient, buffers = bound.gradient(x, step, buffers)
        xp.subtract(x, xp.multiply(gradient, RATE, out=moved), out=x)
        step += 1

    return speed(once, n, before)


def torch_data(where: str) -> tuple[Any, Any]:
    import torch

    data = cifar_like()
    images = torch.tensor(data.train_x.reshape(-1, 3, 32, 32), device=where)
    return images, torch.tensor(data.train_y.astype(np.int64), device=where)


def torch_loop(n: int, channels_last: bool = False) -> Figures:
    import torch
    from oracles.resnet_torch import ResNet

    layout = torch.channels_last if channels_last else torch.contiguous_format
    where = torch_device()
    images, labels = torch_data(where)
    before = memory_MiB()
    models = [ResNet(3, 10, (16, 32, 64), 3, "B").to(where).to(memory_format=layout) for _ in range(n)]
    optimizers = [torch.optim.SGD(model.parameters(), lr=RATE) for model in models]
    loss_of = torch.nn.CrossEntropyLoss()

    def once() -> None:
        order = torch.randint(IMAGES, (n, BATCH), device=where)
        for mine, model, optimizer in zip(order, models, optimizers, strict=True):
            optimizer.zero_grad()
            loss_of(model(images[mine].to(memory_format=layout)), labels[mine]).backward()
            optimizer.step()

    return speed(once, n, before)


def torch_vmap(n: int) -> Figures:
    import torch
    from oracles.resnet_torch import ResNet

    where = torch_device()
    images, labels = torch_data(where)
    before = memory_MiB()
    module = ResNet(3, 10, (16, 32, 64), 3, "B").to(where)
    for part in module.modules():
        if isinstance(part, torch.nn.BatchNorm2d):  # vmap cannot update running statistics in place
            part.track_running_stats, part.running_mean, part.running_var = False, None, None
    weights = {name: p.detach().repeat(n, *[1] * p.dim()) for name, p in module.named_parameters()}

    def loss_of(p: Any, x: Any, y: Any) -> Any:
        return torch.nn.functional.cross_entropy(torch.func.functional_call(module, p, (x,)), y)

    gradients = torch.func.vmap(torch.func.grad(loss_of))

    def once() -> None:
        mine = torch.randint(IMAGES, (n, BATCH), device=where)
        found = gradients(weights, images[mine], labels[mine])
        for name, p in weights.items():
            p.sub_(found[name], alpha=RATE)

    return speed(once, n, before)


def jax_loss(p: Any, x: Any, y: Any) -> Any:
    """Return the mean loss of one model (tensors by PyTorch's names) on images (B, 3, 32, 32), batch norm in training."""
    import jax
    import jax.numpy as jnp

    def conv_norm(x: Any, conv: str, norm: str, stride: int) -> Any:
        weight = p[f"{conv}.weight"]
        pad = weight.shape[-1] // 2
        x = jax.lax.conv_general_dilated(x, weight, (stride, stride), [(pad, pad)] * 2)
        x = x - x.mean(axis=(0, 2, 3), keepdims=True)
        x = x * jax.lax.rsqrt((x * x).mean(axis=(0, 2, 3), keepdims=True) + 1e-5)
        return x * p[f"{norm}.weight"][:, None, None] + p[f"{norm}.bias"][:, None, None]

    x = jax.nn.relu(conv_norm(x, "conv1", "bn1", 1))
    for block in [f"layer{stage}.{k}" for stage in (1, 2, 3) for k in range(3)]:
        changes = f"{block}.shortcut.0.weight" in p
        z = jax.nn.relu(conv_norm(x, f"{block}.conv1", f"{block}.bn1", 1 + changes))
        z = conv_norm(z, f"{block}.conv2", f"{block}.bn2", 1)
        x = jax.nn.relu(z + (conv_norm(x, f"{block}.shortcut.0", f"{block}.shortcut.1", 2) if changes else x))
    logits = jax.nn.log_softmax(x.mean(axis=(2, 3)) @ p["linear.weight"].T + p["linear.bias"])
    return -jnp.take_along_axis(logits, y[:, None], axis=1).mean()


def jax_vmap(n: int) -> Figures:
    jax_ready()
    import jax
    import jax.numpy as jnp

    data = cifar_like()
    images = jnp.asarray(data.train_x.reshape(-1, 3, 32, 32))
    labels = jnp.asarray(data.train_y, dtype=jnp.int32)
    before = memory_MiB()
    task = resnet20(data, batch=BATCH)
    start = np.tile(task.initial(0).astype(np.float32), (n, 1))
    p, key = {name: jnp.asarray(part) for name, part in named(task.tensors, start).items()}, jax.random.key(0)

    @jax.jit
    def train(p: Any, key: Any, images: Any, labels: Any) -> Any:
        key, now = jax.random.split(key)
        mine = jax.random.randint(now, (n, BATCH), 0, IMAGES)
        found = jax.vmap(jax.grad(jax_loss))(p, images[mine], labels[mine])
        return {name: p[name] - RATE * found[name] for name in p}, key

    def once() -> None:
        nonlocal p, key
        p, key = train(p, key, images, labels)

    return speed(once, n, before, wait=lambda: jax.block_until_ready(p))


EVERYBODY: dict[str, Callable[[int], Figures]] = {
    "ours": ours,
    "PyTorch loop": torch_loop,
    "PyTorch loop channels last": partial(torch_loop, channels_last=True),
    "PyTorch vmap": torch_vmap,
    "JAX vmap": jax_vmap,
}
VARIANTS = {f"{who}, n = {n}": Variant(partial(measure, n)) for n in (8, 16, 64) for who, measure in EVERYBODY.items()}
LEFT_OUT = {}
if not on_gpu():
    LEFT_OUT["JAX vmap, n = 64"] = "left out on a CPU: a step takes a minute and 12 GiB (at n = 8: 8 s, 1.5 GiB)"
    VARIANTS = {name: variant for name, variant in VARIANTS.items() if name not in LEFT_OUT}

if __name__ == "__main__":
    main("resnet", VARIANTS, beside_ours(VARIANTS), LEFT_OUT)

"""Worker-steps per second (one gradient and one SGD step of one worker) of the MLP: ours beside PyTorch and JAX.

"PyTorch loop": n modules one after the other. "PyTorch vmap": ``torch.func.vmap`` of the gradient over stacked weights. "JAX vmap": the same under
``jit``, the SGD step in it. They need ``pip install torch jax``. Every variant draws its minibatches from the same images while the clock runs.
On one thread and on all; on a GPU once.
"""

from collections.abc import Iterable
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np

from benchmarks import arithmetic
from benchmarks.harness import (
    Figures,
    Variant,
    beside_ours,
    cores,
    device,
    jax_ready,
    main,
    memory_MiB,
    on_gpu,
    rate,
    torch_device,
)
from netsim.models import MLP, digits
from netsim.models.data.datasets import Dataset

SECONDS, RATE = 0.5, 0.01


def images(n: int, batch: int) -> Dataset:
    """Return the digits, so many times over that every worker has a minibatch."""
    data = digits()
    copies = 2 * -(-n * batch // len(data.train_y))
    return data._replace(train_x=np.tile(data.train_x, (copies, 1)), train_y=np.tile(data.train_y, copies))


def speed(once: Any, n: int, hidden: tuple[int, ...], batch: int, before: float, **wait: Any) -> Figures:
    return rate(once, n, batch, arithmetic.mlp((64, *hidden, 10)), SECONDS, before, **wait)


def ours(n: int, hidden: tuple[int, ...], batch: int) -> Figures:
    xp, data = device(), images(n, batch)
    before = memory_MiB()
    task = MLP(data, hidden, batch).bind(n, 0, xp, "float32")
    x, step = xp.tile(task.initial(0), (n, 1)), 0
    moved = xp.empty_like(x)

    def once() -> None:
        nonlocal step
        _, gradient = task.gradient(x, step)
        xp.subtract(x, xp.multiply(gradient, RATE, out=moved), out=x)
        step += 1

    return speed(once, n, hidden, batch, before)


def torch_loop(n: int, hidden: tuple[int, ...], batch: int) -> Figures:
    import torch

    where, data = torch_device(), images(n, batch)
    x, y = torch.tensor(data.train_x, device=where), torch.tensor(data.train_y.astype(np.int64), device=where)
    before = memory_MiB()
    models = []
    for _ in range(n):
        layers: list[torch.nn.Module] = []
        for inputs, outputs in pairwise((64, *hidden, 10)):
            layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
        models.append(torch.nn.Sequential(*layers[:-1]).to(where))
    optimizers = [torch.optim.SGD(model.parameters(), lr=RATE) for model in models]
    loss_of = torch.nn.CrossEntropyLoss()

    def once() -> None:
        order = torch.randint(len(x), (n, batch), device=where)
        for mine, model, optimizer in zip(order, models, optimizers, strict=True):
            optimizer.zero_grad()
            loss_of(model(x[mine]), y[mine]).backward()
            optimizer.step()

    return speed(once, n, hidden, batch, before)


def torch_vmap(n: int, hidden: tuple[int, ...], batch: int) -> Figures:
    import torch
    from torch.nn.functional import cross_entropy

    where, data = torch_device(), images(n, batch)
    x, y = torch.tensor(data.train_x, device=where), torch.tensor(data.train_y.astype(np.int64), device=where)
    before = memory_MiB()
    p = [torch.tensor(part, device=where) for part in stacked(n, hidden)]

    def loss_of(p: Any, x: Any, y: Any) -> Any:
        for weight, bias in layers_of(p[:-2]):
            x = torch.relu(x @ weight + bias)
        return cross_entropy(x @ p[-2] + p[-1], y)

    gradients = torch.func.vmap(torch.func.grad(loss_of))

    def once() -> None:
        mine = torch.randint(len(x), (n, batch), device=where)
        for part, found in zip(p, gradients(p, x[mine], y[mine]), strict=True):
            part.sub_(found, alpha=RATE)

    return speed(once, n, hidden, batch, before)


def jax_vmap(n: int, hidden: tuple[int, ...], batch: int) -> Figures:
    jax_ready()
    import jax
    import jax.numpy as jnp

    data = images(n, batch)
    x, y = jnp.asarray(data.train_x), jnp.asarray(data.train_y, dtype=jnp.int32)
    before = memory_MiB()
    p, key = [jnp.asarray(part) for part in stacked(n, hidden)], jax.random.key(0)

    def loss_of(p: Any, x: Any, y: Any) -> Any:
        for weight, bias in layers_of(p[:-2]):
            x = jax.nn.relu(x @ weight + bias)
        return -jnp.take_along_axis(jax.nn.log_softmax(x @ p[-2] + p[-1]), y[:, None], axis=1).mean()

    @jax.jit
    def train(p: Any, key: Any, x: Any, y: Any) -> Any:
        key, now = jax.random.split(key)
        mine = jax.random.randint(now, (n, batch), 0, len(x))
        gradients = jax.vmap(jax.grad(loss_of))(p, x[mine], y[mine])
        return [part - RATE * found for part, found in zip(p, gradients, strict=True)], key

    def once() -> None:
        nonlocal p, key
        p, key = train(p, key, x, y)

    return speed(once, n, hidden, batch, before, wait=lambda: jax.block_until_ready(p))


def stacked(n: int, hidden: tuple[int, ...]) -> Iterable[np.ndarray]:
    """Return float32 weights and biases of each layer, the same for n workers."""
    random = np.random.default_rng(0)
    for inputs, outputs in pairwise((64, *hidden, 10)):
        weight = random.standard_normal((inputs, outputs), dtype=np.float32) * np.sqrt(2 / inputs, dtype=np.float32)
        yield np.tile(weight, (n, 1, 1))
        yield np.zeros((n, outputs), np.float32)


def layers_of(p: Any) -> Any:
    return zip(p[::2], p[1::2], strict=True)


EVERYBODY = {"ours": ours, "PyTorch loop": torch_loop, "PyTorch vmap": torch_vmap, "JAX vmap": jax_vmap}
SMALL, LARGE = ("64-32-10, batch 32", (32,), 32), ("64-485-485-10, batch 16", (485, 485), 16)
CASES = [
    *((SMALL, n, EVERYBODY) for n in (8, 16, 64)),
    (SMALL, 512, {"ours": ours, "JAX vmap": jax_vmap}),
    (LARGE, 8, EVERYBODY),
]
PLACES = {"GPU": False} if on_gpu() else {"1 thread": True} | ({f"{cores()} threads": False} if cores() > 1 else {})
VARIANTS = {
    f"{who}, {size}, n = {n}, {place}": Variant(partial(measure, n, hidden, batch), one_thread)
    for (size, hidden, batch), n, everybody in CASES
    for place, one_thread in PLACES.items()
    for who, measure in everybody.items()
}

if __name__ == "__main__":
    main("mlp", VARIANTS, beside_ours(VARIANTS))

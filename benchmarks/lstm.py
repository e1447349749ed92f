"""Worker-steps per second (one gradient and one SGD step of one worker) of the LSTM language model.

2 layers of 200, 2,000 words, 32 streams of 30 words a step; random words, as speed does not depend on them. Beside it, where they are installed
(``pip install torch jax``): a loop over n PyTorch modules, ``torch.func.vmap`` and JAX's ``vmap`` under ``jit``. Everything on all cores.
"""

import resource
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.harness import main
from models.language import LanguageModel
from models.wikitext import Corpus
from netsim.device import make_key

SECONDS = 8.0
WORDS, WIDTH, LAYERS, BATCH, WINDOW = 2_000, 200, 2, 32, 30
NAMES = [
    f"{kind}_{source}_l{layer}"
    for layer in range(LAYERS)
    for kind, source in (("w", "ih"), ("w", "hh"), ("b", "ih"), ("b", "hh"))
]


def ours(n: int, dropout: float) -> dict[str, float]:
    text = np.random.default_rng(0).integers(WORDS, size=n * BATCH * (WINDOW * 20 + 1), dtype=np.int32)
    data = Corpus("random", tuple(map(str, range(WORDS))), text, text[:1000], text[:1000])
    task = LanguageModel(data, WIDTH, LAYERS, dropout, BATCH, WINDOW).bind(n, 0, np, "float32", make_key)
    x, buffers, step = np.tile(task.initial(0), (n, 1)), task.initial_buffers(n), 0
    moved = np.empty_like(x)

    def once() -> None:
        nonlocal buffers, step
        _, gradient, buffers = task.gradient(x, step, buffers)
        np.subtract(x, np.multiply(gradient, np.float32(0.1), out=moved), out=x)
        step += 1

    return rate(once, n)


def torch_loop(n: int, dropout: float) -> dict[str, float]:
    import torch

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding(WORDS, WIDTH)
            self.lstm = torch.nn.LSTM(WIDTH, WIDTH, LAYERS, dropout=dropout)
            self.decoder = torch.nn.Linear(WIDTH, WORDS)
            self.decoder.weight = self.embedding.weight
            self.drop = torch.nn.Dropout(dropout)
            self.embedding.weight.data.uniform_(-0.1, 0.1)

        def forward(self, words: Any, state: Any) -> Any:
            y, state = self.lstm(self.drop(self.embedding(words)), state)
            return self.decoder(self.drop(y).reshape(-1, WIDTH)), state

    models = [Model() for _ in range(n)]
    optimizers = [torch.optim.SGD(model.parameters(), lr=0.1) for model in models]
    states: list[Any] = [None] * n
    text, loss_of, step = torch.randint(WORDS, (20, n, WINDOW + 1, BATCH)), torch.nn.CrossEntropyLoss(), 0

    def once() -> None:
        nonlocal step
        for worker, (model, optimizer) in enumerate(zip(models, optimizers, strict=True)):
            words = text[step % 20, worker]
            optimizer.zero_grad()
            logits, (h, c) = model(words[:-1], states[worker])
            loss_of(logits, words[1:].reshape(-1)).backward()
            optimizer.step()
            states[worker] = (h.detach(), c.detach())
        step += 1

    return rate(once, n)


def shapes() -> dict[str, tuple[int, ...]]:
    sizes = {"w": (4 * WIDTH, WIDTH), "b": (4 * WIDTH,)}
    return {"embedding": (WORDS, WIDTH), **{name: sizes[name[0]] for name in NAMES}, "bias": (WORDS,)}


def torch_vmap(n: int, dropout: float) -> dict[str, float]:
    import torch
    from torch.nn.functional import cross_entropy
    from torch.nn.functional import dropout as drop

    def loss_of(p: dict[str, Any], words: Any, state: Any) -> Any:
        y, after = drop(p["embedding"][words[:-1]], dropout), []
        for layer in range(LAYERS):
            w_ih, w_hh, b_ih, b_hh = (p[name] for name in NAMES[4 * layer : 4 * layer + 4])
            z, (h, c), out = y @ w_ih.T + (b_ih + b_hh), state[layer], []
            for t in range(WINDOW):
                i, f, g, o = (z[t] + h @ w_hh.T).chunk(4, 1)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                h = torch.sigmoid(o) * torch.tanh(c)
                out.append(h)
            y = drop(torch.stack(out), dropout)
            after.append((h, c))
        return cross_entropy(y.reshape(-1, WIDTH) @ p["embedding"].T + p["bias"], words[1:].reshape(-1)), after

    p = {name: (torch.rand(n, *shape) - 0.5) / 5 for name, shape in shapes().items()}
    zeros = torch.zeros(n, BATCH, WIDTH)
    text, step, state = torch.randint(WORDS, (20, n, WINDOW + 1, BATCH)), 0, [(zeros, zeros)] * LAYERS
    every = torch.func.vmap(torch.func.grad(loss_of, has_aux=True), randomness="different")

    def once() -> None:
        nonlocal step, state
        gradient, state = every(p, text[step % 20], state)
        for name in p:
            p[name].sub_(gradient[name], alpha=0.1)
        step += 1

    return rate(once, n)


def jax_vmap(n: int, dropout: float) -> dict[str, float]:
    import jax
    import jax.numpy as jnp

    def drop(y: Any, key: Any) -> Any:
        return jnp.where(jax.random.bernoulli(key, 1 - dropout, y.shape), y / (1 - dropout), 0) if dropout else y

    def loss_of(p: Any, words: Any, state: Any, key: Any) -> Any:
        keys = jax.random.split(key, LAYERS + 1)
        y, after = drop(p["embedding"][words[:-1]], keys[0]), []
        for layer in range(LAYERS):
            w_ih, w_hh, b_ih, b_hh = (p[name] for name in NAMES[4 * layer : 4 * layer + 4])

            def one(hc: Any, z: Any, w_hh: Any = w_hh) -> Any:
                i, f, g, o = jnp.split(z + hc[0] @ w_hh.T, 4, axis=1)
                c = jax.nn.sigmoid(f) * hc[1] + jax.nn.sigmoid(i) * jnp.tanh(g)
                h = jax.nn.sigmoid(o) * jnp.tanh(c)
                return (h, c), h

            end, y = jax.lax.scan(one, state[layer], y @ w_ih.T + (b_ih + b_hh))
            y = drop(y, keys[layer + 1])
            after.append(end)
        logits = jax.nn.log_softmax(y.reshape(-1, WIDTH) @ p["embedding"].T + p["bias"])
        return -jnp.take_along_axis(logits, words[1:].reshape(-1, 1), axis=1).mean(), after

    @jax.jit
    def train(p: Any, words: Any, state: Any, key: Any) -> Any:
        gradient, state = jax.vmap(jax.grad(loss_of, has_aux=True))(p, words, state, jax.random.split(key, n))
        return {name: p[name] - 0.1 * gradient[name] for name in p}, state

    random = np.random.default_rng(0)
    p = {name: jnp.asarray(random.uniform(-0.1, 0.1, (n, *shape)), jnp.float32) for name, shape in shapes().items()}
    text = jnp.asarray(random.integers(WORDS, size=(20, n, WINDOW + 1, BATCH)))
    zeros, step = jnp.zeros((n, BATCH, WIDTH)), 0
    state = [(zeros, zeros)] * LAYERS

    def once() -> None:
        nonlocal p, state, step
        p, state = train(p, text[step % 20], state, jax.random.key(step))
        jax.block_until_ready(p)
        step += 1

    return rate(once, n)


def rate(once: Callable[[], None], n: int) -> dict[str, float]:
    for _ in range(2):
        once()
    steps, start = 0, time.perf_counter()
    while time.perf_counter() - start < SECONDS:
        once()
        steps += 1
    seconds = time.perf_counter() - start
    return {
        "worker_steps_per_s": n * steps / seconds,
        "peak_MiB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


VARIANTS = {
    f"{who.__name__.replace('_', ' ')}, n = {n}, dropout {dropout}": lambda who=who, n=n, dropout=dropout: who(
        n, dropout
    )
    for n, dropout in ((8, 0.4), (8, 0.0), (16, 0.4), (64, 0.4))
    for who in (ours, torch_loop, torch_vmap, jax_vmap)
}

if __name__ == "__main__":
    main("lstm", VARIANTS, repeats=3)

"""Worker-steps per second (one gradient and one SGD step of one worker) of the LSTM language model: ours beside PyTorch and JAX.

2 layers of 200, 2,000 words, 32 streams of 30 words a step: a sample is one of these 960 words. The text is random, as speed does not depend on
it; as in any training of a language model, a step reads the next words of its streams. Beside ours, where they are installed (``pip install torch
jax``): a loop over n PyTorch modules, ``torch.func.vmap``, and JAX's ``vmap`` under ``jit``. On all threads; ours and the loop at n = 8 on one as
well.
"""

from functools import partial
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
from netsim.models.data.wikitext import Corpus
from netsim.models.language import LanguageModel

SECONDS, RATE = 2.0, 0.1
WORDS, WIDTH, LAYERS, BATCH, WINDOW = 2_000, 200, 2, 32, 30
NAMES = [
    f"{kind}_{source}_l{layer}"
    for layer in range(LAYERS)
    for kind, source in (("w", "ih"), ("w", "hh"), ("b", "ih"), ("b", "hh"))
]


def ours(n: int, dropout: float) -> Figures:
    from netsim.device import make_key  # here, as the others need no netsim: it would count in their memory

    text = np.random.default_rng(0).integers(WORDS, size=n * BATCH * (WINDOW * 20 + 1), dtype=np.int32)
    data = Corpus("random", tuple(map(str, range(WORDS))), text, text[:1000], text[:1000])
    xp, before = device(), memory_MiB()
    task = LanguageModel(data, WIDTH, LAYERS, dropout, BATCH, WINDOW).bind(n, 0, xp, "float32", make_key)
    x, buffers, step = xp.tile(task.initial(0), (n, 1)), task.initial_buffers(n), 0
    moved = xp.empty_like(x)

    def once() -> None:
        nonlocal buffers, step
        _, gradient, buffers = task.gradient(x, step, buffers)
        xp.subtract(x, xp.multiply(gradient, RATE, out=moved), out=x)
        step += 1

    return speed(once, n, before)


def torch_loop(n: int, dropout: float) -> Figures:
    import torch

    where = torch_device()
    text, step = torch.randint(WORDS, (20, n, WINDOW + 1, BATCH), device=where), 0
    before = memory_MiB()

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

    models = [Model().to(where) for _ in range(n)]
    optimizers = [torch.optim.SGD(model.parameters(), lr=RATE) for model in models]
    states: list[Any] = [None] * n
    loss_of = torch.nn.CrossEntropyLoss()

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

    return speed(once, n, before)


def shapes() -> dict[str, tuple[int, ...]]:
    sizes = {"w": (4 * WIDTH, WIDTH), "b": (4 * WIDTH,)}
    return {"embedding": (WORDS, WIDTH), **{name: sizes[name[0]] for name in NAMES}, "bias": (WORDS,)}


def torch_vmap(n: int, dropout: float) -> Figures:
    import torch
    from torch.nn.functional import cross_entropy
    from torch.nn.functional import dropout as drop

    where = torch_device()
    text, step = torch.randint(WORDS, (20, n, WINDOW + 1, BATCH), device=where), 0
    before = memory_MiB()

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

    p = {name: (torch.rand(n, *shape, device=where) - 0.5) / 5 for name, shape in shapes().items()}
    zeros = torch.zeros(n, BATCH, WIDTH, device=where)
    state = [(zeros, zeros)] * LAYERS
    every = torch.func.vmap(torch.func.grad(loss_of, has_aux=True), randomness="different")

    def once() -> None:
        nonlocal step, state
        gradient, state = every(p, text[step % 20], state)
        for name in p:
            p[name].sub_(gradient[name], alpha=RATE)
        step += 1

    return speed(once, n, before)


def jax_vmap(n: int, dropout: float) -> Figures:
    jax_ready()
    import jax
    import jax.numpy as jnp

    random = np.random.default_rng(0)
    text, step = jnp.asarray(random.integers(WORDS, size=(20, n, WINDOW + 1, BATCH), dtype=np.int32)), 0
    before = memory_MiB()

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
        key, now = jax.random.split(key)
        gradient, state = jax.vmap(jax.grad(loss_of, has_aux=True))(p, words, state, jax.random.split(now, n))
        return {name: p[name] - RATE * gradient[name] for name in p}, state, key

    p = {name: jnp.asarray(random.uniform(-0.1, 0.1, (n, *shape)), jnp.float32) for name, shape in shapes().items()}
    zeros, key = jnp.zeros((n, BATCH, WIDTH)), jax.random.key(0)
    state = [(zeros, zeros)] * LAYERS

    def once() -> None:
        nonlocal p, state, key, step
        p, state, key = train(p, text[step % 20], state, key)
        step += 1

    return speed(once, n, before, wait=lambda: jax.block_until_ready(p))


def speed(once: Any, n: int, before: float, **wait: Any) -> Figures:
    flop = arithmetic.lstm(WORDS, WIDTH, LAYERS)
    return rate(once, n, BATCH * WINDOW, flop, SECONDS, before, **wait)


EVERYBODY = {"ours": ours, "PyTorch loop": torch_loop, "PyTorch vmap": torch_vmap, "JAX vmap": jax_vmap}
VARIANTS = {
    f"{who}, n = {n}, dropout {dropout}": Variant(partial(measure, n, dropout))
    for n, dropout in ((8, 0.4), (8, 0.0), (16, 0.4), (64, 0.4))
    for who, measure in EVERYBODY.items()
}
LEFT_OUT = {}
if not on_gpu():
    LEFT_OUT["PyTorch vmap, n = 64, dropout 0.4"] = "left out on a CPU: 23 GiB (at n = 8: 2.8 GiB beyond the libraries)"
    VARIANTS = {name: variant for name, variant in VARIANTS.items() if name not in LEFT_OUT}
    VARIANTS |= {
        f"{who}, n = 8, dropout 0.4, 1 thread": Variant(partial(EVERYBODY[who], 8, 0.4), one_thread=True)
        for who in ("ours", "PyTorch loop")
    }

if __name__ == "__main__":
    main("lstm", VARIANTS, beside_ours(VARIANTS), LEFT_OUT)

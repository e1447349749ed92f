"""What own.toml names: a method, a task, a topology, a learning rate and gradient times."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import networkx as nx
import numpy as np

from netsim.algorithms import Identity


class Counted(NamedTuple):
    """The models (n, P), and how many rounds there were."""

    x: Any
    rounds: int


@dataclass(frozen=True)
class Lazy:
    """Decentralized SGD that talks to its neighbours in every few rounds only."""

    every: int = 2

    def init(self, x, comm):
        return Counted(x, 0)

    def step(self, state, gradient, lr, comm):
        x, rounds = state
        x = x - lr * gradient(x)
        if (rounds + 1) % self.every == 0:
            x = comm.mix(comm.send(Identity(), x))
        return Counted(x, rounds + 1)


class Regression:
    """Least squares: worker i has 20 noisy measurements of a plane that all workers share."""

    def __init__(self, dimension: int = 10, noise: float = 0.1):
        self.dimension, self.noise = dimension, noise
        self.tensors = {"plane": (dimension,)}

    def bind(self, n, seed, xp, dtype):
        random = np.random.default_rng(seed)
        bound = Regression(self.dimension, self.noise)
        bound.a = xp.asarray(random.normal(size=(n, 20, self.dimension)).astype(dtype))
        plane = xp.asarray(random.normal(size=self.dimension).astype(dtype))
        noise = xp.asarray((self.noise * random.normal(size=(n, 20))).astype(dtype))
        bound.b = bound.a @ plane + noise
        return bound

    def initial(self, seed):
        return np.zeros(self.dimension)

    def gradient(self, x, step):
        errors = (self.a @ x[:, :, None])[:, :, 0] - self.b
        return (errors**2).mean(axis=1) / 2, (errors[:, None, :] @ self.a)[:, 0, :] / errors.shape[1]

    def evaluate(self, x):
        return {"loss": float(((self.a @ x - self.b) ** 2).mean() / 2)}


def two_rings(n: int = 8):
    """Return two rings of n / 2 workers, joined by two edges."""
    half = n // 2
    graph = nx.disjoint_union(nx.cycle_graph(half), nx.cycle_graph(n - half))
    graph.add_edges_from([(0, half), (half // 2, half + half // 2)])
    return graph


@dataclass(frozen=True)
class Halving:
    """A learning rate that is halved every so many steps."""

    peak: float
    every: int

    def __call__(self, step):
        return self.peak * 0.5 ** (step // self.every)


@dataclass(frozen=True)
class Hiccups:
    """Gradient times that are usual, but now and then far longer: another task runs on the machine."""

    usual: float
    hiccup: float
    probability: float
    seed: int = 0

    def draw(self, rounds, n):
        workers = [np.random.default_rng([self.seed, worker]) for worker in range(n)]
        late = np.stack([one.random(rounds) < self.probability for one in workers], axis=1)
        return np.where(late, self.hiccup, self.usual)

"""Parameter server, DoubleSqueeze, CHOCO-SGD, DeepSqueeze and Moniqua worker by worker, from their papers.

Every worker is an object that holds its own vectors and what it knows of its neighbours, in dictionaries; it learns of the others only what it finds
in its mailbox, which :func:`deliver` fills edge by edge. Averages are loops. Compressors are called for one row at a time.
"""

from dataclasses import dataclass, field
from math import floor
from typing import Any

import numpy as np

from netsim.algorithms import ChocoSGD, DeepSqueeze, DoubleSqueeze, Moniqua, ParameterServerSGD
from netsim.algorithms.compression import Compressor, Identity
from netsim.comm.topology import Topology
from netsim.device import make_key

Vector = np.ndarray


@dataclass
class Worker:
    """One worker: its model, its row of W, its mailbox, and what its method makes it remember."""

    i: int
    x: Vector
    weight: dict[int, float]  # of its neighbours
    mailbox: dict[int, Vector] = field(default_factory=dict)
    memory: dict[Any, Vector] = field(default_factory=dict)
    velocity: Vector | None = None

    def gossip_step(self, own: Vector, others: dict[int, Vector]) -> Vector:
        """Sum over the neighbours of w_ij (theirs - own)."""
        move = np.zeros_like(own)
        for j, w in self.weight.items():
            move += w * (others[j] - own)
        return move


@dataclass
class World:
    """All workers, and what is common knowledge."""

    workers: list[Worker]
    task: Any
    lr: float
    momentum: float
    seed: int
    step: int = 0

    @property
    def n(self) -> int:
        return len(self.workers)

    def update(self, worker: Worker) -> Vector:
        """The worker's finished update at its own model."""
        rows = np.zeros((self.n, worker.x.size))
        rows[worker.i] = worker.x
        g = self.task.gradient(rows, self.step)[1][worker.i].copy()
        if self.momentum:
            worker.velocity = g if worker.velocity is None else self.momentum * worker.velocity + g
            return worker.velocity
        return g

    def squeeze(self, compress: Compressor, v: Vector, purpose: str, row: int, rows: int) -> Vector:
        """What is decoded of one compressed vector."""
        key = make_key(self.seed, purpose, rows, self.step)[row : row + 1]
        return compress.compress(v[None], key, self.task.tensors).value[0]

    def deliver(self, said: dict[int, Vector]) -> None:
        """Put what everybody said into its neighbours' mailboxes."""
        for receiver in self.workers:
            receiver.mailbox = {j: said[j].copy() for j in receiver.weight}


def parameter_server(world: World, algorithm: ParameterServerSGD) -> None:
    total = 0.0
    for worker in world.workers:
        total = total + world.squeeze(
            algorithm.compress or Identity(), world.update(worker), "push 1", worker.i, world.n
        )
    reply = world.squeeze(algorithm.server_compress or Identity(), total / world.n, "pull 2", 0, 1)
    for worker in world.workers:
        worker.x = worker.x - world.lr * reply


def double_squeeze(world: World, algorithm: DoubleSqueeze, server: dict[str, Vector]) -> None:
    inbox = []
    for worker in world.workers:
        compensated = world.update(worker) + worker.memory.get("error", 0)
        told = world.squeeze(algorithm.compress, compensated, "push 1", worker.i, world.n)
        worker.memory["error"] = compensated - told
        inbox.append(told)
    compensated = sum(inbox) / world.n + server.get("error", 0)
    reply = world.squeeze(algorithm.server_compress or algorithm.compress, compensated, "pull 2", 0, 1)
    server["error"] = compensated - reply
    for worker in world.workers:
        worker.x = worker.x - world.lr * reply


def choco(world: World, algorithm: ChocoSGD) -> None:
    """Every worker keeps a private public-copy of each neighbour, which it knows from the messages alone."""
    purpose, updates, said = prepare(world, algorithm.overlap)
    for worker in world.workers:
        mine = worker.memory.setdefault(worker.i, np.zeros_like(worker.x))
        said[worker.i] = world.squeeze(algorithm.compress, worker.x - mine, purpose, worker.i, world.n)
    world.deliver(said)
    for worker in world.workers:
        worker.memory[worker.i] = worker.memory[worker.i] + said[worker.i]
        for j, change in worker.mailbox.items():
            worker.memory[j] = worker.memory.get(j, 0) + change
        move = worker.gossip_step(worker.memory[worker.i], worker.memory)
        worker.x = worker.x + algorithm.gamma * move
    finish(world, updates)


def deep_squeeze(world: World, algorithm: DeepSqueeze) -> None:
    purpose, updates, said = prepare(world, algorithm.overlap)
    for worker in world.workers:
        v = worker.x + worker.memory.get("error", 0)
        said[worker.i] = world.squeeze(algorithm.compress, v, purpose, worker.i, world.n)
        worker.memory["error"] = v - said[worker.i]
    world.deliver(said)
    for worker in world.workers:
        worker.x = worker.x + algorithm.gamma * worker.gossip_step(said[worker.i], worker.mailbox)
    finish(world, updates)


def moniqua(world: World, algorithm: Moniqua) -> int:
    """Number by number, as Algorithm 1 is printed; return how many numbers of neighbours were too far apart."""
    levels = 2**algorithm.bits - 1
    period = 2 * algorithm.theta / (1 - 2 / levels)

    def modulo(z: float) -> float:
        return (z + period / 2) % period - period / 2

    purpose, updates, said = prepare(world, algorithm.overlap)
    key = make_key(world.seed, purpose, world.n, world.step)
    size = world.workers[0].x.size
    for worker in world.workers:
        stream = key.shared() if algorithm.shared_noise else key[worker.i : worker.i + 1]
        codes = []
        for number, u in zip(worker.x.tolist(), stream.uniform(size)[0].tolist(), strict=True):
            place = (modulo(number) / period + 1 / 2) * levels
            codes.append(floor(place) + (u < place - floor(place)))
        said[worker.i] = np.array(codes, dtype=float)
    world.deliver(said)
    moves, violations = {}, 0
    for worker in world.workers:
        move = np.zeros(size)
        for e, number in enumerate(worker.x.tolist()):

            def meant(code: float, number: float = number) -> float:
                return modulo((code / levels - 1 / 2) * period - number) + number

            for j, codes in worker.mailbox.items():
                move[e] += worker.weight[j] * (meant(codes[e]) - meant(said[worker.i][e]))
                violations += worker.i < j and abs(number - world.workers[j].x[e]) >= algorithm.theta
        moves[worker.i] = move
    for worker in world.workers:
        worker.x = worker.x + algorithm.gamma * moves[worker.i]
    finish(world, updates)
    return violations


def prepare(world: World, overlap: bool) -> tuple[str, dict[int, Vector], dict[int, Vector]]:
    """Take the gradient step where it comes first; else return the updates, taken at the stale models, for the end of the round."""
    updates = {worker.i: world.lr * world.update(worker) for worker in world.workers}
    if overlap:
        return "post 0", updates, {}
    for worker in world.workers:
        worker.x = worker.x - updates[worker.i]
    return "post 1", {}, {}


def finish(world: World, updates: dict[int, Vector]) -> None:
    for i, update in updates.items():
        world.workers[i].x = world.workers[i].x - update


def train_slowly(
    task: Any, algorithm: Any, topology: Topology, steps: int, lr: float, momentum: float = 0.0, seed: int = 0
) -> tuple[np.ndarray, int]:
    """Train in float64; return (steps + 1, n, P) models and Moniqua's violations."""
    n = topology.n
    bound = task.bind(n, seed, np, "float64")
    start = np.array(task.initial(seed), dtype=np.float64)
    workers = []
    for i in range(n):
        weight = {j: float(w) for j, w in enumerate(topology.weights[i]) if w and j != i}
        workers.append(Worker(i, start.copy(), weight))
    world, server, violations = World(workers, bound, lr, momentum, seed), {}, 0
    models = [[worker.x for worker in workers]]
    for step in range(steps):
        world.step = step
        if isinstance(algorithm, ParameterServerSGD):
            parameter_server(world, algorithm)
        elif isinstance(algorithm, DoubleSqueeze):
            double_squeeze(world, algorithm, server)
        elif isinstance(algorithm, ChocoSGD):
            choco(world, algorithm)
        elif isinstance(algorithm, DeepSqueeze):
            deep_squeeze(world, algorithm)
        else:
            violations += moniqua(world, algorithm)
        models.append([worker.x for worker in workers])
    return np.array(models), violations

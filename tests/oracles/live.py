"""Training inside the clock: one SimPy process per worker, and messages that carry their encoded bytes.

Nothing here is shared with what it checks: workers are objects with private replicas of their neighbours' models, which they know only from what they
decoded; averages are loops; the network is processes that hold ports (``simpy.Resource``) while they transmit. Times are read off the clock.
"""

from collections import defaultdict
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import simpy

from netsim.algorithms import DCDPSGD, DPSGD, ECDPSGD, AllReduceSGD, NaiveCompressedDPSGD, PowerGossip
from netsim.algorithms.compression import Compressor, Identity
from netsim.algorithms.kernels.low_rank import standard_normal
from netsim.clock.network import Network
from netsim.comm.topology import Topology
from netsim.device import make_key

Process = Generator[simpy.Event, Any, Any]
_AFTER_ALL_ELSE: Any = 2  # SimPy's priorities are 0 (urgent) and 1 (normal): what is scheduled so comes after both


class Fabric:
    """The network of DESIGN section 5: a process a message, a resource a port."""

    def __init__(self, env: simpy.Environment, network: Network, n: int) -> None:
        self.env, self.network = env, network
        self.latency = np.broadcast_to(np.asarray(network.latency, dtype=float), (n, n)).tolist()
        self.bandwidth = np.broadcast_to(np.asarray(network.bandwidth, dtype=float), (n, n)).tolist()
        fastest_out = [max(self.bandwidth[i][j] for j in range(n) if j != i) for i in range(n)]
        fastest_in = [max(self.bandwidth[i][j] for i in range(n) if i != j) for j in range(n)]
        self.egress = fastest_out if network.egress is None else np.broadcast_to(network.egress, (n,)).tolist()
        self.ingress = fastest_in if network.ingress is None else np.broadcast_to(network.ingress, (n,)).tolist()
        self.out_port = [simpy.Resource(env) for _ in range(n)]
        self.in_port = self.out_port if network.duplex == "half" else [simpy.Resource(env) for _ in range(n)]
        self.mail: dict[tuple, simpy.Event] = defaultdict(env.event)
        self.last_of_pair: dict[tuple[int, int], simpy.Event] = defaultdict(lambda: env.event().succeed())
        self.at_gate: list[tuple[tuple, simpy.Event]] = []
        self.sent = 0

    def send(self, sender: int, receiver: int, bits: int, content: Any, tag: Any) -> None:
        """Hand over a message; the sender goes on at once."""
        self.sent += 1
        order = (self.env.now, sender, self.sent)
        letter, previous = self.mail[sender, receiver, tag], self.last_of_pair[sender, receiver]
        if self.network.sharing == "none":
            self.env.process(self.carry_alone(sender, receiver, bits, content, letter))
        else:
            self.last_of_pair[sender, receiver] = letter
            self.env.process(self.carry(sender, receiver, bits, content, order, previous, letter))

    def carry_alone(self, sender: int, receiver: int, bits: int, content: Any, letter: simpy.Event) -> Process:
        alpha = self.latency[sender][receiver]
        yield self.env.timeout(self.network.handshakes * alpha + self.network.overhead)
        yield self.env.timeout(alpha + bits * self.network.framing / self.bandwidth[sender][receiver])
        letter.succeed(content)

    def carry(
        self,
        sender: int,
        receiver: int,
        bits: int,
        content: Any,
        order: tuple,
        previous: simpy.Event,
        letter: simpy.Event,
    ) -> Process:
        env, alpha, wire_bits = self.env, self.latency[sender][receiver], bits * self.network.framing
        if self.network.handshakes:
            yield env.timeout(self.network.handshakes * alpha)
        if self.network.handshakes or self.network.duplex == "half":  # else no other message can join at this instant
            yield self.gate(order)
        with self.out_port[sender].request() as port:
            yield port
            yield env.timeout(self.network.overhead)
            taken_in = env.process(self.take_in(receiver, alpha, wire_bits, order))
            through_link = env.process(self.cross_link(wire_bits / self.bandwidth[sender][receiver], alpha))
            yield env.timeout(wire_bits / self.egress[sender])
        last_bit = env.timeout(alpha)
        yield env.all_of([taken_in, through_link, last_bit, previous])
        letter.succeed(content)

    def take_in(self, receiver: int, alpha: float, wire_bits: float, order: tuple) -> Process:
        """From the first bit's start until the receiver's port has taken in the last."""
        yield self.env.timeout(alpha)
        yield self.gate(order)
        with self.in_port[receiver].request() as port:
            yield port
            yield self.env.timeout(wire_bits / self.ingress[receiver])

    def cross_link(self, link_seconds: float, alpha: float) -> Process:
        yield self.env.timeout(link_seconds)
        yield self.env.timeout(alpha)

    def gate(self, order: tuple) -> simpy.Event:
        """Of all that comes to a port at one instant the first in the order (posted, sender, number) goes on, after all else of that instant."""
        passed = self.env.event()
        self.at_gate.append((order, passed))
        if len(self.at_gate) == 1:
            self.open_later()
        return passed

    def open_later(self) -> None:
        opening = self.env.event()
        opening._ok, opening._value = True, None
        opening.callbacks.append(self.open_gate)
        self.env.schedule(opening, priority=_AFTER_ALL_ELSE)

    def open_gate(self, _: simpy.Event) -> None:
        """Let one pass; the others wait until all is done that it causes at this instant."""
        first = min(self.at_gate, key=lambda one: one[0])
        self.at_gate.remove(first)
        first[1].succeed()
        if self.at_gate:
            self.open_later()


@dataclass
class Worker:
    """One worker: what it holds, what it knows of its neighbours, and how it goes through its rounds."""

    i: int
    n: int
    near: list[int]  # in the order in which it posts
    weight: dict[int, float]  # its row of W
    task: Any
    fabric: Fabric
    seconds: list[float]  # of its gradients
    lr: float
    seed: int
    x: np.ndarray
    edge: dict[int, int]  # the number of the edge to each neighbour
    finish: list[float] = field(default_factory=list)
    models: list[np.ndarray] = field(default_factory=list)

    @property
    def env(self) -> simpy.Environment:
        return self.fabric.env

    def start_gradient(self, step: int) -> simpy.Event:
        """Begin to compute the own gradient at the own model as it is now; the event comes when that has taken its time."""
        rows = np.zeros((self.n, self.x.size))
        rows[self.i] = self.x
        return self.env.timeout(self.seconds[step], self.task.gradient(rows, step)[1][self.i].copy())

    def gradient(self, step: int) -> Process:
        """Compute the own gradient at the own model, for as long as it takes."""
        return (yield self.start_gradient(step))

    def code(self, compress: Compressor, y: np.ndarray, purpose: str, step: int) -> Process:
        """Compress one row and write its bytes: (what is decoded from them, bytes, bits)."""
        key = make_key(self.seed, purpose, self.n, step)[self.i : self.i + 1]
        message = compress.compress(y[None], key, self.task.tensors)
        wire = compress.encode(message)
        yield from self.handle(compress, 0, y.size)
        return compress.decode(wire)[0], wire, int(np.max(message.bits))

    def handle(self, compress: Compressor, side: int, numbers: int) -> Process:
        """Spend the codec's seconds: side 0 encodes, side 1 decodes."""
        codec = self.fabric.network.codec
        if codec is not None and not isinstance(compress, Identity):
            yield self.env.timeout(float(codec[side] if isinstance(codec, tuple) else codec) * numbers)

    def post(self, compress: Compressor, y: np.ndarray, purpose: str, step: int) -> Process:
        """Tell all neighbours; return what they will decode."""
        value, wire, bits = yield from self.code(compress, y, purpose, step)
        for j in self.near:
            self.fabric.send(self.i, j, bits, wire, step)
        return value

    def hear(self, compress: Compressor, step: int) -> Process:
        """Wait for the neighbours' messages of a round; return what they say."""
        heard = {}
        for j in self.near:
            wire = yield self.fabric.mail[j, self.i, step]
            heard[j] = compress.decode(wire)[0]
        yield from self.handle(compress, 1, self.x.size * len(self.near))
        return heard

    def average(self, own: np.ndarray, others: dict[int, np.ndarray]) -> np.ndarray:
        total = self.weight[self.i] * own
        for j, other in others.items():
            total = total + self.weight[j] * other
        return total

    def end_round(self) -> None:
        self.finish.append(self.env.now)
        self.models.append(self.x.copy())

    def dpsgd(self, steps: int, algorithm: DPSGD) -> Process:
        for t in range(steps):
            if algorithm.overlap:
                own = yield from self.post(Identity(), self.x, "", t)
                g = yield from self.gradient(t)
                replicas = yield from self.hear(Identity(), t)
                self.x = self.average(own, replicas) - self.lr * g
            else:
                g = yield from self.gradient(t)
                own = yield from self.post(Identity(), self.x - self.lr * g, "", t)
                replicas = yield from self.hear(Identity(), t)
                self.x = self.average(own, replicas)
            self.end_round()

    def naive(self, steps: int, algorithm: NaiveCompressedDPSGD) -> Process:
        for t in range(steps):
            own = yield from self.post(algorithm.compress, self.x, "post 0", t)
            g = yield from self.gradient(t)
            replicas = yield from self.hear(algorithm.compress, t)
            self.x = self.average(own, replicas) - self.lr * g
            self.end_round()

    def dcd(self, steps: int, algorithm: DCDPSGD) -> Process:
        replicas = {j: self.x.copy() for j in self.near}
        for t in range(steps):
            g = yield from self.gradient(t)
            if t > 0:
                changes = yield from self.hear(algorithm.compress, t - 1)
                replicas = {j: replicas[j] + changes[j] for j in self.near}
            z = self.average(self.x, replicas) - self.lr * g - self.x
            own = yield from self.post(algorithm.compress, z, "post 2" if t else "post 1", t)
            self.x = self.x + own
            self.end_round()

    def ecd(self, steps: int, algorithm: ECDPSGD) -> Process:
        estimates, estimate = {j: self.x.copy() for j in self.near}, self.x.copy()
        for t in range(1, steps + 1):
            s = t + 1 if algorithm.index == "equations" else t
            g = yield from self.gradient(t - 1)
            if t > 1:
                told = yield from self.hear(algorithm.compress, t - 2)
                before = s - 1  # the neighbours' z-values are those of the round before
                estimates = {j: (1 - 2 / before) * estimates[j] + 2 / before * told[j] for j in self.near}
            x_next = self.average(estimate, estimates) - self.lr * g
            z = (1 - s / 2) * self.x + s / 2 * x_next
            own = yield from self.post(algorithm.compress, z, "post 2" if t > 1 else "post 1", t - 1)
            estimate = (1 - 2 / s) * estimate + 2 / s * own
            self.x = x_next
            self.end_round()

    def power_gossip(self, steps: int, algorithm: PowerGossip) -> Process:
        """Rank 1, warm start: with every neighbour one vector a matrix, and whether it is multiplied from the right."""
        shapes, spans, end = self.task.tensors, {}, 0
        for name, shape in shapes.items():
            spans[name] = (end, end := end + int(np.prod(shape)))
        flat = [name for name, shape in shapes.items() if len(shape) < 2]
        matrices = {name: (shape[0], int(np.prod(shape[1:]))) for name, shape in shapes.items() if name not in flat}
        drawn = standard_normal(
            make_key(self.seed, "edge PowerGossip start", 1 + max(self.edge.values()), 0),
            sum(map(max, matrices.values())),
            self.x.dtype,
        )
        vector: dict[tuple[int, str], np.ndarray] = {}
        for j in self.near:
            numbers = drawn[self.edge[j]]
            for name, (rows, columns) in matrices.items():
                vector[j, name] = numbers[:columns] / np.linalg.norm(numbers[:columns])
                numbers = numbers[max(rows, columns) :]
        right = dict.fromkeys(vector, True)

        def say(j: int, name: str) -> np.ndarray:
            matrix = self.x[slice(*spans[name])].reshape(matrices[name])
            return matrix @ vector[j, name] if right[j, name] else vector[j, name] @ matrix

        for t in range(steps):
            computing = self.start_gradient(t)
            if not algorithm.overlap:
                self.x = self.x - self.lr * (yield computing)
            for s in range(algorithm.iterations):
                told = {j: {name: say(j, name) for name in matrices} for j in self.near}
                for j in self.near:
                    if s == 0:
                        told[j] |= {name: self.x[slice(*spans[name])] for name in flat}
                    self.fabric.send(self.i, j, 32 * sum(part.size for part in told[j].values()), told[j], (t, s))
                moved = self.x.copy()
                for j in self.near:
                    heard = yield self.fabric.mail[j, self.i, (t, s)]
                    for name, own in told[j].items():
                        v = heard[name] - own  # D q, were the other's model the larger; of both signs the same update
                        at = slice(*spans[name])
                        if name in flat:
                            moved[at] += self.weight[j] * v
                            continue
                        q = vector[j, name]
                        update = np.outer(v, q) if right[j, name] else np.outer(q, v)
                        moved[at] += algorithm.gamma * self.weight[j] * update.ravel()
                        if v.any():
                            vector[j, name] = v / np.linalg.norm(v) * (1 if self.i < j else -1)
                            right[j, name] = not right[j, name]
                self.x = moved
            if algorithm.overlap:
                self.x = self.x - self.lr * (yield computing)
            self.end_round()

    def all_reduce(self, steps: int, algorithm: AllReduceSGD) -> Process:
        """Full precision: the gradient in n chunks goes around the ring, is summed up on the first way and copied on the second."""
        size, right, left = -(-self.x.size // self.n), (self.i + 1) % self.n, (self.i - 1) % self.n
        for t in range(steps):
            g = yield from self.gradient(t)
            chunks = np.concatenate([g, np.zeros(size * self.n - g.size)]).reshape(self.n, size)
            for step in range(2 * (self.n - 1)):
                summing = step < self.n - 1
                outgoing = (self.i - step) % self.n if summing else (self.i + self.n - step) % self.n
                self.fabric.send(self.i, right, 32 * size, chunks[outgoing].copy(), (t, step))
                incoming = yield self.fabric.mail[left, self.i, (t, step)]
                here = (outgoing - 1) % self.n
                chunks[here] = chunks[here] + incoming if summing else incoming
            self.x = self.x - self.lr * chunks.ravel()[: g.size] / self.n
            self.end_round()

    def all_gather(self, steps: int, algorithm: AllReduceSGD) -> Process:
        """Quantized: everybody's bytes go around the ring, unchanged, and everybody averages what they say."""
        compress, right, left = algorithm.compress, (self.i + 1) % self.n, (self.i - 1) % self.n
        assert compress is not None
        for t in range(steps):
            g = yield from self.gradient(t)
            total, wire, bits = yield from self.code(compress, g, "all_gather 1", t)
            for step in range(self.n - 1):
                self.fabric.send(self.i, right, bits, (wire, bits), (t, step))
                wire, bits = yield self.fabric.mail[left, self.i, (t, step)]
                total = total + compress.decode(wire)[0]
            yield from self.handle(compress, 1, g.size * (self.n - 1))
            self.x = self.x - self.lr * total / self.n
            self.end_round()


class Lived(NamedTuple):
    """``models`` (steps + 1, n, P), ``finish`` (steps, n) seconds, and the number of ``messages``."""

    models: np.ndarray
    finish: np.ndarray
    messages: int


def live(
    task: Any, algorithm: Any, topology: Topology, steps: int, lr: float, network: Network, seed: int = 0
) -> Lived:
    """Train inside the clock, in float64."""
    n, env = topology.n, simpy.Environment()
    bound = task.bind(n, seed, np, "float64") if hasattr(task, "bind") else task
    fabric = Fabric(env, network, n)
    drawn = network.compute.draw(steps, n) if hasattr(network.compute, "draw") else network.compute
    seconds = np.broadcast_to(drawn, (steps, n))
    initial = np.array(task.initial(seed), dtype=np.float64)
    workers = []
    for i in range(n):
        weight = {j: w for j, w in enumerate(topology.weights[i].tolist()) if w or j == i}
        near = sorted((j for j in weight if j != i), key=lambda j, i=i: (j - i) % n)  # type: ignore[misc]
        edge = {j: e for e, pair in enumerate(topology.edges.tolist()) for j in pair if i in pair and j != i}
        own = seconds[:, i].tolist()
        workers.append(Worker(i, n, near, weight, bound, fabric, own, lr, seed, initial.copy(), edge))
    process = _process(algorithm)
    for worker in workers:
        env.process(process(worker, steps, algorithm))
    env.run()
    models = np.stack([[initial] * n, *zip(*[worker.models for worker in workers], strict=True)])
    return Lived(models, np.array([worker.finish for worker in workers]).T, fabric.sent)


def _process(algorithm: Any) -> Callable[[Worker, int, Any], Process]:
    if isinstance(algorithm, AllReduceSGD):
        return Worker.all_reduce if algorithm.compress is None else Worker.all_gather
    processes: dict[type, Any] = {
        DPSGD: Worker.dpsgd,
        NaiveCompressedDPSGD: Worker.naive,
        DCDPSGD: Worker.dcd,
        ECDPSGD: Worker.ecd,
        PowerGossip: Worker.power_gossip,
    }
    return processes[type(algorithm)]

"""The algorithms' whole view of the other workers. Everything said goes through here, and is recorded for the clock."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cached_property
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np

from netsim.algorithms.compression import Compressor, Identity
from netsim.algorithms.protocol import Gradient
from netsim.comm.topology import Topology
from netsim.comm.trace import Operation, Program, Trace
from netsim.device import Array, Key, make_key, to_host


class Posted(NamedTuple):
    """A message on its way to all neighbours.

    Attributes
    ----------
    round, position
        Which operation of which round posted it.
    numbers
        How many numbers the codec handles per message; 0 where nothing is encoded.
    value
        (n, P): what its receivers will have decoded; the sender knows it at once.
    """

    round: int
    position: int
    numbers: int
    value: Array


class Recorder:
    """Collects the rounds of a trace."""

    def __init__(self, topology: Topology) -> None:
        self.topology = topology
        self.operations: list[Operation] = []
        self.sizes: list[Any] = []
        self.programs: dict[Program, int] = {}
        self.program_of: list[int] = []
        self.bits: list[list[tuple]] = []
        self._beside = False

    @property
    def round(self) -> int:
        """Number of the round in progress."""
        return len(self.program_of)

    def record(self, operation: Operation, bits: Any = None) -> None:
        """Note an operation; bits is None, an int, or (n,) or, one a message, (D,) integers on the device."""
        self.operations.append(operation)
        self.sizes.append(bits)

    def record_gradient(self) -> None:
        """Note that every worker computes a gradient, beside what follows or before it."""
        self.record(Operation("begin" if self._beside else "compute"))

    @contextmanager
    def beside(self) -> Iterator[None]:
        """Let the gradient of this block be computed beside what follows, until a "join"."""
        self._beside = True
        try:
            yield
        finally:
            self._beside = False

    def end_round(self) -> None:
        """Close the round."""
        program = tuple(self.operations)
        index = self.programs.setdefault(program, len(self.programs))
        if index == len(self.bits):
            self.bits.append([])
        self.bits[index].append(tuple(self.sizes))
        self.program_of.append(index)
        self.operations, self.sizes = [], []

    def packed(self, rounds: int) -> dict[str, Any]:
        """Return what was recorded of the first rounds, its sizes on the host, for a checkpoint."""
        tables, left = [], np.bincount(self.program_of[:rounds], minlength=len(self.bits)).tolist()
        for p, count in enumerate(left):
            self.bits[p][:count] = [
                tuple(None if one is None else to_host(one) for one in row) for row in self.bits[p][:count]
            ]
            columns = zip(*self.bits[p][:count], strict=True)
            tables.append([None if column[0] is None else np.array(column) for column in columns])
        return {
            "programs": [[tuple(operation) for operation in program] for program in self.programs],
            "program_of": np.array(self.program_of[:rounds], dtype=np.int64),
            "bits": tables,
        }

    def unpack(self, recorded: dict[str, Any]) -> None:
        """Go on from what :meth:`packed` returned."""
        self.programs = {tuple(Operation(*one) for one in program): p for p, program in enumerate(recorded["programs"])}
        self.program_of = recorded["program_of"].tolist()
        counts = np.bincount(self.program_of, minlength=len(self.programs)).tolist()
        self.bits = [
            [tuple(None if column is None else column[row] for column in columns) for row in range(count)]
            for columns, count in zip(recorded["bits"], counts, strict=True)
        ]
        self.operations, self.sizes = [], []

    def trace(self, rounds: int) -> Trace:
        """Return the first rounds as a trace, its sizes on the host."""
        seen = np.array(self.program_of[:rounds], dtype=int)
        occurring, program_of = np.unique(seen, return_inverse=True)
        programs = [list(self.programs)[index] for index in occurring]
        tables = []
        for index in occurring:
            columns = zip(*self.bits[index][: int((seen == index).sum())], strict=True)
            tables.append(tuple(_table(column) for column in columns))
        neighbours = tuple(self.topology.neighbours(i) for i in range(self.topology.n))
        return Trace(self.topology.n, neighbours, tuple(programs), program_of, tuple(tables))


def _table(column: tuple) -> np.ndarray:
    """Return (rounds or 1, n, D or 1) integers: constant sizes are stored once."""
    if not column or column[0] is None:
        return np.zeros((0, 0), dtype=np.int64)
    rows = np.array([np.atleast_1d(to_host(bits)) for bits in column], dtype=np.int64)
    rows = rows[:1] if (rows == rows[:1]).all() else rows
    return rows[:, :1] if (rows == rows[:, :1]).all() else rows


class Communicator:
    """What an algorithm sees of the others; one for all workers of a run.

    Attributes
    ----------
    n
        Number of workers.
    weights
        (n, n) mixing matrix, on the device, in the dtype of the models.
    edges
        (E, 2) workers i < j that talk to each other.
    tensors
        Ordered {name: shape} of one model.
    common_start
        Whether all models are equal at the start, as in every training.
    """

    def __init__(
        self,
        topology: Topology,
        tensors: Mapping[str, tuple[int, ...]],
        seed: int,
        xp: ModuleType,
        dtype: str,
        recorder: Recorder,
        common_start: bool = True,
    ) -> None:
        self.n, self.edges, self.tensors, self.common_start = topology.n, topology.edges, tensors, common_start
        self.weights = xp.asarray(topology.weights.astype(dtype))
        self._topology, self._seed, self._xp, self._dtype, self._recorder = topology, seed, xp, dtype, recorder
        self._mixing = {1.0: self.weights}
        self._mean_row = xp.full((1, topology.n), 1.0 / topology.n, dtype=dtype)
        self.noise: dict[str, Array] = {}  # per kind of operation: largest ||C(z) - z||_F / ||z||_F so far
        self.clipped: Array | int = 0  # numbers that quantizers clipped, over all messages
        self.compressed_numbers = 0  # numbers that were compressed, over all messages

    def counted(self) -> tuple[dict[str, Array], Array | int, int]:
        """Return what was counted of the compressed messages: ``noise``, ``clipped`` and ``compressed_numbers``."""
        return dict(self.noise), self.clipped, self.compressed_numbers

    def count_on(self, counted: tuple[dict[str, Array], Array | int, int]) -> None:
        """Go on from what :meth:`counted` returned."""
        self.noise, self.clipped, self.compressed_numbers = counted

    def key(self, purpose: str, shared: bool = False) -> Key:
        """Return this round's random stream of every worker.

        Parameters
        ----------
        purpose
            What is drawn; different purposes never share a stream.
        shared
            One stream for all workers, agreed before the run: it depends on no data and costs nothing.
        """
        return make_key(self._seed, purpose, self.n, self._recorder.round, shared, self._xp)

    def edge_key(self, purpose: str, shared: bool = False) -> Key:
        """Return this round's random stream of every edge, one row each in the order of ``edges``, known at both its ends; it costs nothing.

        Parameters
        ----------
        purpose
            What is drawn; different purposes never share a stream.
        shared
            One stream for all edges.
        """
        return make_key(self._seed, f"edge {purpose}", len(self.edges), self._recorder.round, shared, self._xp)

    @cached_property
    def _edge_of_message(self) -> Array:
        """(D,): the edge of every message of a post, as ``Trace.bits`` counts them."""
        number = {(int(i), int(j)): e for e, (i, j) in enumerate(self.edges)}
        pairs = [(min(i, j), max(i, j)) for i in range(self.n) for j in self._topology.neighbours(i)]
        return self._xp.asarray(np.array([number[pair] for pair in pairs], dtype=np.int64))

    def meanwhile(self, gradient: Gradient, x: Array) -> Array:
        """Return gradient(x), whose computing goes on beside all that is said until :meth:`join`."""
        with self._recorder.beside():
            return gradient(x)

    def join(self) -> None:
        """Wait until the gradient of :meth:`meanwhile` is computed; in gossip alone there is none."""
        if any(operation.kind == "begin" for operation in self._recorder.operations):
            self._recorder.record(Operation("join"))

    def post(self, compress: Compressor, y: Array) -> Posted:
        """Send row i of y, (n, P), compressed, to all neighbours of worker i, and go on at once."""
        value, bits, numbers = self._compress(compress, y, "post")
        self._recorder.record(Operation("post", numbers), bits)
        return Posted(self._recorder.round, len(self._recorder.operations) - 1, numbers, value)

    def wait(self, message: Posted | None) -> Array | None:
        """Wait until the neighbours' messages of a post are there; return what they decoded, (n, P). None (nothing posted yet): go on."""
        if message is None:
            return None
        self._recorder.record(
            Operation("wait", message.numbers, self._recorder.round - message.round, message.position)
        )
        return message.value

    def send(self, compress: Compressor, y: Array) -> Array:
        """Send row i of y, (n, P), compressed, to all neighbours of worker i, wait for theirs, and return what was decoded, (n, P)."""
        return self.wait(self.post(compress, y))

    def mix(self, y: Array, gamma: float = 1.0) -> Array:
        """Return row i: sum over j, i included, of w_ij y_j, for quantities that every neighbour already holds; nothing is sent.

        With gamma the matrix is I - gamma (I - W).
        """
        if gamma not in self._mixing:
            identity = np.eye(self.n)
            mixing = identity - gamma * (identity - self._topology.weights)
            self._mixing[gamma] = self._xp.asarray(mixing.astype(self._dtype))
        return self._mixing[gamma] @ y

    def all_reduce(self, y: Array) -> Array:
        """Return the mean of the rows of y in every row, (n, P), as an all-reduce in full precision gives it to every worker."""
        self._recorder.record(Operation("all_reduce"), 32 * y.shape[1])
        return self._xp.broadcast_to(self._mean_row @ y, y.shape)

    def all_gather(self, compress: Compressor, y: Array) -> Array:
        """Return what everybody decodes of everybody's row of y, (n, P), after a ring all-gather of the compressed rows: n - 1 dependent steps."""
        value, bits, numbers = self._compress(compress, y, "all_gather")
        self._recorder.record(Operation("all_gather", numbers), bits)
        return value

    def push(self, compress: Compressor, y: Array) -> Array:
        """Send row i of y, (n, P), compressed, from worker i to the server, which waits for all; return what it decoded, (n, P)."""
        value, bits, numbers = self._compress(compress, y, "push")
        self._recorder.record(Operation("push", numbers), bits)
        return value

    def pull(self, compress: Compressor, z: Array) -> Array:
        """Send the server's z, (1, P), compressed, to every worker, which waits for it; return what all decoded, (1, P)."""
        value, bits, numbers = self._compress(compress, z, "pull")
        self._recorder.record(Operation("pull", numbers), bits)
        return value

    def exchange(self, at_low: Array, at_high: Array, numbers: Array | None = None) -> tuple[Array, Array]:
        """Send one message each way along every edge, in full precision, and wait for them.

        Parameters
        ----------
        at_low, at_high
            (E, k): what the ends with the smaller and with the larger number send along the edges of ``edges``.
        numbers
            (E,) integers on the device, known at both ends: how many of the k numbers are sent, the others being zeros that fill up the rows.
            None: all k.

        Returns
        -------
        tuple of arrays
            What the smaller and what the larger ends heard: (E, k) each.
        """
        bits = 32 * (at_low.shape[1] if numbers is None else numbers[self._edge_of_message])
        self._recorder.record(Operation("post"), bits)
        self._recorder.record(Operation("wait", position=len(self._recorder.operations) - 1))
        return at_high, at_low

    def _compress(self, compress: Compressor, y: Array, kind: str) -> tuple[Array, Any, int]:
        if isinstance(compress, Identity):
            return y, 32 * y.shape[1], 0
        xp = self._xp
        key = make_key(
            self._seed, f"{kind} {len(self._recorder.operations)}", len(y), self._recorder.round, xp=self._xp
        )
        message = compress.compress(y, key, self.tensors)
        error = message.value - y
        size = xp.vdot(y, y)
        ratio = xp.where(size > 0, xp.sqrt(xp.vdot(error, error) / xp.where(size > 0, size, 1)), 0)
        ratio = xp.where(xp.isfinite(ratio), ratio, 0)  # what has diverged says nothing about the compressor
        self.noise[kind] = xp.maximum(self.noise[kind], ratio) if kind in self.noise else ratio
        self.clipped = self.clipped + message.clipped
        self.compressed_numbers += y.size
        return message.value, message.bits, y.shape[1]

"""The communicator: an algorithm's only access to the other workers. Every message goes through it and is recorded in the trace."""

from collections.abc import Callable, Mapping
from functools import cached_property
from types import ModuleType
from typing import NamedTuple

import numpy as np

from netsim.algorithms.compression import Compressor, Identity
from netsim.algorithms.protocol import Gradient
from netsim.comm.contracts import check_compressor, check_exchange, check_message, check_rows, said
from netsim.comm.recorder import Recorder
from netsim.comm.statistics import Exchanged, OnMessage, Sent, Statistics
from netsim.comm.topology import Topology
from netsim.comm.trace import Operation
from netsim.device import Array, Key, make_key
from netsim.errors import NetsimError

PURPOSES = {"post": "post 0", "send": "post 1", "all_gather": "all_gather 1", "push": "push 1", "pull": "pull 2"}
"""The random stream of each operation that names none. Streams were once called by the position in a round; the names are kept so that published
runs can be repeated."""

OF_WORKERS, OF_EDGES = "key ", "edge "
"""What the names of the streams of :meth:`Communicator.key` and of :meth:`Communicator.edge_key` begin with, so that no message draws from them."""

SHARED_ALONE = frozenset({"PowerSGD start"})
"""Purposes that exist as a shared stream only: the one that worker 0 alone once had under this name, kept so that published runs can be repeated."""


class Posted(NamedTuple):
    """Messages in flight to all neighbours.

    Attributes
    ----------
    round, position
        Which operation of which round posted them.
    numbers
        How many numbers the codec handles per message; 0 where nothing is encoded.
    value
        (n, P): row i is worker i's own message as it will be decoded. A worker may use it at once, for its own row only; its neighbours' messages
        come from :meth:`Communicator.wait`.
    """

    round: int
    position: int
    numbers: int
    value: Array


class Communicator:
    """An algorithm's communicator: one for all workers of a run; its arrays have one row for each worker.

    Attributes
    ----------
    n
        Number of workers.
    weights
        (n, n) mixing matrix, on the device, in the dtype of the models.
    edges
        (E, 2) pairs of neighbours i < j.
    tensors
        Ordered {name: shape} of one model.
    common_start
        Whether all models are equal at the start, as in every training.
    statistics
        Statistics of the messages.
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
        on_message: OnMessage | None = None,
    ) -> None:
        self.n, self.edges, self.tensors, self.common_start = topology.n, topology.edges, tensors, common_start
        self.weights = xp.asarray(topology.weights.astype(dtype))
        self.statistics = Statistics()
        self._topology, self._seed, self._xp, self._dtype, self._recorder = topology, seed, xp, dtype, recorder
        self._on_message = on_message
        self._mixing = {1.0: self.weights}
        self._mean_row = xp.full((1, topology.n), 1.0 / topology.n, dtype=dtype)
        self._drawn: tuple[int, set[str]] = 0, set()  # a round, and the purposes of its messages

    @property
    def round(self) -> int:
        """Number of this round, from 0; in ``init``, 0."""
        return self._recorder.round

    def key(self, purpose: str, shared: bool = False) -> Key:
        """Return this round's random stream of every worker.

        Parameters
        ----------
        purpose
            What is drawn; different purposes never share a stream, nor do a key and a message.
        shared
            One stream for all workers, agreed on before the run: it does not depend on data, and costs no bits. It is no worker's own.

        Raises
        ------
        NetsimError
            The purpose is one of :data:`SHARED_ALONE`, and not asked for as shared.
        """
        round = self._recorder.round
        if purpose not in SHARED_ALONE:
            return make_key(self._seed, f"{OF_WORKERS}{purpose}", self.n, round, shared, self._xp)
        if not shared:
            raise NetsimError(
                f"comm.key: {purpose!r} is one stream for all: add shared=True, or choose another purpose"
            )
        one = make_key(self._seed, purpose, 1, round, xp=self._xp)
        return Key(self._xp.broadcast_to(one.words, (self.n, 2)), one.words)

    def edge_key(self, purpose: str, shared: bool = False) -> Key:
        """Return this round's random stream of every edge, in the order of ``edges``; both ends know it, and it costs no bits.

        Parameters
        ----------
        purpose
            What is drawn; different purposes never share a stream.
        shared
            One stream for all edges, no edge's own.
        """
        return make_key(self._seed, f"{OF_EDGES}{purpose}", len(self.edges), self._recorder.round, shared, self._xp)

    def meanwhile(self, gradient: Gradient, x: Array) -> Array:
        """Return gradient(x), computed concurrently with the messages until :meth:`join`."""
        with self._recorder.beside():
            return gradient(x)

    def join(self) -> None:
        """Wait until the gradient of :meth:`meanwhile` is computed; without gradients, do nothing."""
        if any(operation.kind == "begin" for operation in self._recorder.operations):
            self._recorder.record(Operation("join"))

    def post(self, compress: Compressor, y: Array, purpose: str | None = None) -> Posted:
        """Send row i of y, (n, P), compressed, to all neighbours of worker i, without waiting.

        A post may be waited for once, in this round or a later one. One that nobody waits for is sent and billed all the same; only the row's own
        worker may use its value.

        Parameters
        ----------
        compress
            The compressor of each row; Identity() for full precision.
        y
            (n, P), what is sent.
        purpose
            Name of the random stream that the compressor draws from, needed for a second message of the same kind in a round. The default is
            ``PURPOSES["post"]``, and likewise for the other operations.

        Raises
        ------
        NetsimError
            Two compressed messages of one round have the same purpose, or it begins as the name of another kind of stream.
        """
        value, numbers = self._say("post", compress, y, purpose or PURPOSES["post"])
        return Posted(self._recorder.round, len(self._recorder.operations) - 1, numbers, value)

    def wait(self, message: Posted | None) -> Array | None:
        """Wait for the neighbours' messages of a post and return what was decoded, (n, P). None (nothing posted yet): do not wait.

        Raises
        ------
        NetsimError
            It is no post, or one that was waited for already.
        """
        if message is None:
            return None
        if not isinstance(message, Posted):
            raise NetsimError(
                f"comm.wait: round {self._recorder.round}: got {said(message)}; expected what comm.post returned, or None"
            )
        self._recorder.check_wait(message.round, message.position)
        self._recorder.record(
            Operation("wait", message.numbers, self._recorder.round - message.round, message.position)
        )
        return message.value

    def send(self, compress: Compressor, y: Array, purpose: str | None = None) -> Array:
        """Send row i of y, (n, P), compressed, to all neighbours of worker i, wait for theirs, and return what was decoded, (n, P)."""
        return self.wait(self.post(compress, y, purpose or PURPOSES["send"]))

    def mix(self, y: Array, gamma: float = 1.0) -> Array:
        """Return row i: sum over j, i included, of w_ij y_j, of quantities that every neighbour already holds; nothing is sent.

        With gamma the matrix is I - gamma (I - W).

        Raises
        ------
        NetsimError
            y is not one row a worker; or its rows differ and no message was sent so far, so that nobody can hold another's.
        """
        self._check_held(y, "mix")
        if gamma not in self._mixing:
            identity = np.eye(self.n)
            mixing = identity - gamma * (identity - self._topology.weights)
            self._mixing[gamma] = self._xp.asarray(mixing.astype(self._dtype))
        return self._mixing[gamma] @ y

    def over_neighbours(self, f: Callable[..., Array], heard: Array, *own: Array) -> Array:
        """Return row i: the sum over worker i's neighbours j, without i, of w_ij f(heard_j, own_i, …); nothing is sent.

        Parameters
        ----------
        f
            Works row by row: takes received rows, (rows, P), and as many rows of each of ``own``; returns one row for each.
        heard
            (n, P), as :meth:`wait` returned it: every neighbour of worker j holds row j.
        own
            (n, P) each, of which worker i gives its own row i.

        Raises
        ------
        NetsimError
            As for :meth:`mix`, of ``heard``.
        """
        self._check_held(heard, "over_neighbours")
        here, there, weights = self._hearing
        return weights @ f(heard[there], *(y[here] for y in own))

    def tally(self, name: str, count: Callable[[Array, Array], Array], y: Array) -> None:
        """Count something over the edges for the simulation's statistics; no worker uses the result, which real workers could not compute.

        Parameters
        ----------
        name
            Of the attribute of the run's dataset: the sum over the rounds.
        count
            (rows of the smaller ends, rows of the larger ends), each (E, P) -> an integer.
        y
            (n, P): the workers' true rows.
        """
        low, high = self._ends
        self.statistics.add(name, count(y[low], y[high]))

    def all_reduce(self, y: Array) -> Array:
        """Return the mean of the rows of y in every row, (n, P), by an all-reduce in full precision."""
        check_rows(y, self.n, "all_reduce", self._recorder.round)
        self._recorder.record(Operation("all_reduce"), 32 * y.shape[1])
        return self._xp.broadcast_to(self._mean_row @ y, y.shape)

    def all_gather(self, compress: Compressor, y: Array, purpose: str | None = None) -> Array:
        """All-gather the compressed rows of y around the ring, n - 1 dependent steps; return what every worker decodes, (n, P)."""
        return self._say("all_gather", compress, y, purpose or PURPOSES["all_gather"])[0]

    def push(self, compress: Compressor, y: Array, purpose: str | None = None) -> Array:
        """Send row i of y, (n, P), compressed, from worker i to the server, which waits for all; return what it decoded, (n, P).

        All rows may be used by the server, in :meth:`at_server`; a worker may use its own row only.
        """
        return self._say("push", compress, y, purpose or PURPOSES["push"])[0]

    def at_server(self, f: Callable[..., Array], *held: Array) -> Array:
        """Return f(*held), computed at the server from data that it holds: what was pushed, (n, P), and its own rows, (1, P)."""
        return f(*held)

    def pull(self, compress: Compressor, z: Array, purpose: str | None = None) -> Array:
        """Send the server's z, (1, P), compressed, to every worker, which waits for it; return what all decoded, (1, P)."""
        return self._say("pull", compress, z, purpose or PURPOSES["pull"])[0]

    def exchange(self, at_low: Array, at_high: Array, numbers: Array | None = None) -> tuple[Array, Array]:
        """Send one message each way along every edge, in full precision, and wait for them.

        Parameters
        ----------
        at_low, at_high
            (E, k): what the lower and the higher end of each edge of ``edges`` send.
        numbers
            (E,) integers on the device, known at both ends: how many of the k numbers are sent; the others are padding. None: all k.

        Returns
        -------
        tuple of arrays
            What the lower and the higher ends received: (E, k) each. An end knows both messages of its edge: the one that it received, and its own.
        """
        check_exchange(at_low, at_high, numbers, len(self.edges), self.round)
        if self._on_message is not None:
            self._on_message(Exchanged(at_low, at_high, numbers))
        bits = 32 * (at_low.shape[1] if numbers is None else numbers[self._edge_of_message])
        self._recorder.record(Operation("post"), bits)
        self._recorder.record(Operation("wait", position=len(self._recorder.operations) - 1))
        return at_high, at_low

    def _say(self, kind: str, compress: Compressor, y: Array, purpose: str) -> tuple[Array, int]:
        """Compress rows, notify the observers and record the operation; return what is decoded, and the codec's numbers per message."""
        check_rows(y, 1 if kind == "pull" else self.n, kind, self._recorder.round)
        if type(compress) is Identity:  # a class made from it compresses in its own way
            if self._on_message is not None:
                self._on_message(Sent(kind, purpose, compress, y, compress.compress(y, None, self.tensors)))
            self._recorder.record(Operation(kind), 32 * y.shape[1])
            return y, 0
        check_compressor(compress, kind, self.round)
        self._claim(purpose)
        key = make_key(self._seed, purpose, len(y), self._recorder.round, xp=self._xp)
        message = compress.compress(y, key, self.tensors)
        check_message(message, y, compress, self._recorder.round)
        for observe in (self.statistics, self._on_message):
            if observe is not None:
                observe(Sent(kind, purpose, compress, y, message))
        self._recorder.record(Operation(kind, y.shape[1]), message.bits)
        return message.value, y.shape[1]

    def _check_held(self, y: Array, method: str) -> None:
        """Raise for rows that nobody can hold of another: there is one for each worker, and equal ones were agreed on before the run."""
        if getattr(y, "shape", ())[:1] != (self.n,):
            raise NetsimError(
                f"comm.{method}: round {self._recorder.round}: got {said(y)}; expected ({self.n}, …), a row for each worker"
            )
        if not self._recorder.spoken and isinstance(y, np.ndarray) and not ((y == y[:1]) | (y != y)).all():
            raise NetsimError(
                f"comm.{method}: round {self._recorder.round}: mixes rows that were never sent: no worker knows another's; "
                "send them first, such as comm.mix(comm.send(compress, x))"
            )

    def _claim(self, purpose: str) -> None:
        """Reserve a purpose for this round: two messages that draw from the same stream would not be independent."""
        if purpose.startswith((OF_WORKERS, OF_EDGES)) or purpose in SHARED_ALONE:
            raise NetsimError(
                f"round {self._recorder.round}: a message's purpose cannot be {purpose!r}, a stream of another kind: choose another name"
            )
        round, taken = self._drawn
        if round != self._recorder.round:
            self._drawn = round, taken = self._recorder.round, set()
        if purpose in taken:
            raise NetsimError(
                f"round {round}: two compressed messages draw from the stream {purpose!r}: give one of them a purpose of its own, "
                'such as comm.send(compress, y, purpose="momentum")'
            )
        taken.add(purpose)

    @cached_property
    def _ends(self) -> tuple[Array, Array]:
        """(E,) each: the lower and the higher end of every edge."""
        edges = self._xp.asarray(self.edges)
        return edges[:, 0], edges[:, 1]

    @cached_property
    def _hearing(self) -> tuple[Array, Array, Array]:
        """Every edge in both directions: receivers, (2E,), senders, (2E,), and (n, 2E) with w_ij at the receiver, else 0."""
        xp, (low, high) = self._xp, self._ends
        here, there = xp.concatenate([low, high]), xp.concatenate([high, low])
        return here, there, xp.where(xp.arange(self.n)[:, None] == here, self.weights[here, there], 0)

    @cached_property
    def _edge_of_message(self) -> Array:
        """(D,): the edge of every message of a post, as ``Trace.bits`` counts them."""
        number = {(int(i), int(j)): e for e, (i, j) in enumerate(self.edges)}
        pairs = [(min(i, j), max(i, j)) for i in range(self.n) for j in self._topology.neighbours(i)]
        return self._xp.asarray(np.array([number[pair] for pair in pairs], dtype=np.int64))

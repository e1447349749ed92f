"""A communicator of threads: each worker is a thread that runs the algorithm unchanged, with only its own rows and the received messages.

Each thread has a :class:`Node`, a ``comm`` of its own. Its arrays have a row for every worker, as the algorithm expects, and NaN in all rows that
this worker does not hold: whatever uses one of them makes the worker's own model NaN. Between the threads go bytes, written by the compressor's
``encode`` and read by its ``decode``. The server is one more thread, node n, which runs the same step; what it computes, it computes of what was
pushed.
"""

import queue
import threading
from dataclasses import dataclass, field

import numpy as np

from netsim.algorithms.compression.message import Wire
from netsim.comm.communicator import OF_EDGES, OF_WORKERS, PURPOSES, SHARED_ALONE
from netsim.device import Key, make_key

PATIENCE = (
    20.0  # seconds that a thread waits for a message before it gives up: one that never comes is a fault of the method
)


@dataclass
class Mailboxes:
    """What connects the nodes: one first-in, first-out queue of (tag, bytes) from each to each."""

    nodes: int
    queues: dict = field(default_factory=dict)

    def __post_init__(self):
        self.queues = {(i, j): queue.SimpleQueue() for i in range(self.nodes) for j in range(self.nodes)}

    def send(self, sender, receiver, tag, content):
        assert isinstance(content, bytes)
        self.queues[sender, receiver].put((tag, content))

    def receive(self, sender, receiver, tag):
        found, content = self.queues[sender, receiver].get(timeout=PATIENCE)
        assert found == tag, f"node {receiver} waits for {tag} of node {sender} and gets {found}"
        return content


@dataclass
class Handle:
    """What a worker keeps of a post: its own row, and how to read its neighbours'."""

    value: np.ndarray
    compress: object
    tag: tuple
    shared: Key
    round: int


class Node:
    """The ``comm`` of one worker, or of the server, which is node n.

    Attributes
    ----------
    held
        The workers whose rows this node may hold: its own and its neighbours'.
    """

    def __init__(self, i, graph, tensors, seed, mailboxes, common_start):
        self.i, self.n, self.edges, self.tensors, self.common_start = i, graph.n, graph.edges, tensors, common_start
        self.server = i == graph.n
        self.near = () if self.server else graph.neighbours(i)
        self.held = (i, *self.near)
        self.size = sum(int(np.prod(shape)) for shape in tensors.values())
        self.round, self.count = 0, 0
        self.own_edges = [e for e, pair in enumerate(graph.edges.tolist()) if i in pair]
        self.weights = self.rows({} if self.server else {i: graph.weights[i]}, graph.n)
        self._graph, self._seed, self._mailboxes = graph, seed, mailboxes

    # what this node holds, and what it draws

    def rows(self, known, width=None, count=None):
        """(n, P) with the rows of {worker: row}, and NaN in the others."""
        found = np.full((count or self.n, width or self.size), np.nan)
        for row, numbers in known.items():
            found[row] = numbers
        return found

    def next_tag(self, kind):
        """All nodes say the same in the same order, so a number tells the operations apart."""
        self.count += 1
        return kind, self.round, self.count

    def key(self, purpose, shared=False):
        if purpose in SHARED_ALONE:
            return make_key(self._seed, purpose, 1, self.round)
        key = make_key(self._seed, f"{OF_WORKERS}{purpose}", self.n, self.round, shared)
        return key if shared else self._only(key, () if self.server else [self.i])

    def edge_key(self, purpose, shared=False):
        key = make_key(self._seed, f"{OF_EDGES}{purpose}", len(self.edges), self.round, shared)
        return key if shared else self._only(key, self.own_edges)

    def _only(self, key, rows):
        """The streams of some rows; in the others streams that nobody else has."""
        other = make_key(self._seed, f"of nobody but node {self.i}", len(key.words), self.round)
        words = other.words.copy()
        words[list(rows)] = key.words[list(rows)]
        return Key(words, key.common)

    # messages as bytes

    def _encoded(self, compress, row, purpose, rows):
        """One row of ``rows`` compressed: the bytes, and what they decode to."""
        at = 0 if rows == 1 else self.i
        key = make_key(self._seed, purpose, rows, self.round)[at : at + 1]
        (content,) = compress.encode(compress.compress(row[None], key, self.tensors))
        return content, self._decoded(compress, content, key.shared())

    def _decoded(self, compress, content, shared):
        return compress.decode(Wire((content,), self.tensors, "float64", shared))[0]

    def _shared(self, purpose):
        return make_key(self._seed, purpose, 1, self.round).shared()

    # to and from neighbours

    def post(self, compress, y, purpose=None):
        purpose, tag = purpose or PURPOSES["post"], self.next_tag("post")
        content, own = self._encoded(compress, y[self.i], purpose, self.n)
        for j in self.near:
            self._mailboxes.send(self.i, j, tag, content)
        return Handle(self.rows({self.i: own}), compress, tag, self._shared(purpose), self.round)

    def wait(self, posted):
        if posted is None:
            return None
        heard = {self.i: posted.value[self.i]}
        for j in self.near:
            heard[j] = self._decoded(posted.compress, self._mailboxes.receive(j, self.i, posted.tag), posted.shared)
        return self.rows(heard)

    def send(self, compress, y, purpose=None):
        return self.wait(self.post(compress, y, purpose or PURPOSES["send"]))

    def mix(self, y, gamma=1.0):
        identity = np.eye(self.n)
        row = (identity - gamma * (identity - self._graph.weights))[self.i]
        return self.rows({self.i: sum(row[j] * y[j] for j in self.held)}, y.shape[1])

    def over_neighbours(self, f, heard, *own):
        mine = [y[self.i : self.i + 1] for y in own]
        parts = [self._graph.weights[self.i, j] * f(heard[j : j + 1], *mine)[0] for j in self.near]
        return self.rows({self.i: sum(parts)})

    def tally(self, name, count, y):
        """Nobody looks on."""

    def exchange(self, at_low, at_high, numbers=None):
        tag = self.next_tag("exchange")
        by_low, by_high = (self.rows({}, at_low.shape[1], len(self.edges)) for _ in range(2))
        ends = {e: [int(k) for k in self.edges[e]] for e in self.own_edges}
        for e, (low, high) in ends.items():
            own = (at_low if self.i == low else at_high)[e]
            self._mailboxes.send(self.i, high if self.i == low else low, (*tag, e), own.tobytes())
        for j in self.near:  # in the order in which the other sent them: by edge; one edge joins the two
            (e,) = (e for e, pair in ends.items() if j in pair)
            said = np.frombuffer(self._mailboxes.receive(j, self.i, (*tag, e)))
            own = (at_low if self.i == ends[e][0] else at_high)[e]
            by_low[e], by_high[e] = (said, own) if self.i == ends[e][0] else (own, said)
        return by_low, by_high

    # collectives, of messages to the right neighbour of a ring of all workers

    def all_reduce(self, y):
        tag, right, left = self.next_tag("all_reduce"), (self.i + 1) % self.n, (self.i - 1) % self.n
        own = y[self.i]
        chunks = np.array_split(own, self.n)
        for step in range(2 * (self.n - 1)):
            out = (self.i - step) % self.n
            self._mailboxes.send(self.i, right, (*tag, step), chunks[out].tobytes())
            heard = np.frombuffer(self._mailboxes.receive(left, self.i, (*tag, step)))
            into = (out - 1) % self.n
            chunks[into] = chunks[into] + heard if step < self.n - 1 else heard
        return np.tile(np.concatenate(chunks) / self.n, (self.n, 1))

    def all_gather(self, compress, y, purpose=None):
        purpose, tag = purpose or PURPOSES["all_gather"], self.next_tag("all_gather")
        right, left = (self.i + 1) % self.n, (self.i - 1) % self.n
        content, own = self._encoded(compress, y[self.i], purpose, self.n)
        known = {self.i: own}
        for step in range(1, self.n):
            self._mailboxes.send(self.i, right, (*tag, step), content)
            content = self._mailboxes.receive(left, self.i, (*tag, step))
            known[(self.i - step) % self.n] = self._decoded(compress, content, self._shared(purpose))
        return self.rows(known)

    # to and from the server

    def push(self, compress, y, purpose=None):
        purpose, tag = purpose or PURPOSES["push"], self.next_tag("push")
        if not self.server:
            content, own = self._encoded(compress, y[self.i], purpose, self.n)
            self._mailboxes.send(self.i, self.n, tag, content)
            return self.rows({self.i: own})
        shared = self._shared(purpose)
        return self.rows(
            {j: self._decoded(compress, self._mailboxes.receive(j, self.n, tag), shared) for j in range(self.n)}
        )

    def at_server(self, f, *held):
        return f(*held) if self.server else np.full((1, self.size), np.nan)

    def pull(self, compress, z, purpose=None):
        purpose, tag = purpose or PURPOSES["pull"], self.next_tag("pull")
        if not self.server:
            return self._decoded(compress, self._mailboxes.receive(self.n, self.i, tag), self._shared(purpose))[None]
        content, value = self._encoded(compress, z[0], purpose, 1)
        for j in range(self.n):
            self._mailboxes.send(self.n, j, tag, content)
        return value[None]

    # the gradient beside

    def meanwhile(self, gradient, x):
        return gradient(x)

    def join(self):
        """The gradient is computed already."""


def run_threaded(algorithm, start, graph, rounds, gradient, lr, tensors, seed=0, server=False):
    """Run an algorithm with a thread a worker; return (rounds + 1, n, P): the workers' own rows, before the first round and after each.

    Parameters
    ----------
    start
        (n, P). Where its rows are equal all know that, as in a training: a node starts with its own and its neighbours' rows. Else with its own.
    gradient
        (models, round) -> updates, (n, P), row by row.
    server
        Whether there is one.
    """
    common = bool((start == start[:1]).all())
    mailboxes, found, faults = Mailboxes(graph.n + server), np.full((rounds + 1, *start.shape), np.nan), []

    def live(i):
        node = Node(i, graph, tensors, seed, mailboxes, common)
        known = () if node.server else node.held if common else (i,)

        def own_gradient(x):
            held = node.rows({} if node.server else {i: x[i]})
            return node.rows({} if node.server else {i: gradient(held, node.round)[i]})

        with np.errstate(all="ignore"):
            state = algorithm.init(node.rows({j: start[j] for j in known}), node)
            for node.round in range(rounds):
                if not node.server:
                    found[node.round, i] = state.x[i]
                state = algorithm.step(state, own_gradient, lr, node)
            if not node.server:
                found[rounds, i] = state.x[i]

    def guarded(i):
        try:
            live(i)
        except Exception as fault:
            faults.append(fault)

    threads = [threading.Thread(target=guarded, args=(i,), daemon=True) for i in range(mailboxes.nodes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise next((fault for fault in faults if not isinstance(fault, queue.Empty)), faults[0])
    return found

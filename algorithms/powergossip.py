"""PowerGossip: Vogels, Karimireddy, Jaggi 2020, *Practical Low-Rank Communication Compression in Decentralized Deep Learning*."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
from array_api_compat import array_namespace

from algorithms.legend import short_repr
from algorithms.matrices import Matrix, joined, matrices, orthonormal, stacked, standard_normal
from algorithms.protocol import Array, Claims, Comm, Gradient, Holder


class Ends(NamedTuple):
    """Which edges end at which worker; worker i's edges have the slots 0 … degree - 1, the further slots are empty.

    Attributes
    ----------
    low, high
        Each (E,) workers and (E,) slots: where an edge ends.
    edge
        (n, slots): the edge in a slot; 0 in an empty one.
    rate
        (n, slots): what worker i adds of "larger minus smaller" of that edge: w_ij at the smaller end, -w_ij at the larger, 0 in an empty slot.
    """

    low: tuple[Array, Array]
    high: tuple[Array, Array]
    edge: Array
    rate: Array


def edge_ends(comm: Comm) -> Ends:
    """Return the slots of a communicator's edges, on its device."""
    xp = array_namespace(comm.weights)
    degree = np.zeros(comm.n, dtype=int)
    slots = np.zeros((len(comm.edges), 2), dtype=int)
    for e, ends in enumerate(comm.edges):
        slots[e] = degree[ends]
        degree[ends] += 1
    edge = np.zeros((comm.n, max(1, degree.max())), dtype=int)
    neighbour, sign = edge.copy(), edge.copy()
    for end in (0, 1):
        where = comm.edges[:, end], slots[:, end]
        edge[where] = np.arange(len(comm.edges))
        neighbour[where], sign[where] = comm.edges[:, 1 - end], 1 - 2 * end
    workers = xp.arange(comm.n)[:, None]
    rate = comm.weights[workers, xp.asarray(neighbour)] * xp.asarray(sign).astype(comm.weights.dtype)
    low, high = ((xp.asarray(comm.edges[:, end]), xp.asarray(slots[:, end])) for end in (0, 1))
    return Ends(low, high, xp.asarray(edge), rate)


class PowerGossipState(NamedTuple):
    """State of PowerGossip.

    Attributes
    ----------
    x
        (n, P): the models.
    vectors
        For every matrix (E, max(rows, columns), rank): what an edge projects its difference on next, the same at both ends, orthonormal; the first
        ``columns`` entries of it, or the first ``rows``.
    right
        For every matrix (E,) bool: whether that edge's vector is multiplied from the right, and is as long as a row.
    ends
        Which edges end where.
    """

    x: Array
    vectors: tuple[Array, ...]
    right: tuple[Array, ...]
    ends: Ends


@dataclass(frozen=True, repr=False)
class PowerGossip:
    """Gossip on low-rank approximations of the neighbours' differences, by steps of power iteration that the two ends take together.

    For an edge i < j and a matrix X, with the difference D = X_j - X_i, which neither end ever sees, and a unit vector q that both hold:

    .. math::
        v = X_j q - X_i q = D q, \\qquad
        X_i \\leftarrow X_i + γ w_{ij} v q^T, \\quad X_j \\leftarrow X_j - γ w_{ij} v q^T, \\qquad
        q' = v / ||v||

    and at the next iteration the same with D transposed, from the left. The vectors approach the largest singular vectors of D.

    Source: Vogels et al. 2020, Algorithm 2.

    Attributes
    ----------
    rank
        Vectors per matrix, orthonormalised by QR; of each matrix at most min(rows, columns).
    iterations
        Exchanges a round; each sends one vector of every matrix, from the left and from the right in turn.
    warm_start
        True: power iteration, v / ||v|| is the next vector. False: every iteration's vector is drawn anew, uniformly, from a stream of the edge.
    gamma
        Rate of the matrices' averages. Tensors of one dimension are averaged with rate 1.
    apply
        "each": the models move after each iteration, which produced the published tables. "last": they stand still during a round's iterations,
        whose last moves them, as the paper lists it.
    overlap
        True: x ← Gossip(x) - lr g(x), as the paper ran it. False: x ← Gossip(x - lr g(x)).

    Notes
    -----
    Sent, both ways along every edge: ``iterations`` messages a round, each with rows · rank or columns · rank numbers of every matrix, in full
    precision; the first also with all tensors of fewer than two dimensions. Held beside model and update: a vector per matrix and neighbour, and from
    which side it multiplies.

    A tensor of two or more dimensions is a matrix (shape[0], the rest). Where v is exactly zero, as when all models are equal at the start, it
    is sent all the same, and that edge and matrix keep their vector and its side. All edges' updates of an iteration come from the same models and
    are applied together, so the average of the models is preserved.

    Overlap: with ``overlap=True`` all exchanges of a round, one after the other, run while the gradient is computed; none otherwise.
    """

    rank: int = 1
    iterations: int = 1
    warm_start: bool = True
    gamma: float = 1.0
    apply: str = "each"
    overlap: bool = True

    __repr__ = short_repr
    holders: ClassVar[Mapping[str, Holder]] = {"vectors": "edge", "right": "edge", "ends": "nobody"}

    def __post_init__(self) -> None:
        if self.rank < 1 or self.iterations < 1:
            raise ValueError(
                f"PowerGossip: rank = {self.rank}, iterations = {self.iterations}: both must be at least 1"
            )
        if self.apply not in ("each", "last"):
            raise ValueError(f'PowerGossip: apply = {self.apply!r}: write "each" or "last"')

    @property
    def claims(self) -> Claims:
        """Exact in the mean; D-PSGD in both orders, of square matrices at full rank."""
        return Claims(
            limit="dpsgd" if self.overlap else "adapt-then-combine", exact=(("rank", 2**30), ("iterations", 1))
        )

    def init(self, x: Array, comm: Comm) -> PowerGossipState:
        """Start from the common model, and vectors drawn from the edges' streams that multiply from the right."""
        xp = array_namespace(x)
        found, _ = matrices(comm.tensors, self.rank)
        right = tuple(xp.ones(len(comm.edges), dtype=bool) for _ in found)
        vectors = tuple(_drawn(found, right, comm, "PowerGossip start", x.dtype))
        return PowerGossipState(x, vectors, right, edge_ends(comm))

    def step(self, state: PowerGossipState, gradient: Gradient, lr: float, comm: Comm) -> PowerGossipState:
        """Gossip, and take the own step: from the models before the gossip, or before the gossip."""
        if self.overlap:
            g = comm.meanwhile(gradient, state.x)
            after = self._gossip(state, comm)
            comm.join()
            return after._replace(x=after.x - lr * g)
        return self._gossip(state._replace(x=state.x - lr * gradient(state.x)), comm)

    def _gossip(self, state: PowerGossipState, comm: Comm) -> PowerGossipState:
        x, vectors, right, ends = state
        xp = array_namespace(x)
        found, others = matrices(comm.tensors, self.rank)
        for s in range(self.iterations):
            if not self.warm_start:
                vectors = tuple(_drawn(found, right, comm, f"PowerGossip {s}", x.dtype))
            said = [_products(x, *each, ends) for each in zip(found, vectors, right, strict=True)]
            uncompressed = joined(x, others) if s == 0 else x[:, :0]
            at_low, at_high = (
                xp.concat([*[_flat(one[end]) for one in said], uncompressed[workers]], axis=1)
                for end, (workers, _) in enumerate((ends.low, ends.high))
            )
            numbers = uncompressed.shape[1] + sum(
                xp.where(side, m.rows * m.rank, m.columns * m.rank) for m, side in zip(found, right, strict=True)
            )
            heard_by_low, _ = comm.exchange(at_low, at_high, numbers if found else None)
            difference = heard_by_low - at_low  # at the larger end the same: own minus heard
            moves = self.apply == "each" or s == self.iterations - 1
            moved, start = x.copy() if moves or s == 0 else x, 0
            next_vectors, next_right = [], []
            for matrix, q, side in zip(found, vectors, right, strict=True):
                v = difference[:, start : start + q.shape[1] * q.shape[2]].reshape(q.shape)
                start += q.shape[1] * q.shape[2]
                if moves:
                    moved[:, matrix.at] += self.gamma * _update(matrix, q, v, side, ends)
                changed = xp.max(xp.abs(v), axis=(1, 2)) > 0
                next_vectors.append(xp.where(changed[:, None, None], orthonormal(v), q))
                next_right.append(side ^ changed)
            if s == 0:
                _average_uncompressed(moved, others, difference[:, start:], ends)
            x, vectors, right = moved, tuple(next_vectors), tuple(next_right)
        return PowerGossipState(x, vectors, right, ends)


def _flat(v: Array) -> Array:
    return v.reshape(len(v), -1)


def _drawn(found: list[Matrix], right: tuple[Array, ...], comm: Comm, purpose: str, dtype: Any) -> list[Array]:
    """Return uniformly drawn orthonormal vectors of every edge for every matrix, as long as the side asks for, then zeros."""
    if not found:
        return []
    sizes = [max(m.rows, m.columns) * m.rank for m in found]
    numbers = standard_normal(comm.edge_key(purpose), sum(sizes), dtype)
    xp = array_namespace(numbers)
    vectors, start = [], 0
    for m, side, size in zip(found, right, sizes, strict=True):
        v = numbers[:, start : start + size].reshape(len(numbers), -1, m.rank)
        start += size
        length = xp.where(side, m.columns, m.rows)
        inside = xp.arange(v.shape[1])[None, :] < length[:, None]
        vectors.append(orthonormal(xp.where(inside[:, :, None], v, 0)))
    return vectors


def _products(x: Array, matrix: Matrix, vectors: Array, right: Array, ends: Ends) -> tuple[Array, Array]:
    """Return what the smaller and the larger end of each edge get, multiplying their own matrix by the edge's vectors; zeros fill up.

    Which side is on the device alone, so both are computed. A worker multiplies by all its edges' vectors at once.
    """
    xp = array_namespace(x)
    own = stacked(x, matrix)
    at_slots = vectors[ends.edge].transpose(0, 2, 1, 3)  # (n, length, slots, rank)
    n, _, slots, rank = at_slots.shape
    side = right[:, None, None]
    by_slot = []
    for operator, inner in ((own, matrix.columns), (own.transpose(0, 2, 1), matrix.rows)):
        product = operator @ at_slots[:, :inner].reshape(n, inner, slots * rank)
        by_slot.append(product.reshape(n, -1, slots, rank).transpose(0, 2, 1, 3))
    both = []
    for end in (ends.low, ends.high):
        said = xp.zeros_like(vectors)
        said[:, : matrix.rows] = xp.where(side, by_slot[0][end], 0)
        said[:, : matrix.columns] += xp.where(side, 0, by_slot[1][end])
        both.append(said)
    return both[0], both[1]


def _update(matrix: Matrix, q: Array, v: Array, right: Array, ends: Ends) -> Array:
    """Return what every worker adds to a matrix at rate 1, (n, rows · columns): the sum over its edges of ± w_ij v qᵀ, or ± w_ij q vᵀ."""
    xp = array_namespace(q)
    side = right[:, None, None]
    tall = xp.where(side, v, q)[:, : matrix.rows][ends.edge] * ends.rate[:, :, None, None]  # (n, slots, rows, rank)
    wide = xp.where(side, q, v)[:, : matrix.columns][ends.edge]
    n, slots, _, rank = wide.shape
    tall = tall.transpose(0, 2, 1, 3).reshape(n, matrix.rows, slots * rank)
    wide = wide.transpose(0, 1, 3, 2).reshape(n, slots * rank, matrix.columns)
    return (tall @ wide).reshape(n, -1)


def _average_uncompressed(x: Array, others: list[slice], difference: Array, ends: Ends) -> None:
    """Add to the columns ``others`` of x, in place, what plain averaging makes of the edges' differences."""
    change = (difference[ends.edge] * ends.rate[:, :, None]).sum(axis=1)
    start = 0
    for at in others:
        size = at.stop - at.start
        x[:, at] += change[:, start : start + size]
        start += size

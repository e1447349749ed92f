"""PowerGossip: Vogels, Karimireddy, Jaggi 2020, *Practical Low-Rank Communication Compression in Decentralized Deep Learning*."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import ModuleType
from typing import Any, ClassVar, NamedTuple

import numpy as np
from array_api_compat import array_namespace

from netsim.algorithms.description import short_repr
from netsim.algorithms.kernels.low_rank import (
    Group,
    Layout,
    Stack,
    grouped,
    joined,
    magnitudes,
    matrices,
    orthonormal_parts,
    owners,
    parts,
    stacked,
    standard_normal,
    ungrouped,
)
from netsim.algorithms.protocol import Array, Claims, Comm, Gradient, Holder


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
        (E, columns): what an edge projects its difference on next, or, where every iteration draws anew, projected it on last; the same at both
        ends, orthonormal. For one matrix after the other max(rows, columns) entries of ``rank`` numbers, the first ``columns`` of them or the first
        ``rows``, then zeros.
    right
        (E, matrices) bool: whether that edge's vectors of that matrix are multiplied from the right, and are as long as a row.
    ends
        Which edges end where.
    """

    x: Array
    vectors: Array
    right: Array
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
        layout = matrices(comm.tensors, self.rank, x)
        right = array_namespace(x).ones((len(comm.edges), len(layout.members)), dtype=bool)
        q = _drawn(layout, right, comm, "PowerGossip start", x.dtype)
        return PowerGossipState(x, ungrouped(q, layout.each(_kept)), right, edge_ends(comm))

    def step(self, state: PowerGossipState, gradient: Gradient, lr: float, comm: Comm) -> PowerGossipState:
        """Gossip, and take the own step: from the models before the gossip, or before the gossip."""
        if self.overlap:
            g = comm.meanwhile(gradient, state.x)
            after = self._gossip(state, comm)
            comm.join()
            return after._replace(x=after.x - lr * g)
        return self._gossip(state._replace(x=state.x - lr * gradient(state.x)), comm)

    def _gossip(self, state: PowerGossipState, comm: Comm) -> PowerGossipState:
        layout = matrices(comm.tensors, self.rank, state.x)
        orders = layout.models, layout.each(_kept), layout.each(lambda group: 1)
        x, q, right = map(grouped, state[:3], orders)
        xp, ends, stacks = array_namespace(x), state.ends, _stacks(layout.groups)
        x = x.copy() if x is state.x else x
        sizes = _sizes(layout.groups, xp)
        for s in range(self.iterations):
            if not self.warm_start:
                q = _drawn(layout, right, comm, f"PowerGossip {s}", x.dtype)
            side = right.take(sizes.owner, axis=-1)
            products = _products(x, layout.groups, q, side, ends)
            uncompressed = joined(x, layout.others) if s == 0 else x[:, :0]
            at_low, at_high = (
                xp.concat([products[end], uncompressed[end[0]]], axis=1) for end in (ends.low, ends.high)
            )
            numbers = uncompressed.shape[1] + xp.where(right, sizes.by_right, sizes.by_left).sum(axis=1)
            heard_by_low, _ = comm.exchange(at_low, at_high, numbers if layout.groups else None)
            difference = heard_by_low - at_low  # at the larger end the same: own minus heard
            v = difference[:, : q.shape[1]]
            if self.apply == "each" or s == self.iterations - 1:
                _move(x, layout.groups, self.gamma, q, v, side, ends)
            if s == 0:
                _average_uncompressed(x, layout.others, difference[:, q.shape[1] :], ends)
            largest = magnitudes(v, stacks, xp)
            changed = largest > 0
            if self.warm_start:
                q = xp.where(changed.take(sizes.owner, axis=-1), orthonormal_parts(v, stacks, xp, largest), q)
            right = right ^ changed
        x, q, right = map(ungrouped, (x, q, right), orders)
        return PowerGossipState(x, q, right, ends)


def _kept(group: Group) -> int:
    """Return how many numbers an edge keeps for each matrix of a group."""
    return max(group.rows, group.columns) * group.rank


def _stacks(groups: tuple[Group, ...]) -> tuple[Stack, ...]:
    return tuple((group.number, max(group.rows, group.columns), group.rank) for group in groups)


class _Sizes(NamedTuple):
    """Constants: of every number of the vectors, (columns,), whose matrix's it is, and its place in its vector; of every matrix, (matrices,), its
    rows and columns, and how many numbers are sent where it is multiplied from the right and from the left.
    """

    owner: Array
    place: Array
    rows: Array
    columns: Array
    by_right: Array
    by_left: Array


@lru_cache(maxsize=64)
def _sizes(groups: tuple[Group, ...], xp: ModuleType) -> _Sizes:
    each = [group for group in groups for _ in range(group.number)]
    rows, columns, rank = np.array([(one.rows, one.columns, one.rank) for one in each], dtype=int).reshape(-1, 3).T
    place = np.array([entry // one.rank for one in each for entry in range(_kept(one))], dtype=int)
    found = map(xp.asarray, (place, rows, columns, rows * rank, columns * rank))
    return _Sizes(owners(_stacks(groups), xp), *found)


def _drawn(layout: Layout, right: Array, comm: Comm, purpose: str, dtype: Any) -> Array:
    """Return uniformly drawn orthonormal vectors of every edge for every matrix, as long as the side asks for, then zeros."""
    order, stacks = layout.each(_kept), _stacks(layout.groups)
    numbers = grouped(standard_normal(comm.edge_key(purpose), sum(order.sizes), dtype), order)
    xp = array_namespace(numbers)
    sizes = _sizes(layout.groups, xp)
    inside = sizes.place < xp.where(right, sizes.columns, sizes.rows).take(sizes.owner, axis=-1)
    return orthonormal_parts(xp.where(inside, numbers, 0), stacks, xp)


def _products(x: Array, groups: tuple[Group, ...], q: Array, side: Array, ends: Ends) -> Array:
    """Return what every worker gets for each slot, (n, slots, columns), multiplying its matrices by the edge's vectors; zeros fill up.

    Which side is on the device alone, so both are computed. A worker multiplies by all its edges' vectors at once.
    """
    xp, stacks = array_namespace(x), _stacks(groups)
    at_slots = q[ends.edge]
    from_right, from_left = xp.zeros_like(at_slots), xp.zeros_like(at_slots)
    views = zip(groups, *(parts(y, stacks) for y in (at_slots, from_right, from_left)), strict=True)
    for group, v, of_rows, of_columns in views:
        own = stacked(x, group)
        of_rows[..., : group.rows, :] = _by_slot(own @ _tall(v[..., : group.columns, :]), v)
        of_columns[..., : group.columns, :] = _by_slot(own.swapaxes(2, 3) @ _tall(v[..., : group.rows, :]), v)
    return xp.where(side[ends.edge], from_right, from_left)


def _tall(v: Array) -> Array:
    """Return the vectors of all slots, (n, slots, number, length, rank), as the columns of one matrix: (n, number, length, slots · rank)."""
    n, slots, number, length, rank = v.shape
    return v.transpose(0, 2, 3, 1, 4).reshape(n, number, length, slots * rank)


def _by_slot(product: Array, like: Array) -> Array:
    """Return such a matrix as the vectors of all slots: the reverse of :func:`_tall`."""
    n, slots, number, _, rank = like.shape
    return product.reshape(n, number, -1, slots, rank).transpose(0, 3, 1, 2, 4)


def _move(x: Array, groups: tuple[Group, ...], gamma: float, q: Array, v: Array, side: Array, ends: Ends) -> None:
    """Add to every worker's matrices, in place, γ times the sum over its edges of ± w_ij v qᵀ, or ± w_ij q vᵀ."""
    xp, stacks = array_namespace(x), _stacks(groups)
    tall = xp.where(side, v, q)[ends.edge] * ends.rate[:, :, None]
    wide = xp.where(side, q, v)[ends.edge]
    for group, left, along in zip(groups, parts(tall, stacks), parts(wide, stacks), strict=True):
        n, slots, number, _, rank = along.shape
        along = along[..., : group.columns, :].transpose(0, 2, 1, 4, 3).reshape(n, number, slots * rank, group.columns)
        update = _tall(left[..., : group.rows, :]) @ along
        update *= gamma
        part = stacked(x, group)
        part += update


def _average_uncompressed(x: Array, others: tuple[slice, ...], difference: Array, ends: Ends) -> None:
    """Add to the columns ``others`` of x, in place, what plain averaging makes of the edges' differences."""
    change = (difference[ends.edge] * ends.rate[:, :, None]).sum(axis=1)
    start = 0
    for at in others:
        size = at.stop - at.start
        x[:, at] += change[:, start : start + size]
        start += size

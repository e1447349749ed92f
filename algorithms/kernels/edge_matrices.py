"""Low-rank exchange along all edges at once: each edge multiplies the matrices at its two ends by factors of its own.

Whether an edge's factor multiplies from the right (M q) or from the left (Mᵀ q) depends on data, which would have to be copied to the host. So both
products are computed, and one is selected elementwise. A column of a factor has max(rows, columns) numbers, the last zeros.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace

from netsim.algorithms.kernels.low_rank import (
    Array,
    Group,
    grouped,
    magnitudes,
    matrices,
    orthonormal_parts,
    others,
    others_joined,
    others_size,
    others_split,
    owners,
    parts,
    stacks,
    standard_normal,
    ungrouped,
)


class Ends(NamedTuple):
    """The edges of every worker; worker i's edges have the slots 0 … degree - 1, the further slots are empty.

    Attributes
    ----------
    low, high
        (E,) workers and (E,) slots of the lower and of the higher end of each edge.
    edge
        (n, slots): the edge in a slot; in an empty one, again the worker's first, so that a worker sees no edge but its own.
    rate
        (n, slots): weight of "higher minus lower" of that edge for worker i: w_ij at the lower end, -w_ij at the higher, 0 in an empty slot.
    """

    low: tuple[Array, Array]
    high: tuple[Array, Array]
    edge: Array
    rate: Array


def edge_ends(weights: Array, edges: np.ndarray) -> Ends:
    """Return the slots of some edges, (E, 2) of workers i < j, on the device of the weights, (n, n)."""
    xp, n = array_namespace(weights), len(weights)
    degree = np.zeros(n, dtype=int)
    slots = np.zeros((len(edges), 2), dtype=int)
    for e, ends in enumerate(edges):
        slots[e] = degree[ends]
        degree[ends] += 1
    edge = np.zeros((n, max(1, degree.max())), dtype=int)
    neighbour, sign = edge.copy(), edge.copy()
    for end in (0, 1):
        where = edges[:, end], slots[:, end]
        edge[where] = np.arange(len(edges))
        neighbour[where], sign[where] = edges[:, 1 - end], 1 - 2 * end
    edge = np.where(np.arange(edge.shape[1]) < degree[:, None], edge, edge[:, :1])
    rate = weights[xp.arange(n)[:, None], xp.asarray(neighbour)] * xp.asarray(sign).astype(weights.dtype)
    low, high = ((xp.asarray(edges[:, end]), xp.asarray(slots[:, end])) for end in (0, 1))
    return Ends(low, high, xp.asarray(edge), rate)


class EdgeMatrices:
    """The matrices of all workers' models, (n, P), and a factor for each edge and matrix, in the order in which this device computes.

    Factors q and v are (E, columns): of each matrix max(rows, columns) · rank numbers, of which the last are 0 where the factor is as long as the
    shorter side. ``right``, (E, matrices) of truth values, says which multiply from the right, and so have ``columns`` rows; ``side`` is the same
    for every number of a factor, (E, columns).

    Parameters
    ----------
    tensors
        Ordered {name: shape} of one model.
    rank
        Columns of a factor, of each matrix at most min(rows, columns).
    x
        The models, or any array on their device.
    ends
        The edges' ends.
    """

    def __init__(self, tensors: Mapping[str, tuple[int, ...]], rank: int, x: Array, ends: Ends) -> None:
        self._layout, self._xp, self._ends = matrices(tensors, rank, x), array_namespace(x), ends
        self._stacks, order = self._layout.longer
        self._orders = self._layout.models, order, order._replace(sizes=(1,) * len(order.items))
        self._sizes = _sizes(self._layout.groups, self._stacks, self._xp)

    def all_right(self, edges: int) -> Array:
        """Return ``right`` where every factor multiplies from the right."""
        return self._xp.ones((edges, len(self._layout.members)), dtype=bool)

    def enter(self, x: Array, q: Array, right: Array) -> tuple[Array, Array, Array]:
        """Return models (a copy), factors and sides, permuted from the model's order to this device's."""
        y, q, right = map(grouped, (x, q, right), self._orders)
        return y.copy() if y is x else y, q, right

    def leave(self, x: Array, q: Array, right: Array) -> tuple[Array, Array, Array]:
        """Undo :meth:`enter`."""
        x, q, right = map(ungrouped, (x, q, right), self._orders)
        return x, q, right

    def draw(self, key: Any, right: Array, dtype: Any) -> Array:
        """Return uniformly drawn orthonormal factors, from the streams of the edges."""
        numbers = grouped(standard_normal(key, sum(self._orders[1].sizes), dtype), self._orders[1])
        length = self.spread(self._xp.where(right, self._sizes.columns, self._sizes.rows))
        return self.orthonormal(self._xp.where(self._sizes.row < length, numbers, 0))

    def spread(self, a: Array) -> Array:
        """Return a number of each matrix, (…, matrices), at every number of its factor, (…, columns)."""
        return a.take(self._sizes.owner, axis=-1)

    def where(self, chosen: Array, a: Array, b: Array) -> Array:
        """Return factors a of the matrices that are chosen, (E, matrices), and b of the others."""
        return self._xp.where(self.spread(chosen), a, b)

    def products(self, x: Array, q: Array, side: Array, others: bool) -> tuple[Array, Array]:
        """Return M q, or Mᵀ q, of every matrix, at the lower and at the higher end of every edge, (E, columns).

        A worker multiplies by the factors of all its edges at once. With ``others`` the tensors that are no matrices follow.
        """
        at_slots, (low, high) = q[self._ends.edge], self._ends[:2]
        from_right, from_left = self._xp.zeros_like(at_slots), self._xp.zeros_like(at_slots)
        for group, own, v, of_rows, of_columns in self._by_group(x, at_slots, from_right, from_left):
            of_rows[..., : group.rows, :] = _by_slot(own @ _tall(v[..., : group.columns, :]), v)
            of_columns[..., : group.columns, :] = _by_slot(own.swapaxes(2, 3) @ _tall(v[..., : group.rows, :]), v)
        found = self._xp.where(side[self._ends.edge], from_right, from_left)
        if not others:
            return found[low], found[high]
        y = others_joined(x, self._layout)
        return tuple(self._xp.concat([found[end], y[end[0]]], axis=1) for end in (low, high))

    def numbers(self, right: Array, others: bool) -> Array | None:
        """Return the count of numbers in :meth:`products` without padding, (E,); None: all."""
        if not self._layout.groups:
            return None
        found = self._xp.where(right, self._sizes.by_right, self._sizes.by_left).sum(axis=1)
        return found + others_size(self._layout) if others else found

    def split(self, sent: Array) -> tuple[Array, Array]:
        """Return the factors, and the tensors that are no matrices, of what has the form of :meth:`products`."""
        size = len(self._sizes.owner)
        return sent[:, :size], sent[:, size:]

    def add_products(self, x: Array, gamma: float, v: Array, q: Array, side: Array) -> None:
        """Move matrices towards their neighbours', in place: X_i += γ Σ_j ± w_ij v qᵀ, or q vᵀ where q multiplied from the left."""
        edge = self._ends.edge
        tall = self._xp.where(side, v, q)[edge] * self._ends.rate[:, :, None]
        wide = self._xp.where(side, q, v)[edge]
        for group, own, left, along in self._by_group(x, tall, wide):
            n, slots, number, _, rank = along.shape
            transposed = along[..., : group.columns, :].transpose(0, 2, 1, 4, 3)
            update = _tall(left[..., : group.rows, :]) @ transposed.reshape(n, number, slots * rank, group.columns)
            update *= gamma
            own += update

    def add_others(self, x: Array, difference: Array) -> None:
        """Average the tensors that are no matrices, in place, given their differences along the edges."""
        change = (difference[self._ends.edge] * self._ends.rate[:, :, None]).sum(axis=1)
        for own, part in zip(others(x, self._layout), others_split(change, self._layout), strict=True):
            own += part

    def magnitudes(self, v: Array) -> Array:
        """Return the largest absolute value of every factor, (E, matrices)."""
        return magnitudes(v, self._stacks, self._xp)

    def orthonormal(self, v: Array, largest: Array | None = None) -> Array:
        """Return an orthonormal basis of the columns of every factor, given their ``magnitudes`` where these are known."""
        return orthonormal_parts(v, self._stacks, self._xp, largest)

    def orthonormalised(self, x: Array, q: Array, right: Array) -> Array:
        """Return an orthonormal basis of every factor, in the model's order before and after."""
        x, q, right = self.enter(x, q, right)
        return self.leave(x, self.orthonormal(q), right)[1]

    def _by_group(self, x: Array, *factors: Array) -> Iterator[tuple[Any, ...]]:
        """Yield, for each group, itself, its matrices, and views of its factors."""
        return zip(
            self._layout.groups, stacks(x, self._layout), *(parts(y, self._stacks) for y in factors), strict=True
        )


class _Sizes(NamedTuple):
    """Constants: of every number of the factors, (columns,), its matrix and its row; of every matrix, (matrices,), its rows and columns, and how many
    numbers are sent where it is multiplied from the right and from the left.
    """

    owner: Array
    row: Array
    rows: Array
    columns: Array
    by_right: Array
    by_left: Array


@lru_cache(maxsize=64)
def _sizes(groups: tuple[Group, ...], stacks: tuple[tuple[int, int, int], ...], xp: ModuleType) -> _Sizes:
    each = [(group.rows, group.columns, group.rank) for group in groups for _ in range(group.number)]
    rows, columns, rank = np.array(each, dtype=int).reshape(-1, 3).T
    row = [at // width for number, length, width in stacks for at in [*range(length * width)] * number]
    found = (np.array(row, dtype=int), rows, columns, rows * rank, columns * rank)
    return _Sizes(owners(stacks, xp), *map(xp.asarray, found))


def _tall(v: Array) -> Array:
    """Return the factors of all slots, (n, slots, number, length, rank), as the columns of one matrix: (n, number, length, slots · rank)."""
    n, slots, number, length, rank = v.shape
    return v.transpose(0, 2, 3, 1, 4).reshape(n, number, length, slots * rank)


def _by_slot(product: Array, like: Array) -> Array:
    """Return such a matrix as the factors of all slots: the inverse of :func:`_tall`."""
    n, slots, number, _, rank = like.shape
    return product.reshape(n, number, -1, slots, rank).transpose(0, 3, 1, 2, 4)

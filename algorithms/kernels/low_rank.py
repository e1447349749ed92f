"""A model seen as its matrices, and what low-rank methods do with them: elsewhere than on a CPU with all those of one shape together."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from math import pi, prod
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace

Array = Any
Stack = tuple[int, int, int]  # (number of matrices, length of a vector, vectors of each matrix)


class Group(NamedTuple):
    """Matrices of one shape, which are worked on together.

    Attributes
    ----------
    start
        Their first column in :func:`grouped` models; they follow each other.
    number
        How many they are.
    rows, columns
        The shape of each: a tensor's first dimension, and all the others.
    rank
        The rank asked for, at most min(rows, columns).
    """

    start: int
    number: int
    rows: int
    columns: int
    rank: int

    @property
    def at(self) -> slice:
        """Their columns in :func:`grouped` models."""
        return slice(self.start, self.start + self.number * self.rows * self.columns)


class Order(NamedTuple):
    """Where columns that belong to a model's tensors lie when they are :func:`grouped`.

    Attributes
    ----------
    tensors
        The numbers of the tensors, in the order in which their columns then follow each other.
    sizes
        How many columns belong to each tensor; to the first, to the second, ...
    """

    tensors: tuple[int, ...]
    sizes: tuple[int, ...]


class Layout(NamedTuple):
    """The matrices of a model in groups: on a CPU each alone, where it is; elsewhere all of one shape, and behind them the other tensors.

    Attributes
    ----------
    groups
        In the order of the first matrix of each. Matrices without numbers are in none.
    others
        Where the tensors of fewer than two dimensions lie in :func:`grouped` models; low-rank methods leave them uncompressed.
    models
        The order of the models' columns.
    members
        The numbers of the tensors that are in groups, in the order of the groups.
    alone
        Whether each is alone, as on a CPU.
    """

    groups: tuple[Group, ...]
    others: tuple[slice, ...]
    models: Order
    members: tuple[int, ...]
    alone: bool

    def each(self, size: Callable[[Group], int]) -> Order:
        """Return the order of columns of which every matrix has as many as ``size`` says of its group."""
        sizes = [size(group) for group in self.groups for _ in range(group.number)]
        return Order(self.members, tuple(size for _, size in sorted(zip(self.members, sizes, strict=True))))

    @property
    def lengths(self) -> list[tuple[int]]:
        """How long each of ``others`` is, as a shape."""
        return [(at.stop - at.start,) for at in self.others]

    @property
    def batches(self) -> list[slice]:
        """Which groups are worked on at one time where that may be chosen: on a CPU each alone, so that it stays in the cache; elsewhere all."""
        return [slice(k, k + 1) for k in range(len(self.groups))] if self.alone else [slice(None)]


def matrices(tensors: Mapping[str, tuple[int, ...]], rank: int, x: Array) -> Layout:
    """Return the layout of a model.

    Parameters
    ----------
    tensors
        Ordered {name: shape} of one model.
    rank
        Of the approximations; for each matrix at most min(rows, columns).
    x
        An array that is where the models are; None where only sizes are asked for, which are the same everywhere.
    """
    return _layout(tuple(map(tuple, tensors.values())), rank, isinstance(x, np.ndarray))


@lru_cache(maxsize=64)
def _layout(shapes: tuple[tuple[int, ...], ...], rank: int, alone: bool) -> Layout:
    sizes = tuple(map(prod, shapes))
    alike: dict[Any, list[int]] = {}
    for tensor, shape in enumerate(shapes):
        if len(shape) > 1 and sizes[tensor]:
            alike.setdefault(tensor if alone else (shape[0], prod(shape[1:])), []).append(tensor)
    members = tuple(tensor for group in alike.values() for tensor in group)
    rest = [tensor for tensor in range(len(shapes)) if tensor not in members]
    order = tuple(range(len(shapes))) if alone else (*members, *rest)
    starts = dict(zip(order, accumulate((sizes[tensor] for tensor in order), initial=0), strict=False))
    groups, others = [], list[slice]()
    for group in alike.values():
        rows, columns = shapes[group[0]][0], prod(shapes[group[0]][1:])
        groups.append(Group(starts[group[0]], len(group), rows, columns, min(rank, rows, columns)))
    for tensor in filter(sizes.__getitem__, rest):
        start = starts[tensor]
        if others and others[-1].stop == start:  # side by side
            start = others.pop().start
        others.append(slice(start, starts[tensor] + sizes[tensor]))
    return Layout(tuple(groups), tuple(others), Order(order, sizes), members, alone)


def grouped(y: Array, order: Order) -> Array:
    """Return columns that are in the order of the tensors, (…, columns), in the order of the groups: y itself where that is the same."""
    columns = _columns(y, order)
    return y if columns is None else y.take(columns, axis=-1)


def ungrouped(y: Array, order: Order) -> Array:
    """Return columns that are in the order of the groups in the order of the tensors: the reverse of :func:`grouped`."""
    columns = _columns(y, order)
    if columns is None:
        return y
    found = array_namespace(y).zeros_like(y)  # not empty: a dry run forgets what is written there
    found[..., columns] = y
    return found


def _columns(y: Array, order: Order) -> Array | None:
    """Return from which columns :func:`grouped` ones come; None where all stay, as on a CPU."""
    return None if isinstance(y, np.ndarray) else _moved(order, array_namespace(y))


@lru_cache(maxsize=16)
def _moved(order: Order, xp: ModuleType) -> Array | None:
    in_order = sorted(order.tensors)
    if list(order.tensors) == in_order:
        return None
    stops = accumulate(order.sizes)
    columns = {
        t: xp.arange(stop - size, stop, dtype=xp.int32)
        for t, size, stop in zip(in_order, order.sizes, stops, strict=True)
    }
    return xp.concat([columns[t] for t in order.tensors])


def stacked(x: Array, group: Group) -> Array:
    """Return the matrices of a group of all models, (n, number, rows, columns): a view of x, (n, P), which is :func:`grouped`."""
    return x[:, group.at].reshape(len(x), group.number, group.rows, group.columns)


def joined(x: Array, parts: tuple[slice, ...]) -> Array:
    """Return some columns of x, (n, P), side by side."""
    return array_namespace(x).concat([x[:, part] for part in parts], axis=1) if parts else x[:, :0]


def parts(y: Array, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    """Return what lies one after the other in the last dimension of y, in its shapes: views of y, whose dimensions before the last one stay."""
    stops = list(accumulate(map(prod, shapes), initial=0))
    return [
        y[..., start:stop].reshape(*y.shape[:-1], *shape)
        for start, stop, shape in zip(stops, stops[1:], shapes, strict=False)
    ]


def side_by_side(arrays: Sequence[Array], xp: ModuleType, ndim: int = 2) -> Array:
    """Return arrays one after the other, each with its dimensions from the last one of ``ndim`` on made one: the reverse of :func:`parts`."""
    flat = [one.reshape(*one.shape[: ndim - 1], -1) for one in arrays]
    return xp.concat(flat, axis=-1)


@lru_cache(maxsize=64)
def owners(stacks: tuple[Stack, ...], xp: ModuleType) -> Array:
    """Return to which matrix each number of some stacks of vectors belongs: ``a.take(owners, axis=-1)`` has a number of each matrix at all of its."""
    sizes = [length * rank for number, length, rank in stacks for _ in range(number)]
    return xp.asarray(np.repeat(np.arange(len(sizes)), sizes))


def magnitudes(y: Array, stacks: tuple[Stack, ...], xp: ModuleType) -> Array:
    """Return the largest absolute value among the vectors of every matrix, (…, matrices)."""
    return abs(y).take(_filled_up(stacks, xp), axis=-1).max(axis=-1)


@lru_cache(maxsize=64)
def _filled_up(stacks: tuple[Stack, ...], xp: ModuleType) -> Array:
    """Return where the numbers of every matrix are, (matrices, most numbers of one): the last one again and again where they are fewer."""
    sizes = np.array([length * rank for number, length, rank in stacks for _ in range(number)], dtype=int)
    stops = sizes.cumsum()[:, None]
    return xp.asarray(np.minimum(stops - sizes[:, None] + np.arange(max(sizes, default=1)), stops - 1))


def orthonormal(v: Array, xp: ModuleType) -> Array:
    """Return an orthonormal basis of the columns of each v, (…, length, rank): divided by its norm, or by QR. Zero stays zero at rank 1.

    Scaled by the largest magnitude first, so that the squares of small numbers do not vanish.
    """
    return _basis(v / _or_one(abs(v).max(axis=(-2, -1), keepdims=True), xp), xp)


def orthonormal_parts(y: Array, stacks: tuple[Stack, ...], xp: ModuleType, largest: Array | None = None) -> Array:
    """Return what :func:`orthonormal` makes of several stacks, which lie one after the other in y, (…, columns), in few operations.

    ``largest``: their :func:`magnitudes`, where these are known already.
    """
    owner = owners(stacks, xp)
    largest = magnitudes(y, stacks, xp) if largest is None else largest
    y = y / _or_one(largest, xp).take(owner, axis=-1)
    if any(rank > 1 for _, _, rank in stacks):
        return side_by_side([_basis(v, xp) for v in parts(y, stacks)], xp, y.ndim)
    squares = [v.sum(axis=(-2, -1)) for v in parts(y * y, stacks)]
    return y / _or_one(xp.sqrt(xp.concat(squares, axis=-1)), xp).take(owner, axis=-1) if squares else y


def bases(stacked: Sequence[Array], xp: ModuleType) -> list[Array]:
    """Return what :func:`orthonormal` makes of each of several stacks, (n, number, length, rank)."""
    if len(stacked) == 1:
        return [orthonormal(stacked[0], xp)]
    stacks = tuple(one.shape[1:] for one in stacked)
    return parts(orthonormal_parts(side_by_side(stacked, xp), stacks, xp), stacks)


def _basis(v: Array, xp: ModuleType) -> Array:
    if v.shape[-1] > 1:
        return xp.linalg.qr(v)[0]
    return v / _or_one(xp.sqrt((v * v).sum(axis=-2, keepdims=True)), xp)


def _or_one(x: Array, xp: ModuleType) -> Array:
    return xp.where(x > 0, x, 1)


def standard_normal(key: Any, size: int, dtype: Any) -> Array:
    """Return (rows, size) standard normal numbers of a key's streams, by Box and Muller's transformation."""
    radius = 1 - key.uniform(size, dtype)  # in (0, 1]
    angle = key.uniform(size, dtype, draw=1)
    xp = array_namespace(angle)
    return xp.sqrt(-2 * xp.log(radius)) * xp.cos(2 * pi * angle)

"""The matrices of a model and their low-rank factors: on a CPU one matrix after the other, elsewhere all those of one shape in one operation.

A row of numbers holds a model's tensors one after the other, or the factors of its matrices. ``grouped`` brings what belongs to matrices of one shape
together, so that a stack of them is a view; on a CPU everything stays where it is, and each matrix is a group of its own.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import lru_cache
from itertools import accumulate
from math import pi, prod
from operator import add, matmul
from types import ModuleType
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace

Array = Any
Stack = tuple[int, int, int]  # of factors: (number of matrices, length of a column, columns of each)


class Group(NamedTuple):
    """Matrices of one shape, which follow each other in :func:`grouped` models.

    Attributes
    ----------
    start
        Column of their first number.
    number
        How many they are.
    rows, columns
        The shape of each: a tensor's first dimension, and the product of all others.
    rank
        Of their approximations, at most min(rows, columns).
    """

    start: int
    number: int
    rows: int
    columns: int
    rank: int


class Order(NamedTuple):
    """How :func:`grouped` permutes what belongs to some items (tensors, or matrices) of a model.

    Attributes
    ----------
    items
        The items' places in the model, in the order of the groups.
    sizes
        Columns of each, in the same order.
    """

    items: tuple[int, ...]
    sizes: tuple[int, ...]


class Factors(NamedTuple):
    """Columns that hold a factor of every matrix, (length, rank) numbers each, one matrix after the other.

    Attributes
    ----------
    stacks
        Of each group (number, length, rank).
    order
        How they are grouped.
    """

    stacks: tuple[Stack, ...]
    order: Order


class Layout(NamedTuple):
    """The matrices of a model and their place in it.

    Attributes
    ----------
    groups
        In the order of the first matrix of each. Matrices without numbers are in none.
    others
        Columns of the tensors of fewer than two dimensions in :func:`grouped` models; low-rank methods leave them uncompressed.
    models
        How models are grouped.
    members
        Places of the groups' matrices among all matrices of the model.
    batches
        Groups that are worked on at a time: one, which then stays in the CPU's cache, or all.
    left, right
        Factors of every matrix: (rows, rank) and (columns, rank).
    both, longer
        (rows + columns, rank); and (max(rows, columns), rank), room for either.
    """

    groups: tuple[Group, ...]
    others: tuple[slice, ...]
    models: Order
    members: tuple[int, ...]
    batches: tuple[slice, ...]
    left: Factors
    right: Factors
    both: Factors
    longer: Factors


def matrices(tensors: Mapping[str, tuple[int, ...]], rank: int, x: Array) -> Layout:
    """Return the layout of a model.

    Parameters
    ----------
    tensors
        Ordered {name: shape} of one model. A tensor of two or more dimensions is the matrix (shape[0], rest).
    rank
        Of the approximations; for each matrix at most min(rows, columns).
    x
        An array that is where the models are; None where only sizes are asked for, which are the same everywhere.
    """
    return _layout(tuple(map(tuple, tensors.values())), rank, isinstance(x, np.ndarray))


@lru_cache(maxsize=64)
def _layout(shapes: tuple[tuple[int, ...], ...], rank: int, on_cpu: bool) -> Layout:
    sizes, alike = [prod(shape) for shape in shapes], dict[Any, list[int]]()
    found = [tensor for tensor, shape in enumerate(shapes) if len(shape) > 1 and sizes[tensor]]
    for tensor in found:
        alike.setdefault(tensor if on_cpu else (shapes[tensor][0], prod(shapes[tensor][1:])), []).append(tensor)
    members = [tensor for group in alike.values() for tensor in group]
    rest = [tensor for tensor in range(len(shapes)) if tensor not in found]
    order = sorted(members + rest) if on_cpu else members + rest
    models = Order(tuple(order), tuple(sizes[tensor] for tensor in order))
    starts = dict(zip(order, accumulate(models.sizes, initial=0), strict=False))
    groups, others = [], list[slice]()
    for first, *more in alike.values():
        rows, columns = shapes[first][0], prod(shapes[first][1:])
        groups.append(Group(starts[first], 1 + len(more), rows, columns, min(rank, rows, columns)))
    for tensor in filter(sizes.__getitem__, rest):
        adjacent = others and others[-1].stop == starts[tensor]
        others.append(slice(others.pop().start if adjacent else starts[tensor], starts[tensor] + sizes[tensor]))
    batches = [slice(k, k + 1) for k in range(len(groups))] if on_cpu else [slice(None)]
    places = tuple(map(found.index, members))

    def factors(length: Callable[[int, int], int]) -> Factors:
        stacks = tuple((group.number, length(group.rows, group.columns), group.rank) for group in groups)
        return Factors(stacks, Order(places, _sizes(stacks)))

    left, right = factors(lambda rows, columns: rows), factors(lambda rows, columns: columns)
    return Layout(tuple(groups), tuple(others), models, places, tuple(batches), left, right, factors(add), factors(max))


def grouped(y: Array, order: Order) -> Array:
    """Return columns, (…, columns), in the order of the groups; y itself where that is the model's order, as on a CPU."""
    source = None if isinstance(y, np.ndarray) else _permutation(order, array_namespace(y))
    return y if source is None else y.take(source, axis=-1)


def ungrouped(y: Array, order: Order) -> Array:
    """Return columns in the order of the model: the inverse of :func:`grouped`."""
    source = None if isinstance(y, np.ndarray) else _permutation(order, array_namespace(y))
    if source is None:
        return y
    found = array_namespace(y).empty_like(y)
    found[..., source] = y
    return found


@lru_cache(maxsize=16)  # one may be as long as a model
def _permutation(order: Order, xp: ModuleType) -> Array | None:
    in_model = sorted(zip(order.items, order.sizes, strict=True))
    if [item for item, _ in in_model] == list(order.items):
        return None
    stops = accumulate(size for _, size in in_model)
    columns = {
        item: xp.arange(stop - size, stop, dtype=xp.int32) for (item, size), stop in zip(in_model, stops, strict=True)
    }
    return xp.concat([columns[item] for item in order.items])


def stacks(x: Array, layout: Layout) -> list[Array]:
    """Return the matrices of :func:`grouped` models, (n, P), as a view (n, number, rows, columns) for each group."""
    return [
        x[:, start : start + number * rows * columns].reshape(len(x), number, rows, columns)
        for start, number, rows, columns, _ in layout.groups
    ]


def products(a: Sequence[Array], b: Sequence[Array]) -> list[Array]:
    """Return the matrix products of two lists of stacks."""
    return list(map(matmul, a, b))


def transposed(m: Sequence[Array]) -> list[Array]:
    """Return each stack of matrices transposed: views."""
    return [one.swapaxes(-2, -1) for one in m]


def others(x: Array, layout: Layout) -> list[Array]:
    """Return the tensors of :func:`grouped` models, (n, P), that are no matrices, as views (n, size); adjacent ones are one."""
    return [x[:, columns] for columns in layout.others]


def others_size(layout: Layout) -> int:
    """Return how many numbers the :func:`others` have."""
    return sum(columns.stop - columns.start for columns in layout.others)


def others_joined(x: Array, layout: Layout) -> Array:
    """Return the :func:`others` side by side."""
    return array_namespace(x).concat(others(x, layout), axis=1) if layout.others else x[:, :0]


def fill(x: Array, layout: Layout, m: Iterable[Array], y: Array) -> Array:
    """Write a stack of matrices for each group, and the :func:`others_joined`, to :func:`grouped` models x, (n, P); return x."""
    for place, stack in zip(stacks(x, layout), m, strict=True):
        place[...] = stack
    fill_others(x, layout, y)
    return x


def fill_others(x: Array, layout: Layout, y: Array) -> None:
    """Write the :func:`others_joined` to :func:`grouped` models x, (n, P)."""
    for place, part in zip(others(x, layout), others_split(y, layout), strict=True):
        place[...] = part


def others_split(y: Array, layout: Layout) -> list[Array]:
    """Return views of what :func:`others_joined` joined, one for each of the :func:`others`."""
    return parts(y, [(columns.stop - columns.start,) for columns in layout.others])


def parts(y: Array, shapes: Sequence[tuple[int, ...]]) -> list[Array]:
    """Return consecutive columns of y, (…, columns), in some shapes: views (…, *shape)."""
    stops = list(accumulate(map(prod, shapes), initial=0))
    return [
        y[..., start:stop].reshape(*y.shape[:-1], *shape)
        for start, stop, shape in zip(stops, stops[1:], shapes, strict=False)
    ]


def side_by_side(arrays: Sequence[Array], xp: ModuleType, ndim: int = 2) -> Array:
    """Return arrays as columns one after the other, their dimensions from the last one of ``ndim`` on flattened: the inverse of :func:`parts`."""
    return xp.concat([one.reshape(*one.shape[: ndim - 1], -1) for one in arrays], axis=-1)


def in_columns(left: Array, right: Array) -> Array:
    """Return the columns of left factors, (n, number, rows, r), then of right ones, (n, number, columns, r): (n, number, r (rows + columns))."""
    columns = [factor.swapaxes(2, 3).reshape(*factor.shape[:2], -1) for factor in (left, right)]
    return array_namespace(left).concat(columns, axis=2)


def multiply_columns(factors: Array, group: Group, out: Array) -> None:
    """Write left · rightᵀ of factors that are :func:`in_columns` to out, (n, number, rows, columns).

    Column by column: this sum is the same on every device, unlike a matrix product. A CPU works on one model at a time, in its cache.
    """
    xp, (n, number, _) = array_namespace(out), factors.shape
    height = group.rank * group.rows
    left = factors[..., :height].reshape(n, number, group.rank, group.rows, 1)
    right = factors[..., height:].reshape(n, number, group.rank, 1, group.columns)
    for rows in [slice(row, row + 1) for row in range(n)] if isinstance(out, np.ndarray) else [slice(None)]:
        xp.multiply(left[rows, :, 0], right[rows, :, 0], out=out[rows])
        for column in range(1, group.rank):
            out[rows] += left[rows, :, column] * right[rows, :, column]


def _sizes(stacks: tuple[Stack, ...]) -> tuple[int, ...]:
    """Return how many numbers each matrix has in some stacks of factors."""
    return tuple(length * rank for number, length, rank in stacks for _ in range(number))


@lru_cache(maxsize=64)
def owners(stacks: tuple[Stack, ...], xp: ModuleType) -> Array:
    """Return the matrix of every number of some factors, (columns,): ``a.take(owners, axis=-1)`` repeats a number of each matrix at all of its."""
    sizes = _sizes(stacks)
    return xp.asarray(np.repeat(np.arange(len(sizes)), sizes))


def magnitudes(y: Array, stacks: tuple[Stack, ...], xp: ModuleType) -> Array:
    """Return the largest absolute value in the factor of every matrix, (…, matrices)."""
    return abs(y).take(_members(stacks, xp), axis=-1).max(axis=-1)


@lru_cache(maxsize=64)
def _members(stacks: tuple[Stack, ...], xp: ModuleType) -> Array:
    """Return the columns of every matrix, (matrices, most columns of one); where they are fewer the last one is repeated."""
    sizes = np.array(_sizes(stacks), dtype=int)
    stops = sizes.cumsum()[:, None]
    return xp.asarray(np.minimum(stops - sizes[:, None] + np.arange(max(sizes, default=1)), stops - 1))


def orthonormal(v: Array, xp: ModuleType) -> Array:
    """Return an orthonormal basis of the columns of each v, (…, length, rank): divided by its norm, or by QR. Zero stays zero at rank 1.

    Scaled by the largest magnitude first, so that the squares of small numbers do not vanish.
    """
    return _basis(v / _or_one(abs(v).max(axis=(-2, -1), keepdims=True), xp), xp)


def orthonormal_parts(y: Array, stacks: tuple[Stack, ...], xp: ModuleType, largest: Array | None = None) -> Array:
    """Return :func:`orthonormal` of all factors in y, (…, columns), in few operations.

    ``largest``: their :func:`magnitudes`, where these are known already.
    """
    owner = owners(stacks, xp)
    largest = magnitudes(y, stacks, xp) if largest is None else largest
    y = y / _or_one(largest, xp).take(owner, axis=-1)
    if any(rank > 1 for _, _, rank in stacks):
        return side_by_side([_basis(v, xp) for v in parts(y, stacks)], xp, y.ndim)
    squares = [v.sum(axis=(-2, -1)) for v in parts(y * y, stacks)]
    return y / _or_one(xp.sqrt(xp.concat(squares, axis=-1)), xp).take(owner, axis=-1) if squares else y


def bases(factors: Sequence[Array], xp: ModuleType) -> list[Array]:
    """Return :func:`orthonormal` of each of several stacks, (n, number, length, rank)."""
    if len(factors) == 1:
        return [orthonormal(factors[0], xp)]
    shapes = tuple(one.shape[1:] for one in factors)
    return parts(orthonormal_parts(side_by_side(factors, xp), shapes, xp), shapes)


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

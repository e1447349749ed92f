"""A model seen as its matrices, and what low-rank methods do with them."""

from collections.abc import Mapping
from math import pi, prod
from typing import Any, NamedTuple

from array_api_compat import array_namespace

Array = Any


class Matrix(NamedTuple):
    """One tensor of two or more dimensions, as a matrix.

    Attributes
    ----------
    at
        Its columns in the (n, P) models.
    rows, columns
        Its shape: the tensor's first dimension, and all the others.
    rank
        The rank asked for, at most min(rows, columns).
    """

    at: slice
    rows: int
    columns: int
    rank: int


def matrices(tensors: Mapping[str, tuple[int, ...]], rank: int) -> tuple[list[Matrix], list[slice]]:
    """Return the matrices of a model, and where its tensors of fewer than two dimensions lie, which low-rank methods leave uncompressed.

    Parameters
    ----------
    tensors
        Ordered {name: shape} of one model.
    rank
        Of the approximations; for each matrix at most min(rows, columns).
    """
    found, others, start = [], [], 0
    for shape in tensors.values():
        at = slice(start, start + prod(shape))
        start = at.stop
        if len(shape) < 2:
            others.append(at)
        else:
            rows, columns = shape[0], prod(shape[1:])
            found.append(Matrix(at, rows, columns, min(rank, rows, columns)))
    return found, others


def stacked(x: Array, matrix: Matrix) -> Array:
    """Return one matrix of every model, (n, rows, columns): a view of x, (n, P)."""
    return x[:, matrix.at].reshape(len(x), matrix.rows, matrix.columns)


def joined(x: Array, parts: list[slice]) -> Array:
    """Return some columns of x, (n, P), side by side."""
    return array_namespace(x).concat([x[:, part] for part in parts], axis=1) if parts else x[:, :0]


def orthonormal(v: Array) -> Array:
    """Return an orthonormal basis of the columns of each v, (…, length, rank): divided by its norm, or by QR. Zero stays zero at rank 1.

    Scaled by the largest magnitude first, so that the squares of small numbers do not vanish.
    """
    xp = array_namespace(v)
    largest = xp.max(xp.abs(v), axis=(-2, -1), keepdims=True)
    v = v / xp.where(largest > 0, largest, 1)
    if v.shape[-1] > 1:
        return xp.linalg.qr(v)[0]
    norm = xp.sqrt((v * v).sum(axis=-2, keepdims=True))
    return v / xp.where(norm > 0, norm, 1)


def standard_normal(key: Any, size: int, dtype: Any) -> Array:
    """Return (rows, size) standard normal numbers of a key's streams, by Box and Muller's transformation."""
    radius = 1 - key.uniform(size, dtype)  # in (0, 1]
    angle = key.uniform(size, dtype, draw=1)
    xp = array_namespace(angle)
    return xp.sqrt(-2 * xp.log(radius)) * xp.cos(2 * pi * angle)

"""Batch normalisation on a CPU: rows of an image as vectors, in blocks that stay in the cache through several operations."""

import numpy as np

from netsim.models.layers.relu import relu, relu_back

Part = tuple[slice, slice]
CACHE = 1 << 20  # bytes of an operand that one pass of several operations takes at once


def moments(x: np.ndarray, variance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Take the mean of the first sample off x (w, B, H, W, C), and return it and the mean of what is left, (w, C) each.

    The variances (w, C) are written. Sum and sum of squares are taken in one pass.
    """
    lines = _lines(x)
    count = x.size // (len(x) * x.shape[-1])
    first = _by_channel(_sum(_lines(x[:, :1])), x) * (x.shape[1] / count)
    minus_first = _repeat(-first, x)
    total, squares = np.zeros_like(minus_first), np.zeros_like(minus_first)
    for part in _parts(x):
        block = lines[part]
        np.add(block, minus_first[part[0]], out=block)
        total[part[0]] += _sum(block)
        squares[part[0]] += _sum(block, block)
    rest = _by_channel(total, x) * (1.0 / count)
    np.maximum(_by_channel(squares, x) * (1.0 / count) - rest * rest, 0, out=variance)
    return first, rest


def back(dy: np.ndarray, kept: tuple, y: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As :func:`netsim.models.layers.norm.batch_norm_back`."""
    x, rest, inverse, weight = kept
    lines, dlines, parts = _lines(x), _lines(dy), _parts(x)
    count = x.size // (len(x) * x.shape[-1])
    total = np.zeros((len(x), 1, lines.shape[2]), dtype=x.dtype)
    products = np.zeros_like(total)
    for part in parts:
        block = dlines[part]
        if y is not None:
            relu_back(block, _lines(y)[part])
        total[part[0]] += _sum(block)
        products[part[0]] += _sum(block, lines[part])
    dbias = _by_channel(total, x)
    dweight = inverse * (_by_channel(products, x) - rest * dbias)
    on_x = inverse * dweight * (-1.0 / count)
    offset = _repeat(dbias * (-1.0 / count) - on_x * rest, x)
    on_x, slope = _repeat(on_x, x), _repeat(inverse * weight, x)
    for part in parts:
        worker, out = part[0], lines[part]
        np.multiply(out, on_x[worker], out=out)
        np.add(out, dlines[part], out=out)
        np.add(out, offset[worker], out=out)
        np.multiply(out, slope[worker], out=out)
    return x, dweight, dbias


def affine(
    x: np.ndarray, slope: np.ndarray, offset: np.ndarray, y: np.ndarray, more: np.ndarray | None, rectify: bool
) -> None:
    """Write x * slope + offset, by channel, to y; with more added, and rectified, if so."""
    lines, result = _lines(x), _lines(y)
    slope, offset = _repeat(slope, x), _repeat(offset, x)
    for part in _parts(x):
        out = result[part]
        np.multiply(lines[part], slope[part[0]], out=out)
        np.add(out, offset[part[0]], out=out)
        if more is not None:
            np.add(out, _lines(more)[part], out=out)
        if rectify:
            relu(out)


def _lines(x: np.ndarray) -> np.ndarray:
    """Return (w, B H, W C): rows of an image as vectors, so that no inner loop is as short as C."""
    return x.reshape(x.shape[0], x.shape[1] * x.shape[2], -1)


def _repeat(channels: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return (w, 1, W C) of (w, C)."""
    return np.tile(channels, (1, x.shape[3]))[:, None]


def _parts(x: np.ndarray) -> list[Part]:
    """Return slices of the lines that stay in the cache, one worker each."""
    workers, lines, width = len(x), x.shape[1] * x.shape[2], x.shape[3] * x.shape[4]
    step = max(1, CACHE // (width * x.itemsize))
    return [(slice(i, i + 1), slice(j, j + step)) for i in range(workers) for j in range(0, lines, step)]


def _sum(x: np.ndarray, y: np.ndarray | None = None) -> np.ndarray:
    """Return the sums over lines of x, or of x y: (w, 1, W C). A product with ones is faster than a sum over rows."""
    if y is not None:
        return np.einsum("wij,wij->wj", x, y)[:, None]
    return np.matmul(np.ones((len(x), 1, x.shape[1]), dtype=x.dtype), x)


def _by_channel(sums: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Return (w, C) of sums (w, 1, W C)."""
    return sums.reshape(len(x), -1, x.shape[-1]).sum(axis=1)

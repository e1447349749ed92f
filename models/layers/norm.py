"""Batch normalisation of images (w, B, H, W, C), each worker by its own batch (Ioffe and Szegedy 2015)."""

from types import ModuleType
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from models.layers.memory import empty

Array = Any
Part = tuple[slice, slice]
EPSILON = 1e-5
CACHE = 1 << 18  # bytes of an operand that one pass of several operations takes at once, on a CPU


def batch_norm(x: Array, weight: Array, bias: Array) -> tuple[Array, Array, Array, tuple]:
    """Normalise every channel by the batch: (x - mean) / sqrt(variance + 1e-5) * weight + bias.

    Parameters
    ----------
    x
        (w, B, H, W, C), C-contiguous; overwritten.
    weight, bias
        (w, C).

    Returns
    -------
    y : (w, B, H, W, C)
    mean, variance : (w, C)
        Of the batch; the variance is the biased one, by which y was divided.
    kept
        For :func:`batch_norm_back`.
    """
    xp = array_namespace(x)
    lines = _lines(x)
    count = x.size // (len(x) * x.shape[-1])
    mean = _sum(xp, x) * (1.0 / count)
    minus_mean = _repeat(xp, -mean, x)
    for part in _parts(x):
        xp.add(lines[part], minus_mean[part[0]], out=lines[part])
    variance = _sum(xp, x, x) * (1.0 / count)
    inverse = 1.0 / xp.sqrt(variance + EPSILON)
    y = empty(xp, x.shape, x.dtype)
    _affine(xp, x, inverse * weight, bias, y)
    return y, mean, variance, (x, inverse, weight)


def batch_norm_back(dy: Array, kept: tuple) -> tuple[Array, Array, Array]:
    """Return the derivatives of :func:`batch_norm` with respect to x, weight and bias, given that of y.

    The mean and the variance, which depend on x, are accounted for. dx takes the memory of the kept x.
    """
    x, inverse, weight = kept
    xp = array_namespace(dy)
    lines, dlines = _lines(x), _lines(dy)
    count = x.size // (len(x) * x.shape[-1])
    dbias, dweight = _sum(xp, dy), inverse * _sum(xp, x, dy)
    on_x = _repeat(xp, inverse * dweight * (-1.0 / count), x)
    offset = _repeat(xp, dbias * (-1.0 / count), x)
    slope = _repeat(xp, inverse * weight, x)
    for part in _parts(x):
        worker, out = part[0], lines[part]
        xp.multiply(out, on_x[worker], out=out)
        xp.add(out, dlines[part], out=out)
        xp.add(out, offset[worker], out=out)
        xp.multiply(out, slope[worker], out=out)
    return x, dweight, dbias


def batch_norm_fixed(x: Array, weight: Array, bias: Array, mean: Array, variance: Array) -> Array:
    """Normalise by given statistics (w, C), as a model is evaluated: in place, x is returned."""
    xp = array_namespace(x)
    slope = weight / xp.sqrt(variance + EPSILON)
    _affine(xp, x, slope, bias - mean * slope, x)
    return x


def _affine(xp: ModuleType, x: Array, slope: Array, offset: Array, y: Array) -> None:
    """Write x * slope + offset, by channel, to y."""
    lines, out = _lines(x), _lines(y)
    slope, offset = _repeat(xp, slope, x), _repeat(xp, offset, x)
    for part in _parts(x):
        xp.multiply(lines[part], slope[part[0]], out=out[part])
        xp.add(out[part], offset[part[0]], out=out[part])


def _lines(x: Array) -> Array:
    """Return (w, B H, W C): rows of an image as vectors, so that no inner loop is as short as C."""
    return x.reshape(x.shape[0], x.shape[1] * x.shape[2], -1)


def _repeat(xp: ModuleType, channels: Array, x: Array) -> Array:
    """Return (w, 1, W C) of (w, C)."""
    return xp.tile(channels, (1, x.shape[3]))[:, None]


def _parts(x: Array) -> list[Part]:
    """Return slices of the lines that stay in the cache on a CPU, one worker each; all of them elsewhere."""
    workers, lines, width = len(x), x.shape[1] * x.shape[2], x.shape[3] * x.shape[4]
    if not isinstance(x, np.ndarray):
        return [(slice(None), slice(None))]
    step = max(1, CACHE // (width * x.itemsize))
    return [(slice(i, i + 1), slice(j, j + step)) for i in range(workers) for j in range(0, lines, step)]


def _sum(xp: ModuleType, x: Array, y: Array | None = None) -> Array:
    """Return the sums of x, or of x y, by channel: (w, C). A product with ones is faster than a sum over rows."""
    workers, channels = x.shape[0], x.shape[-1]
    total = xp.zeros((workers, x.shape[3] * channels), dtype=x.dtype)
    for part in _parts(x):
        left = _lines(x)[part]
        if y is None:
            total[part[0]] += xp.matmul(xp.ones((len(left), 1, left.shape[1]), dtype=x.dtype), left)[:, 0]
        else:
            total[part[0]] += xp.einsum("wij,wij->wj", left, _lines(y)[part])
    return total.reshape(workers, -1, channels).sum(axis=1)

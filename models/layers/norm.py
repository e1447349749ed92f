"""Batch normalisation of images (w, B, H, W, C), each worker by its own batch (Ioffe and Szegedy 2015)."""

from types import ModuleType
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from models.layers.memory import empty
from models.layers.relu import relu, relu_back

Array = Any
Part = tuple[slice, slice]
EPSILON = 1e-5
CACHE = 1 << 20  # bytes of an operand that one pass of several operations takes at once, on a CPU


def batch_norm(
    x: Array, weight: Array, bias: Array, more: Array | None = None, rectify: bool = False
) -> tuple[Array, Array, Array, tuple]:
    """Normalise every channel by the batch: (x - mean) / sqrt(variance + 1e-5) * weight + bias.

    Sum and sum of squares are taken in one pass, of what is left of x without the mean of the first sample: that is at
    most sqrt(B) standard deviations from the mean, so that no more than log10(B) digits are lost.

    Parameters
    ----------
    x
        (w, B, H, W, C), C-contiguous; overwritten.
    weight, bias
        (w, C).
    more
        (w, B, H, W, C), added to y.
    rectify
        Replace negative numbers of the sum by 0, as :func:`models.layers.relu.relu` does.

    Returns
    -------
    y : (w, B, H, W, C)
    mean, variance : (w, C)
        Of the batch; the variance is the biased one, by which y was divided.
    kept
        For :func:`batch_norm_back`.

    Raises
    ------
    ValueError
        x is not C-contiguous, or has no samples.
    """
    xp = array_namespace(x)
    _check("x", x)
    if not x.size:
        raise ValueError(f"x has shape {x.shape}: a mean is taken of one sample or more")
    lines, parts = _lines(x), _parts(x)
    count = x.size // (len(x) * x.shape[-1])
    first = _by_channel(_sum(xp, _lines(x[:, :1])), x) * (x.shape[1] / count)
    minus_first = _repeat(xp, -first, x)
    total, squares = xp.zeros_like(minus_first), xp.zeros_like(minus_first)
    for part in parts:
        block = lines[part]
        xp.add(block, minus_first[part[0]], out=block)
        total[part[0]] += _sum(xp, block)
        squares[part[0]] += _sum(xp, block, block)
    rest = _by_channel(total, x) * (1.0 / count)
    variance = xp.maximum(_by_channel(squares, x) * (1.0 / count) - rest * rest, 0)
    inverse = 1.0 / xp.sqrt(variance + EPSILON)
    slope = inverse * weight
    y = empty(xp, x.shape, x.dtype)
    _affine(xp, x, slope, bias - rest * slope, y, more, rectify)
    return y, first + rest, variance, (x, rest, inverse, weight)


def batch_norm_back(dy: Array, kept: tuple, y: Array | None = None) -> tuple[Array, Array, Array]:
    """Return the derivatives of :func:`batch_norm` with respect to x, weight and bias, given that of y.

    The mean and the variance, which depend on x, are accounted for. dx takes the memory of the kept x. Where y was
    rectified it has to be given, and dy becomes the derivative with respect to what was: 0 where y is 0. A dy that is not
    C-contiguous raises ValueError.
    """
    x, rest, inverse, weight = kept
    xp = array_namespace(dy)
    _check("dy", dy)
    lines, dlines, parts = _lines(x), _lines(dy), _parts(x)
    count = x.size // (len(x) * x.shape[-1])
    total = xp.zeros((len(x), 1, lines.shape[2]), dtype=x.dtype)
    products = xp.zeros_like(total)
    for part in parts:
        block = dlines[part]
        if y is not None:
            relu_back(block, _lines(y)[part])
        total[part[0]] += _sum(xp, block)
        products[part[0]] += _sum(xp, block, lines[part])
    dbias = _by_channel(total, x)
    dweight = inverse * (_by_channel(products, x) - rest * dbias)
    on_x = inverse * dweight * (-1.0 / count)
    offset = _repeat(xp, dbias * (-1.0 / count) - on_x * rest, x)
    on_x, slope = _repeat(xp, on_x, x), _repeat(xp, inverse * weight, x)
    for part in parts:
        worker, out = part[0], lines[part]
        xp.multiply(out, on_x[worker], out=out)
        xp.add(out, dlines[part], out=out)
        xp.add(out, offset[worker], out=out)
        xp.multiply(out, slope[worker], out=out)
    return x, dweight, dbias


def batch_norm_fixed(
    x: Array,
    weight: Array,
    bias: Array,
    mean: Array,
    variance: Array,
    more: Array | None = None,
    rectify: bool = False,
) -> Array:
    """Normalise by given statistics (w, C), as a model is evaluated: in place, x is returned. The rest as above."""
    xp = array_namespace(x)
    _check("x", x)
    slope = weight / xp.sqrt(variance + EPSILON)
    _affine(xp, x, slope, bias - mean * slope, x, more, rectify)
    return x


def _check(name: str, x: Array) -> None:
    """Refuse an array whose lines would be a copy: what is written to them would be lost."""
    if not x.flags.c_contiguous:
        raise ValueError(
            f"{name} of shape {x.shape} is not C-contiguous: batch norm writes to it; pass a contiguous copy"
        )


def _affine(xp: ModuleType, x: Array, slope: Array, offset: Array, y: Array, more: Array | None, rectify: bool) -> None:
    """Write x * slope + offset, by channel, to y; with more added, and rectified, if so."""
    lines, result = _lines(x), _lines(y)
    slope, offset = _repeat(xp, slope, x), _repeat(xp, offset, x)
    for part in _parts(x):
        out = result[part]
        xp.multiply(lines[part], slope[part[0]], out=out)
        xp.add(out, offset[part[0]], out=out)
        if more is not None:
            xp.add(out, _lines(more)[part], out=out)
        if rectify:
            relu(out)


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
    """Return the sums over lines of x, or of x y: (w, 1, W C). A product with ones is faster than a sum over rows.

    Of x y, NumPy's einsum writes nothing down; CuPy's would copy both, for as many products as there are columns.
    """
    if y is not None and isinstance(x, np.ndarray):
        return xp.einsum("wij,wij->wj", x, y)[:, None]
    return xp.matmul(xp.ones((len(x), 1, x.shape[1]), dtype=x.dtype), x if y is None else x * y)


def _by_channel(sums: Array, x: Array) -> Array:
    """Return (w, C) of sums (w, 1, W C)."""
    return sums.reshape(len(x), -1, x.shape[-1]).sum(axis=1)

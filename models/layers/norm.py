"""Batch normalisation of images (w, B, H, W, C), each worker by its own batch (Ioffe and Szegedy 2015).

How a CPU does it in blocks is in :mod:`netsim.models.layers.norm_rows`.
"""

from types import ModuleType
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from netsim.models.layers import norm_rows
from netsim.models.layers.array_pool import pooled_empty
from netsim.models.layers.relu import relu, relu_back

Array = Any
EPSILON = 1e-5


def batch_norm(
    x: Array,
    weight: Array,
    bias: Array,
    more: Array | None = None,
    rectify: bool = False,
    out: tuple[Array, Array] | None = None,
) -> tuple[Array, Array, Array, tuple]:
    """Normalise every channel by the batch: (x - mean) / sqrt(variance + 1e-5) * weight + bias.

    Mean and variance are taken of what is left of x without the mean of the first sample. That is at most sqrt(B)
    standard deviations from the mean, so that no more than log10(B) digits are lost.

    Parameters
    ----------
    x
        (w, B, H, W, C), C-contiguous; overwritten.
    weight, bias
        (w, C).
    more
        (w, B, H, W, C), added to y.
    rectify
        Replace negative numbers of the sum by 0, as :func:`netsim.models.layers.relu.relu` does.
    out
        Where to write mean and variance; None makes arrays.

    Returns
    -------
    y, mean, variance, kept
        (w, B, H, W, C); (w, C) each, of the batch, the variance the biased one by which y was divided; and what :func:`batch_norm_back` needs.

    Raises
    ------
    ValueError
        x is not C-contiguous, or has no samples.
    """
    xp = array_namespace(x)
    _check("x", x)
    if not x.size:
        raise ValueError(f"x has shape {x.shape}: a mean is taken of one sample or more")
    mean, variance = out or (xp.empty_like(weight), xp.empty_like(weight))
    y = pooled_empty(xp, x.shape, x.dtype)
    if isinstance(x, np.ndarray):
        first, rest = norm_rows.moments(x, variance)
        xp.add(first, rest, out=mean)
        inverse = 1.0 / xp.sqrt(variance + EPSILON)
        slope = inverse * weight
        _affine(xp, x, slope, bias - rest * slope, y, more, rectify)
        return y, mean, variance, (x, rest, inverse, weight)
    first = x[:, 0].mean(axis=(1, 2))
    x -= _everywhere(first)
    rest = _moments(xp, x, variance)
    xp.add(first, rest, out=mean)
    inverse = (variance + EPSILON) ** -0.5
    x -= _everywhere(rest)
    x *= _everywhere(inverse)
    _affine(xp, x, weight, bias, y, more, rectify)
    return y, mean, variance, (x, inverse, weight)


def batch_norm_back(dy: Array, kept: tuple, y: Array | None = None) -> tuple[Array, Array, Array]:
    """Return the derivatives of :func:`batch_norm` with respect to x, weight and bias, given that of y.

    The mean and the variance, which depend on x, are accounted for. dx takes the memory of the kept x. Where y was
    rectified it has to be given, and dy becomes the derivative with respect to what was: 0 where y is 0. A dy that is not
    C-contiguous raises ValueError.
    """
    xp = array_namespace(dy)
    _check("dy", dy)
    if isinstance(dy, np.ndarray):
        return norm_rows.back(dy, kept, y)
    x, inverse, weight = kept
    if y is not None:
        relu_back(dy, y)
    sums = xp.empty((2, len(x), *x.shape[3:]), dtype=x.dtype)
    _lines(dy).sum(axis=1, out=sums[0])
    _lines(dy * x).sum(axis=1, out=sums[1])
    sums = sums.sum(axis=2)
    means = sums * (-x.shape[-1] * len(x) / x.size)
    x *= _everywhere(means[1])
    x += dy
    x += _everywhere(means[0])
    x *= _everywhere(inverse * weight)
    return x, sums[1], sums[0]


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


def _moments(xp: ModuleType, x: Array, variance: Array) -> Array:
    """Return the means (w, C) of x, and write the variances.

    Every column's come first: few channels are few sums, which would occupy few of a GPU's multiprocessors.
    """
    columns = xp.empty((2, len(x), *x.shape[3:]), dtype=x.dtype)
    _lines(x).mean(axis=1, out=columns[0])
    _lines(x).var(axis=1, out=columns[1])
    means = columns.mean(axis=2)
    xp.add(means[1], columns[0].var(axis=1), out=variance)
    return means[0]


def _affine(xp: ModuleType, x: Array, slope: Array, offset: Array, y: Array, more: Array | None, rectify: bool) -> None:
    """Write x * slope + offset, by channel, to y; with more added, and rectified, if so."""
    if isinstance(x, np.ndarray):
        norm_rows.affine(x, slope, offset, y, more, rectify)
        return
    xp.multiply(x, _everywhere(slope), out=y)
    y += _everywhere(offset)
    if more is not None:
        y += more
    if rectify:
        relu(y)


def _lines(x: Array) -> Array:
    """Return (w, B H, W, C): a sum over axis 1 is one for every column of pixels."""
    return x.reshape(len(x), -1, *x.shape[3:])


def _everywhere(channels: Array) -> Array:
    """Return (w, 1, 1, 1, C) of (w, C)."""
    return channels[:, None, None, None]

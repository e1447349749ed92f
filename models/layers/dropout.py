"""Dropout with inverted scaling (Srivastava et al. 2014): what is kept is divided by the share that is kept."""

from typing import Any

from array_api_compat import array_namespace

Array = Any


def dropout_mask(words: Array, rate: float, dtype: Any) -> Array:
    """Return what to multiply by, from random words: 0 with probability ``rate``, else 1 / (1 - rate).

    Parameters
    ----------
    words
        uint32 of any shape, uniform over all 2**32 values: a key's ``bits``.
    rate
        From 0 to below 1, rounded to a multiple of 2**-32.
    dtype
        Of the result.
    """
    xp = array_namespace(words)
    threshold = words.dtype.type(min(round(rate * 2.0**32), 2**32 - 1))
    scale = xp.dtype(dtype).type(1 / (1 - rate))
    return xp.multiply(words >= threshold, scale, dtype=dtype)


def dropout(x: Array, mask: Array) -> tuple[Array, tuple]:
    """Return x times a mask of :func:`dropout_mask`, of x's shape, and what :func:`dropout_back` needs."""
    return x * mask, (mask,)


def dropout_back(dy: Array, kept: tuple) -> Array:
    """Return the derivative with respect to x; it is written over dy."""
    xp = array_namespace(dy)
    return xp.multiply(dy, kept[0], out=dy)

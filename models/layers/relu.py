"""Rectified linear units."""

from typing import Any

import numpy as np
from array_api_compat import array_namespace

Array = Any
CACHE = 1 << 17  # numbers at once, on a CPU


def relu(x: Array) -> Array:
    """Replace negative numbers by 0, in place; returns x, which the derivative needs."""
    return array_namespace(x).maximum(x, 0, out=x)


def relu_back(dy: Array, y: Array) -> Array:
    """Return the derivative with respect to x, in place of dy, given that of y = relu(x): 0 where y is 0.

    On a CPU the sign of -y, spread over a word, is the mask: several times faster than a comparison and a product.
    """
    if not (isinstance(dy, np.ndarray) and dy.flags.c_contiguous and y.flags.c_contiguous):
        return array_namespace(dy).multiply(dy, y > 0, out=dy)
    word = {4: np.int32, 8: np.int64}[dy.itemsize]
    bits, other = dy.reshape(-1).view(word), y.reshape(-1).view(word)
    for start in range(0, dy.size, CACHE):
        part = slice(start, start + CACHE)
        mask = np.negative(other[part])
        mask >>= 8 * dy.itemsize - 1
        bits[part] &= mask
    return dy

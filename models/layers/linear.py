"""Fully connected layers, with PyTorch's weights: (w, out, in) and a bias (w, out)."""

from typing import Any

from array_api_compat import array_namespace

Array = Any


def linear(x: Array, weight: Array, bias: Array) -> tuple[Array, tuple]:
    """Return x times the transposed weight, plus the bias, and what :func:`linear_back` needs.

    Parameters
    ----------
    x
        (w, B, in).
    weight, bias
        (w, out, in), (w, out).

    Returns
    -------
    y : (w, B, out)
    kept
        For :func:`linear_back`.
    """
    xp = array_namespace(x)
    y = xp.matmul(x, weight.swapaxes(1, 2))
    y += bias[:, None]
    return y, (x, weight)


def linear_back(dy: Array, kept: tuple) -> tuple[Array, Array, Array]:
    """Return the derivatives of :func:`linear` with respect to x, weight and bias, given that of y."""
    x, weight = kept
    xp = array_namespace(dy)
    return xp.matmul(dy, weight), xp.matmul(dy.swapaxes(1, 2), x), dy.sum(axis=1)

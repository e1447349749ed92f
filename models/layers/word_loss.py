"""Softmax and cross-entropy over a vocabulary, in place: the logits of one worker alone may be hundreds of megabytes."""

from typing import Any

import numpy as np
from array_api_compat import array_namespace

Array = Any
_BLOCK = 2**17  # numbers that stay in a core's cache through all passes


def word_loss(logits: Array, bias: Array, words: Array) -> tuple[Array, tuple]:
    """Return the mean over a worker's tokens of -log softmax(logits + bias)[word].

    Parameters
    ----------
    logits
        (w, N, vocabulary); overwritten.
    bias
        (w, vocabulary).
    words
        (w, N) whole numbers from 0 to vocabulary - 1.

    Returns
    -------
    loss : (w,)
    kept
        For :func:`word_loss_back`.
    """
    xp = array_namespace(logits)
    w, count, vocabulary = logits.shape
    total, right = xp.empty((w, count), dtype=logits.dtype), xp.empty((w, count), dtype=logits.dtype)
    rows = max(1, _BLOCK // vocabulary) if isinstance(logits, np.ndarray) else count
    for first in range(0, count, rows):
        block = slice(first, first + rows)
        z = logits[:, block]
        z += bias[:, None]
        z -= z.max(axis=2, keepdims=True)
        right[:, block] = xp.take_along_axis(z, words[:, block, None], axis=2)[:, :, 0]
        total[:, block] = xp.exp(z, out=z).sum(axis=2)
    return (xp.log(total) - right).mean(axis=1), (logits, total, words)


def word_loss_back(kept: tuple) -> Array:
    """Return the derivative of every worker's own loss with respect to its logits, written over them."""
    power, total, words = kept
    xp = array_namespace(power)
    w, count, _ = power.shape
    power *= (1.0 / (total * count))[:, :, None]
    power[xp.arange(w)[:, None], xp.arange(count), words] -= 1.0 / count
    return power

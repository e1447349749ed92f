"""Softmax and cross-entropy in one."""

from typing import Any

from array_api_compat import array_namespace

Array = Any


def cross_entropy(logits: Array, labels: Array) -> tuple[Array, tuple]:
    """Return the mean over a worker's samples of -log softmax(logits)[label].

    Parameters
    ----------
    logits
        (w, B, classes).
    labels
        (w, B) integers, 0 to classes - 1.

    Returns
    -------
    loss : (w,)
    kept
        For :func:`cross_entropy_back`.
    """
    xp = array_namespace(logits)
    shifted = logits - logits.max(axis=2, keepdims=True)
    right = labels[:, :, None] == xp.arange(logits.shape[2])
    power = xp.exp(shifted)
    total = power.sum(axis=2)
    loss = (xp.log(total) - (shifted * right).sum(axis=2)).mean(axis=1)
    return loss, (power, total, right)


def cross_entropy_back(kept: tuple) -> Array:
    """Return the derivative of every worker's own loss with respect to its logits: (w, B, classes)."""
    power, total, right = kept
    return (power / total[:, :, None] - right) * (1.0 / power.shape[1])

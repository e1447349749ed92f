"""The k largest, exactly: a threshold guessed from a sample, and one partition of what passes it."""

from math import sqrt

import numpy as np
from array_api_compat import array_namespace

from algorithms.compression.message import Array

_SAMPLED = 2048  # from this size on a sample pays
_STRIDE = 32


def largest_magnitudes(x: Array, k: int) -> Array:
    """Return what :func:`largest` does for |x|, (rows, units, size) float32 or float64; NaN comes after infinity."""
    if isinstance(x, np.ndarray) and x.shape[-1] >= _SAMPLED:
        found = [_largest_of_many(unit, k) for row in x for unit in row]
        return np.stack(found).reshape(*x.shape[:-1], k)
    return largest(_magnitudes(x), k)


def largest(words: Array, k: int) -> Array:
    """Return the indices of the k largest integers along the last axis, rising; of equal ones the first are taken.

    Parameters
    ----------
    words
        (rows, units, size) integers.
    k
        How many, 1 to size.

    Returns
    -------
    Array
        (rows, units, k) int64.
    """
    xp = array_namespace(words)
    rows, units, size = words.shape
    threshold = xp.partition(words, size - k, axis=-1)[..., size - k : size - k + 1]
    above, equal = words > threshold, words == threshold
    room = k - above.sum(axis=-1, keepdims=True)
    kept = above | (equal & (xp.cumsum(equal, axis=-1) <= room))
    ranks = xp.cumsum(kept.reshape(-1))  # k in each unit: what stands where is found without asking the device
    places = xp.searchsorted(ranks, xp.arange(1, rows * units * k + 1))
    return (places % size).reshape(rows, units, k)


def _magnitudes(x: Array) -> Array:
    """Return integers in the order of |x|, of its width."""
    xp = array_namespace(x)
    kind, top = (xp.int32, 2**31 - 1) if x.dtype == xp.float32 else (xp.int64, 2**63 - 1)
    return x.view(kind) & kind(top)


def _largest_of_many(x: np.ndarray, k: int) -> np.ndarray:
    """Return the indices of the k largest magnitudes of x, (size,), rising."""
    sample = _magnitudes(x[::_STRIDE])
    expected = len(sample) * k / len(x)
    rank = int(expected + 4 * sqrt(expected) + 4)  # of the threshold in the sample: fewer than k rarely pass
    places = np.zeros(0, np.intp)
    if rank <= len(sample) // 2:
        places = _not_between(x, np.partition(sample, -rank)[-rank].view(x.dtype))
    if len(places) < k:
        places = np.arange(len(x))
    words = _magnitudes(x[places])
    threshold = np.partition(words, -k)[-k]
    kept = words > threshold
    ties = np.flatnonzero(words == threshold)
    kept[ties[: k - np.count_nonzero(kept)]] = True
    return places[kept]


def _not_between(x: np.ndarray, end: np.floating) -> np.ndarray:
    """Return the indices of what is not between −end and end, eight at a time, since few are; NaN is not."""
    inside = x < end
    inside &= x > -end
    outside = np.logical_not(inside, out=inside)
    whole = len(x) // 8 * 8
    eights = outside[:whole].view(np.uint64)
    some = np.flatnonzero(eights != 0)
    found = np.flatnonzero(eights[some].view(bool))
    return np.concatenate([some[found >> 3] * 8 + (found & 7), whole + np.flatnonzero(outside[whole:])])

"""The k largest of each unit, exactly.

On a CPU unit by unit: a threshold guessed from a sample, and one partition of what passes it. Elsewhere by sorting all
units together.
"""

from functools import lru_cache
from math import sqrt
from typing import Any

import numpy as np
from array_api_compat import array_namespace

from netsim.algorithms.compression.message import Array
from netsim.algorithms.compression.spans import Span, unit_count
from netsim.algorithms.kernels.units import split, unit_of_column

_SAMPLED = 2048  # from this size on a sample pays
_STRIDE = 32
_SORTED = 2**25  # numbers: sorting takes several times their memory, and these are enough for a device to do


def top_k_magnitudes(x: Array, spans: tuple[Span, ...], kept: tuple[int, ...]) -> Array:
    """Return what :func:`top_k` does for |x|, (rows, P) float32 or float64; NaN comes after infinity."""
    if not isinstance(x, np.ndarray):
        return _by_sorting(_magnitudes(x), spans, kept)
    found = []
    for span, k in zip(spans, kept, strict=True):
        part = split(x, span)
        if span.size < _SAMPLED:
            found.append(_of_each(_magnitudes(part), k))
        else:
            units = [_top_k_of_many(unit, k) for row in part for unit in row]
            found.append(np.stack(units).reshape(*part.shape[:-1], k))
    return columns(found, spans, len(x))


def top_k(words: Array, spans: tuple[Span, ...], kept: tuple[int, ...]) -> Array:
    """Return where the largest integers of each unit stand; of equal ones the first are taken.

    Parameters
    ----------
    words
        (rows, P) integers.
    spans
        The units.
    kept
        How many of each unit, for every span: 1 to its size.

    Returns
    -------
    Array
        (rows, all that are kept) int64: columns, rising.
    """
    if not isinstance(words, np.ndarray):
        return _by_sorting(words, spans, kept)
    found = [_of_each(split(words, span), k) for span, k in zip(spans, kept, strict=True)]
    return columns(found, spans, len(words))


def columns(found: list[np.ndarray], spans: tuple[Span, ...], rows: int) -> np.ndarray:
    """Join indices inside units, (rows, units, k) of each span, to (rows, all k) columns of the model."""
    parts = [np.zeros((rows, 0), np.int64)]
    for span, own in zip(spans, found, strict=True):
        starts = np.arange(span.parts) * span.size + span.start
        parts.append((own + starts[:, None]).reshape(rows, -1))
    return np.concatenate(parts, axis=1)


def _by_sorting(words: Array, spans: tuple[Span, ...], kept: tuple[int, ...]) -> Array:
    """Return :func:`top_k`, as many rows at one time as sorting has memory for."""
    step = max(1, _SORTED // max(1, words.shape[1]))
    found = [_sorted_out(words[at : at + step], spans, kept) for at in range(0, len(words), step)]
    return found[0] if len(found) == 1 else array_namespace(words).concatenate(found)


def _sorted_out(words: Array, spans: tuple[Span, ...], kept: tuple[int, ...]) -> Array:
    """Sort all rows together by size, then, keeping that order, by row and unit: the first of each unit are kept."""
    xp = array_namespace(words)
    rows, size = words.shape
    falling = xp.argsort(~words.reshape(-1), kind="stable")
    unit = xp.arange(rows, dtype=xp.int32)[:, None] * unit_count(spans) + unit_of_column(spans, xp)
    grouped = xp.argsort(xp.take(unit.reshape(-1), falling), kind="stable")
    first = xp.take(grouped.reshape(rows, size), _first(spans, kept, xp), axis=1)
    return xp.sort(xp.take(falling, first) % size, axis=1)


@lru_cache(maxsize=16)
def _first(spans: tuple[Span, ...], kept: tuple[int, ...], xp: Any) -> Array:
    """Return the columns of the first numbers of each unit, (all that are kept,) int32."""
    found = [np.broadcast_to(np.arange(k), (1, span.parts, k)) for span, k in zip(spans, kept, strict=True)]
    return xp.asarray(columns(found, spans, 1)[0].astype(np.int32))


def _of_each(words: np.ndarray, k: int) -> np.ndarray:
    """Return the indices of the k largest integers along the last axis of (rows, units, size), rising."""
    rows, units, size = words.shape
    threshold = np.partition(words, size - k, axis=-1)[..., size - k : size - k + 1]
    above, equal = words > threshold, words == threshold
    room = k - above.sum(axis=-1, keepdims=True)
    kept = above | (equal & (np.cumsum(equal, axis=-1) <= room))
    return (np.flatnonzero(kept) % size).reshape(rows, units, k)


def _magnitudes(x: Array) -> Array:
    """Return integers in the order of |x|, of its width."""
    xp = array_namespace(x)
    kind, top = (xp.int32, 2**31 - 1) if x.dtype == xp.float32 else (xp.int64, 2**63 - 1)
    return x.view(kind) & kind(top)


def _top_k_of_many(x: np.ndarray, k: int) -> np.ndarray:
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

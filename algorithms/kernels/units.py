"""Operations on the units of a model: on a CPU unit by unit, in blocks that fit its cache; elsewhere all numbers at once.

There many units take as few launches as one: cached index arrays give the unit of each number.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace

from netsim.algorithms.compression.message import Array
from netsim.algorithms.compression.spans import Span, unit_count, unit_sizes

_BLOCK = 65536  # numbers: a block and its temporaries stay in the level-2 cache
_FEW = 2  # up to so many spans, views take as few launches as anything else; a model in buckets has no more


@lru_cache(maxsize=4096)
def pieces(spans: tuple[Span, ...], start: int, stop: int) -> tuple[Span, ...]:
    """Cut the units at a block's ends: spans that cover columns ``start .. stop``, counted from ``start``."""
    found = []
    for span in spans:
        low, high = max(start, span.start), min(stop, span.start + span.parts * span.size)
        while low < high:
            unit, inside = divmod(low - span.start, span.size)
            whole = (high - low) // span.size
            count = whole if inside == 0 and whole else 1
            size = span.size if count == whole and inside == 0 else min(span.size - inside, high - low)
            found.append(Span(low - start, count, size, span.unit + unit))
            low += count * size
    return tuple(found)


def split(x: Array, piece: Span) -> Array:
    """Return the (rows, count, size) view of a piece of x."""
    start, parts, size, _ = piece
    return x[:, start : start + parts * size].reshape(len(x), parts, size)


@lru_cache(maxsize=4)  # each is as long as a model
def unit_of_column(spans: tuple[Span, ...], xp: Any) -> Array:
    """Return every column's unit, (P,) int32 of a namespace."""
    sizes = unit_sizes(spans, np)
    return xp.asarray(np.repeat(np.arange(len(sizes), dtype=np.int32), sizes))


def _by_views(x: Array, spans: tuple[Span, ...]) -> bool:
    """Return whether spans are worked on one after the other: on a CPU, and where they are few."""
    return isinstance(x, np.ndarray) or len(spans) <= _FEW


def per_unit(ufunc: Any, x: Array, parameter: Array, parts: tuple[Span, ...], out: Array) -> Array:
    """Write ``ufunc(x, parameter of x's unit)`` to out, all of one block; parameter is (rows, units)."""
    if not _by_views(x, parts):
        xp = array_namespace(x)
        return ufunc(x, xp.take(parameter, unit_of_column(parts, xp), axis=1), out=out)
    for part in parts:
        units = slice(part.unit, part.unit + part.parts)
        ufunc(split(x, part), parameter[:, units, None], out=split(out, part))
    return out


class _Chunks(NamedTuple):
    """Reduction of any number of units in two steps: chunks of equal length, then the chunks of each unit.

    Attributes
    ----------
    width, number
        Of the chunks, which are independent of the units' ends.
    ends
        (ends,) int32: columns outside chunks that lie in one unit.
    members
        (reductions, units, longest) int32: what makes up a unit, chunks and ends, where first come the chunks of the
        first reduction, then of the next, then the ends. Where they are fewer than the longest, the first again.
    once
        (units, longest): whether a member is not such a repetition.
    """

    width: int
    number: int
    ends: Array
    members: Array
    once: Array


@lru_cache(maxsize=16)
def _chunks(spans: tuple[Span, ...], reductions: int, xp: Any) -> _Chunks:
    sizes = unit_sizes(spans, np)
    stops = np.cumsum(sizes)
    units, total = len(sizes), int(stops[-1])
    width = max(1, round(sqrt((total / units + int(sizes.max())) / 4)))  # about the fewest members and ends
    number, ends, members, at = total // width, [], [], total // width
    for start, stop in zip((stops - sizes).tolist(), stops.tolist(), strict=True):
        first, last = -(-start // width), stop // width
        outside = [np.arange(start, first * width), np.arange(last * width, stop)]
        if first >= last:
            first, last, outside = 0, 0, [np.arange(start, stop)]
        ends += outside
        members.append([*range(first, last), *range(at, at + sum(map(len, outside)))])
        at += sum(map(len, outside))
    longest = max(map(len, members))
    table = np.array([own + own[:1] * (longest - len(own)) for own in members])
    shifts = number * np.stack([np.where(table < number, before, reductions - 1) for before in range(reductions)])
    once = np.arange(longest) < np.array([len(own) for own in members])[:, None]
    arrays = (np.concatenate(ends).astype(np.int32), (table + shifts).astype(np.int32), once)
    return _Chunks(width, number, *map(xp.asarray, arrays))


def unit_reduced(x: Array, spans: tuple[Span, ...], *reductions: str) -> list[Array]:
    """Reduce each unit of x.

    Parameters
    ----------
    x
        (rows, P) numbers, or truth values to be counted.
    spans
        The units.
    reductions
        ``"min"``, ``"max"`` or ``"sum"``.

    Returns
    -------
    list of arrays
        (rows, units) for each reduction.
    """
    xp = array_namespace(x)
    if _by_views(x, spans):
        parts = [split(x, span) for span in spans] or [x[:, :, None]]
        found = [[getattr(part, reduction)(axis=-1) for reduction in reductions] for part in parts]
        return [own[0] if len(own) == 1 else xp.concatenate(own, axis=1) for own in zip(*found, strict=True)]
    width, number, ends, members, once = _chunks(spans, len(reductions), xp)
    whole = x[:, : number * width].reshape(len(x), number, width)
    first = [getattr(whole, reduction)(axis=-1) for reduction in reductions]
    second = xp.take(xp.concatenate([*first, xp.take(x, ends, axis=1)], axis=1), members, axis=1)
    parts = [xp.where(once, second[:, r], 0) if name == "sum" else second[:, r] for r, name in enumerate(reductions)]
    return [getattr(part, reduction)(axis=-1) for part, reduction in zip(parts, reductions, strict=True)]


def unit_sums(x: Array, spans: tuple[Span, ...], term: Callable[[Array], Array]) -> Array:
    """Return (rows, units) sums in float64 over each unit of ``term``, which may work in place on float64 copies of x."""
    xp = array_namespace(x)
    if not isinstance(x, np.ndarray):
        return unit_reduced(term(x.astype(xp.float64)), spans, "sum")[0]
    sums = xp.zeros((len(x), unit_count(spans)), dtype=xp.float64)
    for rows in row_blocks(x):
        for start, stop in column_blocks(x):
            terms = term(x[rows, start:stop].astype(xp.float64))
            for part in pieces(spans, start, stop):
                sums[rows, part.unit : part.unit + part.parts] += split(terms, part).sum(axis=-1)
    return sums


def squared(x: Array) -> Array:
    """Square x in place: a term of :func:`unit_sums`."""
    x *= x
    return x


def row_blocks(x: Array) -> Iterator[slice]:
    """Cut x, (rows, P), into blocks of rows that are drawn together: what fits the cache on the CPU, all of them elsewhere."""
    if isinstance(x, np.ndarray):
        together = max(1, _BLOCK // max(1, x.shape[1]))
        yield from (slice(row, row + together) for row in range(0, len(x), together))
    else:
        yield slice(None)


def column_blocks(x: Array) -> Iterator[tuple[int, int]]:
    """Cut the columns of x into (first, last + 1): what fits the cache on the CPU, all at once elsewhere."""
    size = x.shape[1]
    width = _BLOCK if isinstance(x, np.ndarray) else max(size, 1)
    for start in range(0, size, width):
        yield start, min(start + width, size)


def one_of_two(codes: Array, low: Array, high: Array, spans: tuple[Span, ...], dtype: Any) -> Array:
    """Return each unit's low where a code is 0 and its high where it is 1, (rows, P) of a dtype.

    On the bits of the numbers: a choice by masks is several times faster than ``where`` on a CPU, and takes less memory
    elsewhere.
    """
    xp = array_namespace(codes)
    values = xp.empty(codes.shape, dtype=dtype)
    words = values.view(xp.int32 if values.itemsize == 4 else xp.int64)
    low, high = (end.astype(dtype, copy=False).view(words.dtype) for end in (low, high))
    change = low ^ high
    for rows in row_blocks(codes):
        for start, stop in column_blocks(codes):
            parts = pieces(spans, start, stop)
            out = words[rows, start:stop]
            out[...] = codes[rows, start:stop]
            xp.negative(out, out=out)  # no bits, or all bits
            per_unit(xp.bitwise_and, out, change[rows], parts, out)
            per_unit(xp.bitwise_xor, out, low[rows], parts, out)
    return values

"""Units and blocks.

A unit is a stretch of a model that has a scale or a count of its own; a block is what is worked on at one time.
"""

from collections.abc import Callable, Iterator
from functools import lru_cache
from math import prod
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace

from algorithms.compression.message import Array, Tensors

Unit = str | int  # "tensor" | "model" | numbers in a bucket

_BLOCK = 65536  # numbers: a block and its temporaries stay in the level-2 cache


class Span(NamedTuple):
    """Neighbouring units of one size.

    Attributes
    ----------
    start
        First column.
    parts
        How many units.
    size
        Numbers in each.
    unit
        Number of the first of them in its model.
    """

    start: int
    parts: int
    size: int
    unit: int


def check_unit(owner: object, unit: Unit) -> None:
    """Raise ValueError unless ``unit`` is one."""
    if isinstance(unit, bool) or (unit not in ("tensor", "model") and not (isinstance(unit, int) and unit >= 1)):
        raise ValueError(
            f'{type(owner).__name__}: unit = {unit!r}, write "tensor", "model" or the numbers in a bucket, 1 or more'
        )


def check_rows(x: Array, tensors: Tensors) -> None:
    """Raise ValueError unless x is (rows, P) of float32 or float64 and P is the tensors' total size."""
    size = sum(prod(shape) for shape in tensors.values())
    if x.ndim != 2 or x.shape[1] != size:
        raise ValueError(f"x has shape {tuple(x.shape)}, its tensors make it (rows, {size})")
    if x.dtype not in (np.float32, np.float64):
        raise ValueError(f"x is {x.dtype}, compressors take float32 or float64")


def unit_spans(tensors: Tensors, unit: Unit) -> tuple[Span, ...]:
    """Return the units of a model in order; empty tensors have none.

    Parameters
    ----------
    tensors
        Ordered {name: shape} of a row.
    unit
        ``"tensor"``: each tensor is a unit; ``"model"``: everything is one; an int: buckets of that many numbers, cut
        through the whole model, the last one shorter.
    """
    return _unit_spans(tuple(prod(shape) for shape in tensors.values()), unit)


@lru_cache(maxsize=64)
def _unit_spans(sizes: tuple[int, ...], unit: Unit) -> tuple[Span, ...]:
    total = sum(sizes)
    if unit == "tensor":
        parts = [(1, size) for size in sizes]
    else:
        bucket = total if unit == "model" else min(int(unit), total)
        parts = [(total // bucket, bucket), (1, total % bucket)] if total else []
    spans, start, number = [], 0, 0
    for count, size in parts:
        if count * size:
            spans.append(Span(start, count, size, number))
            start, number = start + count * size, number + count
    return tuple(spans)


def unit_count(spans: tuple[Span, ...]) -> int:
    """Return the number of units."""
    return spans[-1].unit + spans[-1].parts if spans else 0


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


def per_unit(ufunc: Any, x: Array, parameter: Array, parts: tuple[Span, ...], out: Array) -> Array:
    """Write ``ufunc(x, parameter of x's unit)`` to out, all of one block; parameter is (rows, units)."""
    for part in parts:
        units = slice(part.unit, part.unit + part.parts)
        ufunc(split(x, part), parameter[:, units, None], out=split(out, part))
    return out


def unit_sums(x: Array, spans: tuple[Span, ...], term: Callable[[Array], Array]) -> Array:
    """Return (rows, units) sums in float64 over each unit of ``term``, which may work in place on float64 copies of x."""
    xp = array_namespace(x)
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
    """Cut x, (rows, P), into what is drawn for at one time: single rows on the CPU, all of them elsewhere."""
    if isinstance(x, np.ndarray):
        yield from (slice(row, row + 1) for row in range(len(x)))
    else:
        yield slice(None)


def column_blocks(x: Array) -> Iterator[tuple[int, int]]:
    """Cut the columns of x into (first, last + 1): what fits the cache on the CPU, all at once elsewhere."""
    size = x.shape[1]
    width = _BLOCK if isinstance(x, np.ndarray) else max(size, 1)
    for start in range(0, size, width):
        yield start, min(start + width, size)

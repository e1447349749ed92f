"""Units: the parts of a model that a compressor treats separately (tensors, the model, or buckets)."""

from functools import lru_cache
from math import prod
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from annotated_types import Interval

from netsim.algorithms.compression.message import Array, Tensors

Unit = Literal["tensor", "model"] | Annotated[int, Interval(ge=1, le=2**40)]  # numbers in a bucket


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


@lru_cache(maxsize=16)
def unit_sizes(spans: tuple[Span, ...], xp: Any) -> Array:
    """Return the numbers in every unit, (units,) int64 of a namespace."""
    sizes, parts = (np.array([span[field] for span in spans], np.int64) for field in (2, 1))
    return xp.asarray(np.repeat(sizes, parts))

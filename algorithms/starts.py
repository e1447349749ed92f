"""Start vectors that a user gives, such as those of another implementation, in the place of drawn ones."""

from collections.abc import Iterator, Mapping
from math import prod
from typing import Any

import numpy as np

Start = Mapping[str, Any]
"""{tensor's name: its factor}."""


def check_start(owner: str, start: Any) -> None:
    """Raise ValueError unless it is a mapping of names, or None."""
    if start is not None and not (isinstance(start, Mapping) and all(isinstance(name, str) for name in start)):
        raise ValueError(f"{owner}: start = {type(start).__name__}: write {{name of a tensor: its start vectors}}")


def given_factors(
    owner: str, start: Start, tensors: Mapping[str, tuple[int, ...]], rank: int, longer: bool, edges: int | None = None
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (its first column, the factor) of every matrix that has a start.

    Parameters
    ----------
    owner
        The method's name, for errors.
    start
        For a matrix (rows, columns), of r = min(rank, rows, columns): (columns, r) numbers; with ``edges`` also (edges, columns, r).
    tensors
        Ordered {name: shape} of one model.
    rank
        The method's.
    longer
        Whether a factor has room for max(rows, columns) rows, or for ``columns`` rows.
    edges
        How many edges there are; None: one factor for all workers.

    Raises
    ------
    ValueError
        A name is of no matrix, or numbers have another shape or are not finite.
    """
    shapes = {name: (shape[0], prod(shape[1:])) for name, shape in tensors.items() if len(shape) >= 2}
    unknown = [name for name in start if name not in shapes]
    if unknown:
        raise ValueError(
            f"{owner}: start of {unknown[0]!r}: no tensor of two or more dimensions; there is {', '.join(map(repr, shapes)) or 'none'}"
        )
    at = 0
    for name, (rows, columns) in shapes.items():
        r = min(rank, rows, columns)
        if name in start:
            factor = _numbers(start[name])
            right = [(columns, r), *([] if edges is None else [(edges, columns, r)])]
            if factor.shape not in right or not np.isfinite(factor).all():
                raise ValueError(
                    f"{owner}: start of {name!r}: has the shape {factor.shape}; expected {' or '.join(map(str, right))} finite numbers"
                )
            yield at, factor.reshape(*factor.shape[:-2], columns * r)
        at += (max(rows, columns) if longer else columns) * r


def _numbers(value: Any) -> np.ndarray:
    """Return an array, of the host or of a device, or lists of numbers, as an array of floats; without a dimension where it is neither."""
    try:
        return np.asarray(value.get() if hasattr(value, "dtype") and hasattr(value, "get") else value, dtype=float)
    except (TypeError, ValueError):
        return np.array(np.nan)

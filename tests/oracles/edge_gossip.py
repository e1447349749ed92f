"""Edge-wise gossip, one edge at a time: the projections of a difference, written out matrix by matrix.

Nothing of ``algorithms`` is used: masks are chosen by sorting, bases come from Gram and Schmidt, normal numbers from Box and Muller.
"""

from collections.abc import Mapping
from math import cos, log, pi, prod, sqrt

import numpy as np


def left_by_mask(d: np.ndarray, words: np.ndarray, ratio: float) -> tuple[np.ndarray, int]:
    """Return a difference with all numbers but the kept ones zero, and how many are kept: those with the smallest random words."""
    kept = sorted(range(len(d)), key=lambda place: int(words[place]))[: max(1, int(ratio * len(d)))]
    left = np.zeros_like(d)
    for place in kept:
        left[place] = d[place]
    return left, len(kept)


def left_by_projection(
    d: np.ndarray, uniform: np.ndarray, second: np.ndarray, rank: int, side: str, tensors: Mapping[str, tuple[int, ...]]
) -> tuple[np.ndarray, int]:
    """Return a difference whose matrices are projected to a random basis from one side, and how many numbers tell it."""
    normal = [sqrt(-2 * log(1 - u)) * cos(2 * pi * v) for u, v in zip(uniform.tolist(), second.tolist(), strict=True)]
    left, numbers, at, drawn = d.copy(), 0, 0, 0
    for shape in tensors.values():
        size = prod(shape)
        if len(shape) < 2:
            numbers += size
            at += size
            continue
        rows, columns = shape[0], size // shape[0]
        length, width = (rows if side == "left" else columns), min(rank, rows, columns)
        span = np.array(normal[drawn : drawn + length * width]).reshape(length, width)
        drawn += length * width
        basis: list[np.ndarray] = []
        for column in span.T:
            for earlier in basis:
                column = column - (column @ earlier) * earlier
            basis.append(column / sqrt(column @ column))
        matrix = d[at : at + size].reshape(rows, columns)
        projected = np.zeros_like(matrix)
        for u in basis:
            projected += np.outer(u, u @ matrix) if side == "left" else np.outer(matrix @ u, u)
        left[at : at + size] = projected.ravel()
        numbers += width * (columns if side == "left" else rows)
        at += size
    return left, numbers

"""Rounding to a grid of levels: fixed point plus an integer dither, in blocks that stay in the cache.

A number's place on the grid, 0 … top, is written as an integer with 16 or 32 bits after the point; adding an integer
dither drawn uniformly from all values of those bits, then dropping them, rounds up with exactly the probability that
the bits say. Nothing here can leave 0 … top: |x| ≤ s makes |x / s| ≤ 1 after rounding too, and what comes of numbers
that are not finite is masked.
"""

from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace

from netsim.algorithms.compression.message import Array, Key
from netsim.algorithms.compression.spans import Span
from netsim.algorithms.kernels.units import column_blocks, per_unit, pieces, row_blocks


class Grid(NamedTuple):
    """Levels of a message.

    Attributes
    ----------
    bits
        Bits of a code; levels are numbered 0 … 2**bits − 1.
    spans
        The units.
    low, high
        (rows, units), float32 where they are sent, the ends of each unit's range; ``low`` is None where it is −high.
    """

    bits: int
    spans: tuple[Span, ...]
    low: Array | None
    high: Array


def round_to_grid(x: Array, grid: Grid, key: Key | None, clip: bool) -> tuple[Array, Array | int]:
    """Return the codes, (rows, P) uint8 or uint16, and how many numbers of each row were clipped.

    Parameters
    ----------
    x
        (rows, P) float32 or float64.
    grid
        The levels; without ``clip`` its ranges bound x.
    key
        Random stream of the dither; None rounds to the nearest level, halves up.
    clip
        Move what lies outside the range, and NaN to its lower end.
    """
    xp = array_namespace(x)
    codes = xp.empty(x.shape, dtype=xp.uint8 if grid.bits <= 8 else xp.uint16)
    clipped: Any = xp.zeros(len(x), dtype=xp.int64) if clip else 0
    coarse = key is not None and grid.low is None and grid.bits <= 8 and x.dtype == np.float32
    kinds, rounder = ((xp.float32, xp.int32), _round_16) if coarse else ((xp.float64, xp.int64), _round_32)
    low, width = _low_and_width(grid, kinds[0])
    ratio = place = None
    for rows in row_blocks(x):
        dither = _dither(key, rows, x.shape[1], coarse)
        for start, stop in column_blocks(x):
            block = x[rows, start:stop]
            parts = pieces(grid.spans, start, stop)
            if ratio is None or ratio.shape != block.shape:
                ratio, place = xp.empty(block.shape, dtype=kinds[0]), None
            if clip:
                block = _clip(block, grid, rows)
                clipped[rows] += xp.count_nonzero(block != x[rows, start:stop], axis=1)
            if low is not None:
                ratio[...] = block
                block = per_unit(xp.subtract, ratio, low[rows], parts, ratio)
            per_unit(xp.divide, block, width[rows], parts, ratio)
            if place is None:  # where this is everything, the widths of all numbers have just gone
                place = xp.empty(block.shape, dtype=kinds[1])
            rounder(ratio, place, dither if key is None else dither[:, start:stop], grid.bits, codes[rows, start:stop])
    return codes, clipped


def _low_and_width(grid: Grid, dtype: Any) -> tuple[Array | None, Array]:
    """Return what to subtract and what to divide by; a place is counted from the middle at 16 bits, else from low."""
    xp = array_namespace(grid.high)
    high = grid.high.astype(dtype, copy=False)
    if dtype == xp.float32:
        low, width = None, high
    else:
        low = -high if grid.low is None else grid.low.astype(dtype)
        width = high - low
    return low, xp.where(width > 0, width, dtype(1))


def _dither(key: Key | None, rows: slice, size: int, coarse: bool) -> Any:
    """Return integers to add to the bits after the point: 16 signed ones, or 32, or half of the range."""
    if key is None:
        return 1 << 31
    return key[rows].bits16(size).view(np.int16) if coarse else key[rows].bits(size)


def _round_16(ratio: Array, place: Array, dither: Array, bits: int, codes: Array) -> None:
    """Round |ratio| ≤ 1, from the middle to the ends of the grid, at 16 bits after the point.

    In steps of 2**-16 levels the quotient is off by less than 1/4 (times 255/256), the product by 1/4 at most and the
    integer by 1/2: in all by less than one step. The dither is signed, 2**15 less than one from 0 up, because the
    middle of the grid is half a level away from a level.
    """
    xp = array_namespace(ratio)
    ratio *= float((2**bits - 1) << 15)
    xp.rint(ratio, out=ratio)
    place[...] = ratio
    place += dither
    place >>= 16
    codes[...] = place
    codes += codes.dtype.type(2 ** (bits - 1))
    if bits < 8:
        codes &= codes.dtype.type(2**bits - 1)


def _round_32(ratio: Array, place: Array, dither: Array | int, bits: int, codes: Array) -> None:
    """Round ratio, 0 … 1, from the lowest to the highest level, at 32 bits after the point; off by less than two."""
    xp = array_namespace(ratio)
    ratio *= float((2**bits - 1) << 32)
    xp.rint(ratio, out=ratio)
    place[...] = ratio
    place += dither
    place >>= 32
    place &= 2**bits - 1
    codes[...] = place


def _clip(x: Array, grid: Grid, rows: slice) -> Array:
    xp = array_namespace(x)
    high = grid.high[rows]
    clipped = xp.fmax(x, -high if grid.low is None else grid.low[rows])
    return xp.fmin(clipped, high, out=clipped)


def grid_values(codes: Array, grid: Grid, dtype: Any, shrink: float) -> Array:
    """Return the values of codes, (rows, P) of a dtype, times ``shrink``: sender and receiver both call this.

    Between −s and s it is ((2k − top) / top) · s in that dtype, so the ends are exact; elsewhere
    low + (k / top)(high − low) in float64, then rounded.
    """
    xp = array_namespace(codes)
    top = 2**grid.bits - 1
    values = xp.empty(codes.shape, dtype=dtype)
    kind = values.dtype if grid.low is None else xp.float64
    low = None if grid.low is None else grid.low.astype(xp.float64)
    scale = grid.high if low is None else grid.high - low
    if shrink != 1:
        scale, low = scale.astype(xp.float64) * shrink, None if low is None else low * shrink
    scale = scale.astype(kind, copy=False)
    for rows in row_blocks(codes):
        for start, stop in column_blocks(codes):
            parts = pieces(grid.spans, start, stop)
            out = values[rows, start:stop]
            place = out if low is None else xp.empty(out.shape, dtype=kind)
            place[...] = codes[rows, start:stop]
            if low is None:
                place -= top / 2
                place *= 2 / top  # to 1 exactly at the ends, for every width
                per_unit(xp.multiply, place, scale[rows], parts, out)
            else:
                place /= float(top)
                per_unit(xp.multiply, place, scale[rows], parts, place)
                per_unit(xp.add, place, low[rows], parts, place)
                out[...] = place
    return values

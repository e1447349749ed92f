"""Compressors number by number, in exact fractions: slow, and independent of the code under test."""

import itertools
import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np


def units(sizes: Sequence[int], unit: str | int) -> list[tuple[int, int]]:
    """(first, last + 1) of every unit of a row."""
    total = sum(sizes)
    if unit == "tensor":
        ends = [sum(sizes[:i]) for i in range(len(sizes) + 1)]
        return [(a, b) for a, b in itertools.pairwise(ends) if a < b]
    width = total if unit == "model" else int(unit)
    return [(a, min(a + width, total)) for a in range(0, total, width)] if total else []


def scale_range(numbers: Sequence[float], scale: str | tuple[float, float]) -> tuple[Fraction, Fraction]:
    """The exact ends of a unit's levels, before any rounding to float32."""
    exact = [Fraction(float(number)) for number in numbers]
    if scale == "maxabs":
        top = max(abs(number) for number in exact)
        return -top, top
    if scale == "minmax":
        return min(exact), max(exact)
    return Fraction(scale[0]), Fraction(scale[1])


def two_norm(numbers: Sequence[float]) -> float:
    """The 2-norm, to a double's precision."""
    return math.hypot(*(float(number) for number in numbers))


def levels(bits: int, low: Fraction, high: Fraction) -> list[Fraction]:
    """2**bits equally spaced levels."""
    top = 2**bits - 1
    return [low + (high - low) * Fraction(k, top) for k in range(top + 1)]


def place(number: Fraction, rising: Sequence[Fraction]) -> tuple[int, Fraction]:
    """The level below a number (the last but one at most) and how far it is on the way to the next, in 0 … 1."""
    number = min(max(number, rising[0]), rising[-1])
    below = max(k for k in range(len(rising) - 1) if rising[k] <= number)
    width = rising[below + 1] - rising[below]
    return below, (number - rising[below]) / width if width else Fraction(0)


def mean(number: Fraction, rising: Sequence[Fraction]) -> Fraction:
    """The mean of unbiased randomized rounding."""
    below, up = place(number, rising)
    return rising[below] * (1 - up) + rising[below + 1] * up


def stochastic(number: Fraction, rising: Sequence[Fraction], dither: int, dither_bits: int) -> tuple[int, Fraction]:
    """The code that a dither of so many bits gives, and how far the decision was from going the other way."""
    below, up = place(number, rising)
    threshold = 1 - Fraction(dither, 2**dither_bits)
    return below + (up >= threshold), abs(up - threshold)


def nearest(number: Fraction, rising: Sequence[Fraction]) -> tuple[int, Fraction]:
    """The nearest level, halves up, and the distance from the halfway point in levels."""
    below, up = place(number, rising)
    return below + (up >= Fraction(1, 2)), abs(up - Fraction(1, 2))


def sparsifier_bits(kept: Sequence[bool], parts: Sequence[tuple[int, int]]) -> int:
    """What a sparse row costs."""
    bits = 0
    for first, last in parts:
        size, count = last - first, sum(bool(flag) for flag in kept[first:last])
        count_bits = next(b for b in range(99) if 2**b >= size + 1)
        index_bits = next(b for b in range(99) if 2**b >= size)
        bits += count_bits + 1 + min(count * index_bits, size) + 32 * count
    return bits


def bit_stream(fields: Sequence[int], width: int) -> bytes:
    """Fields one after the other, lowest bit first, filled up with zeros to a byte."""
    stream = [(field >> bit) & 1 for field in fields for bit in range(width)]
    stream += [0] * (-len(stream) % 8)
    return bytes(sum(stream[at + bit] << bit for bit in range(8)) for at in range(0, len(stream), 8))


def hash_word(words: tuple[int, int], element: int, draw: int = 0) -> int:
    """Word ``element`` of the stream of a key's row, on Python integers."""

    def mix(x: int) -> int:
        x = ((x ^ (x >> 16)) * 0x7FEB352D) & 0xFFFFFFFF
        x = ((x ^ (x >> 15)) * 0x846CA68B) & 0xFFFFFFFF
        return x ^ (x >> 16)

    first, second = words
    if draw:
        first = mix(first ^ ((draw * 0x9E3779B9) & 0xFFFFFFFF))
    x = ((element + 1) * 0x9E3779B9 + first) & 0xFFFFFFFF
    x = (((x ^ (x >> 16)) * 0x7FEB352D) + second) & 0xFFFFFFFF
    x = ((x ^ (x >> 15)) * 0x846CA68B) & 0xFFFFFFFF
    return x ^ (x >> 16)


def float32_at_least(number: float) -> np.float32:
    """The smallest float32 that is not below a double."""
    rounded = np.float32(number)
    return rounded if float(rounded) >= number else np.nextafter(rounded, np.float32(np.inf))

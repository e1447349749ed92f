"""Biased compressors number by number, on Python's floats and lists."""

import ctypes
import math
import struct
from collections.abc import Sequence

from oracles.compression import hash_word

Matrix = list[list[float]]


def sign_scale(numbers: Sequence[float], scale: str) -> float:
    """The mean magnitude of a unit, or its root mean square."""
    if scale == "l1":
        return math.fsum(abs(number) for number in numbers) / len(numbers)
    return math.sqrt(math.fsum(number * number for number in numbers) / len(numbers))


def two_means(numbers: Sequence[float]) -> tuple[float, float]:
    """The means of the negative numbers and of the others, 0 where there are none."""
    negative = [number for number in numbers if number < 0]
    others = [number for number in numbers if not number < 0]
    return tuple(math.fsum(kind) / len(kind) if kind else 0.0 for kind in (negative, others))


def clip(number: float, bits: int) -> float:
    """The number whose float32 word begins with the same bits and goes on with zeros."""
    word = int.from_bytes(bytes(ctypes.c_float(number)), "little")
    return struct.unpack("<f", (word >> (32 - bits) << (32 - bits)).to_bytes(4, "little"))[0]


def kept_of(size: int, ratio: float) -> int:
    """How many of a unit's numbers are kept."""
    return max(1, int(ratio * size))


def top_k(numbers: Sequence[float], k: int) -> list[int]:
    """Where the k largest magnitudes stand: NaN first, then by magnitude, then by index."""
    nans = [i for i, number in enumerate(numbers) if math.isnan(number)]
    rest = [i for i, number in enumerate(numbers) if not math.isnan(number)]
    rest.sort(key=lambda i: (-abs(numbers[i]), i))
    return sorted((nans + rest)[:k])


def random_k(words: tuple[int, int], first: int, last: int, k: int) -> list[int]:
    """Which numbers of first … last − 1 a stream's largest words name, counted from first."""
    drawn = [hash_word(words, element) for element in range(first, last)]
    return sorted(sorted(range(len(drawn)), key=lambda i: (-drawn[i], i))[:k])


def fields_to_bytes(fields: Sequence[tuple[int, int]]) -> bytes:
    """(value, width) one after the other, each lowest bit first, filled up with zeros to a byte."""
    stream = [(value >> bit) & 1 for value, width in fields for bit in range(width)]
    stream += [0] * (-len(stream) % 8)
    return bytes(sum(stream[at + bit] << bit for bit in range(8)) for at in range(0, len(stream), 8))


def number_field(number: float, dtype: str) -> tuple[int, int]:
    """A number of a dtype as a field."""
    code = "<f" if dtype == "float32" else "<d"
    word = struct.pack(code, number)
    return int.from_bytes(word, "little"), 8 * len(word)


def error_ratio(x: Sequence[float], value: Sequence[float]) -> float:
    """‖C(x) − x‖² / ‖x‖²."""
    return math.fsum((a - b) ** 2 for a, b in zip(value, x, strict=True)) / math.fsum(a * a for a in x)


def normal(words: tuple[int, int], element: int) -> float:
    """A standard normal number of a stream: Box and Muller."""
    first, second = (hash_word(words, element, draw) / 2**32 for draw in (0, 1))
    return math.sqrt(-2 * math.log(1 - first)) * math.cos(2 * math.pi * second)


def product(a: Matrix, b: Matrix) -> Matrix:
    """A B."""
    return [
        [math.fsum(x * y for x, y in zip(row, column, strict=True)) for column in zip(*b, strict=True)] for row in a
    ]


def transposed(a: Matrix) -> Matrix:
    """Aᵀ."""
    return [list(column) for column in zip(*a, strict=True)]


def orthonormal(a: Matrix) -> Matrix:
    """Columns that span those of A, which are independent: Gram and Schmidt, twice over."""
    done: Matrix = []
    for column in transposed(a):
        for _ in range(2):
            for other in done:
                along = math.fsum(x * y for x, y in zip(column, other, strict=True))
                column = [x - along * y for x, y in zip(column, other, strict=True)]
        length = math.hypot(*column)
        done.append([x / length for x in column])
    return transposed(done)


def low_rank(matrix: Matrix, omega: Matrix, iterations: int) -> Matrix:
    """The projection of a matrix on the power-iterated range of a sketch."""
    left = orthonormal(product(matrix, omega))
    for _ in range(iterations):
        left = orthonormal(product(matrix, orthonormal(product(transposed(matrix), left))))
    return product(left, product(transposed(left), matrix))

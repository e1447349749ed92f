"""Random streams: the hash against its definition on Python integers, and statistical quality."""

from itertools import combinations
from math import erfc, sqrt

import numpy as np
import pytest
from guard import guard
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.compression import hash_word

from netsim import device
from netsim.device import Key, make_key

SIZE = 200_000
# Seeds are fixed, so a test here passes always or never; each looks at its whole family of statistics and asks
# for a p-value above a thousandth after Bonferroni's correction.
P_VALUE = 1e-3


def normal_bound(tests: int) -> float:
    """The size that the largest of so many standard normals passes with probability P_VALUE at most."""
    low, high = 0.0, 40.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if tests * erfc(middle / sqrt(2)) > P_VALUE else (low, middle)
    return high


def chi_square(counts: np.ndarray) -> np.ndarray:
    """Pearson's statistic of equally likely cells along the last axis, as a standard normal (for many cells)."""
    cells = counts.shape[-1]
    expected = counts.sum(axis=-1, keepdims=True) / cells
    return (((counts - expected) ** 2 / expected).sum(axis=-1) - (cells - 1)) / sqrt(2 * (cells - 1))


def correlations(pairs: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    """√n times the correlation of each pair of samples: standard normals if they are independent."""
    return np.array([np.corrcoef(a, b)[0, 1] * sqrt(len(a)) for a, b in pairs])


def assert_normal(statistics: np.ndarray) -> None:
    assert np.abs(statistics).max() < normal_bound(np.size(statistics))


@settings(deadline=None, max_examples=50)
@given(
    st.integers(0, 2**63),
    st.integers(0, 2**20),
    st.integers(0, 5),
    st.integers(0, 200_000),
    st.integers(0, 40),
)
def test_words_are_the_hash(seed, round, draw, start, size):
    key = make_key(seed, "test", 3, round)
    words = key.bits(size, start, draw)
    assert words.dtype == np.uint32
    assert words.shape == (3, size)
    for row in range(3):
        first, second = (int(word) for word in key.words[row])
        assert words[row].tolist() == [hash_word((first, second), start + e, draw) for e in range(size)]
        assert key[row : row + 1].bits(size, start, draw).tolist() == words[row : row + 1].tolist()


def test_long_streams_are_cut_into_blocks_that_cannot_be_seen(monkeypatch):
    key = make_key(1, "test", 2)
    whole = key.bits(1000, 3)
    for block in (1, 64, 999):
        monkeypatch.setattr(device, "_BLOCK", block)
        assert np.array_equal(key.bits(1000, 3), whole)


@pytest.mark.parametrize("start", [0, 1, 2, 7])
@pytest.mark.parametrize("size", [0, 1, 2, 9])
def test_half_words_are_the_halves_of_the_words(start, size):
    key = make_key(1, "test", 2)
    halves = key.bits16(size, start, draw=3)
    words = key.bits(10, draw=3)
    expected = np.stack([words & 0xFFFF, words >> 16], axis=-1).reshape(2, 20)[:, start : start + size]
    assert halves.dtype == np.uint16
    assert np.array_equal(halves, expected)


def test_the_same_on_another_device():
    key = make_key(4, "test", 3)
    there = Key(guard.asarray(key.words))
    assert np.array_equal(there.bits(100, 5, 2).get(), key.bits(100, 5, 2))
    assert np.array_equal(there.bits16(100, 5).get(), key.bits16(100, 5))
    assert np.array_equal(there.uniform(100, "float32").get(), key.uniform(100, "float32"))


@pytest.mark.parametrize(("dtype", "unused", "scale"), [("float32", 8, 2.0**-24), ("float64", 0, 2.0**-32)])
def test_uniform_numbers_are_the_words_scaled(dtype, unused, scale):
    key = make_key(4, "test", 2)
    numbers = key.uniform(SIZE, dtype)
    assert numbers.dtype == dtype
    assert np.array_equal(numbers, (key.bits(SIZE) >> unused) * scale)
    assert 0 <= numbers.min() < 1e-4 < 1 - 1e-4 < numbers.max() < 1


def test_shared_rows_are_equal_and_others_differ_in_everything():
    assert (np.diff(make_key(1, "test", 4, shared=True).bits(50), axis=0) == 0).all()
    first = make_key(1, "test", 4).bits(50)
    for other in (make_key(2, "test", 4), make_key(1, "tests", 4), make_key(1, "test", 4, round=1)):
        assert (first != other.bits(50)).all()
    assert np.array_equal(make_key(1, "test", 9).bits(50)[:4], first)


@pytest.mark.parametrize("shift", [0, 8, 16, 24])
def test_every_byte_is_uniform(shift):
    words = make_key(5, "uniform", 16).bits(SIZE)
    byte = (words >> shift) & 0xFF
    assert_normal(chi_square(np.stack([np.bincount(row, minlength=256) for row in byte])))


def test_every_bit_is_fair():
    words = make_key(6, "uniform", 8).bits(SIZE)
    ones = np.stack([((words >> bit) & 1).sum(axis=1) for bit in range(32)])
    assert_normal((ones - SIZE / 2) / sqrt(SIZE / 4))


def test_neighbours_are_independent():
    halves = make_key(7, "neighbours", 8).bits16(SIZE)
    assert_normal(correlations([(row[lag:], row[:-lag]) for row in halves for lag in (1, 2, 3, 4, 8, 64, 1000, 65536)]))
    pairs = (halves[:, 1:] >> 12).astype(int) * 16 + (halves[:, :-1] >> 12)
    assert_normal(chi_square(np.stack([np.bincount(row[::2], minlength=256) for row in pairs])))


def test_rows_are_independent():
    rows = make_key(8, "rows", 32).bits16(SIZE)
    assert_normal(correlations(list(combinations(rows, 2))))
    top = rows[:16] >> 12
    assert_normal(chi_square(np.stack([np.bincount(a * 16 + b, minlength=256) for a, b in combinations(top, 2)])))


@pytest.mark.parametrize("what", ["rounds", "purposes", "draws", "seeds"])
def test_streams_of_different_keys_are_independent(what):
    if what == "draws":
        streams = [make_key(9, "test", 2).bits16(SIZE, draw=draw) for draw in range(12)]
    else:
        names = {
            "rounds": [(9, "test", round) for round in range(12)],
            "purposes": [(9, f"purpose {name}", 0) for name in range(12)],
            "seeds": [(seed, "test", 0) for seed in range(12)],
        }[what]
        streams = [make_key(seed, purpose, 2, round).bits16(SIZE) for seed, purpose, round in names]
    assert_normal(correlations(list(combinations(np.concatenate(streams), 2))))
    top = [row >> 12 for row in np.concatenate(streams)]
    assert_normal(chi_square(np.stack([np.bincount(a * 16 + b, minlength=256) for a, b in combinations(top, 2)])))


def test_first_words_of_many_rounds_are_independent():
    """What a single worker draws first, round after round."""
    words = np.concatenate([make_key(10, "test", 1, round).bits(4) for round in range(20_000)])
    assert_normal(correlations([(words[lag:, e], words[:-lag, e]) for lag in (1, 2, 8) for e in range(4)]))
    assert_normal(chi_square(np.stack([np.bincount(words[:, e] >> 24, minlength=256) for e in range(4)])))


def test_sums_of_dithers_have_the_variance_of_independent_ones():
    """Over 64 rows at each element, and over blocks of 64 elements in each row."""
    numbers = make_key(11, "sums", 64).uniform(20_000) - 0.5
    for sums in (numbers.sum(axis=0), numbers[:, : 20_000 // 64 * 64].reshape(-1, 64).sum(axis=1)):
        square = sums**2 / (64 / 12)
        assert_normal(np.array([(square.mean() - 1) / (square.std() / sqrt(len(sums)))]))

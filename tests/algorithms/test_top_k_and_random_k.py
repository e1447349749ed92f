"""Top-k and random-k: which numbers are kept, and the bits of their indices."""

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from compressing import SIZES, TENSORS, P, dtypes, ratios, rows, same, units_
from guard import guard
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import compression_biased as oracle
from oracles.compression import units

from netsim.algorithms import RandomK, TopK
from netsim.algorithms.kernels import select_top_k
from netsim.device import make_key

ADVERSE = [0.0, -0.0, 1.0, -1.0, 1.5, 7e-42, -7e-42, np.inf, -np.inf, np.nan, 3e38]


@settings(deadline=None, max_examples=150)
@given(st.data(), dtypes, st.integers(1, 60), st.floats(0.01, 1.0), st.booleans())
def test_top_k_is_the_head_of_the_sorted_list(data, dtype, size, ratio, sampled):
    numbers = st.lists(st.sampled_from(ADVERSE), min_size=size, max_size=size)
    x = np.array([data.draw(numbers), data.draw(numbers)], dtype)
    with pytest.MonkeyPatch.context() as patch:
        if sampled:
            patch.setattr(select_top_k, "_SAMPLED", 2)
            patch.setattr(select_top_k, "_STRIDE", 2)
        message = TopK(ratio).compress(x, None, {"w": (size,)})
    k = oracle.kept_of(size, ratio)
    for row in range(2):
        kept = oracle.top_k(x[row].tolist(), k)
        assert message.codes["places"][row].tolist() == kept
        expected = np.zeros(size, dtype)
        expected[kept] = x[row, kept]
        assert same(message.value[row], expected)


def spiked(size: int) -> np.ndarray:
    """The sample sees nothing but large numbers."""
    x = np.random.default_rng(1).random(size)
    x[:: select_top_k._STRIDE] += 10
    return x


LARGE = 12 * select_top_k._SAMPLED + 5
HARD = {
    "normal": np.random.default_rng(0).standard_normal(LARGE),
    "equal": np.full(LARGE, -0.5),
    "zeros": np.zeros(LARGE),
    "two kinds": np.random.default_rng(0).integers(0, 2, LARGE) - 0.5,
    "few kinds": np.random.default_rng(0).integers(-3, 4, LARGE) * 1.0,
    "few not 0": np.where(np.arange(LARGE) % 5000 == 4999, 1.0, 0.0),
    "rising": np.arange(LARGE) * 1.0,
    "falling": -np.arange(LARGE)[::-1] * 1.0,
    "spiked": spiked(LARGE),
    "hidden": -spiked(LARGE) * (np.arange(LARGE) % select_top_k._STRIDE != 0),
    "not finite": np.where(np.arange(LARGE) % 3 == 0, np.nan, np.where(np.arange(LARGE) % 3 == 1, np.inf, 1.0)),
    "two NaN": np.where(np.arange(LARGE) % 10_001 == 10_000, np.nan, np.sin(np.arange(LARGE))),
    "end": np.where(np.arange(LARGE) >= LARGE - 3, 9.0, 1.0),
}


@pytest.mark.parametrize("name", HARD)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_top_k_of_many_is_exact(name, dtype):
    x = np.stack([HARD[name], HARD[name][::-1]]).astype(dtype)
    magnitude = np.where(np.isnan(x), np.inf, np.abs(x))
    for ratio in (1e-9, 0.001, 0.01, 0.1, 0.4, 0.7, 1.0):
        places = TopK(ratio).compress(x, None, {"w": (LARGE,)}).codes["places"]
        k = oracle.kept_of(LARGE, ratio)
        for row in range(2):
            order = np.lexsort((np.arange(LARGE), -magnitude[row], ~np.isnan(x[row])))
            assert np.array_equal(places[row], np.sort(order[:k]))
    there = TopK(0.01).compress(guard.asarray(x), None, {"w": (LARGE,)}).value.get()
    assert same(there, TopK(0.01).compress(x, None, {"w": (LARGE,)}).value)


def test_the_guess_from_a_sample_is_used_and_survives_being_wrong(monkeypatch):
    passed = []
    real = select_top_k._not_between
    monkeypatch.setattr(select_top_k, "_not_between", lambda *args: passed.append(len(real(*args))) or real(*args))
    for name in ("normal", "spiked"):
        TopK(0.1).compress(HARD[name][None], None, {"w": (LARGE,)})
    k = oracle.kept_of(LARGE, 0.1)
    assert k <= passed[0] < 2 * k
    assert passed[1] < k


def test_ties_go_to_the_lower_index_and_the_magnitude_counts():
    x = np.array([[1.0, -3.0, 2.0, 3.0, -2.0, 2.0]])
    for ratio, kept in ((0.01, [1]), (1 / 3, [1, 3]), (0.5, [1, 2, 3]), (0.7, [1, 2, 3, 4])):
        value = TopK(ratio).compress(x, None, {"w": (6,)}).value
        assert np.flatnonzero(value).tolist() == kept
        assert (value[0, kept] == x[0, kept]).all()


@settings(deadline=None, max_examples=80)
@given(ratios, units_, dtypes, st.integers(0, 2**32 - 1))
def test_top_k_on_the_wire(ratio, unit, dtype, seed):
    x = rows(seed, dtype, count=1)
    for profile in ("packed", "int64-index"):
        compressor = TopK(ratio, unit=unit, profile=profile)
        message = compressor.compress(x, None, TENSORS)
        places, numbers, bits = [], [], 0
        for first, last in units(SIZES, unit):
            kept = oracle.top_k(x[0, first:last].tolist(), oracle.kept_of(last - first, ratio))
            width = next(b for b in range(99) if 2**b >= last - first) if profile == "packed" else 64
            places += [(place, width) for place in kept]
            numbers += [oracle.number_field(float(x[0, first + place]), dtype) for place in kept]
            bits += len(kept) * (32 + width)
        assert (message.bits == bits).all()
        assert compressor.encode(message)[0] == oracle.fields_to_bytes(places + numbers)


def test_profiles_bill_the_index():
    x, tensors = rows(1, "float32"), {"w": (P,)}
    key, k = make_key(1, "test", 3), 7
    ratio = k / P
    assert (TopK(ratio).compress(x, key, tensors).bits == k * (32 + 7)).all()  # 2**6 < P <= 2**7
    assert (RandomK(ratio).compress(x, key, tensors).bits == k * 32).all()
    for compressor in (TopK(ratio, profile="int64-index"), RandomK(ratio, profile="int64-index")):
        assert (compressor.compress(x, key, tensors).bits == k * 96).all()
    packed, plain = (RandomK(ratio, profile=profile).compress(x, key, tensors) for profile in ("packed", "int64-index"))
    assert same(packed.value, plain.value)


@settings(deadline=None, max_examples=60)
@given(ratios, st.booleans(), units_, dtypes, st.integers(0, 2**32 - 1))
def test_random_k_keeps_what_the_shared_stream_names(ratio, unbiased, unit, dtype, seed):
    x, key = rows(seed, dtype), make_key(seed, "test", 3)
    compressor = RandomK(ratio, unbiased=unbiased, unit=unit)
    message = compressor.compress(x, key, TENSORS)
    words = tuple(int(word) for word in key.common[0])
    expected = np.zeros_like(x)
    for first, last in units(SIZES, unit):
        k = oracle.kept_of(last - first, ratio)
        factor = np.dtype(dtype).type((last - first) / k if unbiased else 1)
        for place in oracle.random_k(words, first, last, k):
            expected[:, first + place] = x[:, first + place] * factor
    assert same(message.value, expected)
    wire = compressor.encode(message)
    assert [len(row) * 8 for row in wire] == (message.bits * (1 if dtype == "float32" else 2)).tolist()


def test_every_set_of_k_is_equally_likely_and_unbiased_keeps_the_mean():
    size, k, draws = 6, 2, 3000
    x = np.arange(1.0, size + 1)[None]
    sets, mean, error, errors = Counter(), np.zeros(size), 0.0, []
    for number in range(draws):
        key = make_key(0, "test", 1, number)
        value = RandomK(k / size, unbiased=True).compress(x, key, {"w": (size,)}).value[0]
        sets[tuple(np.flatnonzero(value).tolist())] += 1
        mean += value / draws
        error += ((value - x[0]) ** 2).sum() / draws
        errors.append(oracle.error_ratio(x[0], RandomK(k / size).compress(x, key, {"w": (size,)}).value[0]))
    assert set(sets) == set(combinations(range(size), k))
    expected = draws / len(sets)
    assert sum((count - expected) ** 2 / expected for count in sets.values()) < 36.1  # chi², 14 degrees: 1 in 1000
    deviation = x[0] * ((size / k - 1) / draws) ** 0.5
    assert (np.abs(mean - x[0]) < 4 * deviation).all()
    norm = (x**2).sum()
    assert abs(error / norm - (size / k - 1)) < 0.02 * (size / k - 1)
    assert max(errors) <= 1
    assert abs(np.mean(errors) - (1 - k / size)) < 4 * np.std(errors) / draws**0.5

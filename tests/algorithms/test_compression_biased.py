"""Biased compressors: encoding and decoding bit for bit, locality, no warnings, contraction; signs and clipped words against oracles."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from compressing import SIZES, TENSORS, P, bits_of_rows, dtypes, ratios, rows, same, units_
from guard import guard
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import compression_biased as oracle
from oracles.compression import units

from netsim.algorithms import Clip, LowRank, OneBit, RandomK, Sign, TopK
from netsim.algorithms.kernels import units as units_module
from netsim.device import Key, make_key
from netsim.errors import NetsimError

profiles = st.sampled_from(["packed", "int64-index"])
compressors = st.one_of(
    st.builds(Sign, st.sampled_from(["l1", "rms"]), unit=units_),
    st.builds(OneBit, unit=units_),
    st.builds(Clip, st.integers(10, 32)),
    st.builds(TopK, ratios, unit=units_, profile=profiles),
    st.builds(RandomK, ratios, unbiased=st.booleans(), unit=units_, profile=profiles),
    st.builds(LowRank, st.integers(1, 9), iterations=st.integers(0, 2)),
)
ALL = [
    Sign(),
    Sign("rms", unit=16),
    OneBit(),
    OneBit(unit="model"),
    Clip(10),
    Clip(17),
    TopK(0.2),
    TopK(0.1, unit=16, profile="int64-index"),
    RandomK(0.2),
    RandomK(0.3, unbiased=True, unit=16),
    RandomK(0.1, unit="model", profile="int64-index"),
    LowRank(1),
    LowRank(3, iterations=2),
]


def spans_of(compressor) -> list[tuple[int, int]]:
    return units(SIZES, compressor.unit)


def check_wire(compressor, message) -> None:
    """What is sent in full precision is billed 32 bits and takes 64 at float64."""
    wire = compressor.encode(message)
    full = message.codes["numbers"].shape[1] if message.value.dtype == np.float64 and "numbers" in message.codes else 0
    assert len(wire) == len(message.value)
    for row, bits in zip(wire, bits_of_rows(message), strict=True):
        assert len(row) == -(-(bits + 32 * full) // 8)
    assert same(compressor.decode(wire), message.value)


@settings(deadline=None, max_examples=200)
@given(compressors, dtypes, st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1e-42, 1e-30, 1.0, 1e30]))
def test_decode_of_encode_is_the_value_and_the_bits_are_the_bytes(compressor, dtype, seed, magnitude):
    x = rows(seed, dtype, magnitude=magnitude)
    before = x.copy()
    message = compressor.compress(x, make_key(seed, "test", 3), TENSORS)
    assert same(x, before)
    assert message.value.dtype == x.dtype
    assert np.isfinite(message.value).all()
    assert not np.shares_memory(message.value, x)
    check_wire(compressor, message)


@pytest.mark.parametrize("compressor", ALL, ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_row_is_on_its_own(compressor, dtype, monkeypatch):
    x, key = rows(5, dtype, count=6), make_key(5, "test", 6)
    message = compressor.compress(x, key, TENSORS)
    wire = compressor.encode(message)
    for row in range(6):
        alone = compressor.compress(x[row : row + 1], key[row : row + 1], TENSORS)
        assert same(alone.value, message.value[row : row + 1])
        assert compressor.encode(alone)[0] == wire[row]
        assert (alone.bits == message.bits).all()
    other = x.copy()
    other[2] = 1e20
    other[3, 0] = np.nan
    changed = compressor.compress(other, key, TENSORS).value
    assert all(same(changed[row], message.value[row]) for row in (0, 1, 4, 5))
    for block in (1, 7, 64):
        monkeypatch.setattr(units_module, "_BLOCK", block)
        assert same(compressor.compress(x, key, TENSORS).value, message.value)


@pytest.mark.parametrize("compressor", ALL, ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.bitwise
def test_the_same_on_another_device(compressor, dtype):
    x, key = rows(6, dtype), make_key(6, "test", 3)
    message = compressor.compress(x, key, TENSORS)
    there = compressor.compress(guard.asarray(x), Key(guard.asarray(key.words), guard.asarray(key.common)), TENSORS)
    assert same(there.value.get(), message.value)
    wire = compressor.encode(there)
    assert wire.rows == compressor.encode(message).rows
    assert same(compressor.decode(wire), message.value)
    assert np.array_equal(there.bits.get(), message.bits)


@pytest.mark.parametrize("compressor", ALL, ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_passes_in_silence(compressor, dtype, bad):
    x = rows(7, dtype)
    x[1, 3] = bad  # of tensor w
    message = compressor.compress(x, make_key(7, "test", 3), TENSORS)
    check_wire(compressor, message)
    assert np.isfinite(message.value[[0, 2]]).all()
    value = message.value[1]
    if isinstance(compressor, Clip | TopK):
        assert same(value[3:4], x[1, 3:4])
    elif isinstance(compressor, LowRank):
        assert np.isnan(value[:35]).all()
        assert np.isfinite(value[35:]).all()
    elif isinstance(compressor, RandomK):
        assert np.isfinite(np.delete(value, 3)).all()
    else:
        unit = next(slice(*span) for span in spans_of(compressor) if span[0] <= 3 < span[1])
        meant = np.ones(P, bool) if not isinstance(compressor, OneBit) or np.isnan(bad) else (x[1] < 0) == (bad < 0)
        assert np.isnan(value[unit][meant[unit]]).all()
        assert np.isnan(value).sum() == meant[unit].sum()


@settings(deadline=None, max_examples=60)
@given(st.sampled_from(["l1", "rms"]), units_, dtypes, st.integers(0, 2**32 - 1))
def test_sign_is_the_sign_times_the_scale_of_its_unit(scale, unit, dtype, seed):
    x = rows(seed, dtype, count=1)
    x[0, [0, 40]] = 0.0, -0.0
    message = Sign(scale, unit=unit).compress(x, None, TENSORS)
    spans = units(SIZES, unit)
    assert (message.bits == P + 32 * len(spans)).all()
    for number, (first, last) in enumerate(spans):
        sent = message.codes["high"][0, number]
        exact = oracle.sign_scale([float(number) for number in x[0, first:last]], scale)
        assert abs(float(sent) - exact) <= 2.0**-24 * (1 + 1e-6) * exact
        expected = [sent if number >= 0 else -sent for number in x[0, first:last]]
        assert same(message.value[0, first:last], np.array(expected, dtype))


@settings(deadline=None, max_examples=60)
@given(units_, dtypes, st.integers(0, 2**32 - 1), st.sampled_from([-10.0, 0.0, 10.0]))
def test_one_bit_is_the_mean_of_the_numbers_of_its_sign(unit, dtype, seed, shift):
    x = rows(seed, dtype, count=1) + np.dtype(dtype).type(shift)
    x[0, [0, 40]] = 0.0, -0.0
    message = OneBit(unit=unit).compress(x, None, TENSORS)
    spans = units(SIZES, unit)
    assert (message.bits == P + 64 * len(spans)).all()
    for number, (first, last) in enumerate(spans):
        sent = [message.codes[name][0, number] for name in ("low", "high")]
        for mean, exact in zip(sent, oracle.two_means([float(n) for n in x[0, first:last]]), strict=True):
            assert abs(float(mean) - exact) <= 2.0**-24 * (1 + 1e-6) * abs(exact)
        expected = [sent[1] if number >= 0 else sent[0] for number in x[0, first:last]]
        assert same(message.value[0, first:last], np.array(expected, dtype))


def test_signs_of_zeros_and_of_one_kind():
    zeros = np.array([[0.0, -0.0, 0.0]])
    assert Sign().compress(zeros, None, {"w": (3,)}).codes["codes"].tolist() == [[1, 1, 1]]
    assert not Sign().compress(zeros, None, {"w": (3,)}).value.any()
    message = OneBit().compress(np.array([[-1.0, -3.0], [1.0, 0.0]]), None, {"w": (2,)})
    assert message.value.tolist() == [[-2.0, -2.0], [0.5, 0.5]]
    assert message.codes["low"].ravel().tolist() == [-2.0, 0.0]
    assert message.codes["high"].ravel().tolist() == [0.0, 0.5]
    huge = np.array([[1e300, -1e300]])
    assert np.isnan(Sign().compress(huge, None, {"w": (2,)}).value).all()
    assert Sign("rms").compress(np.array([[3.0, -4.0]]), None, {"w": (2,)}).value[0, 0] == np.float32(12.5**0.5)


@settings(deadline=None, max_examples=100)
@given(st.integers(10, 32), dtypes, st.lists(st.floats(allow_nan=False), min_size=1, max_size=20))
def test_clip_keeps_the_top_of_the_word(bits, dtype, numbers):
    with np.errstate(over="ignore"):
        x = np.array([numbers], dtype)
    value = Clip(bits).compress(x, None, {"w": (len(numbers),)}).value
    assert same(value, np.array([[oracle.clip(float(number), bits) for number in x[0]]], dtype))
    normal = (np.abs(x) >= 2.0**-126) & (np.abs(x) <= np.finfo(np.float32).max / 2)
    assert (np.abs(value[normal] - x[normal]) <= 2.0 ** (9 - bits) * np.abs(x[normal])).all()


def test_clip_keeps_everything_at_32_bits():
    x = rows(3, "float32")
    message = Clip(32).compress(x, None, TENSORS)
    assert same(message.value, x)
    assert (message.bits == 32 * P).all()
    assert (Clip(10).compress(x, None, TENSORS).bits == 10 * P).all()
    assert Clip(12).compress(np.array([[1.0, -1.24, 1.9999, np.inf]]), None, {"w": (4,)}).value.tolist() == [
        [1.0, -1.125, 1.875, np.inf]
    ]


@settings(deadline=None, max_examples=60)
@given(st.floats(0.01, 1.0), st.integers(1, 60), st.integers(0, 2**32 - 1), st.sampled_from(["normal", "heavy"]))
def test_contractions_have_the_delta_that_is_documented(ratio, size, seed, kind):
    draws = np.random.default_rng(seed)
    x = draws.standard_normal((1, size)) if kind == "normal" else draws.standard_cauchy((1, size)) ** 3
    tensors = {"w": (size,)}

    def ratio_of(compressor) -> float:
        return oracle.error_ratio(x[0], compressor.compress(x, make_key(seed, "test", 1), tensors).value[0])

    slack = 1e-12
    assert ratio_of(TopK(ratio)) <= 1 - oracle.kept_of(size, ratio) / size + slack
    assert ratio_of(RandomK(ratio)) <= 1 + slack
    delta = np.abs(x).sum() ** 2 / (size * (x**2).sum())
    assert delta >= 1 / size - slack
    assert abs(ratio_of(Sign()) - (1 - delta)) <= slack
    assert abs(ratio_of(Sign("rms")) - 2 * (1 - delta**0.5)) <= 1e-6
    kinds = [x[x >= 0], x[x < 0]]
    better = sum(kind.sum() ** 2 / kind.size for kind in kinds if kind.size) / (x**2).sum()
    assert better >= delta - slack
    assert abs(ratio_of(OneBit()) - (1 - better)) <= slack
    assert ratio_of(Clip(12)) <= 4.0 ** (9 - 12)


def test_the_shared_stream_belongs_to_no_row_and_depends_on_no_rows():
    key = make_key(3, "a", 5, round=4)
    words = key.shared().bits(50)
    assert words.shape == (1, 50)
    assert np.array_equal(words, key[2:3].shared().bits(50))
    assert np.array_equal(words, make_key(3, "a", 2, round=4).shared().bits(50))
    assert np.array_equal(words, make_key(3, "a", 9, round=4, shared=True).shared().bits(50))
    assert np.array_equal(words, key.shared().shared().bits(50))
    others = [
        *key.bits(50),
        *(make_key(*of).shared().bits(50)[0] for of in ((4, "a", 5, 4), (3, "b", 5, 4), (3, "a", 5, 5))),
    ]
    assert all((words[0] != other).mean() > 0.9 for other in others)
    with pytest.raises(NetsimError, match="make_key"):
        Key(key.words).shared()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Sign("max"), "Sign: scale = 'max'"),
        (lambda: Sign(unit="layer"), "Sign: unit = 'layer'"),
        (lambda: OneBit(unit=0), "OneBit: unit = 0"),
        (lambda: Clip(9), "Clip: bits = 9: must be a whole number from 10 to 32"),
        (lambda: Clip(33), "Clip: bits = 33"),
        (lambda: Clip(16.0), "Clip: bits = 16.0"),
        (lambda: Clip(True), "Clip: bits = True"),
        (lambda: TopK(0.0), "TopK: ratio = 0.0: must be a number above 0 and at most 1"),
        (lambda: TopK(1.5), "TopK: ratio = 1.5"),
        (lambda: TopK(float("nan")), "TopK: ratio = nan"),
        (lambda: TopK(0.1, unit=True), "TopK: unit = True"),
        (lambda: TopK(0.1, profile="int32"), 'TopK: profile = \'int32\': must be "packed" or "int64-index"'),
        (lambda: RandomK(-0.1), "RandomK: ratio = -0.1"),
        (lambda: RandomK(0.1, profile=None), "RandomK: profile = None"),
        (lambda: LowRank(0), "LowRank: rank = 0: must be a whole number from 1 to 2^31"),
        (lambda: LowRank(1.0), "LowRank: rank = 1.0"),
        (lambda: LowRank(1, iterations=-1), "LowRank: iterations = -1: must be a whole number from 0 to 1,000"),
        (lambda: LowRank(1, unit="model"), "LowRank: unit = 'model'"),
    ],
)
def test_a_bad_field_is_named(make, words):
    with pytest.raises(ValueError) as caught:
        make()
    assert str(caught.value).startswith(words)
    assert "\n" not in str(caught.value)


def test_legends_are_short_and_fields_frozen():
    assert list(map(repr, ALL[:4])) == ["Sign()", "Sign(scale='rms', unit=16)", "OneBit()", "OneBit(unit='model')"]
    assert repr(TopK(0.01, profile="int64-index")) == "TopK(0.01, profile='int64-index')"
    assert repr(RandomK(0.01, unbiased=True)) == "RandomK(0.01, unbiased=True)"
    assert repr(LowRank(2, iterations=1)) == "LowRank(2, iterations=1)"
    for compressor in ALL:
        assert hash(compressor) == hash(eval(repr(compressor)))
        with pytest.raises(FrozenInstanceError):
            compressor.unit = "model"
        with pytest.raises(ValueError, match=r"x has shape \(1, 3\)"):
            compressor.compress(np.zeros((1, 3)), make_key(0, "test", 1), {"w": (4,)})

"""Quantizers and the sparsifier: against exact definitions; unbiasedness; exactness on their levels."""

from fractions import Fraction

import numpy as np
import pytest
from compressing import LEVELS, SCALES, SIZES, TENSORS, P, check_wire, dtypes, rows, same, units_
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import compression as oracle

from netsim.algorithms.compression import NearestQuantizer, RandomSparsifier, StochasticQuantizer
from netsim.device import make_key


def exact_levels(compressor, numbers: np.ndarray) -> list[Fraction]:
    """The levels of a unit, from the definition, with the scale as float32 sends it."""
    if compressor.levels is not None:
        return [Fraction(float(numbers.dtype.type(level))) for level in compressor.levels]
    if compressor.scale == "norm":
        high = Fraction(float(oracle.float32_at_least(oracle.two_norm(numbers))))
        return oracle.levels(compressor.bits, -high, high)
    low, high = oracle.scale_range(numbers, compressor.scale)
    if isinstance(compressor.scale, str):
        low = -Fraction(float(oracle.float32_at_least(-float(low))))
        high = Fraction(float(oracle.float32_at_least(float(high))))
    else:
        low, high = (Fraction(float(numbers.dtype.type(end))) for end in compressor.scale)
    return oracle.levels(compressor.bits, low, high)


@settings(deadline=None, max_examples=60)
@given(
    st.one_of(
        st.builds(
            StochasticQuantizer,
            st.integers(1, 10),
            scale=st.sampled_from(SCALES[:1] + SCALES[2:]),
            unit=units_,
            shrink=st.sampled_from([1.0, 0.7]),
        ),
        st.builds(NearestQuantizer, st.integers(1, 10), scale=st.sampled_from(SCALES[:1] + SCALES[2:]), unit=units_),
        st.sampled_from([StochasticQuantizer(3, levels=LEVELS), NearestQuantizer(3, levels=LEVELS)]),
    ),
    dtypes,
    st.integers(0, 2**32 - 1),
)
def test_quantizers_follow_their_definition(compressor, dtype, seed):
    x = rows(seed, dtype, count=1)
    key = make_key(seed, "test", 1)
    message = compressor.compress(x, key, TENSORS)
    codes, random = message.codes["codes"][0], isinstance(compressor, StochasticQuantizer)
    low, high = (compressor.scale if isinstance(compressor.scale, tuple) else (-1, 1))[:2]
    coarse = dtype == "float32" and compressor.bits <= 8 and compressor.levels is None
    coarse = coarse and compressor.scale != "minmax" and low == -high
    dithers = (key.bits16(P) if coarse else key.bits(P))[0].tolist()
    slack = Fraction(2, 2**16) if coarse and random else Fraction(2, 2**32)
    shrink = Fraction(getattr(compressor, "shrink", 1.0))
    tolerance = Fraction(4 * float(np.finfo(dtype).eps))
    for first, last in oracle.units(SIZES, compressor.unit if compressor.levels is None else "model"):
        rising = exact_levels(compressor, x[0, first:last])
        for e in range(first, last):
            number = Fraction(float(x[0, e]))
            if random:
                dither = (dithers[e] + 2**15) % 2**16 if coarse else dithers[e]
                code, margin = oracle.stochastic(number, rising, dither, 16 if coarse else 32)
            else:
                code, margin = oracle.nearest(number, rising)
            degenerate = rising[0] == rising[-1]
            assert codes[e] == code or margin < slack or degenerate
            size = max(abs(rising[0]), abs(rising[-1]))
            assert abs(Fraction(float(message.value[0, e])) - rising[int(codes[e])] * shrink) <= tolerance * size


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), dtypes, units_, st.sampled_from([0.05, 0.3, 0.5, 0.9]))
def test_sparsifier_follows_its_definition(seed, dtype, unit, probability):
    x = rows(seed, dtype, count=2)
    key = make_key(seed, "test", 2)
    message = RandomSparsifier(probability, unit=unit).compress(x, key, TENSORS)
    words = key.bits(P)
    parts = oracle.units(SIZES, unit)
    chance = round(probability * 2**32)
    for row in range(2):
        kept = [int(word) < chance for word in words[row]]
        for e in range(P):
            expected = Fraction(float(x[row, e])) / Fraction(probability) if kept[e] else 0
            eps = Fraction(float(np.finfo(dtype).eps)) * abs(expected)
            assert abs(Fraction(float(message.value[row, e])) - expected) <= eps
        assert int(message.bits[row]) == oracle.sparsifier_bits(kept, parts)


def test_sparsifier_bills_a_kept_zero_and_chooses_the_shorter_way_to_say_where():
    tensors = {"w": (1000,)}
    x = np.zeros((1, 1000), "float32")
    for probability in (0.01, 0.9):
        compressor = RandomSparsifier(probability)
        message = compressor.compress(x, make_key(3, "test", 1), tensors)
        kept = int(message.codes["kept"].sum())
        assert message.bits[0] == 10 + 1 + 32 * kept + (10 * kept if probability == 0.01 else 1000)
        check_wire(compressor, message)


def mean_over_keys(compressor, x: np.ndarray, draws: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard error of what is decoded, over as many equal rows as draws."""
    tensors = {"w": x.shape}
    value = compressor.compress(np.tile(x, (draws, 1)), make_key(11, "unbiased", draws), tensors).value.astype(
        "float64"
    )
    return value.mean(axis=0), value.std(axis=0) / np.sqrt(draws)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "compressor",
    [
        StochasticQuantizer(1),
        StochasticQuantizer(2),
        StochasticQuantizer(8),
        StochasticQuantizer(3, scale="norm"),
        StochasticQuantizer(4, scale="minmax", unit=10),
        StochasticQuantizer(12),
        StochasticQuantizer(3, scale=(-3.0, 3.0)),
        StochasticQuantizer(2, scale=(-3.0, 4.0)),
        StochasticQuantizer(3, levels=(-3.0, -1.0, -0.9, 0.1, 3.0)),
        RandomSparsifier(0.25),
        RandomSparsifier(1e-2),
    ],
    ids=repr,
)
def test_unbiased(compressor, dtype):
    x = np.linspace(-2.5, 2.9, 40).astype(dtype)
    mean, error = mean_over_keys(compressor, x, 4000)
    # 40 numbers: the largest of so many normals passes 4.5 once in 3,700 times
    assert (np.abs(mean - x) <= 4.5 * error + 2e-6).all()


def test_shrink_multiplies_what_is_decoded():
    x = rows(0, "float64")
    key = make_key(0, "test", 3)
    whole = StochasticQuantizer(4).compress(x, key, TENSORS)
    half = StochasticQuantizer(4, shrink=0.5).compress(x, key, TENSORS)
    assert same(half.value, whole.value * 0.5)
    assert (half.bits == whole.bits).all()


class AllDithers:
    """A key whose half-words count from 0 up, so that 2**16 neighbours meet every dither once."""

    def __getitem__(self, rows: slice) -> "AllDithers":
        return self

    def bits16(self, size: int, start: int = 0, draw: int = 0) -> np.ndarray:
        return np.arange(start, start + size).astype("uint16")[None]


@pytest.mark.parametrize("bits", [1, 2, 5, 7, 8])
@pytest.mark.parametrize("scale", [1.0, 1.7, 3e-30])
def test_mean_over_all_dithers_is_within_a_65536th_of_a_level(bits, scale):
    draws = np.random.default_rng(bits).uniform(-1, 1, 20)
    numbers = np.array([1, -1, 0.9999999, -0.9999999, 0.5, 1e-3, -1e-7, 0, 0.9921569, *draws]) * scale
    x = np.repeat(numbers.astype("float32")[:, None], 2**16, axis=1)
    x = np.hstack([x, np.full((len(x), 1), scale, "float32")])  # what makes the scale
    codes = StochasticQuantizer(bits).compress(x, AllDithers(), {"w": (2**16 + 1,)}).codes["codes"]
    top = 2**bits - 1
    for number, total in zip(x[:, 0], codes[:, :-1].astype(int).sum(axis=1), strict=True):
        exact = (Fraction(float(number)) / Fraction(float(np.float32(scale))) + 1) * Fraction(top, 2)
        assert abs(Fraction(int(total), 2**16) - exact) < Fraction(1, 2**16)
    assert (codes[0] == top).all()
    assert (codes[1, :-1] == 0).all()


def test_footnote_one_goes_down_with_sixty_percent():
    """Thresholds 0.3 and 0.8: the paper says that 0.5 goes down with 40 %, but 0.3 · 0.6 + 0.8 · 0.4 = 0.5."""
    x = np.full((1, 200_000), 0.5)
    tensors = {"w": (200_000,)}
    message = StochasticQuantizer(1, levels=(0.3, 0.8)).compress(x, make_key(2, "footnote", 1), tensors)
    down = (message.value == 0.3).mean()
    assert set(np.unique(message.value)) == {0.3, 0.8}
    assert abs(down - 0.6) < 4.5 * np.sqrt(0.24 / 200_000)
    assert (message.bits == 200_000).all()


def test_footnote_two_keeps_with_probability_p_and_divides_by_it():
    x = np.full((1, 200_000), 3.0)
    message = RandomSparsifier(0.25).compress(x, make_key(2, "footnote", 1), {"w": (200_000,)})
    assert set(np.unique(message.value)) == {0.0, 12.0}
    assert abs((message.value > 0).mean() - 0.25) < 4.5 * np.sqrt(0.1875 / 200_000)


@pytest.mark.parametrize("quantizer", [StochasticQuantizer, NearestQuantizer])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_zeros_constants_and_ends_are_exact(quantizer, dtype):
    key = make_key(8, "test", 3)
    for bits in range(1, 17):
        for scale in ("maxabs", "norm", "minmax"):
            assert not quantizer(bits, scale).compress(np.zeros((3, P), dtype), key, TENSORS).value.any()
        for constant in (np.float32(0.1), np.float32(-3e38), np.float32(7e-42)):
            x = np.full((3, P), constant, dtype)
            for scale in ("maxabs", "minmax"):
                assert same(quantizer(bits, scale).compress(x, key, TENSORS).value, x)
        x = np.float32(rows(8, "float32")).astype(dtype)
        value = quantizer(bits, unit="model").compress(x, key, TENSORS).value
        ends = np.abs(x) == np.abs(x).max(axis=1, keepdims=True)
        assert (value[ends] == x[ends]).all()


def test_numbers_beyond_float32_are_not_finite_and_numbers_below_it_stay_in_range():
    key = make_key(9, "test", 3)
    assert np.isnan(StochasticQuantizer(8).compress(rows(9, "float64", magnitude=1e300), key, TENSORS).value).all()
    tiny = StochasticQuantizer(8).compress(rows(9, "float64", magnitude=1e-300), key, TENSORS)
    assert (np.abs(tiny.value) <= 2**-149).all()
    check_wire(StochasticQuantizer(8), tiny)


def test_a_float64_scale_is_rounded_up_to_float32():
    x = np.array([[0.1, -0.05], [1 + 2**-40, 0.3]])
    message = StochasticQuantizer(8).compress(x, make_key(1, "test", 2), {"w": (2,)})
    assert message.codes["high"].dtype == np.float32
    assert message.codes["high"][0, 0] == oracle.float32_at_least(0.1) >= 0.1
    assert message.codes["high"][1, 0] == np.float32(1 + 2**-23)


def test_clipping_is_counted():
    x = np.array([[0.0, 1.0, 1.5, -7.0], [0.2, 0.3, 0.4, 0.5]], "float32")
    for compressor in (
        StochasticQuantizer(8, scale=(-1.0, 1.0)),
        NearestQuantizer(8, scale=(-1.0, 1.25)),
        NearestQuantizer(2, levels=(-1.0, 0.0, 1.0)),
    ):
        message = compressor.compress(x, make_key(1, "test", 2), {"w": (4,)})
        assert message.clipped.tolist() == [2, 0]
        assert message.value[0, 3] == -1.0
        assert message.value[0, 2] == (compressor.scale[1] if compressor.levels is None else 1.0)
        assert (message.bits == 4 * compressor.bits).all()


def test_nearest_goes_up_at_halves():
    x = np.array([[0.0, 1.0, -1.0]])
    value = NearestQuantizer(1).compress(x, None, {"w": (3,)}).value
    assert value.tolist() == [[1.0, 1.0, -1.0]]

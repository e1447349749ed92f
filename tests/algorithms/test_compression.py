"""Compressors: encoding and decoding bit for bit, locality, no warnings, equality across devices; their fields."""

from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from compressing import LEVELS, SCALES, SIZES, TENSORS, UNITS, P, bits_of_rows, check_wire, dtypes, rows, same, units_
from guard import guard
from hypothesis import example, given, settings
from hypothesis import strategies as st
from oracles import compression as oracle

from netsim.algorithms.compression import (
    Identity,
    NearestQuantizer,
    RandomSparsifier,
    StochasticQuantizer,
    pack,
    unpack,
)
from netsim.algorithms.kernels import units as units_module
from netsim.device import Key, make_key

quantizers = st.one_of(
    st.builds(
        StochasticQuantizer,
        st.integers(1, 16),
        scale=st.sampled_from(SCALES),
        unit=units_,
        shrink=st.sampled_from([1.0, 0.7]),
    ),
    st.builds(NearestQuantizer, st.integers(1, 16), scale=st.sampled_from(SCALES), unit=units_),
    st.sampled_from([StochasticQuantizer(3, levels=LEVELS), NearestQuantizer(3, levels=LEVELS)]),
)
compressors = st.one_of(
    st.just(Identity()), quantizers, st.builds(RandomSparsifier, st.sampled_from([1e-9, 0.02, 0.5, 1.0]), unit=units_)
)
ALL = [
    Identity(),
    StochasticQuantizer(8),
    StochasticQuantizer(4, scale="norm", unit="model"),
    StochasticQuantizer(11, scale="minmax", unit=16),
    StochasticQuantizer(2, scale=(-1.0, 1.0)),
    StochasticQuantizer(3, levels=LEVELS),
    NearestQuantizer(5),
    RandomSparsifier(0.3),
]


@settings(deadline=None, max_examples=150)
@given(compressors, dtypes, st.integers(0, 2**32 - 1), st.sampled_from([0.0, 1e-42, 1e-30, 1.0, 1e30]))
def test_decode_of_encode_is_the_value_and_the_bits_are_the_bytes(compressor, dtype, seed, magnitude):
    x = rows(seed, dtype, magnitude=magnitude)
    before = x.copy()
    message = compressor.compress(x, make_key(seed, "test", 3), TENSORS)
    assert same(x, before)
    assert message.value.dtype == x.dtype
    assert np.isfinite(message.value).all()
    check_wire(compressor, message)


@pytest.mark.parametrize("bits", range(1, 17))
@pytest.mark.parametrize("scale", SCALES)
def test_every_width_comes_back_from_the_wire(bits, scale):
    for dtype in ("float32", "float64"):
        for unit in UNITS:
            for compressor in (StochasticQuantizer(bits, scale, unit), NearestQuantizer(bits, scale, unit)):
                message = compressor.compress(rows(bits, dtype), make_key(bits, "test", 3), TENSORS)
                check_wire(compressor, message)
                parts = len(oracle.units(SIZES, unit))
                sent = {"maxabs": 1, "norm": 1, "minmax": 2}.get(scale, 0) if isinstance(scale, str) else 0
                assert (message.bits == P * bits + 32 * sent * parts).all()
                assert message.codes["codes"].max() <= 2**bits - 1


@pytest.mark.parametrize("compressor", ALL, ids=repr)
def test_a_row_depends_on_itself_alone(compressor, monkeypatch):
    x, key = rows(5, "float32", count=6), make_key(5, "test", 6)
    message = compressor.compress(x, key, TENSORS)
    wire = compressor.encode(message)
    for row in range(6):
        alone = compressor.compress(x[row : row + 1], key[row : row + 1], TENSORS)
        assert same(alone.value, message.value[row : row + 1])
        assert compressor.encode(alone)[0] == wire[row]
        assert bits_of_rows(alone) == bits_of_rows(message)[row : row + 1]
    other = x.copy()
    other[2] = 1e20
    other[3, 0] = np.nan
    changed = compressor.compress(other, key, TENSORS).value
    assert all(same(changed[row], message.value[row]) for row in (0, 1, 4, 5))
    for block in (1, 7, 16, 64):
        monkeypatch.setattr(units_module, "_BLOCK", block)
        assert same(compressor.compress(x, key, TENSORS).value, message.value) or "norm" in repr(compressor)


@pytest.mark.parametrize("compressor", ALL, ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.bitwise
def test_the_same_on_another_device(compressor, dtype):
    x, key = rows(6, dtype), make_key(6, "test", 3)
    message = compressor.compress(x, key, TENSORS)
    there = compressor.compress(guard.asarray(x), Key(guard.asarray(key.words)), TENSORS)
    assert same(there.value.get(), message.value)
    assert compressor.encode(there).rows == compressor.encode(message).rows
    assert np.array_equal(there.clipped.get() if hasattr(there.clipped, "get") else there.clipped, message.clipped)


@pytest.mark.parametrize("compressor", ALL, ids=repr)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_passes_in_silence(compressor, dtype, bad):
    x = rows(7, dtype)
    x[1, 3] = bad  # of tensor w
    message = compressor.compress(x, make_key(7, "test", 3), TENSORS)
    check_wire(compressor, message)
    assert np.isfinite(message.value[[0, 2]]).all()
    if "high" in message.codes:
        parts = oracle.units(SIZES, compressor.unit)
        for first, last in parts:
            assert np.isnan(message.value[1, first:last]).all() == (first <= 3 < last)
    elif "codes" in message.codes:
        assert message.clipped[1] >= 1


def test_identity_is_x_itself():
    x = rows(1, "float32")
    message = Identity().compress(x, None, TENSORS)
    assert message.value is x
    assert (message.bits == 32 * P).all()


@settings(deadline=None, max_examples=150)
@given(st.integers(1, 32), st.integers(0, 70), st.integers(0, 2**32 - 1))
@example(32, 0, 0)
def test_packing_is_the_bit_stream_and_comes_back(width, count, seed):
    fields = np.random.default_rng(seed).integers(0, 2**width, (2, count), dtype=np.uint64)
    packed = pack(fields, width)
    for row in range(2):
        assert packed[row].tobytes() == oracle.bit_stream([int(field) for field in fields[row]], width)
    assert np.array_equal(unpack(packed, width, count), fields)


@pytest.mark.parametrize("quantizer", [StochasticQuantizer, NearestQuantizer])
@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"bits": 0}, "bits = 0"),
        ({"bits": 17}, "bits = 17"),
        ({"bits": 2.0}, "bits = 2.0"),
        ({"bits": True}, "bits = True"),
        ({"bits": 8, "scale": "max"}, "scale = 'max'"),
        ({"bits": 8, "scale": (1.0, 1.0)}, "lo < hi"),
        ({"bits": 8, "scale": (0.0, float("nan"))}, "or a list of 2, each a number"),
        ({"bits": 8, "scale": (1.0,)}, "scale = "),
        ({"bits": 8, "scale": 3.0}, "scale = 3.0"),
        ({"bits": 8, "unit": "layer"}, "unit = 'layer'"),
        ({"bits": 8, "unit": 0}, "unit = 0"),
        ({"bits": 1, "levels": (0.3, 0.3)}, "must rise"),
        ({"bits": 1, "levels": (0.3,)}, "a list of 2 or more, each a number"),
        ({"bits": 2, "levels": (0.3, 0.8)}, "2 levels need bits = 1"),
        ({"bits": 1, "levels": (0.3, 0.8), "scale": "norm"}, "leave scale out"),
    ],
)
def test_a_bad_field_is_named(quantizer, fields, words):
    with pytest.raises(ValueError, match=f"^{quantizer.__name__}: ") as caught:
        quantizer(**fields)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("probability", [0.0, -0.1, 1.1, 2.0**-33, float("nan")])
def test_a_bad_probability_is_named(probability):
    with pytest.raises(ValueError, match=f"^RandomSparsifier: probability = {probability}"):
        RandomSparsifier(probability)


@pytest.mark.parametrize("shrink", [0.0, 1.5])
def test_a_bad_shrink_is_named(shrink):
    with pytest.raises(ValueError, match=f"^StochasticQuantizer: shrink = {shrink}"):
        StochasticQuantizer(8, shrink=shrink)


def test_x_must_fit_its_tensors():
    with pytest.raises(ValueError, match=r"x has shape \(1, 3\)"):
        Identity().compress(np.zeros((1, 3)), None, {"w": (4,)})
    with pytest.raises(ValueError, match="float16"):
        StochasticQuantizer(8).compress(np.zeros((1, 3), "float16"), make_key(0, "test", 1), {"w": (3,)})


def test_legends_are_short_and_fields_frozen():
    assert repr(Identity()) == "Identity()"
    assert repr(StochasticQuantizer(8)) == "StochasticQuantizer(8)"
    assert repr(StochasticQuantizer(4, scale="norm")) == "StochasticQuantizer(4, scale='norm')"
    assert repr(NearestQuantizer(1, unit=512)) == "NearestQuantizer(1, unit=512)"
    assert repr(RandomSparsifier(0.25)) == "RandomSparsifier(0.25)"
    assert hash(StochasticQuantizer(8, scale=[-1.0, 1.0])) == hash(StochasticQuantizer(8, scale=(-1.0, 1.0)))
    with pytest.raises(FrozenInstanceError):
        StochasticQuantizer(8).bits = 4

"""Operations on units on a device: all units at once, equal to one after the other."""

from itertools import pairwise

import numpy as np
import pytest
from compressing import same
from guard import guard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from netsim.algorithms import NearestQuantizer, OneBit, RandomK, RandomSparsifier, Sign, StochasticQuantizer, TopK
from netsim.algorithms.compression.spans import unit_spans
from netsim.algorithms.kernels import select_top_k
from netsim.algorithms.kernels.units import per_unit, unit_reduced, unit_sums
from netsim.device import Key, make_key
from netsim.testing.guard import launches

ADVERSE = [0.0, 1.0, -1.0, 1.5, -2.25, 7e-42, np.inf, -np.inf, np.nan]
sizes_ = st.lists(st.one_of(st.integers(0, 12), st.sampled_from([40, 100, 1000])), min_size=1, max_size=12)
COMPRESSORS = [
    StochasticQuantizer(8),
    StochasticQuantizer(9, scale="minmax"),
    StochasticQuantizer(4, scale="norm", shrink=0.5),
    NearestQuantizer(2),
    Sign(),
    Sign(scale="rms"),
    OneBit(),
    TopK(0.1),
    TopK(0.3, unit=7),
    RandomK(0.1),
    RandomK(0.2, unbiased=True),
    RandomSparsifier(0.3),
]


def named(sizes):
    return {f"tensor {number}": (size,) for number, size in enumerate(sizes)}


def one_after_the_other(sizes):
    ends = np.cumsum([0, *sizes]).tolist()
    return [slice(a, b) for a, b in pairwise(ends) if a < b]


@settings(deadline=None, max_examples=100)
@given(sizes_, st.integers(0, 2**32 - 1), st.booleans())
@example([1, 1, 1], 0, True)
@example([3000, 1, 0, 1, 1], 0, False)
@pytest.mark.bitwise
def test_every_unit_is_reduced_alone(sizes, seed, adverse):
    random, spans, units = np.random.default_rng(seed), unit_spans(named(sizes), "tensor"), one_after_the_other(sizes)
    shape = (2, sum(sizes))
    x = random.choice(ADVERSE, shape) if adverse else random.standard_normal(shape)
    there = guard.asarray(x)
    flags = x > 0.5
    with np.errstate(invalid="ignore"):
        low, high = (one.get() for one in unit_reduced(there, spans, "min", "max"))
        (count,) = (one.get() for one in unit_reduced(guard.asarray(flags), spans, "sum"))
        sums = unit_sums(there, spans, lambda part: part).get()
        wanted = np.stack([[row[unit].sum() for unit in units] for row in x]) if units else np.zeros((2, 0))
    assert low.shape == high.shape == count.shape == sums.shape == wanted.shape == (2, len(units))
    for number, unit in enumerate(units):
        assert np.array_equal(low[:, number], x[:, unit].min(axis=1), equal_nan=True)
        assert np.array_equal(high[:, number], x[:, unit].max(axis=1), equal_nan=True)
        assert count[:, number].tolist() == [sum(row) for row in flags[:, unit].tolist()]
        size = np.abs(x[:, unit]).sum(axis=1)  # of another order of the sum, the error
        finite = np.isfinite(size)
        assert np.array_equal(finite, np.isfinite(sums[:, number]))
        assert (np.abs(sums[finite, number] - wanted[finite, number]) <= 1e-13 * size[finite]).all()


@settings(deadline=None, max_examples=50)
@given(sizes_, st.sampled_from(["tensor", "model", 7]))
def test_every_number_meets_the_parameter_of_its_unit(sizes, unit):
    spans, total = unit_spans(named(sizes), unit), sum(sizes)
    units = {"tensor": len(one_after_the_other(sizes)), "model": min(1, total), 7: -(-total // 7)}[unit]
    x, parameter = np.arange(2.0 * total).reshape(2, total), 1000.0 * np.arange(2 * units).reshape(2, units)
    found = guard.empty(x.shape)
    per_unit(guard.add, guard.asarray(x), guard.asarray(parameter), spans, found)
    wanted = np.empty_like(x)
    assert same(found.get(), per_unit(np.add, x, parameter, spans, wanted))
    if unit == "tensor":
        for number, part in enumerate(one_after_the_other(sizes)):
            assert (found.get()[:, part] == x[:, part] + parameter[:, number, None]).all()


@settings(deadline=None, max_examples=150)
@given(st.sampled_from(COMPRESSORS), sizes_, st.sampled_from(["float32", "float64"]), st.integers(0, 2**32 - 1))
@pytest.mark.bitwise
def test_many_tensors_on_another_device(compressor, sizes, dtype, seed):
    """Of whole numbers, so that the order of a sum does not matter; many are equal, and some tensors nothing but zeros."""
    tensors, random = named(sizes), np.random.default_rng(seed)
    x = random.integers(-6, 7, (3, sum(sizes))).astype(dtype)
    for part in one_after_the_other(sizes)[::3]:
        x[1, part] = 0
    key = make_key(seed, "test", 3)
    here = compressor.compress(x, key, tensors)
    there = compressor.compress(guard.asarray(x), Key(guard.asarray(key.words), guard.asarray(key.common)), tensors)
    assert same(there.value.get(), here.value)
    assert np.array_equal(there.bits.get(), here.bits)
    assert compressor.encode(there).rows == compressor.encode(here).rows
    assert same(compressor.decode(compressor.encode(there)), here.value)


@settings(deadline=None, max_examples=50)
@given(sizes_, st.floats(0.01, 1.0), st.sampled_from(["tensor", "model", 9]), st.integers(0, 2**32 - 1), st.booleans())
def test_ties_and_what_is_not_finite_on_another_device(sizes, ratio, unit, seed, few):
    """Rows are sorted together as long as they are small: that makes no difference."""
    x = np.random.default_rng(seed).choice([*ADVERSE, -0.0], (5, sum(sizes)))
    compressor = TopK(ratio, unit=unit)
    with pytest.MonkeyPatch.context() as patch:
        if few:
            patch.setattr(select_top_k, "_SORTED", 2 * sum(sizes))
        there = compressor.compress(guard.asarray(x), None, named(sizes))
    here = compressor.compress(x, None, named(sizes))
    assert same(there.codes["places"].get(), here.codes["places"])
    assert same(there.value.get(), here.value)


@pytest.mark.parametrize("compressor", COMPRESSORS, ids=repr)
def test_more_tensors_are_no_more_launches(compressor):
    counts = set()
    for tensors in (4, 30, 200):
        shapes = named([5 + number % 7 for number in range(tensors)])
        x, key = guard.asarray(np.ones((2, sum(size for (size,) in shapes.values())))), make_key(0, "test", 2, xp=guard)
        compressor.compress(x, key, shapes)  # index arrays are made once
        with launches() as found:
            compressor.compress(x, key, shapes)
        counts.add(found.total())
    assert len(counts) == 1

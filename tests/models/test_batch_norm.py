"""Batch norm, other than its derivatives, on CPUs and devices: moments, precision, and memory that it overwrites."""

import numpy as np
import pytest

from netsim.models.layers.norm import batch_norm, batch_norm_back, batch_norm_fixed
from netsim.models.layers.relu import relu, relu_back


def on_host(x):
    return x if isinstance(x, np.ndarray) else x.get()


def normalised(xp, x):
    """Return y, mean and variance of x, with weights 1 and biases 0, as NumPy's arrays."""
    one = np.ones((len(x), x.shape[-1]), x.dtype)
    given = [xp.asarray(array) for array in (x.copy(), one, 0 * one)]
    return [on_host(array) for array in batch_norm(*given)[:3]]


def test_batch_statistics_are_those_of_the_batch(elsewhere):
    x = 3 + np.random.default_rng(0).standard_normal((2, 4, 3, 2, 5))
    one, zero = np.ones((2, 5)), np.zeros((2, 5))
    for xp in (np, elsewhere):
        y, mean, variance = normalised(xp, x)
        np.testing.assert_allclose(mean, x.mean(axis=(1, 2, 3)), rtol=1e-12)
        np.testing.assert_allclose(variance, x.var(axis=(1, 2, 3)), rtol=1e-12)
        np.testing.assert_allclose(batch_norm_fixed(x.copy(), one, zero, mean, variance), y, rtol=1e-9, atol=1e-12)


def test_batch_statistics_are_written_where_they_are_wanted(elsewhere):
    x, one = np.random.default_rng(0).standard_normal((2, 4, 3, 2, 5)), np.ones((2, 5))
    for xp in (np, elsewhere):
        rows = xp.zeros((2, 14))  # of all layers of a model
        places = rows[:, 2:7], rows[:, 7:12]
        _, mean, variance, _ = batch_norm(xp.asarray(x.copy()), xp.asarray(one), xp.asarray(0 * one), out=places)
        assert mean is places[0] and variance is places[1]
        mean, variance = on_host(rows)[:, 2:7], on_host(rows)[:, 7:12]
        np.testing.assert_allclose(mean, x.mean(axis=(1, 2, 3)), rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(variance, x.var(axis=(1, 2, 3)), rtol=1e-12)


def test_batch_norm_adds_and_rectifies_as_the_operations_one_by_one(elsewhere):
    random = np.random.default_rng(0)
    arrays = [random.standard_normal((2, 4, 3, 2, 5)) for _ in range(3)]
    for xp in (np, elsewhere):
        x, more, dz = map(xp.asarray, arrays)
        weight, bias = (xp.asarray(one) for one in np.random.default_rng(1).standard_normal((2, 2, 5)))
        dz = dz.copy()
        y, _, _, kept = batch_norm(x.copy(), weight, bias)
        expected = relu(y + more)
        z, mean, variance, kept_too = batch_norm(x.copy(), weight, bias, more, rectify=True)
        fixed = batch_norm_fixed(x.copy(), weight, bias, mean, variance, more, True)
        dy = relu_back(dz.copy(), expected)
        ours = z, fixed, *batch_norm_back(dz, kept_too, z), dz
        for one, other in zip(ours, (expected, expected, *batch_norm_back(dy, kept), dy), strict=True):
            np.testing.assert_allclose(on_host(one), on_host(other), rtol=1e-12, atol=1e-12)


def test_batch_norm_with_a_sample_apart_keeps_its_digits(elsewhere):
    x = np.random.default_rng(0).standard_normal((1, 32, 4, 4, 2)).astype(np.float32)
    x[:, 0] += 1000  # the first, whose mean is taken off before the sums
    for xp in (np, elsewhere):
        _, mean, variance = normalised(xp, x)
        np.testing.assert_allclose(mean, x.astype(float).mean(axis=(1, 2, 3)), rtol=1e-5)
        np.testing.assert_allclose(variance, x.astype(float).var(axis=(1, 2, 3)), rtol=1e-4)


def test_batch_norm_refuses_what_it_cannot_write_to(elsewhere):
    wide = elsewhere.asarray(np.random.default_rng(0).standard_normal((2, 4, 3, 2, 6)))
    apart, statistics = wide[..., ::2], elsewhere.ones((2, 3))
    whole = elsewhere.ascontiguousarray(apart)
    y, *_, kept = batch_norm(whole.copy(), statistics, statistics)
    with pytest.raises(ValueError, match=r"x of shape \(2, 4, 3, 2, 3\) is not C-contiguous"):
        batch_norm(apart, statistics, statistics)
    with pytest.raises(ValueError, match=r"x of shape .* is not C-contiguous"):
        batch_norm_fixed(apart, *[statistics] * 4)
    with pytest.raises(ValueError, match=r"dy of shape .* is not C-contiguous"):
        batch_norm_back(apart, kept, y)


def test_batch_norm_far_from_zero_keeps_its_digits(elsewhere):
    x = (1000 + np.random.default_rng(0).standard_normal((1, 64, 8, 8, 2))).astype(np.float32)
    exact = x.astype(float)
    mean, variance = (of(axis=(1, 2, 3), keepdims=True) for of in (exact.mean, exact.var))
    for xp in (np, elsewhere):
        y, _, found = normalised(xp, x)
        np.testing.assert_allclose(found, variance[:, 0, 0, 0], rtol=1e-5)
        np.testing.assert_allclose(y, (exact - mean) / np.sqrt(variance + 1e-5), atol=2e-5)

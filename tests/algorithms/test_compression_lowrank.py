"""Low rank: against its definition and the best approximation of the rank; contraction in the mean."""

from itertools import pairwise

import numpy as np
import pytest
from compressing import SIZES, TENSORS, rows, same
from oracles import compression_biased as oracle

from netsim.algorithms import LowRank
from netsim.algorithms.kernels.low_rank import standard_normal
from netsim.device import make_key


@pytest.mark.parametrize("iterations", [0, 1, 3])
@pytest.mark.parametrize("rank", [1, 2, 4])
def test_low_rank_is_the_projection_of_each_matrix(rank, iterations):
    x, key = rows(11, "float64", count=2), make_key(11, "test", 2)
    message = LowRank(rank, iterations).compress(x, key, TENSORS)
    words, drawn, at, sent = tuple(int(word) for word in key.common[0]), 0, 0, 0
    for shape, size in zip(TENSORS.values(), SIZES, strict=True):
        part = slice(at, at + size)
        at += size
        if len(shape) < 2:
            assert same(message.value[:, part], x[:, part])
            sent += size
        elif size:
            height, width = shape[0], size // shape[0]
            r = min(rank, height, width)
            omega = [[oracle.normal(words, drawn + i * r + j) for j in range(r)] for i in range(width)]
            drawn += width * r
            sent += r * (height + width)
            for row in range(2):
                expected = oracle.low_rank(x[row, part].reshape(height, width).tolist(), omega, iterations)
                assert np.allclose(message.value[row, part].reshape(height, width), expected, rtol=0, atol=1e-10)
    assert (message.bits == 32 * sent).all()


def test_low_rank_sends_orthonormal_columns_then_their_coefficients():
    x = rows(12, "float64")[:, :35]
    sent = LowRank(2).compress(x, make_key(12, "test", 3), {"w": (5, 7)}).codes["numbers"]
    left, right = sent[:, :10].reshape(3, 2, 5), sent[:, 10:].reshape(3, 2, 7)
    assert np.allclose(left @ left.swapaxes(1, 2), np.eye(2), atol=1e-14)
    assert np.allclose(right, left @ x.reshape(3, 5, 7), atol=1e-14)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_low_rank_keeps_a_matrix_of_that_rank_and_of_full_rank_and_zeros(dtype):
    draws, key = np.random.default_rng(13), make_key(13, "test", 2)
    thin = (draws.standard_normal((2, 6, 2)) @ draws.standard_normal((2, 2, 9))).reshape(2, 54).astype(dtype)
    atol = 200 * np.finfo(dtype).eps
    assert np.allclose(LowRank(2).compress(thin, key, {"w": (6, 3, 3)}).value, thin, rtol=0, atol=atol)
    full = draws.standard_normal((2, 54)).astype(dtype)
    assert np.allclose(LowRank(99).compress(full, key, {"w": (6, 9)}).value, full, rtol=0, atol=atol)
    assert not LowRank(2, 1).compress(np.zeros((2, 54), dtype), key, {"w": (6, 9)}).value.any()


def test_power_iterations_never_lose_and_reach_the_best_that_the_rank_allows():
    height, width, rank = 8, 11, 2
    x = np.random.default_rng(14).standard_normal((1, height * width))
    best = (np.linalg.svd(x.reshape(height, width), compute_uv=False)[rank:] ** 2).sum() / (x**2).sum()
    for seed in range(5):
        key = make_key(seed, "test", 1)
        errors = [
            oracle.error_ratio(x[0], LowRank(rank, s).compress(x, key, {"w": (height, width)}).value[0])
            for s in (0, 1, 2, 5, 200)
        ]
        assert all(later <= earlier + 1e-12 for earlier, later in pairwise(errors))
        assert errors[0] > best + 1e-3
        assert abs(errors[-1] - best) < 1e-9


@pytest.mark.parametrize(("height", "width", "rank"), [(8, 8, 1), (4, 20, 1), (20, 4, 3), (6, 9, 2)])
@pytest.mark.parametrize("spectrum", ["flat", "steep"])
def test_low_rank_contracts_in_the_mean_over_its_projections(height, width, rank, spectrum):
    draws, least = np.random.default_rng(15), min(height, width)
    left, _ = np.linalg.qr(draws.standard_normal((height, least)))
    right, _ = np.linalg.qr(draws.standard_normal((width, least)))
    values = np.ones(least) if spectrum == "flat" else 2.0 ** -np.arange(least)
    x = ((left * values) @ right.T).reshape(1, -1)
    for iterations in (0, 1):
        ratios = [
            oracle.error_ratio(x[0], LowRank(rank, iterations).compress(x, key, {"w": (height, width)}).value[0])
            for key in (make_key(15, "test", 1, number) for number in range(150))
        ]
        assert max(ratios) <= 1 + 1e-12
        bound = 1 - rank / least
        assert np.mean(ratios) <= bound + 1e-12 + 4 * np.std(ratios) / len(ratios) ** 0.5
        if spectrum == "flat":
            assert np.allclose(ratios, bound)


def test_normal_numbers():
    numbers = standard_normal(make_key(1, "test", 2), 20_000, "float64")
    assert np.abs(numbers.mean(axis=1)).max() < 4 / 20_000**0.5
    assert np.abs((numbers**2).mean(axis=1) - 1).max() < 4 * (2 / 20_000) ** 0.5
    assert abs((numbers**4).mean() - 3) < 4 * (96 / 40_000) ** 0.5
    assert abs(np.corrcoef(numbers)[0, 1]) < 4 / 20_000**0.5

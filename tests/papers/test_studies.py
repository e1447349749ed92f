"""The studies of the notebook ``theory`` on a small scale, against formulas or independent computations."""

import numpy as np
import pytest

from netsim import NetsimError, topology
from netsim.algorithms import DCDPSGD, StochasticQuantizer
from netsim.papers import (
    contraction,
    data_heterogeneity,
    difference_spectrum,
    estimate_error,
    estimate_error_theory,
    independent_rates,
    learning_rate,
    log_log_slope,
    noisy_least_squares,
    rank_against_iterations,
    steps_to_target,
)

# --- power laws ------------------------------------------------------------------------------------------------------


def test_the_slope_of_a_power_law_is_its_exponent():
    x = np.array([1, 2, 4, 8])
    assert log_log_slope(x, 3 * x**-1.5) == pytest.approx((-1.5, 0), abs=1e-12)
    assert log_log_slope(x, np.array([x**1.0, 5 * x**2.0])) == pytest.approx((1.5, 0.5), abs=1e-12)
    assert str(log_log_slope(x, x**2.0)) == "2.00 ± 0.00"


def test_the_slopes_error_is_that_of_linear_regression():
    """Against the covariance that numpy's polynomial fit returns."""
    random = np.random.default_rng(0)
    x, y = random.uniform(1, 10, 12), random.uniform(1, 10, 12)
    (slope, _), covariance = np.polyfit(np.log(x), np.log(y), 1, cov=True)
    assert log_log_slope(x, y) == pytest.approx((slope, np.sqrt(covariance[0, 0])), rel=1e-10)


@pytest.mark.parametrize(
    ("x", "y", "says"),
    [
        ([1, 2], [1, 2, 3], "fit"),
        ([1, 2], [1, np.nan], "positive"),
        ([0, 2], [1, 2], "positive"),
        ([2, 2], [1, 2], "two different"),
    ],
)
def test_what_has_no_slope_is_refused(x, y, says):
    with pytest.raises(NetsimError, match=says):
        log_log_slope(x, y)


# --- steps to a target -----------------------------------------------------------------------------------------------


def test_the_same_problem_for_every_number_of_workers():
    """The loss to be had is half the noise's variance, and the start is 1/2 above it."""
    for n in (1, 4):
        task = noisy_least_squares(n, 0, noise=2.0)
        assert task.features.shape == (n, 2048, 16)
        assert task.optimal_loss == pytest.approx(2.0, rel=0.1)
        assert task.evaluate(np.zeros(16))["excess"] == pytest.approx(0.5, rel=0.2)


def test_sgd_settles_at_half_the_target():
    """At the rate of the study: the mean of the excess over a long stretch after the descent, of 4 workers that all average."""
    from netsim import Experiment, train
    from netsim.algorithms import AllReduceSGD

    target, noise = 0.02, 1.5
    task = noisy_least_squares(4, 0, noise=noise)
    lr = learning_rate(4, target, noise)
    history = train(
        Experiment(task, AllReduceSGD(), topology.ring(4), 2500, lr, device="cpu", evaluate_every=5)
    ).history
    settled = float(history.excess.sel(step=slice(500, None)).mean())
    assert settled == pytest.approx(target / 2, rel=0.25)


def test_the_speed_up_is_linear_on_a_small_scale():
    ds = steps_to_target((2, 16), (0, 1, 2, 3), {"DCD-PSGD": DCDPSGD(StochasticQuantizer(8))})
    slope = log_log_slope(ds.workers, ds.steps.sel(algorithm="DCD-PSGD").T)
    assert slope.slope == pytest.approx(-1, abs=0.15)
    assert not (ds.own_steps < ds.steps).any()  # by convexity; the own models need not get there at all
    np.testing.assert_allclose(ds.lr, ds.lr[0] * ds.workers / 2)


def test_one_worker_alone_is_the_same_for_all_methods():
    ds = steps_to_target((1,), (0,), target=0.05)
    assert np.isfinite(ds.steps).all()
    assert len(np.unique(ds.steps)) == 1


# --- ECD's estimates -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("index", ["equations", "listing"])
def test_the_theory_of_the_estimates_is_what_the_recursion_adds_up_to(index):
    """E||e||² ← (1 - 2/s)² E||e||² + (2/s)² σ²/2, step by step; the estimates start exact."""
    error, wanted = 0.0, []
    for t in range(1, 60):
        s = t + 1 if index == "equations" else t
        error = (1 - 2 / s) ** 2 * error + (2 / s) ** 2 / 2
        wanted.append((t + 1) * error)
    np.testing.assert_allclose(estimate_error_theory(np.arange(2, 61), index), wanted, rtol=1e-12)


def test_the_estimates_error_follows_from_the_noise_that_was_added():
    """As C is unbiased the squares add: the recursion fed with the measured noise gives the measured error, on average over workers and seeds."""
    ds = estimate_error(steps=25, seeds=range(8), n=4)
    assert not ds.clipped.any()
    for index, offset in (("equations", 0), ("listing", -1)):
        error, noise = (
            ds[name].sel(scale="fixed", index=index).mean("seed").values for name in ("error", "compression_error")
        )
        predicted = 0.0
        for t, (seen, added) in enumerate(zip(error, noise, strict=True), 2):
            s = t + offset
            predicted = (1 - 2 / s) ** 2 * predicted + (2 / s) ** 2 * added
            assert seen == pytest.approx(predicted, rel=0.15)
    times_t = (ds.error * ds.t / ds.sigma2).mean("seed").sel(scale="fixed")
    assert (times_t.sel(index="equations") <= 1).all()
    assert float(times_t.sel(index="listing", t=2)) > 3


# --- unlike data -----------------------------------------------------------------------------------------------------


def test_unlike_data():
    parts = {"IID": ("iid", None), "one class": ("by_label", None)}
    ds = data_heterogeneity((4,), parts, seeds=(0, 1), rates=(0.4, 0.2), steps=20)
    assert ds.loss.dims == ("partition", "algorithm", "bits", "seed")
    assert np.isfinite(ds.loss).all()
    assert (ds.loss.sel(partition="one class") > ds.loss.sel(partition="IID")).all()
    assert set(ds.lr.values.ravel()) <= {0.4, 0.2}


# --- consensus -------------------------------------------------------------------------------------------------------


def test_the_first_rate_of_independent_maps_is_that_of_the_published_calculation():
    """2δ(1 - λ) - δ²(1 - λ)² - 2δ(1 - δ)w(1 - λ), on a ring whose slowest mode is λ₂."""
    graph, delta = topology.ring(8), 0.25
    gap, weight = graph.spectral_gap, 1 / 3
    wanted = 2 * delta * gap - delta**2 * gap**2 - 2 * delta * (1 - delta) * weight * gap
    assert independent_rates(graph, delta)[0] == pytest.approx(wanted, rel=1e-12)


def test_the_lasting_rate_of_independent_maps_is_the_largest_eigenvalue_of_the_second_moments():
    """The same linear map written out as a matrix, an average over all choices of edges."""
    graph, delta = topology.ring(4), 0.3
    n, edges = graph.n, graph.edges
    total = np.zeros((n * n, n * n))
    for chosen in range(2 ** len(edges)):
        mixing, chance = np.eye(n), 1.0
        for e, (i, j) in enumerate(edges):
            kept = chosen >> e & 1
            chance *= delta if kept else 1 - delta
            apart = np.zeros(n)
            apart[i], apart[j] = 1, -1
            mixing -= kept * graph.weights[i, j] * np.outer(apart, apart)
        total += chance * np.kron(mixing, mixing)
    centre = np.eye(n) - 1 / n
    off_consensus = np.kron(centre, centre)
    largest = np.abs(np.linalg.eigvals(off_consensus @ total @ off_consensus)).max()
    assert independent_rates(graph, delta)[1] == pytest.approx(1 - largest, rel=1e-5)


def test_contraction_on_small_rings():
    ds = contraction((8, 12), (0, 1), size=200, gammas=(0.05, 0.1))
    shared, own, projected, choco = (ds.rate.sel(algorithm=name).mean("seed").values for name in ds.algorithm.values)
    np.testing.assert_allclose(shared, ds.bound, rtol=0.1)  # the slowest mode stays one: the bound is attained
    np.testing.assert_allclose(own, ds.lasting, rtol=0.05)
    np.testing.assert_allclose(projected, ds.lasting, rtol=0.1)
    assert (ds["first"] < ds.bound).all()
    assert (ds.lasting > ds.bound).all()
    assert (choco > 0).all()


# --- rank and spectra ------------------------------------------------------------------------------------------------


def test_all_ranks_say_equally_much():
    ds = rank_against_iterations(4, rounds=8, seeds=(0,), size=16, n=4)
    assert ds["rank"].values.tolist() == [1, 2, 4]
    np.testing.assert_allclose(ds.megabytes, np.arange(9) * np.ones((3, 1)) * 2 * 4 * 16 * 4 / 1e6, rtol=1e-12)
    assert (ds.relative_error.isel(step=-1) < 0.5).all()


def test_the_spectrum_of_differences():
    """Shares, largest first; after one step on batches of 16 no difference has a rank above 32; a random matrix is not of low rank."""
    ds = difference_spectrum((1, 20), ("iid",), (0,), hidden=(48, 48))
    np.testing.assert_allclose(ds.energy.sum("k"), 1, rtol=1e-9)
    assert (ds.energy.diff("k") <= 1e-12).all()
    assert float(ds.energy.sel(step=1, k=slice(33, None)).sum()) < 1e-9
    assert ds.noise.sum() == pytest.approx(1)
    assert float(ds.noise[0]) < 0.1 < float(ds.energy.sel(step=20, k=1).min())

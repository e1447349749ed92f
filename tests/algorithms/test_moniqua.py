"""Moniqua: against its oracle; its quantizer; its count of violations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.methods import train_slowly
from rounds import ROUNDS, models, name, observed, scattered, states, trained

from netsim import topology
from netsim.algorithms import DPSGD, Moniqua
from netsim.algorithms.moniqua import _PeriodQuantizer
from netsim.device import make_key
from netsim.models import LeastSquares


@pytest.mark.parametrize(
    ("graph", "momentum"), [(topology.ring(8), 0.0), (topology.torus(2, 4), 0.9), (topology.star(8), 0.0)], ids=name
)
@pytest.mark.parametrize(
    "algorithm",
    [
        Moniqua(2, theta=0.5, gamma=0.3),
        Moniqua(3, theta=12.0, gamma=0.3, overlap=True),
        Moniqua(5, theta=1.0, gamma=1.0, shared_noise=False),
        Moniqua(12, theta=0.3, gamma=0.5, overlap=True, shared_noise=False),
    ],
    ids=repr,
)
def test_moniqua_agrees_number_by_number_whether_or_not_theta_holds(algorithm, graph, momentum):
    task = LeastSquares.random(8, 12, seed=3, same_hessian=False, batch=5)
    wanted, _ = train_slowly(task, algorithm, graph, ROUNDS, 0.02, momentum, seed=2)
    found = models(trained(task, algorithm, graph, momentum=momentum, seed=2))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("theta", "kept"), [(0.5, False), (12.0, True)])
def test_moniqua_counts_as_many_violations_as_its_oracle(theta, kept):
    task, graph, algorithm = LeastSquares.random(8, 12, seed=3), topology.ring(8), Moniqua(2, theta, 0.3, overlap=True)
    bound = task.bind(8, 0, np, "float64")
    wanted, violations = train_slowly(task, algorithm, graph, ROUNDS, 0.02)
    last, counted = observed(algorithm, wanted[0], graph, ROUNDS, lambda x: bound.gradient(x, 0)[1], 0.02)[-1]
    np.testing.assert_allclose(last.x, wanted[-1], rtol=0, atol=1e-10)
    assert counted["violations"] == violations
    assert (violations == 0) == kept


@pytest.mark.parametrize("overlap", [False, True])
def test_moniqua_with_many_bits_approaches_dpsgd(quadratic, overlap):
    graph = topology.ring(8)
    wanted = models(trained(quadratic, DPSGD(gamma=0.7, overlap=overlap), graph))
    gaps = [
        np.abs(models(trained(quadratic, Moniqua(bits, 2.0, 0.7, overlap), graph)) - wanted).max() for bits in (8, 16)
    ]
    assert gaps[1] < 1e-3
    assert gaps[1] < gaps[0] / 50


@settings(deadline=None, max_examples=50)
@given(
    bits=st.integers(2, 16),
    theta=st.floats(1e-3, 1e3),
    shared=st.booleans(),
    dtype=st.sampled_from(["float32", "float64"]),
    seed=st.integers(0, 99),
)
def test_period_quantizer_writes_what_it_bills_and_rounds_to_a_level_beside(bits, theta, shared, dtype, seed):
    period = Moniqua(bits, theta, 1.0).period
    quantizer = _PeriodQuantizer(bits, period, shared)
    x = (np.random.default_rng(seed).uniform(-0.5, 0.5, (3, 37)) * period).astype(dtype)
    x[0, :3] = -period / 2, period / 2, 0
    before = x.copy()
    message = quantizer.compress(x, make_key(seed, "test", 3), {"x": (37,)})
    wire = quantizer.encode(message)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(quantizer.decode(wire), message.value)
    assert message.value.dtype == dtype
    assert [len(row) for row in wire] == (-(-message.bits // 8)).tolist()
    level = period / (2**bits - 1)
    assert np.abs(message.value - x).max() <= level * (1 + 1e-9) + np.finfo(dtype).eps * period


def test_period_quantizer_is_unbiased_and_shares_its_noise():
    quantizer = _PeriodQuantizer(2, 3.0, True)
    x = np.tile(np.linspace(-1.5, 1.5, 41), (2, 1))
    draws = np.array(
        [quantizer.compress(x, make_key(0, "test", 2, round), {"x": (41,)}).value for round in range(4000)]
    )
    assert (draws[:, 0] == draws[:, 1]).all()
    assert np.abs(draws[:, 0].mean(axis=0) - x[0]).max() < 4.5 * 0.5 / np.sqrt(4000)
    private = _PeriodQuantizer(2, 3.0, False).compress(x, make_key(0, "test", 2), {"x": (41,)}).value
    assert (private[0] != private[1]).any()


def test_equal_models_stay_equal_with_shared_noise_only():
    x = np.tile(scattered(1, 50), (6, 1))
    shared, private = (
        states(Moniqua(2, 1.0, 0.5, shared_noise=shared), x, topology.ring(6), 5)[-1].x for shared in (True, False)
    )
    np.testing.assert_allclose(shared, x, rtol=0, atol=1e-12)
    assert np.abs(private - x).max() > 0.1


def test_violations_are_counted_over_edges_and_rounds_and_move_the_mean():
    graph = topology.ring(5)
    x = np.zeros((5, 3))
    x[1, 0], x[3, 2] = 2.0, 1.0  # each differs from two neighbours; 1.0 is theta itself
    _, (one, first), (_, second) = observed(Moniqua(8, 1.0, 1e-9), x, graph, 2)
    apart = np.abs(one.x[graph.edges[:, 0]] - one.x[graph.edges[:, 1]]) >= 1.0
    assert (first["violations"], second["violations"]) == (4, 4 + apart.sum())
    far, of_far = observed(Moniqua(8, 1.0, 0.5), 5 * scattered(5, 40), graph, 1)[-1]
    near, of_near = observed(Moniqua(8, 50.0, 0.5), 5 * scattered(5, 40), graph, 1)[-1]
    assert of_near["violations"] == 0 < of_far["violations"]
    assert np.abs(far.x - near.x).max() > 0.5


@pytest.mark.parametrize("bits", [1, 17, 2.0, True])
def test_moniqua_refuses_bits_without_a_period(bits):
    with pytest.raises(ValueError, match="from 2 to 16"):
        Moniqua(bits, 1.0, 0.5)


@pytest.mark.parametrize("theta", [0.0, -1.0, float("inf"), float("nan")])
def test_moniqua_refuses_a_theta_that_bounds_nothing(theta):
    with pytest.raises(ValueError, match="theta"):
        Moniqua(2, theta, 0.5)

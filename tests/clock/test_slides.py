"""The communication costs in the slides of DoubleSqueeze and DeepSqueeze, against replays.

Centralized O(N alpha + N B beta), decentralized O(alpha + B beta): B is a model's size in bits and beta the time of a bit. Gradients take
no time here, so a round is communication only.
"""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsim import Experiment, Network, replay, topology, train
from netsim.algorithms import DPSGD, AllReduceSGD, ParameterServerSGD
from netsim.models.least_squares import LeastSquares

WORKERS = (4, 8, 16, 32, 64)
SIZE = 128  # numbers of a model: every number of workers divides it
METHODS = {"parameter server": ParameterServerSGD(), "ring all-reduce": AllReduceSGD(), "D-PSGD": DPSGD()}


@cache
def trace_of(method: str, n: int):
    task = LeastSquares(np.tile(np.eye(SIZE), (n, 1, 1)), np.ones((n, SIZE)))
    return train(Experiment(task, METHODS[method], topology.ring(n), steps=3, lr=1e-3, device="cpu")).trace


def later_round(method: str, n: int, network: Network) -> float:
    """Seconds of a round that has another one before it."""
    end = replay(trace_of(method, n), network).round_end
    return float(end[2] - end[1])


def alphas(method: str, n: int) -> float:
    """How many latencies a round takes, where bits cost nothing."""
    return later_round(method, n, Network(1.0, np.inf))


def models(method: str, n: int) -> float:
    """How many times the transmission of a whole model a round takes, where latency costs nothing."""
    return later_round(method, n, Network(0.0, 32 * SIZE))


def overheads(method: str, n: int) -> float:
    """How many times a round takes what a message costs the port it leaves by."""
    return later_round(method, n, Network(0.0, np.inf, overhead=1.0))


@pytest.mark.parametrize("method", METHODS)
@settings(deadline=None, max_examples=10)
@given(n=st.sampled_from(WORKERS), alpha=st.floats(1e-6, 1), speed=st.floats(1e3, 1e10))
def test_a_round_is_linear_in_alpha_and_beta(method, n, alpha, speed):
    expected = alphas(method, n) * alpha + models(method, n) * 32 * SIZE / speed
    assert later_round(method, n, Network(alpha, speed)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("n", WORKERS)
def test_how_often_alpha_and_beta_are_paid(n):
    counted = {method: (alphas(method, n), models(method, n)) for method in METHODS}
    assert counted["parameter server"] == pytest.approx((2, n + 1), rel=1e-9)
    assert counted["ring all-reduce"] == pytest.approx((2 * (n - 1), 2 * (n - 1) / n), rel=1e-9)
    assert counted["D-PSGD"] == pytest.approx((1, 2), rel=1e-9)


def growth(count, method: str) -> list[float]:
    """By how much a count grows when the workers double, four times over."""
    values = [count(method, n) for n in WORKERS]
    return [after / before for before, after in pairwise(values)]


def linear(ratios: list[float]) -> bool:
    """Ratios that tend to 2: O(N), and no less."""
    return ratios[-1] == pytest.approx(2, rel=0.04) and max(ratios) < 2.5


def constant(ratios: list[float]) -> bool:
    """Ratios that tend to 1: O(1)."""
    return ratios[-1] == pytest.approx(1, rel=0.04) and max(ratios) < 1.3


def test_the_parameter_server_is_o_of_n_alpha_plus_n_b_beta():
    """N B beta as the slides have it. If alpha is a latency, N alpha is an upper bound, for messages are under way together: 2 alpha, whatever N.

    If alpha is what a message costs the server's port, N alpha is what happens.
    """
    assert linear(growth(models, "parameter server"))
    assert linear(growth(overheads, "parameter server"))
    assert constant(growth(alphas, "parameter server"))


def test_ring_all_reduce_is_o_of_n_alpha_plus_b_beta():
    """Not N B beta: so the slides' centralized cost is the parameter server's."""
    assert linear(growth(alphas, "ring all-reduce"))
    assert linear(growth(overheads, "ring all-reduce"))
    assert constant(growth(models, "ring all-reduce"))


def test_d_psgd_is_o_of_alpha_plus_b_beta():
    assert all(constant(growth(count, "D-PSGD")) for count in (alphas, models, overheads))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", WORKERS)
def test_where_nothing_is_shared(method, n):
    """The textbook's network: a message has the link for itself, so the server's N B beta is gone too."""
    seconds = later_round(method, n, Network(1.0, 32 * SIZE, sharing="none"))
    steps = 2 * (n - 1)
    expected = {"parameter server": 2 * (1 + 1), "ring all-reduce": steps * (1 + 1 / n), "D-PSGD": 1 + 1}[method]
    assert seconds == pytest.approx(expected, rel=1e-9)

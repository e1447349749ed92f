"""Algorithms, beyond the conformance checks: closed forms on quadratics, error floors, ECD's two indices."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsim import Experiment, NetsimError, topology, train
from netsim.algorithms import DCDPSGD, DPSGD, ECDPSGD, AllReduceSGD, Identity, NaiveCompressedDPSGD, StochasticQuantizer
from netsim.comm.communicator import Communicator
from netsim.comm.recorder import Recorder
from netsim.models import LeastSquares


def trained(task, algorithm, graph, steps=20, **settings):
    return train(
        Experiment(
            task, algorithm, graph, steps, **{"lr": 0.05, "dtype": "float64", "record": range(steps + 1), **settings}
        )
    )


def models(run):
    return np.stack(list(run.trajectory(run.experiment.record).values()))


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_after_one_round_from_equal_models_the_average_is_allreduces_model(data):
    """For any W: it preserves the mean, and equal models mix to themselves."""
    n = data.draw(st.integers(2, 7))
    kind = data.draw(st.sampled_from(["ring", "complete", "star", "exponential"]))
    rule = data.draw(st.sampled_from(["metropolis", "max_degree"]))
    graph = getattr(topology, kind)(n, weights=rule)
    task = LeastSquares.random(n, 4, seed=data.draw(st.integers(0, 100)), same_hessian=False)
    central = trained(task, AllReduceSGD(), graph, steps=1).x
    apart = trained(task, DPSGD(), graph, steps=1).x
    np.testing.assert_allclose(apart.mean(axis=0), central[0], rtol=0, atol=1e-12)
    assert np.ptp(central, axis=0).max() == 0


def closed_form_average(task, lr, steps):
    """x̄_t = x* + (I - γ H)^t (x_0 - x*), with the average Hessian."""
    hessian = task.hessians.mean(axis=0)
    values, vectors = np.linalg.eigh(hessian)
    start = task.initial(0) - task.optimum
    return [task.optimum + vectors @ ((1 - lr * values) ** t * (vectors.T @ start)) for t in range(steps + 1)]


@pytest.mark.parametrize("algorithm", [AllReduceSGD(), DPSGD(), DPSGD(gamma=0.5), DPSGD(overlap=False)], ids=repr)
def test_average_follows_its_closed_form_with_equal_hessians(quadratic, algorithm):
    found = models(trained(quadratic, algorithm, topology.ring(8), steps=30)).mean(axis=1)
    np.testing.assert_allclose(found, closed_form_average(quadratic, 0.05, 30), rtol=0, atol=1e-11)


def test_average_leaves_its_closed_form_with_different_hessians():
    task = LeastSquares.random(n=8, dimension=6, seed=3, same_hessian=False)
    wanted = closed_form_average(task, 0.05, 30)
    central = models(trained(task, AllReduceSGD(), topology.ring(8), steps=30)).mean(axis=1)
    np.testing.assert_allclose(central, wanted, rtol=0, atol=1e-11)
    apart = models(trained(task, DPSGD(), topology.ring(8), steps=30)).mean(axis=1)
    assert np.abs(apart - wanted).max() > 1e-4


def test_naive_compression_stays_at_a_floor_where_dcd_and_dpsgd_converge():
    """The paper's reason for DCD: the naive error does not vanish, whatever the step."""
    task = LeastSquares.random(n=8, dimension=6, seed=3, spread=0.0)
    graph, compress = topology.ring(8), StochasticQuantizer(4)

    def gap(algorithm):
        return trained(task, algorithm, graph, steps=400, lr=0.2).history.loss.values[-1] - task.optimal_loss

    assert gap(DPSGD()) < 1e-10
    assert gap(DCDPSGD(compress)) < 1e-10
    assert gap(NaiveCompressedDPSGD(compress)) > 1e-5


def test_ecd_estimate_error_times_t_is_bounded_and_the_listing_doubles_the_first():
    """E||x̃_t - x_t||² <= σ̃²/t (equation after (4)); after the first round s = t + 1 gives C's own error, s = t twice it."""
    task = LeastSquares.random(n=4, dimension=50, seed=0)
    graph = topology.ring(4)
    compress = StochasticQuantizer(4, scale=(-8.0, 8.0))
    x = np.tile(task.initial(0), (4, 1))
    errors = {}
    for index in ("equations", "listing"):
        bound = task.bind(4, 0, np, "float64")
        squared = np.zeros(60)
        for seed in range(20):
            recorder = Recorder(graph)
            comm = Communicator(graph, task.tensors, seed, np, "float64", recorder)
            algorithm = ECDPSGD(compress, index=index)
            state = algorithm.init(x, comm)
            for t in range(60):
                state = algorithm.step(state, lambda y, t=t, bound=bound: bound.gradient(y, t)[1], 0.01, comm)
                recorder.end_round()
                estimate = algorithm.estimate(state, state.posted.value)
                squared[t] += ((estimate - state.x) ** 2).sum(axis=1).mean() / 20
        errors[index] = squared
    step = 16.0 / 15
    variance = 50 * step**2 / 4  # at most, of one unbiased rounding of 50 numbers
    t = np.arange(2, 62)  # the number of the model that is estimated
    assert (errors["equations"] * t <= 4 * variance).all()
    assert 3 < errors["listing"][0] / errors["equations"][0] < 5  # squared: twice the error


@pytest.mark.parametrize(
    ("algorithm", "complaint"),
    [(lambda g, x: (g(x), g(x)), "twice in round 0"), (lambda g, x: None, "did not call gradient in round 0")],
)
def test_gradient_is_called_exactly_once_a_round(quadratic, algorithm, complaint):
    class Wrong(DPSGD):
        def step(self, state, gradient, lr, comm):
            algorithm(gradient, state.x)
            return state

    with pytest.raises(NetsimError, match=complaint):
        trained(quadratic, Wrong(), topology.ring(8), steps=2)


def test_unknown_index():
    with pytest.raises(ValueError, match="equations"):
        ECDPSGD(Identity(), index="paper")

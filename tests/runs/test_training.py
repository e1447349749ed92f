"""Training: the update outside the algorithms, divergence, determinism, and the fields of a Run."""

from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsim import Experiment, NetsimError, topology, train
from netsim.algorithms import (
    DCDPSGD,
    DPSGD,
    AllReduceSGD,
    Identity,
    NaiveCompressedDPSGD,
    RandomSparsifier,
    StochasticQuantizer,
)
from netsim.files.schedules import Cosine
from netsim.models import LeastSquares
from netsim.runs.bounds import remark_bound, theorem1_bound


class Pull:
    """A task with only what is needed: two workers that pull a number to their own places."""

    tensors: ClassVar = {"x": (1,)}

    def initial(self, seed):
        return np.zeros(1)

    def gradient(self, x, step):
        places = np.array([[1.0], [3.0]])
        return ((x - places) ** 2).sum(axis=1) / 2, x - places

    def evaluate(self, x):
        return {"loss": float((x[0] - 2) ** 2)}


@settings(deadline=None, max_examples=20)
@given(
    momentum=st.sampled_from([0.0, 0.5, 0.9]),
    nesterov=st.booleans(),
    decay=st.sampled_from([0.0, 0.1]),
    clip=st.sampled_from([None, 0.5]),
    seed=st.integers(0, 5),
)
def test_update_is_that_of_one_worker_at_a_time(momentum, nesterov, decay, clip, seed):
    """Clipped, then decayed, then with momentum, by a loop over workers in plain Python: D-SGD, gradient first."""
    nesterov = nesterov and momentum > 0
    n, task = 4, LeastSquares.random(4, 5, seed=seed, same_hessian=False)
    graph, schedule = topology.ring(n), Cosine(0.1, 12)
    found = train(
        Experiment(
            task, DPSGD(overlap=False), graph, 8, lr=schedule, momentum=momentum, nesterov=nesterov, weight_decay=decay, clip=clip, dtype="float64"
        )
    ).x  # fmt: skip
    models = [np.zeros(5) for _ in range(n)]
    velocity = [np.zeros(5) for _ in range(n)]
    for step in range(8):
        moved = []
        for i in range(n):
            g = task.hessians[i] @ models[i] - task.linear[i]
            if clip is not None and np.linalg.norm(g) > clip:
                g = g * (clip / np.linalg.norm(g))
            g = g + decay * models[i]
            velocity[i] = momentum * velocity[i] + g
            update = g + momentum * velocity[i] if nesterov else velocity[i]
            moved.append(models[i] - schedule(step) * update)
        models = [sum(graph.weights[i, j] * moved[j] for j in range(n)) for i in range(n)]
    np.testing.assert_allclose(found, models, rtol=0, atol=1e-12)


def test_divergence_is_a_result(quadratic):
    graph = topology.ring(8)
    run = train(Experiment(quadratic, DPSGD(), graph, 200, lr=5.0, dtype="float64", evaluate_every=10))
    assert run.diverged_at is not None and run.diverged_at <= 20
    assert run.trace.rounds == run.diverged_at
    assert run.history.step.values[-1] <= 20
    healthy = train(Experiment(quadratic, DPSGD(), graph, 50, lr=0.05))
    assert healthy.diverged_at is None and np.isfinite(healthy.x).all() and np.isfinite(healthy.history.loss).all()


class Signed(Pull):
    """The same, with a loss that is shifted by a constant and turned over."""

    def __init__(self, shift, factor=1.0):
        self.shift, self.factor = shift, factor

    def evaluate(self, x):
        return {"loss": self.factor * super().evaluate(x)["loss"] + self.shift}


@pytest.mark.parametrize(
    ("task", "diverged_at"),
    [
        (Signed(-1.0, 0.0), None),  # constant
        (Signed(-100.0), None),  # from -96 down to -100
        (Signed(-4.1, -1.0), None),  # from -8.1 up to -4.1, within 9 times 8.1
        (Signed(3.9, -1.0), 1),  # from -0.1, beyond 0.8
        (Signed(0.0), None),
        (Signed(-3.5, 2.0), None),  # from 4.5
        (Signed(4.0, -1.0), None),  # from 0, which says nothing of the size of losses, up to 4
    ],
)
def test_a_loss_below_0_is_not_a_divergence(task, diverged_at):
    """The limit is 9 times the size of the initial loss above it: 10 times the initial loss where that is positive."""
    run = train(Experiment(task, DPSGD(), topology.ring(2), 10, lr=0.5, dtype="float64", evaluate_every=1))
    assert run.diverged_at == diverged_at


def test_the_first_step_that_is_not_finite_is_named():
    """A gradient that is NaN in step 7 only, between two evaluations."""
    task = LeastSquares.random(n=4, dimension=3, seed=0)

    class NotANumber(LeastSquares):
        def bind(self, *args, **settings):
            bound = super().bind(*args, **settings)
            plain = bound.gradient

            class Wrong:
                tensors, initial, evaluate = bound.tensors, staticmethod(bound.initial), staticmethod(bound.evaluate)

                def gradient(self, x, step):
                    loss, grad = plain(x, step)
                    return loss, grad * (np.nan if step == 7 else 1.0)

            return Wrong()

    run = train(
        Experiment(NotANumber(task.features, task.targets), DPSGD(), topology.ring(4), 40, lr=0.01, evaluate_every=10)
    )
    assert run.diverged_at == 8
    assert run.trace.rounds == 8


@pytest.mark.parametrize(
    "algorithm",
    [
        DPSGD(),
        NaiveCompressedDPSGD(StochasticQuantizer(2)),
        DCDPSGD(RandomSparsifier(0.5)),
        AllReduceSGD(StochasticQuantizer(3)),
    ],
    ids=repr,
)
@pytest.mark.bitwise
def test_one_seed_fixes_a_run_bit_for_bit(small_mlp, algorithm):
    def run(seed):
        return train(Experiment(small_mlp, algorithm, topology.ring(4), 12, seed=seed))

    one, two, other = run(1), run(1), run(2)
    np.testing.assert_array_equal(one.x, two.x)
    assert one.history.equals(two.history) and one.trace.fingerprint == two.trace.fingerprint
    assert (one.x != other.x).any()


def test_all_algorithms_see_the_same_start_and_the_same_data(small_mlp):
    """The first batch losses are those of the common model on each worker's own data, whatever the algorithm."""
    graph = topology.ring(4)
    runs = [
        train(Experiment(small_mlp, algorithm, graph, 1, lr=1e-9))
        for algorithm in (AllReduceSGD(), DPSGD(), DCDPSGD(StochasticQuantizer(8)))
    ]
    assert len({float(run.history.batch_loss[-1]) for run in runs}) == 1
    assert len({float(run.history.loss[0]) for run in runs}) == 1


def test_history(small_mlp):
    run = train(Experiment(small_mlp, DPSGD(), topology.ring(4), 10, evaluate="both", evaluate_every=4, record=[0, 10]))
    assert run.history.step.values.tolist() == [0, 4, 8, 10]
    size = sum(int(np.prod(shape)) for shape in small_mlp.tensors.values())
    np.testing.assert_array_equal(run.history.bits.values[:, 0], np.array([0, 4, 8, 10]) * 2 * 32 * size)
    assert run.history.each_loss.shape == (4, 4)
    assert run.history.consensus.values[0] == pytest.approx(0.0, abs=1e-9) and run.history.consensus.values[-1] > 0
    start, end = run.trajectory([0, 10]).values()
    np.testing.assert_array_equal(end, run.x)
    assert np.ptp(start, axis=0).max() == 0
    with pytest.raises(NetsimError, match=r"step 3 was not recorded"):
        run.trajectory([3])


def test_without_epochs_a_run_is_evaluated_fifty_times():
    run = train(Experiment(Pull(), DPSGD(), topology.ring(2), 100, lr=0.1, dtype="float64"))
    assert run.history.step.values.tolist() == list(range(0, 101, 2)) and run.steps_per_epoch is None


def test_a_run_says_where_it_leaves_the_theory(small_mlp):
    graph = topology.ring(8)
    fine = train(Experiment(small_mlp, DCDPSGD(StochasticQuantizer(16)), graph, 5))
    coarse = train(Experiment(small_mlp, DCDPSGD(StochasticQuantizer(2)), graph, 5))
    assert fine.remarks == () and fine.history.attrs["compression_error"] < remark_bound(graph)
    assert coarse.history.attrs["compression_error"] > theorem1_bound(graph)
    assert len(coarse.remarks) == 1 and coarse.remarks[0].startswith("warning") and "0.0732" in coarse.remarks[0]
    assert train(Experiment(small_mlp, DPSGD(), graph, 5)).remarks == ()
    assert train(Experiment(small_mlp, DCDPSGD(Identity()), graph, 5)).remarks == ()


def test_between_the_two_bounds_it_is_a_note():
    from netsim.runs.bounds import remarks

    graph = topology.ring(8)
    assert remarks(graph, 0.06)[0].startswith("note") and "0.0518" in remarks(graph, 0.06)[0]
    assert remarks(graph, 0.05) == () and remarks(graph, None) == ()
    assert remarks(graph, np.nan)[0].startswith("warning")


def test_compression_error_is_the_largest_relative_error_of_what_was_compressed(small_mlp):
    """Held against the models: DCD's difference and what of it arrived, in the first round."""
    graph, compress = topology.ring(4), StochasticQuantizer(4)
    settings = {"lr": 0.1, "dtype": "float64", "record": [0, 1]}
    run = train(Experiment(small_mlp, DCDPSGD(compress), graph, 1, **settings))
    exact = train(Experiment(small_mlp, DPSGD(), graph, 1, **settings))
    start = run.trajectory([0])[0]
    z, arrived = exact.x - start, run.x - start
    assert run.history.attrs["compression_error"] == pytest.approx(
        np.linalg.norm(arrived - z) / np.linalg.norm(z), rel=1e-9
    )


def test_clipping_is_reported(small_mlp):
    algorithm = NaiveCompressedDPSGD(StochasticQuantizer(8, scale=(-0.1, 0.1)))
    run = train(Experiment(small_mlp, algorithm, topology.ring(4), 1, record=[0]))
    assert run.history.attrs["clipped"] == np.mean(np.abs(run.trajectory([0])[0]) > np.float32(0.1)) > 0


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"steps": 0}, "steps"),
        ({"lr": -0.1}, "lr"),
        ({"momentum": 1.0}, "momentum"),
        ({"nesterov": True}, "nesterov"),
        ({"weight_decay": -1}, "weight_decay"),
        ({"clip": 0}, "clip"),
        ({"seed": -1}, "seed"),
        ({"dtype": "float16"}, "dtype"),
        ({"evaluate": "all"}, "evaluate"),
        ({"evaluate_every": 0}, "evaluate_every"),
        ({"record": [99]}, "record"),
        ({"record": 3}, "record"),
        ({"algorithm": "DPSGD"}, "algorithm"),
        ({"algorithm": DPSGD}, "algorithm"),
        ({"algorithm": DCDPSGD("top")}, "DCDPSGD.compress"),
        ({"topology": np.eye(8)}, "topology"),
        ({"target": "x"}, "target"),
        ({"task": None}, "task"),
    ],
    ids=str,
)
def test_wrong_fields_are_named(quadratic, wrong, field):
    with pytest.raises(NetsimError, match=f"^{field} = "):
        Experiment(**{"task": quadratic, "algorithm": DPSGD(), "topology": topology.ring(8), "steps": 5, **wrong})


def test_numpy_numbers_are_numbers(quadratic):
    experiment = Experiment(
        quadratic, DPSGD(), topology.ring(8), np.int64(5), lr=np.float32(0.1), seed=np.int64(1), target=np.float64(1)
    )
    assert train(experiment).trace.rounds == 5


@pytest.mark.parametrize("evaluate", ["each", "both"])
def test_the_loss_is_the_average_models_whatever_is_evaluated_beside_it(small_mlp, evaluate):
    plain = train(Experiment(small_mlp, DPSGD(), topology.ring(4), 6, lr=0.5, evaluate_every=3)).history
    beside = train(
        Experiment(small_mlp, DPSGD(), topology.ring(4), 6, lr=0.5, evaluate_every=3, evaluate=evaluate)
    ).history
    np.testing.assert_array_equal(beside.loss, plain.loss)
    assert beside.each_loss.shape == (3, 4)


def test_a_task_of_another_size_is_refused(quadratic):
    with pytest.raises(ValueError, match="8"):
        train(Experiment(quadratic, DPSGD(), topology.ring(5), 5))


def test_a_task_needs_only_four_names():
    run = train(Experiment(Pull(), DPSGD(), topology.ring(2), 200, lr=0.1, dtype="float64"))
    assert run.history.loss.values[-1] < 1e-12

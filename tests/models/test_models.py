"""The models: gradients, independence of workers, and the contract of a task."""

import pickle

import numpy as np
import pytest
from guard import allow_sync, guard
from hypothesis import given, settings
from hypothesis import strategies as st
from toys import reference, some_models, toy

from netsim.models import MLP, LeastSquares, SoftmaxRegression, digits
from netsim.models.data.partition import split

shapes = st.fixed_dictionaries(
    {
        "features": st.integers(1, 6),
        "hidden": st.lists(st.integers(1, 7), max_size=3).map(tuple),
        "classes": st.integers(2, 5),
        "n": st.integers(1, 4),
        "batch": st.integers(1, 5),
        "l2": st.sampled_from([0.0, 0.3]),
        "seed": st.integers(0, 1000),
        "step": st.integers(0, 9),
    }
)


def task_of(shape):
    data = toy(24, shape["features"], shape["classes"], shape["seed"])
    if shape["hidden"]:
        return MLP(data, shape["hidden"], shape["batch"])
    return SoftmaxRegression(data, shape["batch"], l2=shape["l2"])


# --- gradients -------------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=60)
@given(shape=shapes)
def test_gradients_equal_finite_differences_of_a_plain_loss(shape):
    task, n, step = task_of(shape), shape["n"], shape["step"]
    bound = task.bind(n, shape["seed"], np, "float64")
    x = some_models(task, n, shape["seed"])
    loss, gradient = bound.gradient(x, step)
    index = bound._batches.indices(step)
    toward = np.random.default_rng(1).standard_normal(x.shape)
    for worker in range(n):
        images, labels = task.data.train_x[index[worker]], task.data.train_y[index[worker]]
        value, nearest = reference(task, x[worker], images, labels)
        assert loss[worker] == pytest.approx(value, rel=1e-12, abs=1e-13)
        if nearest < 1e-3:  # a difference across a kink is no derivative
            continue
        for direction in (toward[worker], np.eye(x.shape[1])[step % x.shape[1]]):
            h = 1e-5
            ahead, _ = reference(task, x[worker] + h * direction, images, labels)
            behind, _ = reference(task, x[worker] - h * direction, images, labels)
            assert gradient[worker] @ direction == pytest.approx((ahead - behind) / (2 * h), rel=1e-6, abs=1e-8)


def test_every_single_derivative_of_a_small_network():
    task = MLP(toy(12, 3, 3), hidden=(4, 5), batch=6)
    bound = task.bind(2, 0, np, "float64")
    x = some_models(task, 2, seed=3)
    index = bound._batches.indices(0)
    _, gradient = bound.gradient(x, 0)
    for worker in range(2):
        images, labels = task.data.train_x[index[worker]], task.data.train_y[index[worker]]
        assert reference(task, x[worker], images, labels)[1] > 1e-4
        for k, unit in enumerate(np.eye(x.shape[1]) * 1e-5):
            ahead, behind = (reference(task, x[worker] + d, images, labels)[0] for d in (unit, -unit))
            assert gradient[worker, k] == pytest.approx((ahead - behind) / 2e-5, rel=1e-6, abs=1e-8)


@settings(deadline=None, max_examples=25)
@given(shape=shapes)
def test_gradients_equal_pytorch(shape):
    pytest.importorskip("torch", reason="PyTorch is not installed")
    from oracles.models_torch import gradients

    task, n, step = task_of(shape), shape["n"], shape["step"]
    bound = task.bind(n, shape["seed"], np, "float64")
    x = some_models(task, n, shape["seed"])
    loss, gradient = bound.gradient(x, step)
    index = bound._batches.indices(step)
    widths = (shape["features"], *shape["hidden"], shape["classes"])
    images, labels = task.data.train_x[index].astype(float), task.data.train_y[index].astype(np.int64)
    their_loss, their_gradient = gradients(x, widths, images, labels, getattr(task, "l2", 0.0))
    np.testing.assert_allclose(loss, their_loss, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(gradient, their_gradient, rtol=1e-10, atol=1e-13)


@settings(deadline=None, max_examples=50)
@given(
    n=st.integers(1, 5),
    dimension=st.integers(1, 6),
    same=st.booleans(),
    batch=st.sampled_from([None, 1, 2, 4]),
    seed=st.integers(0, 1000),
)
def test_least_squares_equals_its_definition(n, dimension, same, batch, seed):
    task = LeastSquares.random(n, dimension, seed, same, batch=batch)
    bound = task.bind(n, seed, np, "float64")
    x = some_models(task, n, seed)
    for step in range(3):
        loss, gradient = bound.gradient(x, step)
        for i in range(n):
            rows = slice(None) if batch is None else bound._batches.indices(step)[i] - i * task.features.shape[1]
            a, y = task.features[i, rows], task.targets[i, rows]
            assert loss[i] == pytest.approx(((a @ x[i] - y) ** 2).mean() / 2, rel=1e-9)
            np.testing.assert_allclose(gradient[i], a.T @ (a @ x[i] - y) / len(y), rtol=1e-9, atol=1e-12)


def test_minibatch_gradients_of_an_epoch_average_to_the_full_one():
    task = LeastSquares.random(3, 4, seed=1, same_hessian=False, samples=12, batch=3)
    x = some_models(task, 3)
    bound = task.bind(3, 5)
    assert bound.steps_per_epoch == 4
    mean = np.mean([bound.gradient(x, step)[1] for step in range(4, 8)], axis=0)
    full = LeastSquares(task.features, task.targets).bind(3, 0).gradient(x, 0)[1]
    np.testing.assert_allclose(mean, full, rtol=1e-12)


@pytest.mark.parametrize("same", [True, False])
def test_least_squares_has_the_optimum_it_says(same):
    task = LeastSquares.random(5, 4, seed=2, same_hessian=same)
    assert task.hessians.shape == (5, 4, 4)
    assert task.linear.shape == (5, 4)
    assert (np.ptp(task.hessians, axis=0).max() == 0) == same
    assert np.ptp(task.linear, axis=0).min() > 0
    loss, gradient = task.gradient(np.tile(task.optimum, (5, 1)), 0)
    np.testing.assert_allclose(gradient.mean(axis=0), 0, atol=1e-13)
    assert abs(gradient).max() > 0.1  # no worker's own optimum
    assert loss.mean() == pytest.approx(task.optimal_loss, rel=1e-12)
    stacked, _, _, _ = np.linalg.lstsq(task.features.reshape(-1, 4), task.targets.ravel(), rcond=None)
    np.testing.assert_allclose(task.optimum, stacked, rtol=1e-11)
    at = task.evaluate(task.optimum + 1e-9)
    assert at["excess"] == pytest.approx(0.5e-18 * task.hessians.mean(axis=0).sum(), rel=1e-6)
    away = task.evaluate(np.zeros(4))
    assert away["loss"] == pytest.approx(task.constants.mean(), rel=1e-12)
    assert away["loss"] == pytest.approx((task.targets**2).mean() / 2, rel=1e-12)


def test_without_spread_all_workers_share_one_exact_solution():
    task = LeastSquares.random(4, 3, seed=0, same_hessian=False, spread=0.0)
    _, gradient = task.gradient(np.tile(task.optimum, (4, 1)), 0)
    np.testing.assert_allclose(gradient, 0, atol=1e-12)


# --- workers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["iid", "dirichlet", "contiguous", "by_label"])
@pytest.mark.bitwise
def test_n_workers_at_once_are_n_workers_one_by_one(dtype, kind):
    data, n, seed = digits(), 4, 3
    fields = {"batch": 16, "partition": kind, "alpha": 0.5 if kind == "dirichlet" else None}
    task = MLP(data, hidden=(33, 20), **fields)
    together = task.bind(n, seed, np, dtype)
    x = some_models(task, n, dtype=dtype)
    for i, shard in enumerate(split(kind, data.train_y, n, seed, fields["alpha"])):
        for step in (0, 1, 30):
            index = together._batches.indices(step)[i]
            assert set(index) <= set(shard)
            mine = data._replace(train_x=data.train_x[index], train_y=data.train_y[index])
            alone = MLP(mine, hidden=(33, 20), batch=16, partition="contiguous").bind(1, 0, np, dtype)
            alone._batches.indices = lambda step: np.arange(16)[None]
            loss, gradient = together.gradient(x, step)
            its_loss, its_gradient = alone.gradient(x[i : i + 1], 0)
            np.testing.assert_array_equal(loss[i], its_loss[0])
            np.testing.assert_array_equal(gradient[i], its_gradient[0])


@pytest.mark.parametrize("task", [MLP(digits(), (9,)), SoftmaxRegression(digits(), l2=0.1), LeastSquares.random(4, 3)])
def test_a_worker_depends_on_its_own_model_alone(task):
    bound = task.bind(4, 0, np, "float64")
    x = some_models(task, 4)
    loss, gradient = (a.copy() for a in bound.gradient(x, 0))
    x[2] += 1
    its_loss, its_gradient = bound.gradient(x, 0)
    changed = (its_gradient != gradient).any(axis=1)
    assert changed.tolist() == [False, False, True, False]
    assert (its_loss != loss).tolist() == [False, False, True, False]


@pytest.mark.parametrize(
    "task",
    [
        MLP(digits(), (9,)),
        SoftmaxRegression(digits(), l2=0.1),
        LeastSquares.random(4, 3),
        LeastSquares.random(4, 3, batch=2),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.bitwise
def test_the_task_contract(task, dtype):
    bound = task.bind(4, 7, np, dtype)
    size = sum(int(np.prod(shape)) for shape in task.tensors.values())
    assert dict(bound.tensors) == task.tensors
    first = bound.initial(1)
    assert first.shape == (size,)
    assert first.dtype == np.dtype(dtype)
    np.testing.assert_array_equal(first, task.initial(1).astype(dtype))
    x = np.tile(first, (4, 1)) + some_models(task, 4, dtype=dtype)
    before = x.copy()
    bound.gradient(x, 2)  # whatever was asked before
    loss, gradient = bound.gradient(x, 5)
    assert loss.shape == (4,)
    assert gradient.shape == (4, size)
    assert loss.dtype == gradient.dtype == np.dtype(dtype)
    assert not np.shares_memory(gradient, x)
    np.testing.assert_array_equal(x, before)
    again_loss, again_gradient = task.bind(4, 7, np, dtype).gradient(x, 5)
    np.testing.assert_array_equal(loss, again_loss)
    np.testing.assert_array_equal(gradient, again_gradient)
    x.setflags(write=False)
    assert all(type(value) is float for value in bound.evaluate(x[0]).values())
    assert "loss" in bound.evaluate(x[0])
    np.testing.assert_array_equal(x, before)
    unbound = task.gradient(x, 5), task.evaluate(x[0])
    np.testing.assert_array_equal(unbound[0][1], task.bind(4, 0, np, dtype).gradient(x, 5)[1])
    assert unbound[1] == bound.evaluate(x[0])
    assert len(repr(bound)) < 160
    assert "array" not in repr(bound)
    assert repr(pickle.loads(pickle.dumps(task))) == repr(task)


@pytest.mark.parametrize(
    "task",
    [
        MLP(digits(), (9, 8)),
        SoftmaxRegression(digits(), l2=0.1),
        LeastSquares.random(4, 3),
        LeastSquares.random(4, 3, batch=2),
    ],
)
@pytest.mark.bitwise
def test_on_a_device_that_refuses_numpy(task):
    bound = task.bind(4, 7, guard, "float32")
    on_host = task.bind(4, 7, np, "float32")
    x = some_models(task, 4, dtype=np.float32)
    there = guard.asarray(x)
    for step in (0, 40):
        for ours, theirs in zip(on_host.gradient(x, step), bound.gradient(there, step), strict=True):
            np.testing.assert_array_equal(ours, theirs.get())
    np.testing.assert_array_equal(bound.initial(3).get(), on_host.initial(3))
    with allow_sync():
        assert bound.evaluate(there[0]) == on_host.evaluate(x[0])

"""Classifiers: initial models, training, evaluation, divergence, invalid input."""

import numpy as np
import pytest
from toys import reference, some_models, toy

from netsim.models import MLP, Dataset, LeastSquares, SoftmaxRegression, digits
from netsim.models.dense import evaluated_subset


def test_the_default_network_is_as_large_as_resnet20():
    task = MLP(digits())
    assert list(task.tensors) == ["weight1", "bias1", "weight2", "bias2", "weight3", "bias3"]
    assert task.tensors["weight1"] == (64, 485)
    assert len(task.initial(0)) == 272_095
    assert task.bind(8, 0).steps_per_epoch == 1500 // 8 // 16 == 11
    assert repr(task) == "MLP(data=digits, hidden=(485, 485), batch=16, partition='iid', alpha=None)"


def test_initial_weights_have_the_variance_they_should():
    task = MLP(digits(), hidden=(300, 200))
    x, start = task.initial(5), 0
    for (name, shape), gain in zip(task.tensors.items(), (2, 0, 2, 0, 1, 0), strict=True):
        part = x[start : start + np.prod(shape)]
        start += part.size
        if name.startswith("bias"):
            assert not part.any()
        else:
            assert part.var() == pytest.approx(gain / shape[0], rel=0.1)
    assert not np.array_equal(x, task.initial(6))
    np.testing.assert_array_equal(x, task.initial(5))


@pytest.mark.parametrize("task", [MLP(digits(), (50,)), SoftmaxRegression(digits())])
def test_it_learns_the_digits(task):
    bound = task.bind(4, 0)
    x = np.tile(bound.initial(0), (4, 1))
    start = bound.evaluate(x[0])
    assert start["accuracy"] < 0.4
    for step in range(20 * bound.steps_per_epoch):
        x -= 0.1 * bound.gradient(x, step)[1].mean(axis=0)
    end = bound.evaluate(x[0])
    assert end["loss"] < 0.2
    assert end["accuracy"] > 0.9


def test_evaluation_is_over_all_images_or_a_fixed_part():
    task = MLP(toy(50, 4, 3), hidden=(5,), batch=2)
    x = some_models(task, 1)[0]
    out = task.evaluate(x)
    assert out["loss"] == pytest.approx(reference(task, x, task.data.train_x, task.data.train_y)[0], rel=1e-12)
    assert out["test_loss"] == pytest.approx(reference(task, x, task.data.test_x, task.data.test_y)[0], rel=1e-12)
    np.testing.assert_array_equal(evaluated_subset(2000), np.arange(2000))
    part = evaluated_subset(2001)
    assert len(set(part)) == 2000
    np.testing.assert_array_equal(part, evaluated_subset(2001))

    large = SoftmaxRegression(toy(2300, 4, 3), l2=0.5)
    x, part = some_models(large, 1)[0], evaluated_subset(2300)
    expected, _ = reference(large, x, large.data.train_x[part], large.data.train_y[part])
    assert large.evaluate(x)["loss"] == pytest.approx(expected, rel=1e-12)


def test_accuracy_counts_hits():
    eye = np.eye(3, dtype=np.float32)
    data = Dataset("eye", eye, np.arange(3, dtype=np.uint8), eye, np.array([0, 1, 1], np.uint8), 3)
    x = np.concatenate([np.eye(3).ravel(), np.zeros(3)])
    assert SoftmaxRegression(data, batch=1).evaluate(x)["accuracy"] == pytest.approx(2 / 3)


@pytest.mark.parametrize("size", [1e4, 1e30, np.inf, np.nan])
def test_a_diverged_model_gives_numbers_and_no_warning(size):
    task = MLP(digits(), (9,))
    bound = task.bind(3, 0)
    x = np.tile(bound.initial(0), (3, 1))
    sound = bound.gradient(x, 0)[0].copy()
    with np.errstate(invalid="ignore"):
        x[1] *= size
    loss, gradient = bound.gradient(x, 0)
    np.testing.assert_array_equal(loss[[0, 2]], sound[[0, 2]])
    assert np.isfinite(gradient[[0, 2]]).all()
    assert not loss[1] < 1e3
    assert not bound.evaluate(x[1])["loss"] < 1e3


# --- bad input -------------------------------------------------------------------------------------------------------


def test_bad_fields_are_refused_at_once():
    data = digits()
    for hidden in ((), (0,), (5, -1), (2.5,)):
        with pytest.raises(ValueError, match=r"hidden = .*such as \(485, 485\)"):
            MLP(data, hidden)
    for make in (MLP, SoftmaxRegression):
        for batch in (0, -1, 2.0):
            with pytest.raises(ValueError, match=f"batch = {batch}: write a positive whole number"):
                make(data, batch=batch)
        with pytest.raises(ValueError, match="partition = 'IID' is unknown"):
            make(data, partition="IID")
        with pytest.raises(ValueError, match="needs a number above 0"):
            make(data, partition="dirichlet")
    with pytest.raises(ValueError, match="l2 = -1"):
        SoftmaxRegression(data, l2=-1)
    with pytest.raises(ValueError, match=r"features \(2, 3\) and targets \(2,\) do not fit"):
        LeastSquares(np.zeros((2, 3)), np.zeros(2))
    for batch in (0, 13):
        with pytest.raises(ValueError, match=f"batch = {batch}: write None .* from 1 to 12"):
            LeastSquares.random(2, 3, batch=batch)


def test_binding_refuses_what_cannot_be_shared_out():
    data = digits(train=20)
    with pytest.raises(ValueError, match="21 workers cannot share 20 samples"):
        MLP(data, batch=1).bind(21, 0)
    with pytest.raises(ValueError, match="batch = 6 is more than the 5 samples of the smallest of 4 shards"):
        MLP(data, batch=6).bind(4, 0)
    with pytest.raises(ValueError, match="made for 3 workers"):
        LeastSquares.random(3, 2).bind(4, 0)
    bound = MLP(data, (4,), batch=1).bind(2, 0)
    with pytest.raises(ValueError, match=r"x has shape \(3, 310\).*\(n, P\) = \(2, 310\)"):
        bound.gradient(np.zeros((3, 310), np.float32), 0)


@pytest.mark.bitwise
def test_two_bindings_of_one_task_share_nothing_that_is_written():
    task = MLP(digits(), (4,))
    bound, other = task.bind(2, 0), task.bind(2, 0)
    x = some_models(task, 2, dtype=np.float32)
    _, gradient = bound.gradient(x, 0)
    kept = gradient.copy()
    other.gradient(2 * x, 3)
    np.testing.assert_array_equal(gradient, kept)

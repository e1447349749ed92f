"""PowerSGD: against a loop over workers with their own errors, and in its limits."""

import numpy as np
import pytest
from gossiping import gossip, models, trained
from guard import guard
from oracles.powergossip import powersgd
from quadratic import Quadratic

from netsim import topology
from netsim.algorithms import AllReduceSGD, PowerSGD


@pytest.mark.parametrize("algorithm", [PowerSGD(1), PowerSGD(2), PowerSGD(3), PowerSGD(2, momentum=0.8)], ids=repr)
@pytest.mark.bitwise
def test_like_one_worker_at_a_time(algorithm):
    run = trained(Quadratic(4), algorithm, topology.ring(4), steps=50, lr=0.05, seed=2)
    found = models(run)
    assert (found == found[:, :1]).all()
    np.testing.assert_allclose(
        found[:, 0], powersgd(Quadratic(4), 4, algorithm, 50, lr=0.05, seed=2), rtol=0, atol=1e-10
    )


def test_like_one_worker_at_a_time_on_a_network(small_mlp):
    run = trained(small_mlp, PowerSGD(2), topology.ring(4), steps=50, lr=0.05, seed=2)
    wanted = powersgd(small_mlp.bind(4, 2, np, "float64"), 4, PowerSGD(2), 50, lr=0.05, seed=2)
    np.testing.assert_allclose(models(run)[:, 0], wanted, rtol=0, atol=1e-10)


def test_at_full_rank_it_is_all_reduce():
    task, graph = Quadratic(4), topology.ring(4)
    found, wanted = (models(trained(task, algorithm, graph)) for algorithm in (PowerSGD(9), AllReduceSGD()))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize("rank", [1, 2])
def test_bits_are_those_of_two_all_reduces(rank):
    run = trained(Quadratic(4), PowerSGD(rank), topology.ring(4), steps=3)
    left, right = rank * (6 + 9) + 5, rank * (8 + 5)
    assert (run.trace.bits_per_worker() == 2 * 3 * 32 * (-(-left // 4) + -(-right // 4))).all()


def test_nothing_of_the_updates_is_lost():
    """What was applied and what is still remembered add up to all updates."""
    rng = np.random.default_rng(0)
    updates = rng.normal(size=(20, 3, 14))
    tensors, graph = {"a": (4, 3), "b": (2,)}, topology.ring(3)
    memory = []

    class Given(PowerSGD):
        def step(self, state, gradient, lr, comm):
            after = super().step(state, lambda x: updates[len(memory)], 1.0, comm)
            memory.append(after.error)
            return after

    found, _ = gossip(Given(1), graph, np.zeros((3, 14)), tensors, rounds=20)
    for t, error in enumerate(memory):
        total = -found[t + 1][0] + error.mean(axis=0)
        np.testing.assert_allclose(total, updates[: t + 1].mean(axis=1).sum(axis=0), rtol=0, atol=1e-12)


def test_a_matrix_without_gradient_for_a_while_is_learned_after_it():
    class Asleep(Quadratic):
        def gradient(self, x, step):
            loss, grad = super().gradient(x, step)
            return loss, grad * (step >= 3)

    run = trained(Asleep(4), PowerSGD(1), topology.ring(4), steps=6)
    found = models(run)[:, 0]
    assert (found[3] == 0).all()
    assert (found[4:, :48] != 0).any(axis=1).all()


@pytest.mark.parametrize("algorithm", [PowerSGD(1), PowerSGD(2, momentum=0.8)], ids=repr)
@pytest.mark.bitwise
def test_on_an_array_that_refuses_numpy(algorithm):
    x = np.random.default_rng(0).normal(size=(1, 26)).astype("float32").repeat(4, axis=0)
    tensors = {"a": (4, 3), "b": (2,), "c": (3, 2, 2)}

    class Shrink(type(algorithm)):
        def step(self, state, gradient, lr, comm):
            return super().step(state, lambda y: y, 0.1, comm)

    shrink = Shrink(algorithm.rank, algorithm.momentum)
    found, wanted = (gossip(shrink, topology.ring(4), x, tensors, 4, xp=xp)[0] for xp in (guard, np))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, wanted)


def test_bad_rank():
    with pytest.raises(ValueError, match="rank"):
        PowerSGD(0)

"""Minibatches: their samples, and that they are on the device before the step that reads them."""

import numpy as np
import pytest
from guard import guard
from hypothesis import given, settings
from hypothesis import strategies as st

from netsim.models import MLP, digits
from netsim.models.cnn import CNN
from netsim.models.data.batches import Batches
from netsim.models.draws import generator


@pytest.fixture
def copies(monkeypatch):
    """The shapes of what is copied from the host to the guard's device, in order."""
    found, asarray = [], guard.asarray

    def counting(x, *args, **kwargs):
        if isinstance(x, np.ndarray):
            found.append(x.shape)
        return asarray(x, *args, **kwargs)

    monkeypatch.setitem(guard._made, "asarray", counting)
    return found


def copied_by(copies, work, steps):
    """Return how many copies each step makes."""
    counts = []
    for step in steps:
        before = len(copies)
        work(step)
        counts.append(len(copies) - before)
    return counts


@settings(deadline=None, max_examples=40)
@given(
    n=st.integers(1, 4),
    size=st.integers(1, 12),
    batch=st.integers(1, 12),
    partial=st.booleans(),
    seed=st.integers(0, 9),
)
def test_a_minibatch_is_a_piece_of_the_epochs_order(n, size, batch, partial, seed):
    batch = min(batch, size)
    shards = [np.arange(100 * i, 100 * i + size + i) for i in range(n)]
    batches = Batches(shards, batch, seed, guard, partial)
    read = size if partial else size - size % batch
    for step in range(3 * batches.steps_per_epoch):
        epoch, position = divmod(step, batches.steps_per_epoch)
        found = batches.indices(step)
        for i, shard in enumerate(shards):
            order = generator(seed, "order", i, epoch).permutation(shard)[:read]
            np.testing.assert_array_equal(found[i].get(), order[position * batch : (position + 1) * batch])
        assert found.flags.c_contiguous


@pytest.mark.parametrize("partial", [False, True])
def test_an_epoch_is_copied_once_before_its_first_step(copies, partial):
    batches = Batches([np.arange(11), np.arange(20, 34)], 2, 0, guard, partial)
    steps = batches.steps_per_epoch
    assert copies == [(2 * (11 if partial else 10),)]
    assert copied_by(copies, batches.indices, range(3 * steps)) == 3 * [*[0] * (steps - 1), 1]


def test_an_epoch_of_one_step_is_copied_in_the_one_before(copies):
    batches = Batches([np.arange(3)], 3, 0, guard)
    assert copied_by(copies, batches.indices, [0, 1, 2, 2]) == [1, 1, 1, 0]


def test_skipped_epochs_are_not_copied(copies):
    batches = Batches([np.arange(12)], 3, 0, guard)
    wanted = [batches.indices(step).get() for step in (17, 18, 1)]
    assert copied_by(copies, batches.indices, [17, 18, 1, 1, 2]) == [1, 0, 1, 0, 0]
    for found, step in zip(wanted, (17, 18, 1), strict=True):
        np.testing.assert_array_equal(found, Batches([np.arange(12)], 3, 0, np).indices(step))


@pytest.mark.parametrize("network", [MLP(digits(40), hidden=(5,), batch=4), CNN(digits(40), channels=(2, 2), batch=4)])
def test_only_the_last_gradient_of_an_epoch_copies_to_the_device(copies, network):
    bound = network.bind(2, 0, guard)
    x = guard.asarray(np.tile(network.initial(0), (2, 1)), dtype="float32")
    more = (bound.initial_buffers(2),) if isinstance(network, CNN) else ()
    steps = bound.steps_per_epoch
    assert steps == 5
    counts = copied_by(copies, lambda step: bound.gradient(x, step, *more), range(2 * steps))
    assert counts == 2 * [*[0] * (steps - 1), 1]

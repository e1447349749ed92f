"""Every method runs unchanged on threads that hold only their own rows and the received messages, and gives the models of the stacked run."""

import inspect

import networkx as nx
import numpy as np
import pytest

import netsim.algorithms
from netsim import topology
from netsim.algorithms import (
    DCDPSGD,
    DPSGD,
    ECDPSGD,
    AllReduceSGD,
    ChocoSGD,
    Clip,
    DeepSqueeze,
    DoubleSqueeze,
    EdgeGossip,
    Identity,
    LowRank,
    Moniqua,
    NaiveCompressedDPSGD,
    NearestQuantizer,
    OneBit,
    ParameterServerSGD,
    PowerGossip,
    PowerSGD,
    Projection,
    RandomK,
    RandomMask,
    RandomSparsifier,
    Sign,
    StochasticQuantizer,
    TopK,
)
from netsim.testing.harness import TENSORS, Pull, common, play, scattered
from tests.comm.threaded_comm import run_threaded

ROUNDS, LR = 6, 0.1
GRAPHS = {
    "ring": topology.ring(5),
    "irregular": topology.from_networkx(nx.Graph([(0, 1), (1, 2), (2, 0), (2, 3), (3, 4), (2, 5)])),
    "complete": topology.complete(4),
}
FOUR_BITS = StochasticQuantizer(4)
COMPRESSORS = [
    FOUR_BITS,
    StochasticQuantizer(6, "minmax", unit=7),
    NearestQuantizer(5),
    Sign(),
    OneBit(),
    Clip(16),
    TopK(0.3),
    RandomK(0.3),
    RandomSparsifier(0.6),
    LowRank(1),
    Identity(),
]
BY_UPDATES = [
    AllReduceSGD(),
    PowerSGD(1),
    PowerSGD(2, momentum=0.5),
    ParameterServerSGD(),
    ParameterServerSGD(None, FOUR_BITS),
    DoubleSqueeze(Sign(), FOUR_BITS),
    *[AllReduceSGD(compress) for compress in COMPRESSORS],
    *[ParameterServerSGD(compress, compress) for compress in COMPRESSORS],
    *[DoubleSqueeze(compress) for compress in COMPRESSORS],
]
BY_GOSSIP = [
    DPSGD(),
    DPSGD(0.7, overlap=False),
    *[method(compress) for method in (NaiveCompressedDPSGD, DCDPSGD, ECDPSGD) for compress in COMPRESSORS],
    ECDPSGD(FOUR_BITS, index="listing"),
    *[
        method(compress, 0.3, overlap)
        for method in (ChocoSGD, DeepSqueeze)
        for compress in COMPRESSORS
        for overlap in (False, True)
    ],
    *[
        Moniqua(bits, theta=2.0, gamma=0.5, overlap=overlap, shared_noise=shared)
        for bits in (5, 12)
        for overlap in (False, True)
        for shared in (False, True)
    ],
    PowerGossip(),
    PowerGossip(overlap=False),
    PowerGossip(2, 3, gamma=0.8),
    PowerGossip(2, 2, apply="last", overlap=False),
    PowerGossip(1, 2, warm_start=False),
    *[
        EdgeGossip(family, 0.8, shared, overlap)
        for family in (RandomMask(0.3), Projection(1), Projection(2, "left"))
        for shared in (False, True)
        for overlap in (False, True)
    ],
]
SERVER = (ParameterServerSGD, DoubleSqueeze)


def both(algorithm, graph, start):
    """Return the models, (ROUNDS + 1, n, P), of the stacked run and of a thread a worker."""
    pull = Pull(graph.n, start.shape[1])
    stacked = np.stack(play(algorithm, start, graph, ROUNDS, pull, LR, seed=3).xs)
    server = isinstance(algorithm, SERVER)
    return stacked, run_threaded(algorithm, start, graph, ROUNDS, pull, LR, TENSORS, 3, server)


def held_alike(algorithm, graph, start):
    stacked, threaded = both(algorithm, graph, start)
    assert np.isfinite(stacked).all()
    np.testing.assert_allclose(threaded, stacked, rtol=0, atol=1e-12)


@pytest.mark.parametrize("graph", GRAPHS.values(), ids=GRAPHS)
@pytest.mark.parametrize("algorithm", BY_GOSSIP + BY_UPDATES, ids=repr)
def test_a_training_of_workers_that_hold_their_own_rows(algorithm, graph):
    held_alike(algorithm, graph, common(graph.n, TENSORS))


@pytest.mark.parametrize("algorithm", BY_GOSSIP, ids=repr)
def test_from_different_starts_too(algorithm):
    """Nobody knows its neighbours' models before they tell."""
    graph = GRAPHS["irregular"]
    held_alike(algorithm, graph, scattered(graph.n, TENSORS, 0.3))


def test_no_method_is_left_out():
    public = {name for name in netsim.algorithms.__all__ if _is_method(getattr(netsim.algorithms, name))}
    assert public == {type(one).__name__ for one in BY_GOSSIP + BY_UPDATES}


def _is_method(value):
    return inspect.isclass(value) and hasattr(value, "step") and not getattr(value, "_is_protocol", False)


class MixesBeforeTheWait(DCDPSGD):
    """Averages the models of its neighbours while the changes that lead to them are on their way."""

    def step(self, state, gradient, lr, comm):
        g = gradient(state.x)
        x_half = comm.mix(state.x) - lr * g
        comm.wait(state.posted)
        posted = comm.post(self.compress, x_half - state.x, "post 1" if state.posted is None else "post 2")
        return type(state)(state.x + posted.value, state.x, posted)


class NeverWaits(DPSGD):
    """Averages what is on its way."""

    def step(self, state, gradient, lr, comm):
        return state._replace(x=comm.mix(comm.post(Identity(), state.x).value) - lr * gradient(state.x))


class ReadsWhatWasNotSent(DPSGD):
    """Sends little and averages all."""

    def step(self, state, gradient, lr, comm):
        comm.send(TopK(0.1), state.x)
        return state._replace(x=comm.mix(state.x) - lr * gradient(state.x))


class LooksTwoHopsAway(DPSGD):
    """Averages with the neighbours of its neighbours at once."""

    def step(self, state, gradient, lr, comm):
        said = comm.send(Identity(), state.x)
        return state._replace(x=comm.weights @ (comm.weights @ said) - lr * gradient(state.x))


class WorkersDoTheServersWork(ParameterServerSGD):
    """Every worker averages what all have pushed."""

    def step(self, state, gradient, lr, comm):
        mean = comm.push(Identity(), gradient(state.x)).mean(axis=0, keepdims=True)
        comm.pull(Identity(), mean)
        return state._replace(x=state.x - lr * mean)


class DrawsForItsNeighbour(DPSGD):
    """Adds a number of the next worker's stream."""

    def step(self, state, gradient, lr, comm):
        after = super().step(state, gradient, lr, comm)
        return after._replace(x=after.x + np.roll(comm.key("dither").uniform(after.x.shape[1]), 1, axis=0))


class OneEndComputesForBoth(EdgeGossip):
    """Takes the difference with what the smaller end sent, which the larger end does not know as a row of its own."""

    def step(self, state, gradient, lr, comm):
        g, low, high = gradient(state.x), state.ends.low[0], state.ends.high[0]
        heard_by_low, _ = comm.exchange(state.x[low], state.x[high])
        difference = heard_by_low - state.x[low]
        x = state.x.copy()
        for slot in range(state.ends.edge.shape[1]):
            x += state.ends.rate[:, slot, None] * difference[state.ends.edge[:, slot]]
        return state._replace(x=x - lr * g)


@pytest.mark.parametrize(
    "algorithm",
    [
        MixesBeforeTheWait(FOUR_BITS),
        NeverWaits(),
        ReadsWhatWasNotSent(),
        LooksTwoHopsAway(),
        WorkersDoTheServersWork(),
        DrawsForItsNeighbour(),
        OneEndComputesForBoth(RandomMask(1.0)),
    ],
    ids=lambda algorithm: type(algorithm).__name__,
)
def test_a_method_that_uses_what_a_worker_does_not_hold_is_found(algorithm):
    """They are right as long as all rows stand side by side."""
    stacked, threaded = both(algorithm, GRAPHS["ring"], common(5, TENSORS))
    assert np.isfinite(stacked).all()
    assert not np.allclose(threaded[-1], stacked[-1], rtol=0, atol=1e-6)

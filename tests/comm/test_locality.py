"""Locality: a perturbed gradient travels at most one hop per round."""

import networkx as nx
import numpy as np
import pytest

from netsim import Experiment, topology, train
from netsim.algorithms import (
    DCDPSGD,
    DPSGD,
    ECDPSGD,
    AllReduceSGD,
    ChocoSGD,
    DeepSqueeze,
    DoubleSqueeze,
    Moniqua,
    NaiveCompressedDPSGD,
    NearestQuantizer,
    ParameterServerSGD,
    RandomSparsifier,
    StochasticQuantizer,
)
from netsim.models import LeastSquares

pytestmark = pytest.mark.bitwise

ROUNDS = 5
COMPRESSORS = [
    StochasticQuantizer(8),
    NearestQuantizer(8),
    RandomSparsifier(0.9),
]  # seldom enough drops that a change comes through
AFTER_THE_MIX = [
    DPSGD(),
    *[cls(compress) for cls in (NaiveCompressedDPSGD, DCDPSGD, ECDPSGD) for compress in COMPRESSORS],
    *[cls(compress, 0.5, overlap=True) for cls in (ChocoSGD, DeepSqueeze) for compress in COMPRESSORS],
    Moniqua(16, theta=2.0, gamma=1.0, overlap=True),
    Moniqua(16, theta=2.0, gamma=1.0, overlap=True, shared_noise=False),
]
BEFORE_THE_MIX = [
    DPSGD(overlap=False),
    *[cls(compress, 0.5) for cls in (ChocoSGD, DeepSqueeze) for compress in COMPRESSORS],
    Moniqua(16, theta=2.0, gamma=1.0),
]
GRAPHS = [topology.ring(12), topology.star(6), topology.torus(3, 4), topology.random_regular(12, 3, seed=1)]


class Perturbed(LeastSquares):
    """Worker 0's gradient is off in the first step."""

    def bind(self, *args, **settings):
        bound = super().bind(*args, **settings)
        plain = bound.gradient

        class Shifted:
            tensors, initial, evaluate = bound.tensors, staticmethod(bound.initial), staticmethod(bound.evaluate)

            def gradient(self, x, step):
                loss, grad = plain(x, step)
                if step == 0:
                    grad = grad.copy()
                    grad[0] += 1.0
                return loss, grad

        return Shifted()


def changed(algorithm, graph):
    """Return (rounds, n): whose model differs after each round."""
    plain = LeastSquares.random(graph.n, 16, seed=5, same_hessian=False)
    off = Perturbed(plain.features, plain.targets)
    runs = [
        train(Experiment(task, algorithm, graph, ROUNDS, lr=0.05, dtype="float64", record=range(ROUNDS + 1)))
        for task in (plain, off)
    ]
    before, after = (np.stack(list(run.trajectory(range(1, ROUNDS + 1)).values())) for run in runs)
    return (before != after).any(axis=2)


def distances(graph):
    reach = nx.single_source_shortest_path_length(nx.Graph(graph.edges.tolist()), 0)
    return np.array([reach[i] for i in range(graph.n)])


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph.name)
@pytest.mark.parametrize("algorithm", AFTER_THE_MIX, ids=repr)
def test_gradient_after_the_mix_reaches_k_minus_1_hops_in_k_rounds(algorithm, graph):
    far = distances(graph)
    for k, who in enumerate(changed(algorithm, graph), start=1):
        assert not who[far > k - 1].any()
        assert who[far == k - 1].all()


@pytest.mark.parametrize("graph", GRAPHS, ids=lambda graph: graph.name)
@pytest.mark.parametrize("algorithm", BEFORE_THE_MIX, ids=repr)
def test_gradient_before_the_mix_reaches_k_hops_in_k_rounds(algorithm, graph):
    far = distances(graph)
    for k, who in enumerate(changed(algorithm, graph), start=1):
        assert not who[far > k].any()
        assert who[far == k].all()


@pytest.mark.parametrize(
    "algorithm",
    [
        AllReduceSGD(),
        AllReduceSGD(StochasticQuantizer(8)),
        ParameterServerSGD(),
        ParameterServerSGD(StochasticQuantizer(8), StochasticQuantizer(8)),
        DoubleSqueeze(StochasticQuantizer(8)),
    ],
    ids=repr,
)
def test_centralized_methods_reach_everybody_at_once(algorithm):
    assert changed(algorithm, topology.ring(12)).all()

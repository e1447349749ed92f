"""Parameter server, DoubleSqueeze, CHOCO-SGD and DeepSqueeze: against their oracles, and their properties."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.methods import train_slowly
from rounds import ROUNDS, models, name, scattered, states, trained

from netsim import Network, replay, topology
from netsim.algorithms import (
    DPSGD,
    ChocoSGD,
    DeepSqueeze,
    DoubleSqueeze,
    Identity,
    Moniqua,
    NearestQuantizer,
    ParameterServerSGD,
    RandomSparsifier,
    Sign,
    StochasticQuantizer,
    TopK,
)
from netsim.models import LeastSquares

FOUR_BITS = StochasticQuantizer(4)
COMPRESSORS = [
    FOUR_BITS,
    StochasticQuantizer(3, shrink=0.5),
    NearestQuantizer(4),
    RandomSparsifier(0.9),
    Sign(),
    TopK(0.3),
]
GOSSIP = [
    ChocoSGD(FOUR_BITS, 0.4),
    ChocoSGD(NearestQuantizer(3), 0.3, overlap=True),
    ChocoSGD(Sign(), 0.1),
    ChocoSGD(TopK(0.3), 0.2, overlap=True),
    DeepSqueeze(FOUR_BITS, 0.3),
    DeepSqueeze(NearestQuantizer(4), 0.2, overlap=True),
    Moniqua(5, theta=20.0, gamma=0.5),
    Moniqua(8, theta=20.0, gamma=0.5, overlap=True, shared_noise=False),
]


def spread(x):
    return float(((x - x.mean(axis=0)) ** 2).sum())


# against the oracles


@pytest.mark.parametrize(("graph", "momentum"), [(topology.ring(8), 0.0), (topology.star(8), 0.9)], ids=name)
@pytest.mark.parametrize(
    "algorithm",
    [
        ParameterServerSGD(),
        ParameterServerSGD(None, FOUR_BITS),
        DoubleSqueeze(NearestQuantizer(4), FOUR_BITS),
        *[cls(compress) for cls in (ParameterServerSGD, DoubleSqueeze) for compress in COMPRESSORS],
        *[
            cls(compress, 0.3, overlap)
            for cls in (ChocoSGD, DeepSqueeze)
            for compress in COMPRESSORS
            for overlap in (False, True)
        ],
    ],
    ids=repr,
)
def test_agrees_with_workers_that_know_only_their_mailboxes(algorithm, graph, momentum):
    task = LeastSquares.random(8, 12, seed=3, same_hessian=False, batch=5)
    run = trained(task, algorithm, graph, momentum=momentum, seed=2)
    wanted, _ = train_slowly(task, algorithm, graph, ROUNDS, 0.02, momentum, seed=2)
    assert run.diverged_at is None
    np.testing.assert_allclose(models(run), wanted, rtol=0, atol=1e-10)


def test_other_graphs_and_more_rounds_agree_too():
    task = LeastSquares.random(8, 5, seed=4, same_hessian=False)
    for graph in (topology.hypercube(3), topology.random_regular(8, 3, seed=1), topology.complete(8), topology.ring(2)):
        some = task if graph.n == 8 else LeastSquares.random(2, 5, seed=4, same_hessian=False)
        for algorithm in (ChocoSGD(FOUR_BITS, 0.5), DeepSqueeze(FOUR_BITS, 0.3), Moniqua(6, 5.0, 0.7)):
            wanted, _ = train_slowly(some, algorithm, graph, 80, 0.05)
            found = models(trained(some, algorithm, graph, steps=80, lr=0.05))
            np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-10)


# limits


@pytest.mark.parametrize(
    ("algorithm", "limit"),
    [
        (ChocoSGD(Identity(), 0.4), DPSGD(gamma=0.4, overlap=False)),
        (DeepSqueeze(Identity(), 0.4, overlap=True), DPSGD(gamma=0.4)),
    ],
    ids=repr,
)
def test_without_compression_gamma_is_that_of_dpsgd(small_mlp, algorithm, limit):
    graph = topology.ring(5)
    wanted = models(trained(small_mlp, limit, graph, steps=20, momentum=0.9))
    found = models(trained(small_mlp, algorithm, graph, steps=20, momentum=0.9))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-12)


# consensus


@pytest.mark.parametrize(
    "algorithm", [algorithm for algorithm in GOSSIP if not isinstance(algorithm, ChocoSGD)], ids=repr
)
@pytest.mark.parametrize("graph", [topology.ring(8), topology.torus(3, 3)], ids=name)
def test_gossip_contracts_to_within_a_level(algorithm, graph):
    """Their resolution does not grow finer as the models draw near."""
    first = scattered(graph.n, 30)
    last = states(algorithm, first, graph, 600)[-1].x
    moniqua = isinstance(algorithm, Moniqua)
    level = algorithm.period / (2**algorithm.bits - 1) if moniqua else 2 * np.abs(first).max() / 15
    assert np.abs(last - last.mean(axis=0)).max() < level < np.abs(first - first.mean(axis=0)).max()


def test_deepsqueeze_gossip_alone_stays_at_a_floor_that_falls_with_gamma():
    """It compresses models, not differences: the error it feeds back does not vanish as the models draw near."""
    floors = [
        np.mean(
            [
                spread(state.x)
                for state in states(DeepSqueeze(FOUR_BITS, gamma), scattered(8, 30), topology.ring(8), 300)[-50:]
            ]
        )
        for gamma in (0.4, 0.1)
    ]
    assert 1e-3 < floors[1] < floors[0] / 4


def test_choco_public_copies_follow_the_models():
    last = states(ChocoSGD(FOUR_BITS, 0.4), scattered(8, 30), topology.ring(8), 300)[-1]
    np.testing.assert_allclose(last.x_hat, last.x, rtol=0, atol=1e-6)


def test_deepsqueeze_error_is_what_was_not_sent():
    """Summed over the rounds: what the neighbours heard of a worker is its models less what it still holds back."""
    found = states(DeepSqueeze(FOUR_BITS, 0.3), scattered(8, 30), topology.ring(8), 20)
    heard = sum(before.x + before.error - after.error for before, after in pairwise(found))
    models_so_far = sum(state.x for state in found[:-1])
    np.testing.assert_allclose(heard, models_so_far - found[-1].error, rtol=0, atol=1e-10)


# error feedback


@pytest.mark.parametrize("compress", [FOUR_BITS, NearestQuantizer(2), Sign(), TopK(0.3)], ids=repr)
def test_doublesqueeze_corrected_for_its_errors_is_sgd(quadratic, compress):
    """x̃ = x - γ (mean δ_i + δ) obeys x̃_{t+1} = x̃_t - γ mean g(x_t): equation (4) of the paper's analysis."""
    bound = quadratic.bind(8, 0, np, "float64")
    graph, lr = topology.ring(8), 0.1
    found = states(
        DoubleSqueeze(compress), np.ones((8, 6)), graph, 30, gradient=lambda x: bound.gradient(x, 0)[1], lr=lr
    )
    corrected = [state.x - lr * (state.error.mean(axis=0) + state.server_error) for state in found]
    for t, state in enumerate(found[:-1]):
        mean = bound.gradient(state.x, 0)[1].mean(axis=0)
        np.testing.assert_allclose(corrected[t + 1], corrected[t] - lr * mean, rtol=0, atol=1e-12)
    assert all(np.ptp(state.x, axis=0).max() == 0 for state in found)


def test_error_feedback_repairs_what_a_biased_compressor_breaks(quadratic):
    """With nearest rounding to four levels the parameter server stops away from the optimum, DoubleSqueeze closer to it by orders."""
    coarse = NearestQuantizer(2)

    def gap(algorithm):
        run = trained(quadratic, algorithm, topology.ring(8), steps=400, lr=0.02)
        return run.history.loss.values[-1] - quadratic.optimal_loss

    assert gap(ParameterServerSGD(coarse, coarse)) > 100 * gap(DoubleSqueeze(coarse))


# bits


def vectors_on_the_wire(algorithm, graph, size):
    """Everything that workers and server sent in one round, in full vectors; and a worker's share of it."""
    task = LeastSquares.random(graph.n, size, seed=0)
    trace = trained(task, algorithm, graph, steps=3).trace
    (program,) = trace.programs
    replies = sum(
        graph.n * int(bits[0, 0])
        for operation, bits in zip(program, trace.bits[0], strict=True)
        if operation.kind == "pull"
    )
    pushed = trace.bits_per_worker()[-1]
    return (pushed.sum() + replies) / (32 * size), pushed / (32 * size)


@pytest.mark.parametrize("n", [2, 5, 8])
def test_server_methods_send_what_the_slides_count(n):
    """2N vectors; N (1 + c) with single compression; 2cN with double compression."""
    size, graph = 40, topology.complete(n)
    c = (4 * size + 32) / (32 * size)
    assert vectors_on_the_wire(ParameterServerSGD(), graph, size)[0] == 2 * n
    assert vectors_on_the_wire(ParameterServerSGD(FOUR_BITS), graph, size)[0] == pytest.approx(n * (1 + c), rel=1e-15)
    for algorithm in (ParameterServerSGD(FOUR_BITS, FOUR_BITS), DoubleSqueeze(FOUR_BITS)):
        assert vectors_on_the_wire(algorithm, graph, size)[0] == pytest.approx(2 * c * n, rel=1e-15)


@pytest.mark.parametrize(
    ("algorithm", "bits"),
    [
        (ChocoSGD(FOUR_BITS, 0.4), 4 * 40 + 32),
        (DeepSqueeze(FOUR_BITS, 0.4, overlap=True), 4 * 40 + 32),
        (Moniqua(2, 1.0, 0.4), 2 * 40),
        (Moniqua(9, 1.0, 0.4, overlap=True), 9 * 40),
    ],
    ids=repr,
)
def test_gossip_sends_one_message_to_each_neighbour(algorithm, bits):
    _, share = vectors_on_the_wire(algorithm, topology.star(6), 40)
    np.testing.assert_array_equal(share * 32 * 40, bits * np.array([5, 1, 1, 1, 1, 1]))


# time

SERVER_METHODS = [
    ParameterServerSGD(),
    ParameterServerSGD(FOUR_BITS),
    ParameterServerSGD(None, FOUR_BITS),
    ParameterServerSGD(FOUR_BITS, FOUR_BITS),
    DoubleSqueeze(FOUR_BITS),
]


@cache
def server_trace(algorithm, n):
    return trained(LeastSquares.random(n, 40, seed=0), algorithm, topology.complete(n), steps=4).trace


def both_engines(trace, network):
    by_simpy = replay(trace, network, "simpy")
    np.testing.assert_array_equal(replay(trace, network, "compiled").finish, by_simpy.finish)
    return by_simpy.round_end


@settings(deadline=None, max_examples=60)
@given(
    algorithm=st.sampled_from(SERVER_METHODS),
    n=st.sampled_from([2, 3, 8]),
    alpha=st.just(0.0) | st.floats(1e-12, 1),
    speed=st.floats(1e2, 1e10),
    compute=st.one_of(st.just(0.0), st.floats(1e-6, 1)),
)
def test_round_of_a_server_method(algorithm, n, alpha, speed, compute):
    """The first: compute + alpha + n b/B up and alpha + n b'/B down, as the server's port takes one message at a time.

    Replies reach the workers one after the other, so that the next updates come to the server spaced by b'/B, and it takes in the first of them while
    others still wait for their replies: n of the longer and one of the shorter.
    """
    up = (4 * 40 + 32 if algorithm.compress else 32 * 40) / speed
    both = isinstance(algorithm, DoubleSqueeze) or algorithm.server_compress
    down = (4 * 40 + 32 if both else 32 * 40) / speed
    first = compute + 2 * alpha + n * (up + down)
    later = compute + 2 * alpha + n * max(up, down) + min(up, down)
    ends = both_engines(server_trace(algorithm, n), Network(alpha, speed, compute=compute))
    assert ends.tolist() == pytest.approx([first + k * later for k in range(4)], rel=1e-10)
    apart = both_engines(server_trace(algorithm, n), Network(alpha, speed, compute=compute, sharing="none"))
    assert apart.tolist() == pytest.approx([k * (compute + 2 * alpha + up + down) for k in range(1, 5)], rel=1e-10)


@pytest.mark.parametrize("cls", [ChocoSGD, DeepSqueeze])
def test_overlap_hides_the_exchange_and_gradient_first_does_not(cls):
    network = Network(0.2, 1e3, compute=1.0)
    exchange = 0.2 + 2 * (4 * 40 + 32) / 1e3
    task = LeastSquares.random(5, 40, seed=0)
    for overlap, seconds in ((True, max(1.0, exchange)), (False, 1.0 + exchange)):
        trace = trained(task, cls(FOUR_BITS, 0.3, overlap), topology.ring(5), steps=4).trace
        assert both_engines(trace, network).tolist() == pytest.approx([seconds * k for k in range(1, 5)], rel=1e-12)


def test_legends():
    assert repr(ParameterServerSGD()) == "ParameterServerSGD()"
    assert repr(Moniqua(2, 0.5, 0.3, shared_noise=False)) == "Moniqua(2, 0.5, 0.3, shared_noise=False)"
    assert repr(ChocoSGD(Identity(), 0.5, overlap=True)) == "ChocoSGD(Identity(), 0.5, overlap=True)"

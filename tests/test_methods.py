"""Parameter server, DoubleSqueeze, CHOCO-SGD, DeepSqueeze and Moniqua: against their oracles, and what each promises."""

from functools import cache
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles.methods import train_slowly

from algorithms import (
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
from algorithms.moniqua import _PeriodQuantizer
from models import LeastSquares
from netsim import Experiment, Network, replay, topology, train
from netsim.communicator import Communicator, Recorder
from netsim.device import make_key

ROUNDS = 50
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


def trained(task, algorithm, graph, steps=ROUNDS, **settings):
    return train(
        Experiment(
            task, algorithm, graph, steps, **{"lr": 0.02, "dtype": "float64", "record": range(steps + 1), **settings}
        )
    )


def models(run):
    return np.stack(list(run.trajectory(run.experiment.record).values()))


def states(algorithm, x, graph, rounds, gradient=np.zeros_like, lr=0.0, seed=0):
    """The states before the first round and after each, without a task."""
    recorder = Recorder(graph)
    comm = Communicator(graph, {"x": x.shape[1:]}, seed, np, "float64", recorder)
    found = [algorithm.init(x, comm)]
    for _ in range(rounds):
        found.append(algorithm.step(found[-1], gradient, lr, comm))
        recorder.end_round()
    return found


def name(value):
    return getattr(value, "name", None)


def scattered(n, size, seed=0):
    return np.random.default_rng(seed).standard_normal((n, size)) + 3.0


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


@pytest.mark.parametrize(
    ("graph", "momentum"), [(topology.ring(8), 0.0), (topology.torus(2, 4), 0.9), (topology.star(8), 0.0)], ids=name
)
@pytest.mark.parametrize(
    "algorithm",
    [
        Moniqua(2, theta=0.5, gamma=0.3),
        Moniqua(3, theta=12.0, gamma=0.3, overlap=True),
        Moniqua(5, theta=1.0, gamma=1.0, shared_noise=False),
        Moniqua(12, theta=0.3, gamma=0.5, overlap=True, shared_noise=False),
    ],
    ids=repr,
)
def test_moniqua_agrees_number_by_number_whether_or_not_theta_holds(algorithm, graph, momentum):
    task = LeastSquares.random(8, 12, seed=3, same_hessian=False, batch=5)
    wanted, _ = train_slowly(task, algorithm, graph, ROUNDS, 0.02, momentum, seed=2)
    found = models(trained(task, algorithm, graph, momentum=momentum, seed=2))
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-10)


@pytest.mark.parametrize(("theta", "kept"), [(0.5, False), (12.0, True)])
def test_moniqua_counts_as_many_violations_as_its_oracle(theta, kept):
    task, graph, algorithm = LeastSquares.random(8, 12, seed=3), topology.ring(8), Moniqua(2, theta, 0.3, overlap=True)
    bound = task.bind(8, 0, np, "float64")
    wanted, violations = train_slowly(task, algorithm, graph, ROUNDS, 0.02)
    last = states(algorithm, wanted[0], graph, ROUNDS, lambda x: bound.gradient(x, 0)[1], 0.02)[-1]
    np.testing.assert_allclose(last.x, wanted[-1], rtol=0, atol=1e-10)
    assert last.violations == violations
    assert (violations == 0) == kept


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


@pytest.mark.parametrize("overlap", [False, True])
def test_moniqua_with_many_bits_approaches_dpsgd(quadratic, overlap):
    graph = topology.ring(8)
    wanted = models(trained(quadratic, DPSGD(gamma=0.7, overlap=overlap), graph))
    gaps = [
        np.abs(models(trained(quadratic, Moniqua(bits, 2.0, 0.7, overlap), graph)) - wanted).max() for bits in (8, 16)
    ]
    assert gaps[1] < 1e-3
    assert gaps[1] < gaps[0] / 50


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
    """The fast path must take what has a latency; without one, messages meet in one instant, and it may leave them to SimPy."""
    by_simpy = replay(trace, network, "simpy")
    fast = "recurrence" if network.latency > 1e-6 else "auto"
    np.testing.assert_array_equal(replay(trace, network, fast).finish, by_simpy.finish)
    return by_simpy.round_end


@settings(deadline=None, max_examples=60)
@given(
    algorithm=st.sampled_from(SERVER_METHODS),
    n=st.sampled_from([2, 3, 8]),
    alpha=st.floats(0, 1, allow_subnormal=False),
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


# Moniqua


@settings(deadline=None, max_examples=50)
@given(
    bits=st.integers(2, 16),
    theta=st.floats(1e-3, 1e3),
    shared=st.booleans(),
    dtype=st.sampled_from(["float32", "float64"]),
    seed=st.integers(0, 99),
)
def test_period_quantizer_writes_what_it_bills_and_rounds_to_a_level_beside(bits, theta, shared, dtype, seed):
    period = Moniqua(bits, theta, 1.0).period
    quantizer = _PeriodQuantizer(bits, period, shared)
    x = (np.random.default_rng(seed).uniform(-0.5, 0.5, (3, 37)) * period).astype(dtype)
    x[0, :3] = -period / 2, period / 2, 0
    before = x.copy()
    message = quantizer.compress(x, make_key(seed, "test", 3), {"x": (37,)})
    wire = quantizer.encode(message)
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(quantizer.decode(wire), message.value)
    assert message.value.dtype == dtype
    assert [len(row) for row in wire] == (-(-message.bits // 8)).tolist()
    level = period / (2**bits - 1)
    assert np.abs(message.value - x).max() <= level * (1 + 1e-9) + np.finfo(dtype).eps * period


def test_period_quantizer_is_unbiased_and_shares_its_noise():
    quantizer = _PeriodQuantizer(2, 3.0, True)
    x = np.tile(np.linspace(-1.5, 1.5, 41), (2, 1))
    draws = np.array(
        [quantizer.compress(x, make_key(0, "test", 2, round), {"x": (41,)}).value for round in range(4000)]
    )
    assert (draws[:, 0] == draws[:, 1]).all()
    assert np.abs(draws[:, 0].mean(axis=0) - x[0]).max() < 4.5 * 0.5 / np.sqrt(4000)
    private = _PeriodQuantizer(2, 3.0, False).compress(x, make_key(0, "test", 2), {"x": (41,)}).value
    assert (private[0] != private[1]).any()


def test_equal_models_stay_equal_with_shared_noise_only():
    x = np.tile(scattered(1, 50), (6, 1))
    shared, private = (
        states(Moniqua(2, 1.0, 0.5, shared_noise=shared), x, topology.ring(6), 5)[-1].x for shared in (True, False)
    )
    np.testing.assert_allclose(shared, x, rtol=0, atol=1e-12)
    assert np.abs(private - x).max() > 0.1


def test_violations_are_counted_over_edges_and_rounds_and_move_the_mean():
    graph = topology.ring(5)
    x = np.zeros((5, 3))
    x[1, 0], x[3, 2] = 2.0, 1.0  # each differs from two neighbours; 1.0 is theta itself
    start, one, two = states(Moniqua(8, 1.0, 1e-9), x, graph, 2)
    apart = np.abs(one.x[graph.edges[:, 0]] - one.x[graph.edges[:, 1]]) >= 1.0
    assert (start.violations, one.violations, two.violations) == (0, 4, 4 + apart.sum())
    far = states(Moniqua(8, 1.0, 0.5), 5 * scattered(5, 40), graph, 1)[-1]
    near = states(Moniqua(8, 50.0, 0.5), 5 * scattered(5, 40), graph, 1)[-1]
    assert int(near.violations) == 0 < int(far.violations)
    assert np.abs(far.x - near.x).max() > 0.5


@pytest.mark.parametrize("bits", [1, 17, 2.0, True])
def test_moniqua_refuses_bits_without_a_period(bits):
    with pytest.raises(ValueError, match="from 2 to 16"):
        Moniqua(bits, 1.0, 0.5)


@pytest.mark.parametrize("theta", [0.0, -1.0, float("inf"), float("nan")])
def test_moniqua_refuses_a_theta_that_bounds_nothing(theta):
    with pytest.raises(ValueError, match="theta"):
        Moniqua(2, theta, 0.5)


def test_legends():
    assert repr(ParameterServerSGD()) == "ParameterServerSGD()"
    assert repr(Moniqua(2, 0.5, 0.3, shared_noise=False)) == "Moniqua(2, 0.5, 0.3, shared_noise=False)"
    assert repr(ChocoSGD(Identity(), 0.5, overlap=True)) == "ChocoSGD(Identity(), 0.5, overlap=True)"

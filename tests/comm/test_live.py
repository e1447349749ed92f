"""Training inside the clock, one object a worker, gives the models and the times of train-then-replay."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quadratic import Quadratic

from netsim import Experiment, Network, replay, topology, train
from netsim.algorithms import DCDPSGD, DPSGD, ECDPSGD, AllReduceSGD, NaiveCompressedDPSGD, PowerGossip
from netsim.algorithms.compression import Identity, NearestQuantizer, RandomSparsifier, StochasticQuantizer
from netsim.clock.compute import Exponential, LogNormal, Uniform
from netsim.models.data.datasets import digits
from netsim.models.least_squares import LeastSquares
from netsim.models.mlp import MLP
from netsim.models.softmax import SoftmaxRegression
from tests.oracles.live import live

pytestmark = pytest.mark.bitwise

STEPS, LR, SEED = 4, 0.05, 3

ALGORITHMS = (
    DPSGD(),
    DPSGD(overlap=False),
    DCDPSGD(StochasticQuantizer(8)),
    DCDPSGD(StochasticQuantizer(4, unit=7)),
    DCDPSGD(RandomSparsifier(0.6)),
    DCDPSGD(Identity()),
    ECDPSGD(StochasticQuantizer(8)),
    ECDPSGD(StochasticQuantizer(6, scale="minmax"), index="listing"),
    NaiveCompressedDPSGD(NearestQuantizer(8)),
    AllReduceSGD(),
    AllReduceSGD(RandomSparsifier(0.5)),
    PowerGossip(iterations=3, gamma=0.8),
    PowerGossip(overlap=False),
)
TOPOLOGIES = (
    topology.ring(2),
    topology.ring(3),
    topology.ring(6),
    topology.star(5),
    topology.complete(4),
    topology.random_regular(6, 3, seed=1),
)


@cache
def problem(name: str, n: int):
    if name == "least squares":
        return LeastSquares.random(n, 17, seed=2, same_hessian=False, batch=8)
    if name == "matrices":  # the first two workers are equal for two rounds, so that messages differ by edge
        return Quadratic(n, alike=2)
    if name == "softmax":
        return SoftmaxRegression(digits(), batch=4)
    return MLP(digits(), hidden=(6,), batch=4)


@cache
def trained(algorithm, graph: topology.Topology, name: str, rounds: int = STEPS):
    run = train(
        Experiment(
            problem(name, graph.n),
            algorithm,
            graph,
            steps=rounds,
            lr=LR,
            seed=SEED,
            device="cpu",
            dtype="float64",
            evaluate_every=rounds,
            record=range(rounds + 1),
        )
    )
    assert run.diverged_at is None
    return run


def check(algorithm, graph, network, name="least squares", rounds=STEPS) -> None:
    """Hold both engines to the live run."""
    run = trained(algorithm, graph, name, rounds)
    lived = live(problem(name, graph.n), algorithm, graph, rounds, LR, network, SEED)
    steps = range(rounds + 1)
    models = run.trajectory(steps)
    for step in steps:
        np.testing.assert_allclose(lived.models[step], models[step], rtol=0, atol=1e-10, err_msg=f"after step {step}")
    for engine in ("simpy", "compiled"):
        timeline = replay(run.trace, network, engine)
        assert timeline.messages == lived.messages
        np.testing.assert_array_equal(timeline.finish, lived.finish)


def per_link(n: int, low: float, high: float, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(low, high, (n, n))


def networks(n: int) -> dict[str, Network]:
    """Networks on which messages of about a thousand bits take about as long as a gradient."""
    latency, bandwidth = per_link(n, 0, 4e-3), per_link(n, 2e5, 2e6, 1)
    own = np.linspace(1e-3, 4e-3, n)
    return {
        "plain": Network(1e-3, 1e6, compute=2e-3),
        "no compute": Network(1e-3, 1e6),
        "per worker": Network(1e-3, 1e6, compute=own),
        "log-normal": Network(1e-3, 1e6, compute=LogNormal(2e-3, 0.5, seed=1)),
        "exponential": Network(1e-4, 1e6, compute=Exponential(own, seed=2)),
        "per link": Network(latency, bandwidth, compute=LogNormal(2e-3, 1.0, seed=3)),
        "half": Network(latency, bandwidth, compute=Exponential(2e-3, seed=4), duplex="half"),
        "half, in step": Network(1e-3, 1e6, compute=2e-3, duplex="half"),
        "handshakes": Network(latency, bandwidth, compute=Uniform(1e-3, 3e-3, seed=5), handshakes=2, overhead=1e-4),
        "half, handshakes": Network(1e-3, 1e6, compute=own, duplex="half", handshakes=1, overhead=1e-4),
        "framing, ports": Network(
            latency, bandwidth, compute=own, framing=1.0456, egress=per_link(n, 1e5, 1e6)[0], ingress=3e5
        ),
        "codec": Network(1e-3, 1e6, compute=LogNormal(2e-3, 0.5, seed=6), codec=(1e-5, 3e-5)),
        "free": Network(0.0, np.inf, compute=LogNormal(2e-3, 0.5, seed=7)),
        "no latency": Network(0.0, bandwidth, compute=2e-3, duplex="half"),
        "none": Network(1e-3, 1e6, compute=LogNormal(2e-3, 0.5, seed=8), sharing="none"),
        "none, per link": Network(
            latency,
            bandwidth,
            compute=Exponential(2e-3, seed=9),
            sharing="none",
            handshakes=1,
            overhead=1e-4,
            framing=1.0456,
            codec=1e-5,
        ),
    }


@pytest.mark.parametrize("graph", TOPOLOGIES, ids=lambda graph: graph.name)
@pytest.mark.parametrize("algorithm", [DPSGD(), DCDPSGD(StochasticQuantizer(8))], ids=repr)
def test_equals_train_then_replay(algorithm, graph):
    for network in networks(graph.n).values():
        check(algorithm, graph, network)


@pytest.mark.parametrize(
    "algorithm", [one for one in ALGORITHMS if one not in (DPSGD(), DCDPSGD(StochasticQuantizer(8)))], ids=repr
)
def test_other_algorithms_equal_train_then_replay(algorithm):
    graph = topology.ring(5)
    name = "matrices" if isinstance(algorithm, PowerGossip) else "least squares"
    for network in networks(graph.n).values():
        check(algorithm, graph, network, name)


@pytest.mark.parametrize("algorithm", [one for one in ALGORITHMS if not isinstance(one, PowerGossip)], ids=repr)
def test_fifty_rounds(algorithm):
    check(algorithm, topology.ring(6), Network(1e-3, 1e6, compute=2e-3), rounds=50)


@pytest.mark.parametrize("graph", [topology.star(5), topology.complete(4), topology.ring(2)], ids=lambda one: one.name)
def test_messages_that_differ_by_edge(graph):
    algorithm = PowerGossip(iterations=2)
    for network in networks(graph.n).values():
        check(algorithm, graph, network, "matrices")
    if graph.n > 2:
        sizes = [column.shape for columns in trained(algorithm, graph, "matrices").trace.bits for column in columns]
        assert any(width > graph.n for _, width in sizes)


@pytest.mark.parametrize("name", ["softmax", "MLP"])
@pytest.mark.parametrize(
    "algorithm", [DPSGD(), DCDPSGD(StochasticQuantizer(8)), ECDPSGD(StochasticQuantizer(8, (-2, 2)))], ids=repr
)
def test_equals_train_then_replay_on_digits(algorithm, name):
    """ECD's range is fixed here: where a ReLU is dead, its estimates are float32 numbers, and a scale sits on the edge between two of them."""
    for network in (
        Network(1e-3, 1e7, compute=LogNormal(2e-3, 0.5, seed=1)),
        Network(per_link(5, 0, 4e-3), per_link(5, 2e6, 2e7), compute=Exponential(2e-3), duplex="half"),
    ):
        check(algorithm, topology.ring(5), network, name)


@settings(max_examples=80, deadline=None)
@given(
    algorithm=st.sampled_from(ALGORITHMS),
    graph=st.sampled_from(TOPOLOGIES),
    seed=st.integers(0, 10**6),
    latency=st.sampled_from(["zero", "one", "some", "any"]),
    bandwidth=st.sampled_from(["one", "some", "any"]),
    compute=st.sampled_from(["zero", "one", "some", "exponential", "log-normal"]),
    duplex=st.sampled_from(["full", "half"]),
    sharing=st.sampled_from(["fifo", "fifo", "none"]),
    overhead=st.sampled_from([0.0, 2.0**-10]),
    handshakes=st.integers(0, 2),
    framing=st.sampled_from([1.0, 1.0456]),
    ports=st.booleans(),
    codec=st.sampled_from([None, 2.0**-16, (1e-5, 3e-5)]),
)
def test_equals_train_then_replay_on_random_networks(
    algorithm,
    graph,
    seed,
    latency,
    bandwidth,
    compute,
    duplex,
    sharing,
    overhead,
    handshakes,
    framing,
    ports,
    codec,
):
    random, n = np.random.default_rng(seed), graph.n
    grain = 2.0**-10  # with these, bits over bandwidth are multiples of it too: many ties
    network = Network(
        {
            "zero": 0.0,
            "one": 2 * grain,
            "some": grain * random.integers(0, 4, (n, n)),
            "any": random.uniform(0, 4e-3, (n, n)),
        }[latency],
        {
            "one": 2.0**19,
            "some": 2.0 ** random.integers(17, 21, (n, n)),
            "any": random.uniform(2e5, 2e6, (n, n)),
        }[bandwidth],
        compute={
            "zero": 0.0,
            "one": 2 * grain,
            "some": grain * random.integers(0, 4, n),
            "exponential": Exponential(2e-3, seed),
            "log-normal": LogNormal(2e-3, 0.3, seed),
        }[compute],
        duplex=duplex,
        sharing=sharing,
        overhead=overhead,
        handshakes=handshakes,
        framing=framing,
        egress=2.0 ** random.integers(17, 21, n) if ports else None,
        ingress=random.uniform(2e5, 2e6, n) if ports else None,
        codec=codec,
    )
    check(algorithm, graph, network)


def test_the_live_run_can_tell_a_wrong_round_apart():
    """The comparison is able to fail: another seed, or a learning rate off by a little, is seen."""
    graph, network = topology.ring(6), Network(1e-3, 1e6, compute=2e-3)
    algorithm = DCDPSGD(StochasticQuantizer(8))
    models = trained(algorithm, graph, "least squares").trajectory([STEPS])[STEPS]
    task = problem("least squares", 6)
    for lr, seed in ((LR, SEED + 1), (LR * (1 + 1e-6), SEED)):
        lived = live(task, algorithm, graph, STEPS, lr, network, seed)
        assert np.abs(lived.models[STEPS] - models).max() > 1e-8

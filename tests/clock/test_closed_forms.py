"""The time of a round, in closed form, against replays of real trainings."""

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsim import Experiment, Network, replay, topology, train
from netsim.algorithms import (
    DCDPSGD,
    DPSGD,
    ECDPSGD,
    AllReduceSGD,
    DoubleSqueeze,
    NaiveCompressedDPSGD,
    ParameterServerSGD,
)
from netsim.algorithms.compression import Identity, NearestQuantizer, RandomSparsifier, StochasticQuantizer
from netsim.clock.closed_forms import closed_form_seconds, exchange_seconds, overlaps, server_seconds

ROUNDS = 4


class Pull:
    """The smallest task there is: worker i pulls its model towards i."""

    def __init__(self, size: int) -> None:
        self.tensors = {"x": (size,)}

    def initial(self, seed: int) -> np.ndarray:
        return np.zeros(self.tensors["x"])

    def gradient(self, x: np.ndarray, step: int) -> tuple[np.ndarray, np.ndarray]:
        grad = x - np.arange(len(x), dtype=x.dtype)[:, None]
        return (grad * grad).sum(axis=1), grad

    def evaluate(self, x: np.ndarray) -> dict[str, float]:
        return {"loss": float((x * x).sum()) + 1}


@cache
def trace_of(algorithm, graph, size: int):
    run = train(Experiment(Pull(size), algorithm, graph, steps=ROUNDS, lr=0.01, device="cpu"))
    assert run.trace.rounds == ROUNDS
    return run.trace


def ends(algorithm, graph, size: int, network: Network) -> list[float]:
    """The ends of all rounds, which both engines agree on, as does netsim's own closed form where it applies."""
    trace = trace_of(algorithm, graph, size)
    timeline = replay(trace, network)
    np.testing.assert_array_equal(timeline.finish, replay(trace, network, "simpy").finish)
    return timeline.round_end.tolist()


def closed(algorithm, graph, size: int, network: Network) -> list[float]:
    trace = trace_of(algorithm, graph, size)
    return [closed_form_seconds(trace, network, rounds) for rounds in range(1, ROUNDS + 1)]


def every_round(seconds: float, first: float | None = None) -> list[float]:
    first = seconds if first is None else first
    return [first + k * seconds for k in range(ROUNDS)]


def near(values: list[float]) -> object:
    return pytest.approx(values, rel=1e-10, abs=0)


SIZES = st.integers(1, 60)
CONDITIONS = {
    "alpha": st.just(0.0) | st.floats(1e-12, 1),
    "speed": st.floats(1e2, 1e10),
    "compute": st.one_of(st.just(0.0), st.floats(1e-6, 1)),
    "framing": st.sampled_from([1.0, 1.0456]),
}


def conditions(**extra):
    def decorate(test):
        return settings(deadline=None, max_examples=30)(
            given(size=SIZES, condition=st.fixed_dictionaries(CONDITIONS), **extra)(test)
        )

    return decorate


def network_of(condition: dict, **fixed) -> Network:
    return Network(
        condition["alpha"], condition["speed"], compute=condition["compute"], framing=condition["framing"], **fixed
    )


def exchange(condition: dict, degree: int, bits: float, sharing: str = "fifo") -> float:
    """alpha + degree b/B; where nothing is shared alpha + b/B."""
    copies = degree if sharing == "fifo" else 1
    return condition["alpha"] + copies * bits * condition["framing"] / condition["speed"]


def quantized_bits(size: int, bits: int) -> int:
    return size * bits + 32  # a scale


CIRCULANT = st.one_of(  # the same offsets for every worker: in the order of posting no port meets two messages at once
    st.builds(topology.ring, st.integers(2, 8)),
    st.builds(topology.complete, st.integers(2, 6)),
    st.builds(topology.exponential, st.integers(2, 8)),
)
OTHER = (topology.hypercube(3), topology.torus(3, 3), topology.torus(2, 4), topology.random_regular(8, 3, seed=0))
SHARING = st.sampled_from(["fifo", "none"])


def largest_degree(graph) -> int:
    return max(len(graph.neighbours(i)) for i in range(graph.n))


@conditions(n=st.integers(2, 8), sharing=SHARING)
def test_d_psgd_hides_the_exchange_behind_the_gradient(size, condition, n, sharing):
    """max(C, alpha + 2b/B); alpha + b/B for n = 2 and where nothing is shared."""
    network = network_of(condition, sharing=sharing)
    degree = 1 if n == 2 else 2
    expected = every_round(max(condition["compute"], exchange(condition, degree, 32 * size, sharing)))
    assert ends(DPSGD(), topology.ring(n), size, network) == near(expected)
    assert closed(DPSGD(), topology.ring(n), size, network) == near(expected)


@conditions(n=st.integers(2, 8), sharing=SHARING)
def test_gradient_first_hides_nothing(size, condition, n, sharing):
    """C + alpha + 2b/B."""
    network = network_of(condition, sharing=sharing)
    degree = 1 if n == 2 else 2
    expected = every_round(condition["compute"] + exchange(condition, degree, 32 * size, sharing))
    assert ends(DPSGD(overlap=False), topology.ring(n), size, network) == near(expected)
    assert closed(DPSGD(overlap=False), topology.ring(n), size, network) == near(expected)


@pytest.mark.parametrize("algorithm", [DCDPSGD, ECDPSGD])
@conditions(n=st.integers(2, 8), bits=st.sampled_from([1, 4, 8, 16]), sharing=SHARING)
def test_dcd_and_ecd_exchange_compressed_bits_behind_the_next_gradient(algorithm, size, condition, n, bits, sharing):
    """max(C, alpha + 2b/B), after a first round that waits for nothing."""
    network = network_of(condition, sharing=sharing)
    degree, method = (1 if n == 2 else 2), algorithm(StochasticQuantizer(bits))
    round_seconds = max(condition["compute"], exchange(condition, degree, quantized_bits(size, bits), sharing))
    expected = every_round(round_seconds, first=condition["compute"])
    assert ends(method, topology.ring(n), size, network) == near(expected)
    assert closed(method, topology.ring(n), size, network) == near(expected)


@conditions(n=st.integers(2, 8), bits=st.sampled_from([1, 4, 8, 16]), sharing=SHARING)
def test_naive_exchanges_compressed_bits_behind_the_gradient(size, condition, n, bits, sharing):
    network = network_of(condition, sharing=sharing)
    degree, method = (1 if n == 2 else 2), NaiveCompressedDPSGD(NearestQuantizer(bits))
    expected = every_round(max(condition["compute"], exchange(condition, degree, quantized_bits(size, bits), sharing)))
    assert ends(method, topology.ring(n), size, network) == near(expected)
    assert closed(method, topology.ring(n), size, network) == near(expected)


@conditions(n=st.integers(2, 9), sharing=SHARING)
def test_ring_all_reduce(size, condition, n, sharing):
    """C + 2 (n - 1) (alpha + b_max/B), b_max = 32 ceil(P/n)."""
    network = network_of(condition, sharing=sharing)
    step = exchange(condition, 1, 32 * ((size + n - 1) // n))
    expected = every_round(condition["compute"] + 2 * (n - 1) * step)
    assert ends(AllReduceSGD(), topology.ring(n), size, network) == near(expected)
    assert closed(AllReduceSGD(), topology.ring(n), size, network) == near(expected)


@conditions(n=st.integers(2, 8), bits=st.sampled_from([1, 4, 8, 16]), sharing=SHARING)
def test_quantized_centralized(size, condition, n, bits, sharing):
    """C + (n - 1) (alpha + b/B)."""
    network, method = network_of(condition, sharing=sharing), AllReduceSGD(StochasticQuantizer(bits))
    step = exchange(condition, 1, quantized_bits(size, bits))
    expected = every_round(condition["compute"] + (n - 1) * step)
    assert ends(method, topology.ring(n), size, network) == near(expected)
    assert closed(method, topology.ring(n), size, network) == near(expected)


SERVED = {  # by what a push and a reply say: the same, more up, more down
    "both full": (ParameterServerSGD(), 32, 32),
    "pushes 4 bits": (ParameterServerSGD(StochasticQuantizer(4)), 4, 32),
    "both 4 bits": (ParameterServerSGD(StochasticQuantizer(4), StochasticQuantizer(4)), 4, 4),
    "replies 1 bit": (DoubleSqueeze(StochasticQuantizer(8), StochasticQuantizer(1)), 8, 1),
}


@pytest.mark.parametrize("name", SERVED)
@conditions(n=st.integers(2, 8), sharing=SHARING)
def test_parameter_server(name, size, condition, n, sharing):
    """C + 2 alpha + n (up + down), then C + 2 alpha + n max(up, down) + min(up, down): replies leave one by one, and so the next pushes come."""
    network = network_of(condition, sharing=sharing)
    method, *widths = SERVED[name]
    bits = [32 * size if width == 32 else quantized_bits(size, width) for width in widths]
    up, down = (count * condition["framing"] / condition["speed"] for count in bits)
    least = condition["compute"] + 2 * condition["alpha"]
    first, later = least + up + down, least + up + down
    if sharing == "fifo":
        first, later = least + n * (up + down), least + n * max(up, down) + min(up, down)
    assert server_seconds(network, n, *bits) == pytest.approx((first, later), rel=1e-12)
    expected = every_round(later, first)
    assert ends(method, topology.ring(n), size, network) == near(expected)
    assert closed(method, topology.ring(n), size, network) == near(expected)


@pytest.mark.parametrize(
    "fixed", [{"duplex": "half"}, {"overhead": 1e-4}, {"compute": [0.1, 0.2, 0.3, 0.4]}, {"handshakes": 2}], ids=repr
)
def test_the_closed_form_of_the_server_says_where_it_does_not_hold(fixed):
    """There a replay indeed takes another time (on half duplex only where the latency is short enough for replies to meet pushes)."""
    network = Network(1e-5, 1e6, **fixed)
    assert np.isnan(closed(ParameterServerSGD(), topology.ring(4), 12, network)).all()
    plain = Network(1e-5, 1e6, compute=0.1 if "compute" in fixed else 0.0)
    assert ends(ParameterServerSGD(), topology.ring(4), 12, network) != near(
        closed(ParameterServerSGD(), topology.ring(4), 12, plain)
    )


def test_the_server_has_no_closed_form_for_messages_of_different_sizes():
    method = ParameterServerSGD(RandomSparsifier(0.5))
    assert np.isnan(closed(method, topology.ring(4), 30, Network(1e-3, 1e5))).all()


@conditions(graph=CIRCULANT, sharing=SHARING)
def test_exchange_on_circulant_graphs(size, condition, graph, sharing):
    """alpha + d b/B: on a complete graph alpha + (n - 1) b/B."""
    network = network_of(condition, sharing=sharing)
    degree = largest_degree(graph)
    seconds = exchange(condition, degree, 32 * size, sharing)
    assert exchange_seconds(network, graph.n, degree, 32 * size) == pytest.approx(seconds, rel=1e-12)
    expected = every_round(max(condition["compute"], seconds))
    assert ends(DPSGD(), graph, size, network) == near(expected)
    assert closed(DPSGD(), graph, size, network) == near(expected)


@conditions(n=st.integers(2, 7), sharing=SHARING)
def test_exchange_on_a_star(size, condition, n, sharing):
    """alpha + (n - 1) b/B in the first round, to the hub and from it; after that leaves are ahead of the hub."""
    network = network_of(condition, sharing=sharing)
    seconds = condition["compute"] + exchange(condition, n - 1, 32 * size, sharing)
    times = ends(DPSGD(overlap=False), topology.star(n), size, network)
    assert times[0] == pytest.approx(seconds, rel=1e-10)
    assert all(time <= (r + 1) * seconds * (1 + 1e-10) for r, time in enumerate(times))


@pytest.mark.parametrize("graph", OTHER, ids=lambda graph: graph.name)
def test_exchange_on_other_graphs(graph):
    """Messages meet at ports, so an exchange takes more than alpha + d b/B, unless nothing is shared."""
    size, seconds = 10, 32 * 10 / 1e5
    shared = ends(DPSGD(), graph, size, Network(0.0, 1e5))
    assert shared[0] > largest_degree(graph) * seconds * (1 + 1e-9)
    alone = ends(DPSGD(), graph, size, Network(1e-3, 1e5, sharing="none"))
    assert alone == near(every_round(1e-3 + seconds))


@pytest.mark.parametrize("sharing", ["fifo", "none"])
@pytest.mark.parametrize("algorithm", [DPSGD(), DPSGD(overlap=False)], ids=repr)
@pytest.mark.parametrize("graph", [*OTHER, topology.star(5)], ids=lambda graph: graph.name)
def test_the_closed_form_holds_on_every_graph_or_says_that_it_does_not(graph, algorithm, sharing):
    network = Network(1e-3, 1e5, compute=5e-3, sharing=sharing)
    formula = closed(algorithm, graph, 10, network)
    assert np.isnan(formula).all() or formula == near(ends(algorithm, graph, 10, network))


@conditions(n=st.integers(2, 8))
def test_ring_exchange_on_half_duplex(size, condition, n):
    """Sends that joined go first, then as many come in: C + max(alpha, 2b/B) + 2b/B; the closed form of full duplex does not apply."""
    network = network_of({**condition, "alpha": condition["alpha"] + 1e-3}, duplex="half")
    transmission = (1 if n == 2 else 2) * 32 * size * condition["framing"] / condition["speed"]
    seconds = max(condition["alpha"] + 1e-3, transmission) + transmission
    expected = every_round(condition["compute"] + seconds)
    assert ends(DPSGD(overlap=False), topology.ring(n), size, network) == near(expected)
    overlapped = every_round(max(condition["compute"], seconds))
    assert ends(DPSGD(), topology.ring(n), size, network) == near(overlapped)
    assert np.isnan(closed(DPSGD(), topology.ring(n), size, network)).all()


@conditions(n=st.integers(2, 8))
def test_ring_all_reduce_on_half_duplex(size, condition, n):
    """Every step sends one message and takes one in through the same port: C + 2 (n - 1) (max(alpha, b/B) + b/B)."""
    network = network_of({**condition, "alpha": condition["alpha"] + 1e-3}, duplex="half")
    transmission = 32 * ((size + n - 1) // n) * condition["framing"] / condition["speed"]
    step = max(condition["alpha"] + 1e-3, transmission) + transmission
    expected = every_round(condition["compute"] + 2 * (n - 1) * step)
    assert ends(AllReduceSGD(), topology.ring(n), size, network) == near(expected)


def test_star_by_hand():
    """The hub takes in the leaves' messages one after the other; leaf k's leaves the hub as its k-th; so leaf 1 is done first."""
    n, size, alpha, speed = 5, 10, 0.5, 1000.0
    finish = replay(trace_of(DPSGD(overlap=False), topology.star(n), size), Network(alpha, speed)).finish[0]
    transmission = 32 * size / speed
    assert finish.tolist() == near([alpha + 4 * transmission, *(alpha + k * transmission for k in range(1, n))])


def test_identity_compression_costs_what_no_compression_costs():
    network = Network(1e-3, 1e5, compute=5e-3, codec=1e-3)  # nothing is encoded
    plain = ends(DPSGD(), topology.ring(5), 30, network)
    assert ends(NaiveCompressedDPSGD(Identity()), topology.ring(5), 30, network) == plain


def test_codec_seconds_are_added_where_they_cannot_be_hidden():
    """Encoded before it is posted; decoded, once for each neighbour, when all are there."""
    size, codec = 50, (1e-4, 3e-4)
    network = Network(1e-3, 1e5, compute=5e-3, codec=codec)
    encode, decode = 50 * 1e-4, 2 * 50 * 3e-4
    seconds = 1e-3 + 2 * (50 * 8 + 32) / 1e5
    naive = ends(NaiveCompressedDPSGD(StochasticQuantizer(8)), topology.ring(5), size, network)
    assert naive == near(every_round(encode + max(5e-3, seconds) + decode))
    dcd = ends(DCDPSGD(StochasticQuantizer(8)), topology.ring(5), size, network)
    assert dcd == near(every_round(max(5e-3, seconds) + decode + encode, first=5e-3 + encode))


@pytest.mark.parametrize(
    "algorithm",
    [DPSGD(), DPSGD(overlap=False), DCDPSGD(StochasticQuantizer(8)), ECDPSGD(StochasticQuantizer(8)), AllReduceSGD()],
    ids=repr,
)
def test_what_overlaps_is_told_from_the_trace(algorithm):
    trace = trace_of(algorithm, topology.ring(4), 12)
    assert overlaps(trace) == (algorithm not in (DPSGD(overlap=False), AllReduceSGD()))


@pytest.mark.parametrize(
    "fixed",
    [
        {"overhead": 1e-6},
        {"handshakes": 1},
        {"codec": 1e-9},
        {"duplex": "half"},
        {"egress": 1.0},
        {"compute": [0.1, 0.1, 0.1, 0.2]},
        {"latency": np.arange(16.0).reshape(4, 4)},
    ],
    ids=repr,
)
def test_the_closed_form_says_where_it_does_not_hold(fixed):
    network = Network(**{"latency": 1e-3, "bandwidth": 1e6, **fixed})
    assert np.isnan(closed(DPSGD(), topology.ring(4), 12, network)).all()


def test_the_closed_form_says_nothing_about_messages_of_different_sizes():
    method = DCDPSGD(RandomSparsifier(0.5))
    sizes = trace_of(method, topology.ring(4), 30).bits
    assert any(len(np.unique(column)) > 1 for columns in sizes for column in columns)
    assert np.isnan(closed(method, topology.ring(4), 30, Network(1e-3, 1e5))).all()

"""Costs of a round other than messages: gradient times, by their models, encoding and decoding."""

import numpy as np
import pytest
from sending import BITS, A, B, T, exactly

from netsim import NetsimError, Network, Trace, replay, topology
from netsim.clock.compute import Exponential, LogNormal, Uniform, compute_seconds, in_words
from netsim.comm.trace import Operation


def test_numpy_numbers_are_numbers():
    """Times ahead of the clock are reached exactly, though now + (time - now) is not always time."""
    n, random = 4, np.random.default_rng(9)
    trace = gossip(n, (Operation("post"), Operation("compute"), Operation("wait", 0, 0, 0)), rounds=20, bits=1000)
    for _ in range(20):
        latency, bandwidth = random.uniform(0, 0.01, (n, n)), random.uniform(1e5, 1e7, (n, n))
        times = [
            replay(
                trace,
                Network(
                    latency,
                    bandwidth,
                    compute=LogNormal(2e-3, 1.0, 9),
                    duplex="half",
                    handshakes=1,
                    overhead=number(1e-5),
                ),
                "simpy",
            ).finish
            for number in (float, np.float64)
        ]
        np.testing.assert_array_equal(*times)


def gossip(n: int, *programs: tuple[Operation, ...], rounds: int = 1, bits: int = int(BITS)) -> Trace:
    sizes = tuple(
        tuple(
            np.full((1, 1), bits) if one.kind not in ("compute", "wait") else np.zeros((0, 0), int) for one in program
        )
        for program in programs
    )
    near = tuple(topology.ring(n).neighbours(i) for i in range(n))
    return Trace(n, near, programs, np.zeros(rounds, dtype=int), sizes)


@pytest.mark.parametrize("engine", ["simpy", "compiled"])
def test_codec_seconds(engine):
    """Encoding is once a message, before it is posted; decoding is once for every message received."""
    numbers, codec = 10, (0.01, 0.03)
    posted = gossip(4, (Operation("post", numbers), Operation("wait", numbers, 0, 0)))
    gathered = gossip(4, (Operation("all_gather", numbers),))
    plain = gossip(4, (Operation("post"), Operation("wait")))
    network = Network(A, B, codec=codec)
    assert replay(posted, network, engine).round_end[0] == exactly(0.1 + A + 2 * T + 2 * 0.3)
    assert replay(gathered, network, engine).round_end[0] == exactly(0.1 + 3 * (A + T) + 3 * 0.3)
    assert replay(plain, network, engine).round_end[0] == exactly(A + 2 * T)
    assert replay(posted, Network(A, B, codec=0.01), engine).round_end[0] == exactly(0.1 + A + 2 * T + 2 * 0.1)


@pytest.mark.parametrize("engine", ["simpy", "compiled"])
def test_compute_is_charged_per_gradient_worker_and_round(engine):
    trace = gossip(3, (Operation("compute"),), rounds=4)
    own = [1.0, 2.0, 4.0]
    np.testing.assert_array_equal(replay(trace, Network(A, B, compute=own), engine).finish, np.outer([1, 2, 3, 4], own))
    model = LogNormal(0.5, 1.0, seed=4)
    timeline = replay(trace, Network(A, B, compute=model), engine)
    np.testing.assert_array_equal(timeline.finish, np.cumsum(model.draw(4, 3), axis=0))
    np.testing.assert_array_equal(timeline.round_end, timeline.finish.max(axis=1))
    assert timeline.messages == 0


def test_a_straggler_spreads_at_one_hop_a_round():
    n, slow = 9, 5.0
    seconds = [slow if i == 0 else 0.1 for i in range(n)]

    class OnceSlow:
        def draw(self, rounds, n):
            table = np.full((rounds, n), 0.1)
            table[0] = seconds
            return table

    trace = gossip(n, (Operation("post"), Operation("compute"), Operation("wait", 0, 0, 0)), rounds=6)
    late = replay(trace, Network(1e-3, 1e9, compute=OnceSlow())).finish >= slow
    hops = np.minimum(np.arange(n), n - np.arange(n))
    # a message of round r is posted before the gradient: the delay of round 0 is seen one hop away in round 1
    np.testing.assert_array_equal(late, hops[None, :] <= np.arange(6)[:, None])


MODELS = (LogNormal(0.1, 0.5, seed=3), Exponential(0.1, seed=3), Uniform(0.1, 0.2, seed=3))


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_a_draw_is_a_function_of_seed_worker_and_round(model):
    table = model.draw(50, 6)
    np.testing.assert_array_equal(model.draw(20, 6), table[:20])  # not of how many rounds there are
    np.testing.assert_array_equal(model.draw(50, 4), table[:, :4])  # nor of how many workers
    np.testing.assert_array_equal(model.draw(50, 6), table)
    other = type(model)(**{**model.__dict__, "seed": 4}).draw(50, 6)
    assert not (other == table).any() and len(np.unique(table)) == table.size


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_a_compute_model_has_its_mean_and_spread(model):
    draws = model.draw(20000, 2)
    mean, deviation = {LogNormal: (0.1, 0.05), Exponential: (0.1, 0.1), Uniform: (0.15, 0.1 / 12**0.5)}[type(model)]
    assert (draws >= 0).all()
    np.testing.assert_allclose(draws.mean(axis=0), mean, atol=5 * deviation / 20000**0.5)
    np.testing.assert_allclose(draws.std(axis=0), deviation, rtol=0.1)


def test_a_compute_model_can_have_a_mean_per_worker():
    own = [0.1, 0.2, 0.4]
    np.testing.assert_allclose(Exponential(own, 1).draw(5, 3), Exponential(1.0, 1).draw(5, 3) * own, rtol=1e-15)


@pytest.mark.parametrize("compute", [[1.0, 2.0], -1.0 * np.ones(3), [1.0, np.nan, 1.0]], ids=repr)
def test_compute_times_that_do_not_fit(compute):
    with pytest.raises(NetsimError, match="compute"):
        compute_seconds(compute, 5, 3)


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: LogNormal(-0.05, 0.3), "mean"),
        (lambda: LogNormal(0.05, -1), "cv"),
        (lambda: Exponential(-1), "mean"),
        (lambda: Uniform(2, 1), "high"),
        (lambda: Uniform(-1, 1), "low"),
    ],
)
def test_a_compute_model_out_of_range_is_named(make, field):
    with pytest.raises(NetsimError, match=f"^{field} = "):
        make()


class Drawn:
    """A compute model that draws what it is told."""

    def __init__(self, drawn):
        self.drawn = drawn

    def draw(self, rounds, n):
        return self.drawn


@pytest.mark.parametrize(
    ("drawn", "what"),
    [
        (np.zeros((2, 2)), r"has shape \(2, 2\)"),
        (np.full((3, 4), np.nan), "finite"),
        (np.full((3, 4), -1.0), "at least 0"),
        (np.full((3, 4), np.inf), "finite"),
        (np.full((3, 4), 1j), "real numbers"),
        ([[1.0], [1.0, 2.0]], "real numbers"),
        ("soon", "real numbers"),
        (None, "real numbers"),
    ],
)
def test_what_a_model_draws_wrongly_names_its_class(drawn, what):
    with pytest.raises(NetsimError, match=rf"^compute = Drawn: draw\(3, 4\).*{what}") as raised:
        compute_seconds(Drawn(drawn), 3, 4)
    assert "\n" not in str(raised.value)


class Hiccups(LogNormal):
    """A user's model."""


@pytest.mark.parametrize(
    ("compute", "words"),
    [
        (0.05, "50 ms"),
        (0.0, "0 s"),
        ([0.01, 0.01, 0.03], "10 ms to 30 ms"),
        (np.full(3, 0.01), "10 ms"),
        (LogNormal(0.01, 0.5, 1), "log-normal, mean 10 ms, cv 0.5"),
        (LogNormal([0.01, 0.03], 0.5), "log-normal, mean 10 ms to 30 ms, cv 0.5"),
        (Exponential(2.0), "exponential, mean 2 s"),
        (Uniform(0.001, 0.02), "uniform, 1 ms to 20 ms"),
        (Hiccups(0.01, 0.5), "Hiccups"),
    ],
)
def test_gradient_times_in_words(compute, words: str) -> None:
    assert in_words(compute) == words

"""Collectives as steps: executing the messages gives every node the result of the collective."""

from itertools import pairwise

import numpy as np
import pytest

from netsim import NetsimError, Network, Trace, replay, topology
from netsim.clock.closed_forms import closed_form_seconds
from netsim.comm.collectives import (
    ALGORITHMS,
    COLLECTIVES,
    Step,
    halving_doubling,
    message_bits,
    ring_all_gather,
    steps_of,
)
from netsim.comm.recorder import Recorder
from netsim.comm.trace import Operation

SIZES = (2, 3, 4, 5, 6, 7, 8, 12, 13, 16, 31)
ALPHA, BANDWIDTH = 1e-3, 1e6


def trace_of(kind: str, n: int, bits: int, rounds: int = 1) -> Trace:
    near = tuple(topology.complete(n).neighbours(i) for i in range(n))
    return Trace(n, near, ((Operation(kind),),), np.zeros(rounds, dtype=int), ((np.array([[bits]]),),))


def deliver(steps, held):
    """Let every node hear, step by step, what its senders held before the step."""
    for step in steps:
        before = [set(one) for one in held]
        for sender, to in enumerate(step.to):
            for receiver in to:
                held[receiver] |= before[sender]
    return held


@pytest.mark.parametrize("algorithm", COLLECTIVES["all_reduce"])
@pytest.mark.parametrize("n", SIZES)
def test_an_all_reduce_lets_everybody_hear_of_everybody(algorithm, n):
    held = deliver(steps_of("all_reduce", n, algorithm), [{i} for i in range(n)])
    assert held == [set(range(n))] * n


@pytest.mark.parametrize("n", SIZES)
def test_an_all_gather_passes_every_contribution_on_once(n):
    held = [{i} for i in range(n)]
    for step in ring_all_gather(n):
        arrived = [(to, item) for to, item in zip(step.to, step.item, strict=True)]
        for sender, ((receiver,), item) in enumerate(arrived):
            assert item in held[sender] and item not in held[receiver]
        for (receiver,), item in arrived:
            held[receiver].add(item)
    assert held == [set(range(n))] * n


@pytest.mark.parametrize("n", SIZES)
def test_halving_doubling_reduces_and_gathers_every_number(n):
    """On real vectors: halves that shrink are added, halves that grow are copied, and all hold the sum in the end."""
    numbers = 64 * 8
    vectors = np.random.default_rng(n).standard_normal((n, numbers))
    power, wanted = 1 << (n.bit_length() - 1), vectors.sum(axis=0)
    have, steps = vectors.copy(), halving_doubling(n)
    span = [(0, numbers) for _ in range(n)]
    if n > power:
        for sender, to in enumerate(steps[0].to):
            for receiver in to:
                have[receiver] += have[sender]
        steps = steps[1:-1]
    half = len(steps) // 2
    for step in steps[:half]:
        before, spans = have.copy(), list(span)
        for i in range(power):
            (partner,) = step.to[i]
            assert spans[partner] == spans[i] and step.to[partner] == (i,)
            low, high = spans[i]
            middle = (low + high) // 2
            keep = (low, middle) if i < partner else (middle, high)
            have[i, slice(*keep)] += before[partner, slice(*keep)]
            assert high - middle == message_bits(32 * numbers, step.parts) / 32
            span[i] = keep
    for step in steps[half:]:
        before, spans = have.copy(), list(span)
        for i in range(power):
            (partner,) = step.to[i]
            have[i, slice(*spans[partner])] = before[partner, slice(*spans[partner])]
            assert spans[partner][1] - spans[partner][0] == message_bits(32 * numbers, step.parts) / 32
            span[i] = (min(spans[i][0], spans[partner][0]), max(spans[i][1], spans[partner][1]))
    if n > power:
        for i, to in enumerate(halving_doubling(n)[-1].to):
            for receiver in to:
                have[receiver] = have[i]
    np.testing.assert_allclose(have, np.tile(wanted, (n, 1)), atol=1e-9)


@pytest.mark.parametrize("n", SIZES)
def test_bits_and_messages_of_an_all_reduce(n):
    """Whatever the algorithm, nobody can send less than 2 (n - 1)/n of the vector on average: both reach it where parts come out even."""
    numbers = 1024 * n
    trace = trace_of("all_reduce", n, 32 * numbers)
    ring, doubling = (trace.bits_per_worker(one) for one in ("ring", "halving-doubling"))
    np.testing.assert_array_equal(ring, np.full((1, n), 32 * 2 * (n - 1) * numbers / n))
    assert trace.messages == 2 * n * (n - 1) == replay(trace, Network(ALPHA, BANDWIDTH)).messages
    if n & (n - 1) == 0:
        np.testing.assert_array_equal(doubling, ring)
        network = Network(ALPHA, BANDWIDTH, collective="halving-doubling")
        assert replay(trace, network).messages == 2 * n * (n.bit_length() - 1)


@pytest.mark.parametrize("engine", ["compiled", "simpy"])
@pytest.mark.parametrize("sharing", ["fifo", "none"])
@pytest.mark.parametrize("n", SIZES)
def test_times_of_an_all_reduce_by_hand(n, sharing, engine):
    """2 (n - 1)(alpha + b/(n B)) around the ring; 2 log p alpha + 2 (p - 1)/p b/B by halving and doubling, and 2 (alpha + b/B) to fold in the rest.

    Where ports are shared, what is folded in may meet a first half at a port, and no formula is given.
    """
    numbers = 2**5 * 3 * 5 * 7 * 13 * 31
    trace, whole = trace_of("all_reduce", n, 32 * numbers), 32 * numbers / BANDWIDTH
    power = 1 << (n.bit_length() - 1)
    wanted = {
        "ring": 2 * (n - 1) * (ALPHA + 32 * -(-numbers // n) / BANDWIDTH),
        "halving-doubling": 2 * (power.bit_length() - 1) * ALPHA
        + 2 * (power - 1) / power * whole
        + (n > power) * 2 * (ALPHA + whole),
    }
    for algorithm, seconds in wanted.items():
        network = Network(ALPHA, BANDWIDTH, sharing=sharing, collective=algorithm)
        found, formula = replay(trace, network, engine).round_end[0], closed_form_seconds(trace, network, 1)
        if sharing == "fifo" and algorithm == "halving-doubling" and n > power:
            assert seconds <= found <= seconds + whole and np.isnan(formula)
            continue
        assert found == pytest.approx(seconds, rel=1e-12)
        assert formula == pytest.approx(seconds, rel=1e-12)


def test_steps_that_run_side_by_side_have_no_closed_form(monkeypatch):
    """A sum over the steps holds only where some messages wait for one another through all of them."""

    def by_tree(n):
        """Reduce up a binomial tree, then broadcast down: leaves send early, whatever the others do."""
        up = []
        for k in range((n - 1).bit_length()):
            senders = {i for i in range(n) if i % 2 ** (k + 1) == 2**k}
            up.append(Step(tuple((i - 2**k,) if i in senders else () for i in range(n)), tuple(range(n))))
        down = [
            Step(tuple(tuple(j for j in range(n) if i in step.to[j]) for i in range(n)), step.item)
            for step in reversed(up)
        ]
        return [*up, *down]

    monkeypatch.setitem(COLLECTIVES["all_reduce"], "tree", by_tree)
    for n in (3, 4, 5, 8):
        trace = trace_of("all_reduce", n, 320_000)
        network = Network(ALPHA, BANDWIDTH, sharing="none", collective="tree")
        formula, found = closed_form_seconds(trace, network, 1), replay(trace, network).round_end[0]
        np.testing.assert_array_equal(found, replay(trace, network, "simpy").round_end[0])
        assert np.isnan(formula) or formula == pytest.approx(found, rel=1e-12)
        assert deliver(by_tree(n), [{i} for i in range(n)]) == [set(range(n))] * n


def test_what_no_formula_knows_has_no_closed_form():
    trace = trace_of("all_reduce", 4, 32_000)
    for other in ({"overhead": 1e-6}, {"handshakes": 1}, {"codec": 1e-9}, {"duplex": "half"}):
        assert np.isnan(closed_form_seconds(trace, Network(ALPHA, BANDWIDTH, **other), 1))
    assert np.isfinite(closed_form_seconds(trace, Network(ALPHA, BANDWIDTH, framing=1.1), 1))


def test_latency_favours_halving_doubling_and_bandwidth_is_the_same():
    trace = trace_of("all_reduce", 16, 32 * 16 * 1000)
    slow, narrow = ({one: replay(trace, Network(a, b, collective=one)).round_end[0] for one in ALGORITHMS}
                    for a, b in ((0.1, 1e12), (1e-9, 1e6)))  # fmt: skip
    assert slow["ring"] / slow["halving-doubling"] == pytest.approx(30 / 8, rel=1e-4)
    assert narrow["ring"] == pytest.approx(narrow["halving-doubling"], rel=1e-4)


def test_what_an_algorithm_does_not_know_is_done_around_the_ring():
    gather = trace_of("all_gather", 5, 1000)
    times = [replay(gather, Network(ALPHA, BANDWIDTH, collective=one)).round_end[0] for one in ALGORITHMS]
    assert all(one == other for one, other in pairwise(times))


def test_a_name_that_nothing_has_is_refused():
    """A kind recorded by hand under a wrong name was once counted as no message, and timed as something else."""
    trace = trace_of("halving_doubling", 4, 1000)
    for use in (lambda: trace.messages, lambda: trace.bits_per_worker(), lambda: replay(trace, Network(1e-3, 1e6))):
        with pytest.raises(NetsimError, match=r"'halving_doubling'.*all_reduce, all_gather, push, pull"):
            use()
    recorder = Recorder(topology.ring(4))
    with pytest.raises(NetsimError, match="'halving_doubling'"):
        recorder.record(Operation("halving_doubling"), 1000)

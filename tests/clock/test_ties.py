"""What happens at one instant: both engines, an exact list of events and words agree on the order."""

from fractions import Fraction

import numpy as np
import pytest
from by_hand import STEPS, build
from hypothesis import given, settings
from hypothesis import strategies as st

from netsim import Network, Trace, replay
from tests.oracles.event_list import finish_times

pytestmark = pytest.mark.bitwise

GRAIN = 2.0**-10  # seconds and bits of which everything is a multiple: floats are exact
ENGINES = ("simpy", "compiled")


def both(programs, network: Network) -> list[float]:
    """Return when each worker finishes, by both engines."""
    by_events, compiled = (
        replay(Trace.from_programs(programs), network, engine).finish[0].tolist() for engine in ENGINES
    )
    assert compiled == by_events
    return by_events


@st.composite
def networks(draw, n: int) -> Network:
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    speeds = [1 / GRAIN, np.inf, 2.0 ** random.integers(9, 12, (n, n))]
    ports = [None, np.inf, 1 / GRAIN, 2.0 ** random.integers(9, 12, n)]
    return Network(
        draw(st.sampled_from([0.0, 0.0, GRAIN, GRAIN * random.integers(0, 2, (n, n))])),
        draw(st.sampled_from(speeds)),
        duplex=draw(st.sampled_from(["full", "half"])),
        sharing=draw(st.sampled_from(["fifo", "fifo", "fifo", "none"])),
        overhead=draw(st.sampled_from([0.0, 0.0, GRAIN])),
        handshakes=draw(st.integers(0, 2)),
        egress=draw(st.sampled_from(ports)),
        ingress=draw(st.sampled_from(ports)),
    )


@settings(deadline=None, max_examples=300)
@given(n=st.integers(2, 5), steps=STEPS, data=st.data())
def test_both_engines_equal_a_list_of_events_where_most_happens_at_once(n, steps, data):
    programs = build(n, [(*step[:3], step[3] % 3) for step in steps], GRAIN)
    network = data.draw(networks(n))
    assert list(map(Fraction, both(programs, network))) == finish_times(programs, network)


@settings(deadline=None, max_examples=100)
@given(n=st.integers(2, 5), steps=STEPS, data=st.data())
def test_where_everybody_hears_from_one_sender_nothing_is_queued_and_the_times_are_the_same(n, steps, data):
    """As in a ring all-reduce: each sends to its neighbour on the right alone."""
    programs = build(n, [(kind, a, 0, size % 3) for kind, a, _, size in steps], GRAIN)
    network = data.draw(networks(n))
    assert list(map(Fraction, both(programs, network))) == finish_times(programs, network)


def test_the_lower_sender_goes_first_even_where_its_message_is_caused_at_that_instant():
    """Worker 0's empty message lets worker 1 send at 0 s too; it comes to worker 2's port before worker 3's, which stood ready."""
    programs = [
        [("send", 1, 0, "go")],
        [("recv", 0, "go"), ("send", 2, 1000, "a")],
        [("recv", 1, "a"), ("compute", 10.0), ("recv", 3, "b")],
        [("send", 2, 1000, "b")],
        [],
    ]
    assert both(programs, Network(0.0, 1000.0)) == [0.0, 0.0, 11.0, 0.0, 0.0]
    programs[2] = [("recv", 3, "b"), ("compute", 10.0)]
    assert both(programs, Network(0.0, 1000.0))[2] == 12.0  # the second at the port


def test_a_message_never_comes_before_the_one_that_caused_it():
    """Worker 4's message lets worker 1 send; worker 3's has gone by then."""
    programs = [
        [],
        [("recv", 4, "go"), ("send", 2, 1000, "a")],
        [("recv", 3, "b"), ("compute", 10.0)],
        [("send", 2, 1000, "b")],
        [("send", 1, 0, "go")],
    ]
    assert both(programs, Network(0.0, 1000.0))[2] == 11.0


@pytest.mark.parametrize("duplex", ["full", "half"])
def test_of_equal_times_the_message_posted_earlier_goes_first(duplex):
    """Worker 3 posts at 0 s over a link of 2 s, worker 1 at 1 s over one of 1 s: both first bits are there at 2 s."""
    latency = np.ones((4, 4))
    latency[3, 2] = 2.0
    programs = [[], [("compute", 1.0), ("send", 2, 1000, "a")], [("recv", 3, "b")], [("send", 2, 1000, "b")]]
    assert both(programs, Network(latency, 1000.0, duplex=duplex))[2] == 3.0

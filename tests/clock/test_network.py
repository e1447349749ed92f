"""The cost of a message, one rule at a time: latency, bandwidth, ports; and invalid networks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sending import BITS, A, B, T, exactly, finish, recv, send

from netsim import NetsimError, Network, topology
from netsim.clock.network import links


def exchange(neighbours: list[list[int]], bits: float = BITS) -> list[list]:
    """Everybody sends to all its neighbours, in the order given, and waits for theirs."""
    return [[send(j, bits) for j in near] + [recv(j) for j in near] for near in neighbours]


def posting_order(n: int) -> list[list[int]]:
    return [list(topology.ring(n).neighbours(i)) for i in range(n)]


# One message, and what slows it down


@pytest.mark.parametrize("sharing", ["fifo", "none"])
@pytest.mark.parametrize("duplex", ["full", "half"])
def test_an_uncontended_message_takes_latency_and_bits_over_bandwidth(sharing, duplex):
    network = Network(A, B, sharing=sharing, duplex=duplex)
    assert finish(network, [send(1)], [recv(0)]) == [0.0, exactly(A + T)]


@given(speeds=st.tuples(*[st.floats(1, 1e6)] * 3), bits=st.floats(0, 1e6), latency=st.just(0.0) | st.floats(1e-12, 10))
@settings(deadline=None, max_examples=50)
def test_the_slowest_of_port_link_and_port_sets_the_pace(speeds, bits, latency):
    egress, link, ingress = speeds
    network = Network(latency, link, egress=[egress, 1.0], ingress=[1.0, ingress])
    assert finish(network, [send(1, bits)], [recv(0)])[1] == exactly(latency + bits / min(speeds))


def test_latency_and_bandwidth_are_from_sender_to_receiver():
    network = Network(np.array([[0, 1.0], [2.0, 0]]), np.array([[9, 100.0], [50.0, 9]]))
    assert finish(network, *exchange([[1], [0]])) == [exactly(2 + 2), exactly(1 + 1)]


def test_a_port_is_as_fast_as_its_fastest_link():
    bandwidth = np.array([[1e9, 1000.0, 500.0], [1e9] * 3, [1e9] * 3])  # the diagonal is no link
    network = Network(A, bandwidth)
    assert finish(network, [send(1), send(2)], [recv(0)], [recv(0)]) == [
        0.0,
        exactly(A + 0.1),
        exactly(0.1 + A + 0.2),  # its first bit leaves after the first message, at 1000 bit/s
    ]


def test_free_messages():
    network = Network(0.0, np.inf)
    assert finish(network, *exchange(posting_order(5))) == [0.0] * 5
    assert finish(Network(A, B), [send(1, 0)], [recv(0)]) == [0.0, A]


def test_overhead_holds_the_senders_port():
    network = Network(A, B, overhead=0.5)
    times = finish(network, [send(1), send(2)], [recv(0)], [recv(0)])
    assert times == [0.0, exactly(0.5 + A + T), exactly(2 * 0.5 + T + A + T)]
    alone = finish(Network(A, B, overhead=0.5, sharing="none"), [send(1), send(2)], [recv(0)], [recv(0)])
    assert alone[1:] == [exactly(0.5 + A + T)] * 2


@pytest.mark.parametrize("handshakes", [1, 2])
def test_handshakes_cost_latency_and_hold_no_port(handshakes):
    programs = [send(1), send(2)], [recv(0)], [recv(0)]
    wait = handshakes * A
    assert finish(Network(A, B, handshakes=handshakes), *programs) == [
        0,
        exactly(wait + A + T),
        exactly(wait + A + 2 * T),
    ]
    assert finish(Network(A, B, handshakes=handshakes, sharing="none"), *programs)[2] == exactly(wait + A + T)


def test_a_message_behind_one_with_a_longer_handshake_goes_first():
    """The queue is by the time of joining: the second message's handshakes are over before the first's."""
    latency = np.array([[0, 1.0, 0.1], [0] * 3, [0] * 3])
    times = finish(Network(latency, B, handshakes=1), [send(1), send(2)], [recv(0)], [recv(0)])
    assert times[1:] == [exactly(1 + T + 1), exactly(0.1 + T + 0.1)]


@pytest.mark.parametrize("sharing", ["fifo", "none"])
def test_framing_multiplies_the_bits(sharing):
    network = Network(A, B, framing=1.0456, sharing=sharing)
    assert finish(network, [send(1)], [recv(0)])[1] == exactly(A + 1.0456 * T)


def test_alpha_beta_is_seconds_a_message_and_seconds_a_byte():
    network = Network.alpha_beta(alpha=A, beta=0.01)
    assert network.sharing == "none"
    assert finish(network, *exchange(posting_order(4), bits=80)) == [exactly(A + 10 * 0.01)] * 4
    assert finish(Network.alpha_beta(alpha=A, beta=0), [send(1)], [recv(0)])[1] == A


# Ports


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8])
def test_ring_exchange(n):
    copies = 1 if n == 2 else 2
    assert finish(Network(A, B), *exchange(posting_order(n))) == [exactly(A + copies * T)] * n
    assert finish(Network(A, B, sharing="none"), *exchange(posting_order(n))) == [exactly(A + T)] * n


@pytest.mark.parametrize("latency", [0.0, 0.5 * T, T, 1.5 * T, 2 * T, 5 * T])
@pytest.mark.parametrize("n", [2, 3, 4, 7])
def test_ring_exchange_on_half_duplex(n, latency):
    """Sends that joined before the first bit came go first; then the port takes in as many."""
    copies = 1 if n == 2 else 2
    times = finish(Network(latency, B, duplex="half"), *exchange(posting_order(n)))
    if latency > 0:
        assert times == [exactly(max(latency, copies * T) + copies * T)] * n
    else:
        assert max(times) == exactly(2 * copies * T)


def test_half_duplex_is_one_port():
    """Worker 1 sends while a message comes in: what came first goes first."""
    late = [("compute", A + T / 2), send(2)]
    full = finish(Network(A, B), [send(1)], [*late, recv(0)], [recv(1)])
    half = finish(Network(A, B, duplex="half"), [send(1)], [*late, recv(0)], [recv(1)])
    assert full[1:] == [exactly(A + T), exactly(A + T / 2 + A + T)]
    assert half[1:] == [exactly(A + T), exactly(A + T + A + T)]


@pytest.mark.parametrize("n", [3, 5, 8])
def test_posting_order_keeps_two_messages_from_meeting_at_a_port(n):
    ordered, by_number = posting_order(n), [sorted(near) for near in posting_order(n)]
    assert ordered == [[(i + 1) % n, (i - 1) % n] for i in range(n)]
    assert finish(Network(A, B), *exchange(ordered)) == [exactly(A + 2 * T)] * n
    assert max(finish(Network(A, B), *exchange(by_number))) == exactly(A + 3 * T)


def test_incast_and_outcast_share_a_port():
    n = 5
    to_hub = [[recv(j) for j in range(1, n)], *[[send(0)]] * (n - 1)]
    assert finish(Network(A, B), *to_hub)[0] == exactly(A + (n - 1) * T)
    assert finish(Network(A, B, ingress=[4 * B, B, B, B, B]), *to_hub)[0] == exactly(A + T)
    from_hub = [[send(j) for j in range(1, n)], *[[recv(0)]] * (n - 1)]
    assert finish(Network(A, B), *from_hub)[1:] == [exactly(A + k * T) for k in range(1, n)]
    assert finish(Network(A, B, sharing="none"), *from_hub)[1:] == [exactly(A + T)] * (n - 1)


def test_first_bit_first_served_and_ties_by_posting_then_by_sender():
    latency = np.zeros((4, 4))
    latency[:, 0] = [0, 3, 2, 2]
    hear = [recv(j, tag) for tag in "a" for j in (1, 2, 3)]
    # 1 posts at 0 and 2, 3 at 1: all first bits come at 3, and 1 was posted first
    echo = [("compute", 1.0), send(0, tag="a")]
    for j, place in ((1, 1), (2, 2), (3, 3)):
        only = [recv(j, "a")]
        times = finish(Network(latency, B), [*only], [send(0, tag="a")], list(echo), list(echo))
        assert times[0] == exactly(3 + place * T)
    assert finish(Network(latency, B), hear, [send(0, tag="a")], echo, echo)[0] == exactly(3 + 3 * T)


def test_a_slow_link_delays_its_message_and_holds_no_port():
    bandwidth = np.full((4, 4), B)
    bandwidth[0, 1] = B / 100
    times = finish(Network(A, bandwidth), [send(1), send(2)], [recv(0), recv(3)], [recv(0)], [("compute", T), send(1)])
    assert times[2] == exactly(A + 2 * T)  # left right after the slow one's bits had left the port
    assert times[1] == exactly(A + 100 * T)
    only_fast = finish(Network(A, bandwidth), [send(1)], [recv(3)], [], [("compute", T), send(1)])
    assert only_fast[1] == exactly(T + A + T)  # nor does it hold the receiver's port


# Bad input


@pytest.mark.parametrize(
    ("field", "value", "right"),
    [
        ("latency", -1e-3, "a time from 1e-12 to 1e6 seconds, or 0"),
        ("latency", float("inf"), "a time from 1e-12 to 1e6 seconds, or 0"),
        ("latency", float("nan"), "a time from 1e-12 to 1e6 seconds, or 0"),
        ("latency", "fast", "a time from 1e-12 to 1e6 seconds, or 0"),
        ("latency", np.array([[0, -1.0], [1.0, 0]]), "a time from 1e-12 to 1e6 seconds, or 0"),
        ("bandwidth", 0, "a bandwidth from 0.001 to 1e18 bit/s, or inf"),
        ("bandwidth", -5e6, "a bandwidth from 0.001 to 1e18 bit/s, or inf"),
        ("bandwidth", float("nan"), "a bandwidth from 0.001 to 1e18 bit/s, or inf"),
        ("bandwidth", None, "a bandwidth from 0.001 to 1e18 bit/s, or inf"),
        ("bandwidth", np.array([[0, 0.0], [1.0, 0]]), "a bandwidth from 0.001 to 1e18 bit/s, or inf"),
        ("compute", -1, "a time from 1e-12 to 1e6 seconds, or 0"),
        ("compute", float("nan"), "a time from 1e-12 to 1e6 seconds, or 0"),
        ("compute", "slow", "draw"),
        ("duplex", "both", '"full" or "half"'),
        ("sharing", "fair", '"fifo" or "none"'),
        ("collective", "star", '"ring" or "halving-doubling"'),
        ("overhead", -1e-6, "a time from 1e-12 to 1e6 seconds, or 0"),
        ("overhead", [0.1, 0.2], "overhead"),
        ("handshakes", -1, "a whole number from 0 to 100"),
        ("handshakes", 1.5, "a whole number from 0 to 100"),
        ("handshakes", 10**40, "a whole number from 0 to 100"),
        ("bandwidth", 5e-324, "a bandwidth from 0.001"),
        ("latency", 1e-323, "a time from 1e-12"),
        ("latency", 1e300, "a time from 1e-12"),
        ("framing", 0.9, "a number from 1 to 100"),
        ("framing", float("inf"), "framing"),
        ("framing", float("nan"), "a number from 1 to 100"),
        ("egress", 0.0, "a bandwidth from 0.001 to 1e18 bit/s, or inf"),
        ("egress", [1.0, -1.0], "a bandwidth from 0.001 to 1e18 bit/s, or inf"),
        ("ingress", "wide", "a bandwidth from 0.001 to 1e18 bit/s, or inf"),
        ("codec", -1.0, "a time from 1e-12 to 1e6 seconds, or 0"),
        ("codec", (1e-9, -1e-9), "a time from 1e-12 to 1e6 seconds, or 0"),
        ("codec", (1.0, 2.0, 3.0), "or a list of 2 of them"),
    ],
    ids=repr,
)
def test_a_bad_field_is_named_with_what_is_right(field, value, right):
    with pytest.raises(NetsimError, match=right) as raised:
        Network(**{"latency": A, "bandwidth": B, field: value})
    line = str(raised.value)
    assert line.startswith(f"{field} = ")
    assert "\n" not in line


@pytest.mark.parametrize("field", ["latency", "bandwidth", "egress", "ingress"])
def test_arrays_that_do_not_fit_the_workers(field):
    value = np.ones((4, 4)) if field in ("latency", "bandwidth") else [1.0, 1.0, 1.0, 1.0]  # 2 workers, a server, and 1
    network = Network(**{"latency": A, "bandwidth": B, field: value})
    with pytest.raises(NetsimError, match=f"{field} has shape") as raised:
        finish(network, [send(1)], [recv(0)])
    assert "\n" not in str(raised.value)


def test_bad_alpha_beta():
    with pytest.raises(NetsimError, match="beta"):
        Network.alpha_beta(alpha=A, beta=-1.0)


def test_a_grid_is_latency_by_bandwidth():
    grid = Network.grid([1e-3, 2e-3], [1e6, 1e7, 1e8], compute=0.5, duplex="half")
    networks = list(grid)
    assert len(grid) == len(networks) == 6
    assert [(one.latency, one.bandwidth) for one in networks] == [(a, b) for a in grid.latency for b in grid.bandwidth]
    assert all(one.compute == 0.5 and one.duplex == "half" for one in networks)
    assert len({one.name for one in networks}) == 6


def test_arrays_are_not_stretched():
    for wrong in ({"bandwidth": np.full(4, 1e6)}, {"egress": [1e6]}, {"latency": np.zeros((1, 4))}):
        with pytest.raises(NetsimError, match=f"{next(iter(wrong))} has shape"):
            links(Network(**{"latency": 1e-3, "bandwidth": 1e6, **wrong}), 4)
    with pytest.raises(NetsimError, match="handshakes"):
        Network(1e-3, 1e6, handshakes=True)
    assert Network.alpha_beta(1e-3, 1e-9, sharing="fifo").sharing == "fifo"

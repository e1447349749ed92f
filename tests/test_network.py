"""What a message costs, one rule at a time, and all together against an exact reference."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsim import NetsimError, Network, Trace, replay, topology
from netsim.compute import Exponential, LogNormal, Uniform, compute_seconds
from netsim.network import links
from netsim.trace import Operation
from tests.oracles.network import Exact

A, B, BITS = 0.25, 1000.0, 100.0  # latency s, bandwidth bit/s, bits of a message
T = BITS / B


def finish(network: Network, *programs: list) -> list[float]:
    return replay(Trace.from_programs(programs), network).finish[0].tolist()


def send(to: int, bits: float = BITS, tag: object = 0) -> tuple:
    return ("send", to, bits, tag)


def recv(sender: int, tag: object = 0) -> tuple:
    return ("recv", sender, tag)


def exchange(neighbours: list[list[int]], bits: float = BITS) -> list[list]:
    """Everybody sends to all its neighbours, in the order given, and waits for theirs."""
    return [[send(j, bits) for j in near] + [recv(j) for j in near] for near in neighbours]


def posting_order(n: int) -> list[list[int]]:
    return [list(topology.ring(n).neighbours(i)) for i in range(n)]


def exactly(value: float) -> object:
    return pytest.approx(value, rel=1e-12, abs=0)


# One message, and what slows it down


@pytest.mark.parametrize("sharing", ["fifo", "none"])
@pytest.mark.parametrize("duplex", ["full", "half"])
def test_an_uncontended_message_takes_latency_and_bits_over_bandwidth(sharing, duplex):
    network = Network(A, B, sharing=sharing, duplex=duplex)
    assert finish(network, [send(1)], [recv(0)]) == [0.0, exactly(A + T)]


@given(speeds=st.tuples(*[st.floats(1, 1e6)] * 3), bits=st.floats(0, 1e6), latency=st.floats(0, 10))
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


def test_messages_of_a_pair_are_delivered_in_order():
    bandwidth = np.full((3, 3), B)
    bandwidth[0, 1] = B / 100
    network = Network(A, bandwidth)
    times = finish(network, [send(1, tag="large"), send(1, 1.0, tag="small")], [recv(0, "small")], [])
    assert times[1] == exactly(A + 100 * T)
    same_tag = finish(network, [send(1), send(1, 1.0)], [recv(0), recv(0)], [])
    assert same_tag[1] == exactly(A + 100 * T)


# Workers


def test_a_send_does_not_block():
    assert finish(Network(A, B), [send(1), send(1, tag=1), ("compute", 0.01)], [])[0] == 0.01


def test_a_message_travels_while_its_receiver_computes():
    for seconds in (0.1, 0.9):
        assert finish(Network(A, B), [send(1)], [("compute", seconds), recv(0)])[1] == exactly(max(seconds, A + T))


def test_flush_waits_for_the_last_bit_to_leave():
    program = [send(1), send(2), ("flush",)]
    assert finish(Network(A, B), program, [], [])[0] == exactly(2 * T)
    assert finish(Network(A, B, overhead=0.5, handshakes=2), program, [], [])[0] == exactly(2 * A + 1 + 2 * T)
    assert finish(Network(A, B, sharing="none"), program, [], [])[0] == exactly(T)
    assert finish(Network(A, B), [*program, ("compute", 1.0), ("flush",)], [], [])[0] == exactly(2 * T + 1)
    busy = finish(Network(A, B, duplex="half"), [("compute", A), send(2), ("flush",)], [send(0)], [])[0]
    assert busy == exactly(A + 2 * T)  # worker 1's message came in at A, posted earlier
    assert finish(Network(A, B), [("flush",)], [])[0] == 0.0


def test_seconds_of_a_trace_by_hand_are_literal():
    assert finish(Network(A, B, compute=7.0), [("compute", 0.5)], []) == [0.5, 0.0]


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


def test_tags_tell_messages_apart():
    programs = [send(1, tag="a"), send(1, tag=("b", 1))], [recv(0, ("b", 1)), ("compute", 1.0), recv(0, "a")]
    assert finish(Network(A, B), *programs)[1] == exactly(A + 2 * T + 1)


def test_an_unmatched_recv_names_worker_and_tag():
    with pytest.raises(NetsimError, match=r"worker 1 .*'x'.* worker 0"):
        Trace.from_programs([[send(1, tag="y")], [recv(0, "x")]])
    with pytest.raises(NetsimError, match=r"worker 1 .*message 2 .*'y'.* worker 0"):
        Trace.from_programs([[send(1, tag="y")], [recv(0, "y"), recv(0, "y")]])


@pytest.mark.parametrize("sharing", ["fifo", "none"])
def test_a_cyclic_wait_names_worker_and_tag(sharing):
    trace = Trace.from_programs([[recv(1, "b"), send(1, tag="a")], [recv(0, "a"), send(0, tag="b")], []])
    with pytest.raises(NetsimError, match=r"worker 0 .*'b'.* worker 1"):
        replay(trace, Network(A, B, sharing=sharing))


@pytest.mark.parametrize(
    ("instruction", "says"),
    [
        (("wait", 1), "begin with one of"),
        ((), "begin with one of"),
        (("send", 1, 5.0), "to, bits, tag"),
        (("recv", 1), "from, tag"),
        (("flush", 1), "flush"),
        (("send", 0, 5.0, 0), "not another worker"),
        (("send", 2, 5.0, 0), "not another worker"),
        (("recv", -1, 0), "not another worker"),
        (("send", 1, -5.0, 0), "at least 0"),
        (("send", 1, float("nan"), 0), "finite"),
        (("compute", -1.0), "at least 0"),
        (("compute", float("inf")), "finite"),
        (("compute", "long"), "compute"),
        (("send", 1, "many", 0), "send"),
    ],
    ids=repr,
)
def test_a_malformed_instruction_is_named(instruction, says):
    with pytest.raises(NetsimError, match=says) as raised:
        Trace.from_programs([[("compute", 1.0), instruction], []])
    line = str(raised.value)
    assert "\n" not in line and line.startswith("worker 0, instruction 1")


# What else a round costs


def gossip(n: int, *programs: tuple[Operation, ...], rounds: int = 1, bits: int = int(BITS)) -> Trace:
    sizes = tuple(
        tuple(
            np.full((1, 1), bits) if one.kind not in ("compute", "wait") else np.zeros((0, 0), int) for one in program
        )
        for program in programs
    )
    near = tuple(topology.ring(n).neighbours(i) for i in range(n))
    return Trace(n, near, programs, np.zeros(rounds, dtype=int), sizes)


@pytest.mark.parametrize("engine", ["simpy", "recurrence"])
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


@pytest.mark.parametrize("engine", ["simpy", "recurrence"])
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


# Compute models


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


# Bad input


@pytest.mark.parametrize(
    ("field", "value", "right"),
    [
        ("latency", -1e-3, "at least 0"),
        ("latency", float("inf"), "at least 0"),
        ("latency", float("nan"), "at least 0"),
        ("latency", "fast", "at least 0"),
        ("latency", np.array([[0, -1.0], [1.0, 0]]), "at least 0"),
        ("bandwidth", 0, "above 0"),
        ("bandwidth", -5e6, "above 0"),
        ("bandwidth", float("nan"), "above 0"),
        ("bandwidth", None, "above 0"),
        ("bandwidth", np.array([[0, 0.0], [1.0, 0]]), "above 0"),
        ("compute", -1, "at least 0"),
        ("compute", float("nan"), "at least 0"),
        ("compute", "slow", "draw"),
        ("duplex", "both", '"full" or "half"'),
        ("sharing", "fair", '"none" or "fifo"'),
        ("overhead", -1e-6, "at least 0"),
        ("overhead", [0.1, 0.2], "overhead"),
        ("handshakes", -1, "at least 0"),
        ("handshakes", 1.5, "whole number"),
        ("framing", 0.9, "at least 1"),
        ("framing", float("inf"), "framing"),
        ("framing", float("nan"), "at least 1"),
        ("egress", 0.0, "above 0"),
        ("egress", [1.0, -1.0], "above 0"),
        ("ingress", "wide", "above 0"),
        ("codec", -1.0, "at least 0"),
        ("codec", (1e-9, -1e-9), "at least 0"),
        ("codec", (1.0, 2.0, 3.0), "encode, decode"),
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
    value = np.ones((3, 3)) if field in ("latency", "bandwidth") else [1.0, 1.0, 1.0]
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


# All together, against the exact reference


def build(n: int, steps: list[tuple], grain: float) -> list[list[tuple]]:
    """Programs in which everybody that waits is sent what it waits for before, in one order of all steps: no circles."""
    programs: list[list[tuple]] = [[] for _ in range(n)]
    pending: list[tuple[int, int, int]] = []
    for kind, a, b, size in steps:
        i = a % n
        j = (i + 1 + b % (n - 1)) % n
        if kind == "compute":
            programs[i].append(("compute", size * grain))
        elif kind == "flush":
            programs[i].append(("flush",))
        elif kind == "send":
            programs[i].append(("send", j, size, b % 2))
            pending.append((j, i, b % 2))
        elif pending:
            receiver, sender, tag = pending.pop(a % len(pending))
            programs[receiver].append(("recv", sender, tag))
    return programs


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["send", "send", "send", "recv", "recv", "compute", "flush"]),
        st.integers(0, 99),
        st.integers(0, 99),
        st.integers(0, 4),
    ),
    min_size=4,
    max_size=36,
)
FIXED = {
    "duplex": st.sampled_from(["full", "half"]),
    "sharing": st.sampled_from(["fifo", "fifo", "fifo", "none"]),
    "handshakes": st.integers(0, 2),
}


@settings(deadline=None, max_examples=200)
@given(n=st.integers(2, 5), steps=STEPS, data=st.data(), fixed=st.fixed_dictionaries(FIXED))
def test_equals_the_exact_reference_where_ties_abound(n, steps, data, fixed):
    """All numbers are small multiples of a quarter or an eighth, so floats are exact, and many things happen at once."""
    latency = st.sampled_from([0.0, 0.5, 1.0, 2.0])
    speed = st.sampled_from([0.5, 1.0, 2.0, 4.0, np.inf])

    def table(element, shape):
        return np.array(data.draw(st.lists(element, min_size=shape, max_size=shape)))

    network = Network(
        data.draw(st.one_of(latency, st.builds(lambda: table(latency, n * n).reshape(n, n)))),
        data.draw(st.one_of(speed, st.builds(lambda: table(speed, n * n).reshape(n, n)))),
        overhead=data.draw(st.sampled_from([0.0, 0.0, 0.5])),
        framing=data.draw(st.sampled_from([1.0, 1.5])),
        egress=data.draw(st.one_of(st.none(), speed, st.builds(lambda: table(speed, n)))),
        ingress=data.draw(st.one_of(st.none(), speed, st.builds(lambda: table(speed, n)))),
        **fixed,
    )
    programs = build(n, steps, 0.5)
    times = finish(network, *programs)
    assert [Fraction(time) for time in times] == Exact(programs, network).finish()


@settings(deadline=None, max_examples=100)
@given(n=st.integers(2, 5), steps=STEPS, seed=st.integers(0, 10**6), fixed=st.fixed_dictionaries(FIXED))
def test_equals_the_exact_reference_on_any_numbers(n, steps, seed, fixed):
    random = np.random.default_rng(seed)
    network = Network(
        random.uniform(0, 2, (n, n)),
        random.uniform(0.3, 4, (n, n)),
        overhead=random.choice([0.0, 0.3]),
        framing=1.0456,
        egress=None if seed % 2 else random.uniform(0.3, 4, n),
        ingress=None if seed % 3 else random.uniform(0.3, 4, n),
        **fixed,
    )
    programs = [
        [("compute", random.uniform(0, 3)) if one[0] == "compute" else one for one in program]
        for program in build(n, [(*step[:3], random.uniform(0.1, 4)) for step in steps], 1.0)
    ]
    exact = [float(time) for time in Exact(programs, network).finish()]
    np.testing.assert_allclose(finish(network, *programs), exact, rtol=1e-12)


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


def test_arrays_are_not_stretched():
    for wrong in ({"bandwidth": np.full(4, 1e6)}, {"egress": [1e6]}, {"latency": np.zeros((1, 4))}):
        with pytest.raises(NetsimError, match=f"{next(iter(wrong))} has shape"):
            links(Network(**{"latency": 1e-3, "bandwidth": 1e6, **wrong}), 4)
    with pytest.raises(NetsimError, match="handshakes"):
        Network(1e-3, 1e6, handshakes=True)
    assert Network.alpha_beta(1e-3, 1e-9, sharing="fifo").sharing == "fifo"


def test_traces_by_hand_that_cannot_be():
    with pytest.raises(NetsimError, match="programs"):
        Trace.from_programs([])
    with pytest.raises(NetsimError, match="the tag must be"):
        Trace.from_programs([[("send", 1, 8, ["x"])], [("recv", 0, ["x"])]])

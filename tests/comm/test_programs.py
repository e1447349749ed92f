"""Traces from programs: waits, and invalid programs."""

import numpy as np
import pytest
from sending import A, B, T, exactly, finish, recv, send

from netsim import NetsimError, Network, Trace, replay


def test_messages_of_a_pair_are_delivered_in_order():
    bandwidth = np.full((3, 3), B)
    bandwidth[0, 1] = B / 100
    network = Network(A, bandwidth)
    times = finish(network, [send(1, tag="large"), send(1, 1.0, tag="small")], [recv(0, "small")], [])
    assert times[1] == exactly(A + 100 * T)
    same_tag = finish(network, [send(1), send(1, 1.0)], [recv(0), recv(0)], [])
    assert same_tag[1] == exactly(A + 100 * T)


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


def test_traces_by_hand_that_cannot_be():
    with pytest.raises(NetsimError, match="programs"):
        Trace.from_programs([])
    with pytest.raises(NetsimError, match="the tag must be"):
        Trace.from_programs([[("send", 1, 8, ["x"])], [("recv", 0, ["x"])]])

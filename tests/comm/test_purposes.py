"""Random streams are named by purpose, and observers get every message."""

from typing import Any, NamedTuple

import numpy as np
import pytest
from quadratic import Quadratic

from netsim import Experiment, NetsimError, topology, train
from netsim.algorithms import (
    DCDPSGD,
    DPSGD,
    ChocoSGD,
    DoubleSqueeze,
    EdgeGossip,
    Identity,
    PowerGossip,
    RandomMask,
    RandomSparsifier,
    StochasticQuantizer,
    TopK,
)
from netsim.algorithms.protocol import Models
from netsim.comm.communicator import PURPOSES, Communicator
from netsim.comm.recorder import Recorder
from netsim.comm.statistics import Exchanged, Sent

GRAPH = topology.ring(4)
FOUR_BITS = StochasticQuantizer(4)
Y = np.random.default_rng(0).standard_normal((4, 30))


def communicator(**settings):
    recorder = Recorder(GRAPH)
    return Communicator(GRAPH, {"x": (30,)}, 7, np, "float64", recorder, **settings), recorder


@pytest.mark.parametrize("before", [0, 1, 3])
def test_a_stream_does_not_depend_on_what_was_said_before(before):
    comm, recorder = communicator()
    alone = comm.send(FOUR_BITS, Y)
    recorder.end_round()
    assert (comm.send(FOUR_BITS, Y) != alone).any()  # another round
    comm, recorder = communicator()
    for _ in range(before):
        recorder.record_gradient()
        comm.send(Identity(), Y)
        comm.all_reduce(Y)
    np.testing.assert_array_equal(comm.send(FOUR_BITS, Y), alone)


def test_each_operation_and_each_purpose_has_its_own_stream():
    comm, _ = communicator()
    found = [
        comm.post(FOUR_BITS, Y).value,
        comm.send(FOUR_BITS, Y),
        comm.all_gather(FOUR_BITS, Y),
        comm.push(FOUR_BITS, Y),
        comm.pull(FOUR_BITS, Y[:1]),
        comm.send(FOUR_BITS, Y, purpose="momentum"),
    ]
    for k, one in enumerate(found):
        assert all((one[:1] != other[:1]).any() for other in found[:k])
    assert len(set(PURPOSES.values())) == len(PURPOSES)


@pytest.mark.parametrize("operation", ["post", "send", "all_gather", "push", "pull"])
def test_two_messages_of_one_purpose_in_a_round_are_refused(operation):
    comm, recorder = communicator()
    say, y = getattr(comm, operation), Y[:1] if operation == "pull" else Y
    say(FOUR_BITS, y)
    with pytest.raises(NetsimError, match=r"round 0: .*a purpose of its own, such as comm.send\(compress, y, purpose="):
        say(TopK(0.5), y)
    say(TopK(0.5), y, purpose="second")
    with pytest.raises(NetsimError, match="'second'"):
        say(FOUR_BITS, y, purpose="second")
    recorder.end_round()
    say(FOUR_BITS, y)  # another round


def test_no_two_purposes_and_no_two_holders_have_one_stream():
    """Of workers, of edges, shared by all workers or edges, and of messages, in every round: all different, also where they have one name."""
    comm, recorder = communicator()
    drawn = []

    class Watch:
        def compress(self, x, key, tensors):
            drawn.extend([*key.bits(4), *key.shared().bits(4)])
            return FOUR_BITS.compress(x, key, tensors)

    for _ in range(3):
        for name in ("a", "post 0", "send 1", "EdgeGossip", "PowerSGD", "key a", "edge a"):
            for key in (comm.key, comm.edge_key):
                drawn.extend([*key(name).bits(4), key(name, shared=True).bits(4)[0]])
        drawn.append(comm.key("PowerSGD start", shared=True).bits(4)[0])
        for say in (comm.post, comm.send, comm.all_gather):
            say(Watch(), Y)
        comm.send(Watch(), Y, purpose="a")
        recorder.end_round()
    assert len({one.tobytes() for one in drawn}) == len(drawn)


def test_a_shared_stream_is_the_same_for_all_and_no_ones_own():
    comm, _ = communicator()
    shared = comm.key("a", shared=True)
    assert (np.diff(shared.bits(20), axis=0) == 0).all() and shared.bits(20).shape == (4, 20)
    np.testing.assert_array_equal(shared.bits(20)[:1], comm.key("a").shared().bits(20))


def test_a_purpose_of_another_kind_of_stream_is_refused():
    comm, _ = communicator()
    for purpose in ("key a", "edge a", "PowerSGD start"):
        with pytest.raises(NetsimError, match="round 0: a message's purpose cannot be"):
            comm.send(FOUR_BITS, Y, purpose=purpose)
    with pytest.raises(NetsimError, match="'PowerSGD start' is one stream for all: add shared=True"):
        comm.key("PowerSGD start")


def test_full_precision_draws_nothing_and_needs_no_purpose():
    comm, _ = communicator()
    for _ in range(2):
        np.testing.assert_array_equal(comm.send(Identity(), Y), Y)
    comm.send(FOUR_BITS, Y)


class TwoTalks(NamedTuple):
    """Sends its model and its step; a purpose tells the two apart."""

    named: bool

    def init(self, x: Any, comm: Any) -> Models:
        return Models(x)

    def step(self, state: Models, gradient: Any, lr: float, comm: Any) -> Models:
        g = comm.send(FOUR_BITS, gradient(state.x), "gradient" if self.named else None)
        return Models(comm.mix(comm.send(FOUR_BITS, state.x)) - lr * comm.mix(g))


def test_a_method_that_sends_twice_names_a_purpose():
    run, again = (train(Experiment(Quadratic(4), TwoTalks(True), GRAPH, 5, device="cpu")) for _ in range(2))
    np.testing.assert_array_equal(run.x, again.x)
    with pytest.raises(NetsimError, match="purpose of its own"):
        train(Experiment(Quadratic(4), TwoTalks(False), GRAPH, 5, device="cpu"))


# observers


def observed(algorithm, rounds=3):
    found: list[Sent | Exchanged] = []
    run = train(
        Experiment(Quadratic(4), algorithm, GRAPH, rounds, device="cpu", dtype="float64"), on_message=found.append
    )
    return found, run


@pytest.mark.parametrize(
    ("algorithm", "kinds", "purposes"),
    [
        (DPSGD(), ["post"], ["post 0"]),
        (DPSGD(overlap=False), ["post"], ["post 1"]),
        (ChocoSGD(FOUR_BITS, 0.3), ["post"], ["post 1"]),
        (DoubleSqueeze(FOUR_BITS), ["push", "pull"], ["push 1", "pull 2"]),
    ],
    ids=repr,
)
def test_an_observer_hears_of_every_message(algorithm, kinds, purposes):
    found, run = observed(algorithm)
    assert [one.kind for one in found] == 3 * kinds
    assert [one.purpose for one in found] == 3 * purposes
    compress = getattr(algorithm, "compress", Identity())
    for one in found:
        assert one.compressor == compress
        np.testing.assert_array_equal(compress.decode(compress.encode(one.message)), one.message.value)
    plain = train(Experiment(Quadratic(4), algorithm, GRAPH, 3, device="cpu", dtype="float64"))
    np.testing.assert_array_equal(run.x, plain.x)
    assert run.trace.fingerprint == plain.trace.fingerprint


def test_the_first_message_of_dcd_has_a_stream_of_its_own():
    found, _ = observed(DCDPSGD(FOUR_BITS))
    assert [one.purpose for one in found] == ["post 1", "post 2", "post 2"]


@pytest.mark.parametrize(
    ("algorithm", "each"), [(EdgeGossip(RandomMask(0.5)), 1), (PowerGossip(iterations=2), 2)], ids=repr
)
def test_an_observer_hears_of_every_exchange(algorithm, each):
    found, run = observed(algorithm)
    assert all(isinstance(one, Exchanged) for one in found) and len(found) == 3 * each
    bits = sum(2 * 32 * (one.at_low.size if one.numbers is None else int(one.numbers.sum())) for one in found)
    assert run.trace.bits_per_worker().sum() == bits


def test_what_is_counted_is_what_an_observer_counts():
    found, run = observed(ChocoSGD(RandomSparsifier(0.5), 0.3), 5)
    errors = [np.linalg.norm(one.message.value - one.given) / np.linalg.norm(one.given) for one in found]
    assert run.history.attrs["compression_error"] == pytest.approx(max(errors), rel=1e-12)


def test_a_class_made_from_identity_compresses_in_its_own_way():
    class Halves(Identity):
        def compress(self, x, key, tensors):
            return super().compress(x / 2, key, tensors)

    comm, _ = communicator()
    np.testing.assert_array_equal(comm.send(Halves(), Y), Y / 2)
    np.testing.assert_array_equal(comm.send(Identity(), Y), Y)

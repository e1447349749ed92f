"""The compiled engine equals the SimPy engine bit for bit, on every trace and every network."""

from dataclasses import replace

import numpy as np
import pytest
from by_hand import STEPS, build
from hypothesis import given, settings
from hypothesis import strategies as st

from netsim import NetsimError, Network, Trace, replay, topology
from netsim.clock import compiled_engine, simpy_engine
from netsim.clock.compute import Exponential, LogNormal
from netsim.clock.fabrics import FABRICS
from netsim.clock.replaying import replay_all
from netsim.comm.collectives import ALGORITHMS, COLLECTIVES
from netsim.comm.trace import Operation

pytestmark = pytest.mark.bitwise

GRAIN = 2.0**-10  # seconds; where all is a multiple of it, floats are exact and much happens at once
COMPUTE = Operation("compute")


def tabled(n: int, neighbours, rounds: list[tuple[Operation, ...]], random: np.random.Generator) -> Trace:
    """A trace of these rounds: sizes the same for all, of a worker's own, or of a worker and a round."""
    programs = tuple(dict.fromkeys(rounds))
    program_of = np.array([programs.index(one) for one in rounds], dtype=int)

    def sizes(operation: Operation, count: int) -> np.ndarray:
        if operation.kind not in ("post", *COLLECTIVES):
            return np.zeros((0, 0), dtype=np.int64)
        directed = sum(map(len, neighbours))
        shape = [(1, 1), (1, n), (count, n), (count, 1), (1, directed), (count, directed)][random.integers(6)]
        if operation.kind != "post":
            shape = (shape[0], min(shape[1], n))
        if operation.kind in ("all_reduce", "pull"):
            shape = (shape[0], 1)
        return random.integers(0, [2, 4, 3000][random.integers(3)], shape) * 256

    counts = [int((program_of == p).sum()) for p in range(len(programs))]
    bits = tuple(tuple(sizes(one, count) for one in program) for program, count in zip(programs, counts, strict=True))
    return Trace(n, neighbours, programs, program_of, bits)


GRAPHS = st.one_of(
    st.builds(topology.ring, st.integers(2, 8)),
    st.builds(topology.star, st.integers(2, 6)),
    st.builds(topology.complete, st.integers(2, 5)),
    st.builds(topology.exponential, st.integers(2, 8)),
    st.builds(topology.random_regular, st.just(6), st.just(3), st.integers(0, 3)),
    st.just(topology.hypercube(3)),
)


@st.composite
def traces(draw) -> Trace:
    """Rounds of gradients, alone or beside what follows, posts, waits for posts of this round or the last, collectives, a server, in any order."""
    graph = draw(GRAPHS)
    rounds: list[tuple[Operation, ...]] = []
    left_over: list[tuple[int, int]] = []  # (position, numbers) of the round before's posts that nobody waited for
    gossip = ["compute", "begin", "until", "join", "post", "post", "wait", "wait"]
    kinds = draw(st.sampled_from([[*gossip, "all_reduce", "all_gather"], [*gossip, "push", "pull"]]))
    styles = st.lists(st.sampled_from(kinds), max_size=6)
    style = draw(st.one_of(st.none(), styles))
    for _ in range(draw(st.integers(1, 8))):
        program: list[Operation] = []
        posted: list[tuple[int, int]] = []
        for kind in style if style is not None else draw(styles):
            if kind == "wait" and (posted or left_over):
                ago = int(not posted or (bool(left_over) and draw(st.booleans())))
                position, numbers = (left_over if ago else posted).pop(0)
                program.append(Operation("wait", numbers, ago, position))
            elif kind != "wait":
                coded = kind in ("post", "all_gather", "push", "pull")
                numbers = draw(st.sampled_from([0, 0, 16])) if coded else 0
                if kind == "post":
                    posted.append((len(program), numbers))
                share = draw(st.sampled_from([0.0, 0.25, 1.0])) if kind == "until" else 1.0
                program.append(Operation(kind, numbers, fraction=share))
        rounds.append(tuple(program))
        left_over = posted
    near = tuple(graph.neighbours(i) for i in range(graph.n))
    return tabled(graph.n, near, rounds, np.random.default_rng(draw(st.integers(0, 10**6))))


@st.composite
def networks(draw, trace: Trace) -> Network:
    n = trace.nodes
    random = np.random.default_rng(draw(st.integers(0, 10**6)))
    latency = {
        "zero": 0.0,
        "one": 2 * GRAIN,
        "grains per link": GRAIN * random.integers(0, 4, (n, n)),
        "any": random.uniform(0, 4e-3),
        "per link": random.uniform(0, 4e-3, (n, n)),
    }
    bandwidth = {
        "one": 2.0**19,
        "infinite": np.inf,
        "powers per link": 2.0 ** random.integers(17, 21, (n, n)),
        "any": random.uniform(1e5, 1e7),
        "per link": random.uniform(2e5, 2e6, (n, n)),
    }
    compute = {
        "zero": 0.0,
        "one": 4 * GRAIN,
        "grains per worker": GRAIN * random.integers(0, 4, trace.n),
        "log-normal": LogNormal(4e-3, draw(st.sampled_from([0.1, 1.0])), int(random.integers(99))),
        "exponential": Exponential(4e-3, int(random.integers(99))),
    }
    ports = {
        "fastest link": None,
        "one": 2.0**19,
        "powers": 2.0 ** random.integers(17, 21, n),
        "any": random.uniform(1e5, 2e6, n),
    }
    return Network(
        latency[draw(st.sampled_from(sorted(latency)))],
        bandwidth[draw(st.sampled_from(sorted(bandwidth)))],
        compute=compute[draw(st.sampled_from(sorted(compute)))],
        duplex=draw(st.sampled_from(["full", "half"])),
        sharing=draw(st.sampled_from(["fifo", "fifo", "none"])),
        overhead=draw(st.sampled_from([0.0, 0.0, GRAIN, 1e-4])),
        handshakes=draw(st.integers(0, 2)),
        framing=draw(st.sampled_from([1.0, 1.0, 1.0456])),
        egress=ports[draw(st.sampled_from(sorted(ports)))],
        ingress=ports[draw(st.sampled_from(sorted(ports)))],
        codec=draw(st.sampled_from([None, 2.0**-14, (1e-5, 2e-5)])),
        collective=draw(st.sampled_from(list(ALGORITHMS))),
    )


def agree(trace: Trace, network: Network) -> np.ndarray:
    """Hold the compiled engine to the event engine on one network; return the times."""
    by_events, compiled = replay(trace, network, "simpy"), replay(trace, network, "compiled")
    assert (by_events.engine, compiled.engine) == ("simpy", "compiled")
    np.testing.assert_array_equal(compiled.finish, by_events.finish)
    assert compiled.messages == by_events.messages
    return by_events.finish


@settings(deadline=None, max_examples=200)
@given(data=st.data(), trace=traces())
def test_the_engines_agree_bit_for_bit(data, trace):
    grid = data.draw(st.lists(networks(trace), min_size=1, max_size=4))
    one_by_one = [agree(trace, network) for network in grid]
    together = replay_all(trace, grid, check=range(len(grid)))  # mixed kinds
    for finish, ends in zip(one_by_one, together.round_end, strict=True):
        np.testing.assert_array_equal(ends, finish.max(axis=1))
    assert together.checked == len(grid) and together.largest_difference == 0.0
    if all(network.collective == "ring" for network in grid):
        assert replay(trace, grid[0]).messages == trace.messages


@settings(deadline=None, max_examples=200)
@given(n=st.integers(2, 5), steps=STEPS, data=st.data())
def test_the_engines_agree_on_traces_by_hand(n, steps, data):
    trace = Trace.from_programs(build(n, steps, GRAIN))
    network = data.draw(networks(trace))
    if np.ndim(network.compute):
        network = replace(network, compute=0.0)
    agree(trace, network)


def test_a_node_may_run_far_ahead_of_all_others():
    """Nothing bounds how many messages are on their way, or wait to be asked for: the compiled engine's tables grow."""
    count = 3000
    programs = [
        [("send", 1, 8, k) for k in range(count)] + [("recv", 1, "done")],
        [("compute", 1e3), *(("recv", 0, k) for k in reversed(range(count))), ("send", 0, 8, "done")],
    ]
    for latency in (0.0, 1e-3, 1e6):
        agree(Trace.from_programs(programs), Network(latency, 1e6))
    near = tuple(topology.ring(4).neighbours(i) for i in range(4))
    silent = Trace(4, near, ((Operation("post"),),), np.zeros(2000, dtype=int), ((np.array([[8]]),),))  # nobody waits
    agree(silent, Network(1e3, 1e6))


def pattern(kind: str, n: int = 6, rounds: int = 20, bits: int = 1000) -> Trace:
    """The rounds of D-PSGD, of DCD-PSGD, and of centralized methods."""
    first: tuple[Operation, ...]
    if kind == "dpsgd":
        first = program = (Operation("post"), COMPUTE, Operation("wait", 0, 0, 0))
    elif kind == "dcd":
        first = (COMPUTE, Operation("post", 8))
        program = (COMPUTE, Operation("wait", 8, 1, 1), Operation("post", 8))
        programs = (first, program, (COMPUTE, Operation("wait", 8, 1, 2), Operation("post", 8)))
        near = tuple(topology.ring(n).neighbours(i) for i in range(n))
        sent = np.full((1, 1), bits)
        none = np.zeros((0, 0), dtype=int)
        order = np.array([0, 1] + [2] * (rounds - 2))
        return Trace(n, near, programs, order, ((none, sent), (none, none, sent), (none, none, sent)))
    elif kind == "server":
        first = program = (COMPUTE, Operation("push"), Operation("pull"))
    else:
        first = program = (COMPUTE, Operation(kind))
    near = tuple(topology.ring(n).neighbours(i) for i in range(n))
    table = tuple(
        np.full((1, 1), bits) if one.kind not in ("compute", "wait") else np.zeros((0, 0), int) for one in program
    )
    return Trace(n, near, (first,), np.zeros(rounds, dtype=int), (table,))


KINDS = ("dpsgd", "dcd", "all_reduce", "all_gather", "server")


@pytest.mark.parametrize("kind", KINDS)
def test_a_plane_is_timed_by_the_compiled_engine(kind):
    for sharing in ("fifo", "none"):
        plane = list(
            Network.grid(np.geomspace(1e-5, 1e-1, 6), np.geomspace(1e5, 1e10, 6), compute=3e-3, sharing=sharing)
        )
        timelines = replay_all(pattern(kind), plane, check=range(0, 36, 5))
        assert timelines.engine == ("compiled",) * 36 and timelines.checked == 8


@pytest.mark.parametrize("duplex", ["full", "half"])
@pytest.mark.parametrize("kind", KINDS)
def test_the_engines_agree_with_random_compute_times(kind, duplex):
    plane = [
        Network(latency, bandwidth, compute=LogNormal(3e-3, spread, seed=5), duplex=duplex)
        for latency in (0.0, 1e-4, 1e-2)
        for bandwidth in (1e5, 1e6, 1e8)
        for spread in (0.1, 1.0)
    ]
    for network in plane:
        agree(pattern(kind), network)


def test_links_slower_than_their_ports_keep_the_order_of_a_pair():
    random = np.random.default_rng(0)
    program = (Operation("post"), Operation("post"), COMPUTE, Operation("wait", 0, 0, 0), Operation("wait", 0, 0, 1))
    near = tuple(topology.ring(5).neighbours(i) for i in range(5))
    trace = tabled(5, near, [program] * 6, random)
    for seed in range(10):
        bandwidth = np.random.default_rng(seed).uniform(1e4, 1e8, (5, 5))
        agree(trace, Network(1e-3, bandwidth, compute=1e-3, egress=1e8, ingress=1e8))


def test_a_collective_waits_for_a_slow_message_of_the_same_pair():
    """The post is still on its slow link when the collective's message to the same worker has passed it: it is held back."""
    program = (Operation("post"), Operation("all_reduce"))
    near = tuple(topology.ring(4).neighbours(i) for i in range(4))
    trace = Trace(4, near, (program,), np.zeros(2, dtype=int), ((np.array([[100000]]), np.array([[4 * 96]])),))
    network = Network(1e-3, 1e5, egress=1e8, ingress=1e8)
    np.testing.assert_allclose(agree(trace, network)[0], 1e5 / 1e5 + 1e-3 + 5 * (1e-3 + 96 / 1e5), rtol=1e-12)


def test_a_trace_without_rounds_or_without_messages():
    near = tuple(topology.ring(3).neighbours(i) for i in range(3))
    empty = Trace(3, near, (), np.zeros(0, dtype=int), ())
    assert replay(empty, Network(1e-3, 1e6), "compiled").finish.shape == (0, 3)
    alone = Trace(3, ((), (), ()), ((COMPUTE,),), np.zeros(5, dtype=int), ((np.zeros((0, 0), int),),))
    agree(alone, Network(1e-3, 1e6, compute=Exponential(1.0, 2)))


def test_an_unknown_engine_is_refused():
    trace, network = pattern("dpsgd"), Network(1e-3, 1e6)
    for call in (lambda: replay(trace, network, "fast"), lambda: replay_all(trace, [network], "fast")):
        with pytest.raises(NetsimError, match="'auto', 'compiled', 'simpy'"):
            call()


def test_a_replay_is_of_a_trace_and_one_network():
    network = Network(1e-3, 1e6)
    for wrong in ((network, network), (None, network), (Trace, [network])):
        with pytest.raises(
            NetsimError, match=r"^replay: takes a trace, such as run.trace, and one network, in this order; got"
        ):
            replay(*wrong)


def test_engine_simpy_times_everything_on_the_event_engine():
    timelines = replay_all(pattern("all_reduce"), list(Network.grid([1e-3], [1e6, 1e7])), "simpy", check=[0, 1])
    assert timelines.engine == ("simpy", "simpy") and timelines.checked == 0
    assert replay(pattern("all_reduce"), Network(1e-3, 1e6), "simpy").engine == "simpy"


def test_progress_counts_every_network_once():
    done: list[int] = []
    networks = [Network(1e-4, 1e5), Network(1e-4, 1e5, duplex="half"), Network(1e-4, 1e5, sharing="none")]
    replay_all(pattern("dpsgd"), networks, progress=done.append)
    assert sum(done) == 3


@pytest.mark.parametrize("off", [1e-15, 1.0, np.nan])
def test_a_disagreement_stops_the_sweep(monkeypatch, off):
    honest = simpy_engine.run

    def wrong(*arguments):
        ticks = honest(*arguments)
        ticks.finish[-1, -1] = ticks.finish[-1].max() + off
        return ticks

    plane = list(Network.grid([1e-3, 2e-3], [1e6, 1e7], compute=1e-3))
    assert replay_all(pattern("dpsgd"), plane, check=[2]).largest_difference == 0.0
    monkeypatch.setattr(simpy_engine, "run", wrong)
    with pytest.raises(NetsimError, match="disagree") as raised:
        replay_all(pattern("dpsgd"), plane, check=[2])
    assert plane[2].name in str(raised.value)


def test_a_wait_for_a_round_before_the_first_is_refused():
    near = tuple(topology.ring(3).neighbours(i) for i in range(3))
    program = (Operation("wait", 0, 1, 1), Operation("post"))
    trace = Trace(3, near, (program,), np.zeros(3, dtype=int), ((np.zeros((0, 0), int), np.array([[8]])),))
    for engine in ("simpy", "compiled"):
        with pytest.raises(NetsimError, match="round 0, operation 0: waits for a message of 1 rounds before"):
            replay(trace, Network(1e-3, 1e6), engine)


@pytest.mark.parametrize("kind", ["all_reduce", "all_gather"])
def test_one_worker_alone_has_nobody_to_wait_for(kind):
    trace = Trace(
        1, ((),), ((COMPUTE, Operation(kind, 5)),), np.zeros(3, dtype=int), ((np.zeros((0, 0), int), np.array([[8]])),)
    )
    network = Network(1e-3, 1e6, compute=0.5, codec=1e-3)
    assert agree(trace, network)[:, 0].tolist() == [0.5, 1.0, 1.5] and trace.messages == 0
    np.testing.assert_array_equal(trace.bits_per_worker(), np.zeros((3, 1)))


def test_a_plane_with_random_gradients_is_compiled_once():
    """Gradient times that were drawn, and those that are one number spread over all rounds, are the same type to numba."""
    trace = pattern("dpsgd")
    for compute in (0.0, 1e-3, np.linspace(1e-3, 2e-3, 6), LogNormal(1e-3, 0.1)):
        replay(trace, Network(1e-3, 1e6, compute=compute))
    assert len(compiled_engine._run.signatures) <= len(FABRICS)


@pytest.mark.parametrize(
    "graph", [topology.ring(64), topology.complete(24), topology.star(40)], ids=lambda graph: graph.name
)
@pytest.mark.parametrize("spread", [0.0, 0.5])
def test_the_engines_agree_where_many_messages_are_pending(graph, spread):
    program = (Operation("post"), COMPUTE, Operation("wait", 0, 0, 0), Operation("all_reduce"))
    near = tuple(graph.neighbours(i) for i in range(graph.n))
    none = np.zeros((0, 0), dtype=int)
    trace = Trace(
        graph.n, near, (program,), np.zeros(4, dtype=int), ((np.array([[5000]]), none, none, np.array([[6400]])),)
    )
    for duplex in ("full", "half"):
        agree(trace, Network(1e-3, 1e6, compute=LogNormal(5e-3, spread), duplex=duplex))


def test_only_the_rounds_that_are_wanted_are_kept_and_all_are_compared(monkeypatch):
    trace, plane = pattern("dcd"), list(Network.grid([1e-3, 2e-3], [1e6, 1e7], compute=1e-3))
    everything, some = replay_all(trace, plane), replay_all(trace, plane, check=[2], rounds=[4, 19])
    np.testing.assert_array_equal(some.round_end, everything.round_end[:, [4, 19]])
    honest = simpy_engine.run

    def wrong(*arguments):
        ticks = honest(*arguments)
        ticks.finish[7] += 1.0
        return ticks

    monkeypatch.setattr(simpy_engine, "run", wrong)
    with pytest.raises(NetsimError, match="disagree"):
        replay_all(trace, plane, check=[2], rounds=[4, 19])


class Draws:
    """A compute model that counts how often it draws, and never draws the same."""

    def __init__(self) -> None:
        self.times = 0

    def draw(self, rounds: int, n: int) -> np.ndarray:
        self.times += 1
        return np.full((rounds, n), 1e-3 * self.times)


def test_a_compute_model_draws_once_for_all_networks_and_both_engines():
    model = Draws()
    plane = list(Network.grid([1e-3, 2e-3], [1e6, 1e7], compute=model))
    assert replay_all(pattern("dpsgd"), plane, check=[0, 1]).checked == 2 and model.times == 1


BLANK, ONE = np.zeros((0, 0), dtype=int), np.array([[8]])
POST = Operation("post")


@pytest.mark.parametrize("engine", ["simpy", "compiled"])
@pytest.mark.parametrize(
    ("program", "line"),
    [
        (
            (POST, Operation("wait"), Operation("wait")),
            "round 0, operation 2: waits for operation 0 of round 0, a second time",
        ),
        ((POST, Operation("wait", 0, 1, 0)), "round 0, operation 1: waits for a message of 1 rounds before"),
        (
            (Operation("wait", 0, 0, 1), POST),
            "round 0, operation 0: waits for operation 1 of 0 rounds before, which is yet to come",
        ),
        (
            (POST, Operation("wait", 0, -1, 0)),
            "round 0, operation 1: waits for operation 0 of -1 rounds before, which is yet",
        ),
        (
            (POST, COMPUTE, Operation("wait", 0, 0, 1)),
            "round 0, operation 2: waits for operation 1 of round 0, which is no post",
        ),
    ],
)
def test_a_wait_without_a_post_of_its_own_is_refused_by_both_engines(engine, program, line):
    near = tuple(topology.ring(3).neighbours(i) for i in range(3))
    sizes = tuple(ONE if one.kind == "post" else BLANK for one in program)
    with pytest.raises(NetsimError, match=line):
        replay(Trace(3, near, (program,), np.zeros(2, dtype=int), (sizes,)), Network(1e-3, 1e6), engine)


def test_a_wait_for_the_round_before_a_second_time_is_refused():
    near = tuple(topology.ring(3).neighbours(i) for i in range(3))
    programs = ((POST, Operation("wait")), (Operation("wait", 0, 1, 0), POST))
    trace = Trace(3, near, programs, np.array([0, 1]), ((ONE, BLANK), (BLANK, ONE)))
    with pytest.raises(NetsimError, match="round 1, operation 0: waits for operation 0 of round 0, a second time"):
        replay(trace, Network(1e-3, 1e6))


EXTREME = {
    "handshakes": [0, 1, 100],
    "latency": [0.0, 1e-12, 1e6],
    "bandwidth": [1e-3, 1e18, np.inf],
    "overhead": [0.0, 1e6],
    "framing": [1.0, 100.0],
    "codec": [None, 1e6],
}


class Enormous:
    """Gradient times of which two are too many for a float: sums are infinite."""

    def draw(self, rounds: int, n: int) -> np.ndarray:
        return np.full((rounds, n), 1e308)


@settings(deadline=None, max_examples=40)
@given(
    values=st.fixed_dictionaries({name: st.sampled_from(values) for name, values in EXTREME.items()}),
    compute=st.sampled_from([0.0, 1e6, Enormous()]),
    duplex=st.sampled_from(["full", "half"]),
    sharing=st.sampled_from(FABRICS),
    kind=st.sampled_from(KINDS),
)
@pytest.mark.filterwarnings("error")
def test_at_the_ends_of_all_ranges_times_are_numbers_or_infinite_in_both_engines(
    values, compute, duplex, sharing, kind
):
    trace, network = pattern(kind, rounds=3), Network(**values, compute=compute, duplex=duplex, sharing=sharing)
    assert not np.isnan(agree(trace, network)).any()
    replay_all(trace, [network], check=[0])

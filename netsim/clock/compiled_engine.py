"""The compiled engine: the same instructions and the same fabrics as the event engine's, in machine code, and bit for bit its times."""

from functools import partial
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np
from numba.extending import overload

from netsim.clock.compiled_queue import (
    FREE,
    FULL,
    PENDING,
    READY,
    Queue,
    empty_queue,
    keep,
    make_ready,
    new,
    pop,
    push,
    take,
)
from netsim.clock.compiling import WITHIN, announced, compiled, within
from netsim.clock.fabrics import DELIVERED, NEVER, fabric_of
from netsim.clock.link_cost import Charge, Link, charge, make_link
from netsim.clock.lowering import (
    BEGIN,
    COMPUTE,
    DECODE,
    DELAY,
    ENCODE,
    FLUSH,
    JOIN,
    POST,
    STEPS,
    UNTIL,
    WAIT,
    Lowered,
)
from netsim.clock.network import Network, codec_seconds, links
from netsim.clock.timeline import FLUSHING, NOBODY, Ticks


class Nodes(NamedTuple):
    """Where every node stands, (nodes,) each.

    Attributes
    ----------
    time, begun, beside
        Its own time; when the gradient beside was begun, and its seconds.
    round, instruction, step
        Where it goes on.
    stuck
        Why it does not: the code of a WAIT or a FLUSH; 0 where it does.
    awaited, missing, latest
        The key that it waits for, how many messages of it are yet to come, and when the latest of those that came was delivered.
    sent
        How many messages it has posted.
    """

    time: Any
    begun: Any
    beside: Any
    latest: Any
    round: Any
    instruction: Any
    step: Any
    stuck: Any
    awaited: Any
    missing: Any
    sent: Any


def run(lowered: Lowered, network: Network, seconds: np.ndarray, together: bool = False) -> Ticks:
    """Put a trace through the compiled engine.

    Parameters
    ----------
    lowered
        What is computed and said.
    network
        One network.
    seconds
        (rounds, n) seconds of one gradient.
    together
        ``finish`` is (rounds, 1): when the last worker finishes each round.
    """
    rule, codec, n = fabric_of(network.sharing), codec_seconds(network), lowered.nodes
    speeds, seconds = (
        links(network, lowered.n, n),
        np.require(seconds, requirements=["C", "W"]),
    )  # read-only is another type to numba
    link = make_link(network, speeds, np.array)
    known = lowered.sole and getattr(rule, "known_when_posted", lambda ports: False)(rule.make(network, speeds, list))
    room = 1 << max(8, (16 * n).bit_length())
    while True:  # with longer arrays, where messages that nobody waits for pile up
        ports, finish = rule.make(network, speeds, np.array), np.zeros((len(seconds), 1 if together else lowered.n))
        nodes, queue = _start(n, room)
        with announced(network.sharing):
            _run(lowered, seconds, codec, link, ports, known, finish, nodes, queue)
        if not queue.count[FULL]:
            stuck = np.where(nodes.awaited == NOBODY, NOBODY, nodes.awaited // n)
            stuck[nodes.stuck == FLUSH] = FLUSHING
            return Ticks(finish, int(nodes.sent.sum()), stuck)
        room *= 8


def _start(n: int, room: int) -> tuple[Nodes, Queue]:
    """Return n nodes at the start, ready, and an empty queue with room for so many messages."""
    whole, real = partial(np.zeros, n, dtype=np.int64), partial(np.zeros, n)
    nodes = Nodes(
        time=real(),
        begun=real(),
        beside=real(),
        latest=real(),
        round=whole(),
        instruction=whole() - 1,
        step=whole(),
        stuck=whole(),
        awaited=whole() + NOBODY,
        missing=whole(),
        sent=whole(),
    )
    return nodes, empty_queue(n, room)


def post(ports: Any, posted: float, sender: int, receiver: int, cost: Charge) -> Any:
    """Stand for the fabric's function of this name."""


def reach(
    ports: Any, phase: int, now: float, sender: int, receiver: int, cost: Charge, first: float, last: float
) -> Any:
    """Stand for the fabric's function of this name."""


def last_bit(ports: Any, sender: int) -> Any:
    """Stand for the fabric's function of this name."""


def _of_fabric(name: str, ports: Any) -> Any:
    return getattr(import_module(ports.instance_class.__module__), name)


@overload(post, jit_options=WITHIN, strict=False)
def _post(ports: Any, posted: float, sender: int, receiver: int, cost: Charge) -> Any:
    return _of_fabric("post", ports)


@overload(reach, jit_options=WITHIN, strict=False)
def _reach(
    ports: Any, phase: int, now: float, sender: int, receiver: int, cost: Charge, first: float, last: float
) -> Any:
    return _of_fabric("reach", ports)


@overload(last_bit, jit_options=WITHIN, strict=False)
def _last_bit(ports: Any, sender: int) -> Any:
    return _of_fabric("last_bit", ports)


@compiled
def _run(
    table: Lowered,
    seconds: Any,
    codec: Any,
    link: Link,
    ports: Any,
    known: bool,
    finish: Any,
    nodes: Nodes,
    queue: Queue,
) -> None:
    """Let everything happen, until nothing is to happen or the queue is full; ``known``: what happens to a message is, as it is posted."""
    while True:
        while queue.count[READY]:
            queue.count[READY] -= 1
            _go_on(queue.ready[queue.count[READY]], table, seconds, codec, link, ports, known, finish, nodes, queue)
        if not queue.count[PENDING] or queue.count[FULL]:
            break
        now, number = pop(queue)
        letter = queue.letters[number]
        cost = letter.latency, letter.wire_bits, letter.link_seconds
        time, phase, first, last = reach(
            ports, letter.phase, now, letter.sender, letter.receiver, cost, letter.first, letter.last
        )
        if nodes.stuck[letter.sender] == FLUSH:
            nodes.stuck[letter.sender] = 0
            make_ready(queue, letter.sender)
        if phase == DELIVERED:
            queue.free[queue.count[FREE]] = number
            queue.count[FREE] += 1
            _deliver(nodes, queue, letter.receiver, letter.key, time)
            continue
        letter.phase, letter.first, letter.last = phase, first, last
        push(queue, number, time)


@within
def _go_on(
    i: int,
    table: Any,
    seconds: Any,
    codec: Any,
    link: Any,
    ports: Any,
    known: bool,
    finish: Any,
    nodes: Any,
    queue: Any,
) -> None:
    """Go through node i's instructions until it needs what is not there yet."""
    time, r, k, s = nodes.time[i], nodes.round[i], nodes.instruction[i], nodes.step[i]
    if nodes.stuck[i] == WAIT:
        time, s = max(time, nodes.latest[i]), s + 1
    nodes.stuck[i] = 0
    while r < len(table.program_of) and not nodes.stuck[i]:
        p = table.program_of[r] + table.apart * i
        k = table.start[p] if k < 0 else k
        while k < table.start[p + 1]:
            code = table.code[k]
            if code == POST or code == STEPS or code == WAIT:  # noqa: SIM109 - faster
                time, s = _messages(i, time, r, k, s, code, table, link, ports, known, nodes, queue)
            elif code == COMPUTE:
                time += seconds[r, i] if i < table.n else 0.0
            elif code == BEGIN:
                nodes.begun[i] = max(time, nodes.begun[i] + nodes.beside[i])
                nodes.beside[i] = seconds[r, i] if i < table.n else 0.0
            elif code == UNTIL:
                time = max(time, nodes.begun[i] + table.amount[k] * nodes.beside[i])
            elif code == JOIN:
                time = max(time, nodes.begun[i] + nodes.beside[i])
            elif code == ENCODE or code == DECODE:  # noqa: SIM109
                rate = codec[1] if code == DECODE else codec[0]
                time += rate * table.count[k] * table.coded[table.block[table.base[k]] + i]
            elif code == DELAY:
                time += table.amount[k]
            elif last_bit(ports, i) == NEVER:
                nodes.stuck[i] = FLUSH
            else:
                time = max(time, last_bit(ports, i))
            if nodes.stuck[i]:
                break
            k, s = k + 1, 0
        if not nodes.stuck[i]:
            if i < table.n:
                column = i if finish.shape[1] > 1 else 0
                finish[r, column] = max(finish[r, column], time)
            r, k = r + 1, -1
    nodes.time[i], nodes.round[i], nodes.instruction[i], nodes.step[i] = time, r, k, s


@within
def _messages(
    i: int,
    time: float,
    r: int,
    k: int,
    s: int,
    code: int,
    table: Any,
    link: Any,
    ports: Any,
    known: bool,
    nodes: Any,
    queue: Any,
) -> Any:
    """Post and await the messages of instruction k from step s on; return the node's time, and the step at which it is stuck."""
    row = table.occurrence[r]
    while s < table.count[k]:
        at, slot = table.block[table.base[k] + s] + i, table.slot[k] + s
        key = ((r - table.ago[k]) * table.slots + slot) * table.nodes if slot >= 0 else NOBODY
        for m in range(table.first[at], table.first[at + 1]):
            receiver, bits = table.receiver[m], table.sizes[table.size[m] + row * table.stride[m]]
            nodes.sent[i] += 1
            cost = charge(link, i, receiver, nodes.sent[i], bits)
            when, phase, first, last = post(ports, time, i, receiver, cost)
            own = key + receiver if slot >= 0 else NOBODY
            while known and phase != DELIVERED:
                when, phase, first, last = reach(ports, phase, when, i, receiver, cost, first, last)
            if phase == DELIVERED:
                _deliver(nodes, queue, receiver, own, when)
                continue
            number = new(queue)
            letter = queue.letters[number]
            letter.posted, letter.first, letter.last = time, first, last
            letter.latency, letter.wire_bits, letter.link_seconds = cost
            letter.sender, letter.number, letter.receiver = i, nodes.sent[i], receiver
            letter.key, letter.phase = own, phase
            push(queue, number, when)
        if code != POST and table.comes[at]:
            have, latest = take(queue, key + i)
            if have < table.comes[at]:
                nodes.awaited[i], nodes.missing[i], nodes.latest[i] = key + i, table.comes[at] - have, latest
                nodes.stuck[i] = WAIT
                return time, s
            time = max(time, latest)
        s += 1
    return time, s


@within
def _deliver(nodes: Any, queue: Any, receiver: int, key: int, time: float) -> None:
    """Let a message be there; its receiver can go on if it is the last that it waits for."""
    if key == NOBODY:
        return
    if nodes.awaited[receiver] != key:
        keep(queue, key, time)
        return
    nodes.missing[receiver] -= 1
    nodes.latest[receiver] = max(nodes.latest[receiver], time)
    if not nodes.missing[receiver]:
        nodes.awaited[receiver] = NOBODY
        make_ready(queue, receiver)

"""The event engine: SimPy puts every message of a trace through the network. What a second means is defined here, and in the fabrics.

An event is an instant at which something happens to messages, one after the other, always the first in the order (posted, sender, number of the
message) of all that is to happen at that instant. A worker needs no events: its own time runs ahead of the clock until it needs a message that is not
there.
"""

import gc
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager

import numpy as np
import simpy

from netsim.clock.fabrics import DELIVERED, NEVER, fabric_of
from netsim.clock.link_cost import charge, make_link
from netsim.clock.lowering import (
    BEGIN,
    COMPUTE,
    DECODE,
    DELAY,
    ENCODE,
    JOIN,
    POST,
    STEPS,
    UNTIL,
    WAIT,
    Lowered,
)
from netsim.clock.network import Links, Network, codec_seconds, links
from netsim.clock.timeline import FLUSHING, NOBODY, Ticks

Post = Callable[[float, int, int, float, int], None]
"""Called with (posted, sender, receiver, bits, tag)."""


class _Until(float):
    """A delay that ends at exactly this time, where now + delay would be rounded away from it."""

    def __radd__(self, now: float) -> float:
        return float(self)


def run(lowered: Lowered, network: Network, seconds: np.ndarray, together: bool = False) -> Ticks:
    """Put a trace through the event engine.

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
    clock, nodes = simpy.Environment(), lowered.nodes
    mail = Mail(nodes)
    count = [0] * nodes
    post, last_bit = fabric(clock, network, links(network, lowered.n, nodes), mail.deliver, mail.settle, count)
    table = lowered.as_lists()
    finish: list[list[float]] = [[] for _ in range(nodes)]
    for i in range(nodes):
        gradients = seconds[:, i].tolist() if i < lowered.n else [0.0] * len(seconds)
        mail.nodes.append(_node(table, i, gradients, codec_seconds(network), mail, post, last_bit, finish[i]))
    mail.ready.extend(range(nodes))
    with _no_collection():
        mail.settle()
        clock.run()
    stuck = np.array(mail.awaited)
    stuck[list(mail.flushing)] = FLUSHING
    rounds = max(map(len, finish[: lowered.n]))  # of who is stuck they are fewer
    times = np.array([one + [NEVER] * (rounds - len(one)) for one in finish[: lowered.n]]).T
    return Ticks(times.max(axis=1, keepdims=True) if together else times, sum(count), stuck)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Let the collector of garbage rest: nothing here goes round in circles, and looking for it takes a fifth of the time."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class Mail:
    """The messages delivered to each node and not yet received, and what each node waits for.

    Parameters
    ----------
    nodes
        Number of nodes.
    """

    def __init__(self, nodes: int) -> None:
        self.nodes: list[Generator[None, None, None]] = []
        self.inbox: list[dict[int, list[float]]] = [
            {} for _ in range(nodes)
        ]  # by tag: when its messages were delivered
        self.awaited = [NOBODY] * nodes  # the tag that a node is stuck on,
        self.missing = [0] * nodes  # and how many of its messages it waits for in all
        self.ready: list[int] = []  # nodes that can go on
        self.flushing: set[int] = set()

    def deliver(self, receiver: int, tag: int, time: float) -> None:
        """Put a message into the receiver's box; the receiver can go on if it is the last that it waits for."""
        letters = self.inbox[receiver]
        if tag in letters:
            times = letters[tag]
            times.append(time)
        else:
            times = letters[tag] = [time]
        if self.awaited[receiver] == tag and len(times) == self.missing[receiver]:
            self.awaited[receiver] = NOBODY
            self.ready.append(receiver)

    def settle(self) -> None:
        """Let all nodes go on that can."""
        ready, nodes = self.ready, self.nodes
        if self.flushing:
            ready.extend(self.flushing)
            self.flushing.clear()
        if not ready:
            return
        for node in ready:  # it grows meanwhile; in this order what they post is nearly sorted
            next(nodes[node], None)
        ready.clear()


def _node(
    table: Lowered,
    i: int,
    gradients: list[float],
    codec: tuple[float, float],
    mail: Mail,
    post: Post,
    last_bit: Callable[[int], float],
    finish: list[float],
) -> Generator[None, None, None]:
    """Go through node i's instructions; stop where it needs what is not there yet."""
    time, begun, beside = 0.0, 0.0, 0.0  # the node's own time; when the gradient beside was begun, and its seconds
    letters, slots, sizes = mail.inbox[i], table.slots, table.sizes
    programs, rows = _instructions(table, i), _rows(table, i)
    for r, (p, row) in enumerate(zip(table.program_of, table.occurrence, strict=True)):
        for code, blocks, slot, ago, amount, count in programs[p]:
            if code == COMPUTE:
                time += gradients[r]
            elif code in (POST, STEPS, WAIT):
                tag = (r - ago) * slots + slot if slot >= 0 else NOBODY
                for block in blocks:
                    messages, comes, _ = rows[block]
                    for receiver, size, stride in messages:
                        post(time, i, receiver, sizes[size + row * stride], tag)
                    if comes and code != POST:
                        if len(letters.get(tag, ())) < comes:
                            mail.awaited[i], mail.missing[i] = tag, comes
                            yield
                        time = max(time, *letters.pop(tag))
                    tag += 1
            elif code == BEGIN:
                begun, beside = max(time, begun + beside), gradients[r]
            elif code == UNTIL:
                time = max(time, begun + amount * beside)
            elif code == JOIN:
                time = max(time, begun + beside)
            elif code in (ENCODE, DECODE):
                time += codec[code == DECODE] * count * rows[blocks[0]][2]
            elif code == DELAY:
                time += amount
            else:
                while last_bit(i) == NEVER:
                    mail.flushing.add(i)
                    yield
                time = max(time, last_bit(i))
        finish.append(time)


def _instructions(table: Lowered, i: int) -> dict[int, list[tuple]]:
    """Return node i's programs: of each instruction its code, blocks, slot, rounds ago, amount and count."""
    programs = {}
    for p in set(table.program_of):
        mine = range(table.start[p + table.apart * i], table.start[p + table.apart * i + 1])
        programs[p] = [
            (
                table.code[k],
                table.block[
                    table.base[k] : table.base[k] + (1 if table.code[k] in (ENCODE, DECODE) else table.count[k])
                ],
                *(part[k] for part in (table.slot, table.ago, table.amount, table.count)),
            )
            for k in mine
        ]
    return programs


def _rows(table: Lowered, i: int) -> dict[int, tuple[list[tuple[int, int, int]], int, int]]:
    """Return by block what node i does in a step: its messages (receiver, size, stride), how many come to it, and how many it codes."""
    rows = {}
    for block in set(table.block):
        if 0 <= (at := block + i) < len(table.comes):
            mine = range(table.first[at], table.first[at + 1])
            messages = [(table.receiver[m], table.size[m], table.stride[m]) for m in mine]
            rows[block] = messages, table.comes[at], table.coded[at]
    return rows


def fabric(
    clock: simpy.Environment,
    network: Network,
    speeds: Links,
    deliver: Callable[[int, int, float], None],
    go_on: Callable[[], None],
    count: list[int],
) -> tuple[Post, Callable[[int], float]]:
    """Return how messages are posted on a network, and when the last bit of all that a node posted leaves.

    Parameters
    ----------
    clock, network, speeds
        SimPy's clock, the network, whose ``sharing`` is the rule, and its numbers for the nodes.
    deliver, go_on
        Called with (receiver, tag, time) as soon as a delivery is known; called after whatever happened to a message.
    count
        (nodes,) zeros, which count each node's messages.
    """
    rule = fabric_of(network.sharing)
    link, ports = (made(network, speeds, list) for made in (make_link, rule.make))
    post_at, reach = rule.post, rule.reach
    due: dict[float, list[tuple]] = {}  # what happens at each instant for which an event is set

    def at(time: float, entry: tuple) -> None:
        """Let (posted, sender, number, receiver, cost, tag, phase, first bit, last bit) happen at exactly this time."""
        if time in due:
            due[time].append(entry)
            return
        due[time] = [entry]
        now = clock.now
        delay = time - now
        simpy.Timeout(clock, delay if now + delay == time else _Until(time), time).callbacks.append(happen)  # type: ignore[union-attr]

    def post(posted: float, sender: int, receiver: int, bits: float, tag: int) -> None:
        number = count[sender] = count[sender] + 1
        cost = charge(link, sender, receiver, number, bits)
        time, phase, first, last = post_at(ports, posted, sender, receiver, cost)
        if phase != DELIVERED:
            at(time, (posted, sender, number, receiver, cost, tag, phase, first, last))
        elif tag != NOBODY:
            deliver(receiver, tag, time)

    def happen(event: simpy.Event) -> None:
        now: float = event.value  # type: ignore[assignment]
        for posted, sender, number, receiver, cost, tag, phase, first, last in _one_by_one(due, now):
            time, then, first, last = reach(ports, phase, now, sender, receiver, cost, first, last)
            if then != DELIVERED:
                at(time, (posted, sender, number, receiver, cost, tag, then, first, last))
            elif tag != NOBODY:
                deliver(receiver, tag, time)
            go_on()

    return post, lambda sender: rule.last_bit(ports, sender)


def _one_by_one(due: dict[float, list[tuple]], now: float) -> Iterator[tuple]:
    """Yield what happens at an instant, always the first of what is still to happen then; more may come meanwhile."""
    entries, caused = due[now], list[tuple]()
    due[now] = caused
    entries.sort(reverse=True)
    while entries:
        yield entries.pop()
        if caused:
            entries += caused
            entries.sort(reverse=True)
            caused.clear()
    del due[now]

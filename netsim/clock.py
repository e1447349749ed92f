"""The event engine: SimPy puts every message of a trace through the network. What a second means is defined here.

One event a message: its first bit's arrival (with handshakes or half duplex, also its joining the sender's queue). A port with its queue is one
number, the time it falls idle, because whoever is admitted is admitted in order. All that comes to ports at one instant is admitted together, in the
order (posted, sender, position), after everything else that happens at that instant.
"""

from collections.abc import Callable, Generator
from typing import Any, NamedTuple

import numpy as np
import simpy

from netsim.errors import NetsimError
from netsim.network import Network, links
from netsim.trace import Trace
from netsim.wire import delivered, delivered_unshared, join, leave, receive


class Ticks(NamedTuple):
    """What the engine measured: ``finish`` (rounds, n) seconds, and the number of ``messages``."""

    finish: np.ndarray
    messages: int


class _Until(float):
    """A delay that ends at exactly this time, where now + delay would be rounded away from it."""

    def __radd__(self, now: float) -> float:
        return float(self)


def run(trace: Trace, network: Network, seconds: np.ndarray) -> Ticks:
    """Put a trace through the event engine.

    Parameters
    ----------
    trace
        What is computed and said.
    network
        One network.
    seconds
        (rounds, n) seconds of one gradient.

    Raises
    ------
    NetsimError
        Workers wait for one another in a circle; the line names a worker and its tag.
    """
    n = trace.n
    clock = simpy.Environment()
    programs = trace.instructions(network, seconds)
    finish: list[list[float]] = [[] for _ in range(n)]
    mailbox: list[dict[tuple, float]] = [{} for _ in range(n)]
    awaited: list[tuple | None] = [None] * n  # the (sender, tag) that a worker is stuck on
    speeds = links(network, n)
    latency, bandwidth = speeds.latency.tolist(), speeds.bandwidth.tolist()
    egress, ingress = speeds.egress.tolist(), speeds.ingress.tolist()
    overhead, handshakes, framing = network.overhead, network.handshakes, network.framing
    out_idle = [0.0] * n
    in_idle = out_idle if network.duplex == "half" else [0.0] * n
    direct = (
        handshakes == 0 and network.duplex == "full"
    )  # then a message joins its queue as it is posted, and nothing can come between
    unshared = network.sharing == "none"
    all_left = [0.0] * n  # when the last bit that a worker has sent leaves
    to_join = [0] * n  # how many of its messages have yet to join the queue
    pair_delivered: dict[tuple[int, int], float] = {}
    at_ports: list[
        tuple
    ] = []  # what came to a port at this instant: (posted, sender, position, receiver, wire bits, tag, bits left or None)
    position = 0

    def at(time: float, now: float, callback: Callable, value: Any) -> None:
        delay = time - now
        event = simpy.Timeout(clock, delay if now + delay == time else _Until(time), value)
        event.callbacks.append(callback)  # type: ignore[union-attr]

    def post(sender: int, receiver: int, bits: float, tag: Any, now: float) -> None:
        nonlocal position
        position += 1
        wire_bits = bits * framing
        if unshared:
            link_seconds = wire_bits / bandwidth[sender][receiver]
            alpha = latency[sender][receiver]
            all_left[sender] = max(all_left[sender], join(now, handshakes, alpha) + overhead + link_seconds)
            time = delivered_unshared(now, handshakes, overhead, alpha, link_seconds)
            at(time, now, hand_over, (receiver, (sender, tag), time))
        elif direct:
            out(now, now, sender, position, receiver, wire_bits, tag, now)
        else:
            to_join[sender] += 1
            entry = (now, sender, position, receiver, wire_bits, tag, None)
            if handshakes:
                at(join(now, handshakes, latency[sender][receiver]), now, reach_port, entry)
            else:
                at_ports.append(entry)

    def out(
        joined: float, posted: float, sender: int, position: int, receiver: int, wire_bits: float, tag: Any, now: float
    ) -> None:
        left = leave(joined, out_idle[sender], overhead, wire_bits / egress[sender], max)
        out_idle[sender] = all_left[sender] = left[1]
        arrival = left[0] + latency[sender][receiver]
        at(arrival, now, reach_port, (posted, sender, position, receiver, wire_bits, tag, left))

    def reach_port(event: simpy.Event) -> None:
        at_ports.append(event.value)
        admit()

    def admit() -> None:
        """Admit what came to the ports, once everything else of this instant has happened."""
        nonlocal at_ports
        now = clock.now
        while at_ports and clock.peek() > now:
            arrived, at_ports = at_ports, []
            if len(arrived) > 1:
                arrived.sort()
            for posted, sender, place, receiver, wire_bits, tag, left in arrived:
                if left is None:
                    to_join[sender] -= 1
                    out(now, posted, sender, place, receiver, wire_bits, tag, now)
                    if awaited[sender] == _FLUSH:
                        go_on(sender, now)
                    continue
                in_idle[receiver] = received = receive(now, in_idle[receiver], wire_bits / ingress[receiver], max)
                first_bit, last_bit = left
                time = delivered(
                    received,
                    first_bit,
                    last_bit,
                    latency[sender][receiver],
                    wire_bits / bandwidth[sender][receiver],
                    max,
                )
                pair = (sender, receiver)
                time = pair_delivered[pair] = max(time, pair_delivered.get(pair, 0.0))
                take(receiver, (sender, tag), time)

    def hand_over(event: simpy.Event) -> None:
        take(*event.value)
        admit()

    def take(receiver: int, letter: tuple, time: float) -> None:
        if awaited[receiver] == letter:
            go_on(receiver, time)
        else:
            mailbox[receiver][letter] = time

    def go_on(i: int, time: float) -> None:
        awaited[i] = None
        try:
            workers[i].send(time)
        except StopIteration:
            pass

    def wake(event: simpy.Event) -> None:
        go_on(*event.value)
        admit()

    def worker(i: int) -> Generator[None, float, None]:
        """Go through worker i's instructions; its own time may run ahead of the clock until it sends."""
        time = yield
        now = 0.0
        for instruction in programs[i]:
            kind = instruction[0]
            if kind == "recv":
                letter = instruction[1:]
                arrived = mailbox[i].pop(letter, None)
                if arrived is None:
                    awaited[i] = letter
                    arrived = yield
                    now = clock.now
                if arrived > time:
                    time = arrived
            elif kind == "send":
                if time > now:
                    at(time, clock.now, wake, (i, time))
                    yield
                    now = time
                post(i, instruction[1], instruction[2], instruction[3], now)
            elif kind == "compute":
                time += instruction[1]
            elif kind == "mark":
                finish[i].append(time)
            else:
                while to_join[i]:
                    awaited[i] = _FLUSH
                    yield
                    now = clock.now
                time = max(time, all_left[i])

    workers = [worker(i) for i in range(n)]
    for i in range(n):
        next(workers[i])
        at(0.0, 0.0, wake, (i, 0.0))
    clock.run()
    for i, letter in enumerate(awaited):
        if letter is not None:
            sender, tag = letter
            raise NetsimError(
                f"worker {i} waits for ever for tag {_tag(tag)!r} from worker {sender}: the workers wait for one another in a circle"
            )
    return Ticks(np.array(finish).T, position)


_FLUSH = ("flush", "")


def _tag(tag: Any) -> Any:
    return tag[0] if isinstance(tag, tuple) else tag

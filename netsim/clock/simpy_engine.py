"""The event engine: SimPy puts every message of a trace through the network. What a second means is defined here.

An event is an instant at which first bits arrive (with handshakes or half duplex, also one at which messages join their senders' queues): all that
comes to the ports at that instant is admitted together, in the order (posted, sender, position). A port with its queue is one number, the time it
falls idle, because whoever is admitted is admitted in order. A worker needs no events: its own time runs ahead of the clock until it needs a message
that is not there.
"""

from collections.abc import Generator
from typing import Any, NamedTuple

import numpy as np
import simpy

from netsim.clock.link_cost import delivered, delivered_unshared, join, leave, receive
from netsim.clock.network import Links, Network, links
from netsim.comm.trace import Trace
from netsim.errors import NetsimError


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
    n = trace.nodes
    clock = simpy.Environment()
    programs = trace.instructions(network, seconds)
    finish: list[list[float]] = [[] for _ in range(n)]
    inbox: list[dict[Any, list[float]]] = [{} for _ in range(n)]  # by tag: when its messages were delivered
    awaited: list[Any] = [None] * n  # the tag that a worker is stuck on
    missing = [0] * n  # and how many of its messages it waits for in all
    speeds = links(network, n)
    link_of = _link_table(speeds)
    egress, ingress = speeds.egress.tolist(), speeds.ingress.tolist()
    overhead, handshakes, framing = float(network.overhead), network.handshakes, float(network.framing)
    out_idle = [0.0] * n
    in_idle = out_idle if network.duplex == "half" else [0.0] * n
    unshared = network.sharing == "none"
    direct = handshakes == 0 and network.duplex == "full"  # nothing can come between a post and its joining the queue
    all_left = [0.0] * n  # when the last bit that a worker has sent leaves
    to_join = [0] * n  # how many of its messages have yet to join the queue
    # a link slower than its port would let a pair's later message overtake an earlier one
    steady = bool((speeds.bandwidth >= speeds.egress[:, None]).all())
    pair_delivered: dict[tuple[int, int], float] = {}
    due: dict[float, list[tuple]] = {}  # what comes to the ports at each instant for which an event is set
    position = 0

    def at(time: float, entry: tuple) -> None:
        """Let (posted, sender, position, receiver, wire bits, tag, what happens) come to its port at exactly this time."""
        if time in due:
            due[time].append(entry)
            return
        due[time] = [entry]
        now = clock.now
        delay = time - now
        simpy.Timeout(clock, delay if now + delay == time else _Until(time), time).callbacks.append(reach_ports)  # type: ignore[union-attr]

    def post(posted: float, sender: int, receivers: tuple[int, ...], bits: float, tag: Any) -> None:
        nonlocal position
        wire_bits = bits * framing
        for receiver in receivers:
            position += 1
            latency, bandwidth = link_of[sender][receiver]
            if unshared:
                link_seconds = wire_bits / bandwidth
                all_left[sender] = max(all_left[sender], join(posted, handshakes, latency) + overhead + link_seconds)
                time = delivered_unshared(posted, handshakes, overhead, latency, link_seconds)
                at(time, (posted, sender, position, receiver, wire_bits, tag, _DELIVERED))
            elif direct:
                leave_port(posted, posted, sender, position, receiver, wire_bits, tag, latency)
            else:
                to_join[sender] += 1
                at(join(posted, handshakes, latency), (posted, sender, position, receiver, wire_bits, tag, _JOINS))

    def leave_port(
        joined: float, posted: float, sender: int, place: int, receiver: int, wire_bits: float, tag: Any, latency: float
    ) -> None:
        left = leave(joined, out_idle[sender], overhead, wire_bits / egress[sender], max)
        out_idle[sender] = all_left[sender] = left[1]
        at(left[0] + latency, (posted, sender, place, receiver, wire_bits, tag, left))

    def reach_ports(event: simpy.Event) -> None:
        now: float = event.value  # type: ignore[assignment]
        arrived = due.pop(now)
        arrived.sort()
        for posted, sender, place, receiver, wire_bits, tag, left in arrived:
            latency, bandwidth = link_of[sender][receiver]
            if left is _JOINS:
                to_join[sender] -= 1
                leave_port(now, posted, sender, place, receiver, wire_bits, tag, latency)
                if awaited[sender] is _FLUSH:
                    go_on(sender)
                continue
            if left is _DELIVERED:
                deliver(receiver, tag, now)
                continue
            in_idle[receiver] = received = receive(now, in_idle[receiver], wire_bits / ingress[receiver], max)
            time = delivered(received, left[0], left[1], latency, wire_bits / bandwidth, max)
            if not steady:
                time = pair_delivered[sender, receiver] = max(time, pair_delivered.get((sender, receiver), 0.0))
            deliver(receiver, tag, time)

    def deliver(receiver: int, tag: Any, time: float) -> None:
        letters = inbox[receiver]
        if tag in letters:
            times = letters[tag]
            times.append(time)
        else:
            times = letters[tag] = [time]
        if awaited[receiver] == tag and len(times) == missing[receiver]:
            go_on(receiver)

    def go_on(i: int) -> None:
        awaited[i] = None
        next(workers[i], None)

    def worker(i: int) -> Generator[None, None, None]:
        """Go through worker i's instructions. Its own time runs ahead of the clock; it stops only where it needs what is not there yet."""
        time, gradient_done, letters = 0.0, 0.0, inbox[i]
        for instruction in programs[i]:
            kind = instruction[0]
            if kind == "wait":
                _, count, tag = instruction
                if len(letters.get(tag, ())) < count:
                    awaited[i], missing[i] = tag, count
                    yield
                last = max(letters.pop(tag))
                if last > time:
                    time = last
            elif kind == "post":
                post(time, i, instruction[1], instruction[2], instruction[3])
            elif kind == "compute":
                time += instruction[1]
            elif kind == "mark":
                finish[i].append(time)
            elif kind == "begin":
                gradient_done = max(time, gradient_done) + instruction[1]
            elif kind == "join":
                time = max(time, gradient_done)
            else:
                while to_join[i]:
                    awaited[i] = _FLUSH
                    yield
                time = max(time, all_left[i])

    workers = [worker(i) for i in range(n)]
    for i in range(n):
        next(workers[i], None)
    clock.run()
    for i, tag in enumerate(awaited):
        if tag is not None:
            raise NetsimError(
                f"worker {i} waits for ever for {_letter(tag)}: the workers wait for one another in a circle"
            )
    return Ticks(np.array(finish[: trace.n]).T, position)


_FLUSH, _JOINS, _DELIVERED = ("flush",), ("joins",), ("delivered",)


def _link_table(speeds: Links) -> list[list[tuple[float, float]]]:
    """Return (latency, bandwidth) of every link, row by row; one row for all where all links are alike."""
    n = len(speeds.egress)
    if all(values.strides == (0, 0) for values in speeds[:2]):  # one number, broadcast
        return [[(float(speeds.latency[0, 0]), float(speeds.bandwidth[0, 0]))] * n] * n
    pairs = zip(speeds.latency.tolist(), speeds.bandwidth.tolist(), strict=True)
    return [list(zip(latency, bandwidth, strict=True)) for latency, bandwidth in pairs]


def _letter(tag: Any) -> str:
    return f"tag {tag[1]!r} from worker {tag[0]}" if isinstance(tag, tuple) else f"message {tag}"

"""Messages queue at the ports of sender and receiver, first come, first served: DESIGN section 5, steps 1 to 3."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from netsim.clock.compiling import shared
from netsim.clock.fabrics import DELIVERED
from netsim.clock.link_cost import Charge, delivered, join, leave, receive

JOINS, ARRIVES = 0, 1  # a message joins its sender's queue; its first bit reaches the receiver's port
Next = tuple[float, int, float, float]


class Ports(NamedTuple):
    """What the network charges, and where the ports stand.

    A port with its queue is one number, the time it falls idle, because whoever is admitted is admitted in order.

    Attributes
    ----------
    n
        Number of nodes.
    overhead, handshakes
        As of :class:`netsim.Network`.
    egress, ingress
        (n,) bit/s.
    direct
        Nothing can come between a post and its joining the queue: no handshakes, full duplex.
    steady
        No link is slower than its sender's port, else a pair's later message might overtake an earlier one.
    out_idle, in_idle
        (n,) seconds: when each port falls idle; half duplex has one port.
    last_left
        (n,) seconds: when the last bit that a node has sent leaves.
    to_join
        (n,): how many of its messages have yet to join the queue.
    pair_delivered
        (n * n,) seconds, or (1,) where steady: when a pair's last message was delivered.
    """

    n: int
    overhead: float
    handshakes: float
    egress: Any
    ingress: Any
    direct: bool
    steady: bool
    out_idle: Any
    in_idle: Any
    last_left: Any
    to_join: Any
    pair_delivered: Any


def make(network: Any, links: Any, column: Callable[[Sequence[float]], Any]) -> Ports:
    """Return the ports when nothing was sent."""
    n = len(links.egress)
    steady = bool((links.bandwidth >= links.egress[:, None]).all())
    half = network.duplex == "half"
    out_idle = column([0.0] * n)
    return Ports(
        n=n,
        overhead=float(network.overhead),
        handshakes=float(network.handshakes),
        egress=column(links.egress.tolist()),
        ingress=column(links.ingress.tolist()),
        direct=network.handshakes == 0 and not half,
        steady=steady,
        out_idle=out_idle,
        in_idle=out_idle if half else column([0.0] * n),
        last_left=column([0.0] * n),
        to_join=column([0.0] * n),
        pair_delivered=column([0.0] * (1 if steady else n * n)),
    )


def known_when_posted(ports: Ports) -> bool:
    """Return whether only the receiver's port is still to come for what was posted, where a pair's messages arrive in order."""
    return ports.direct


@shared
def post(ports: Ports, posted: float, sender: int, receiver: int, cost: Charge) -> Next:
    """Let a message join its sender's queue, at once or after its handshakes."""
    if ports.direct:
        return _leave(ports, posted, sender, cost)
    ports.to_join[sender] += 1
    return join(posted, ports.handshakes, cost[0]), JOINS, 0.0, 0.0


@shared
def reach(
    ports: Ports, phase: int, now: float, sender: int, receiver: int, cost: Charge, first: float, last: float
) -> Next:
    """Let a message join its sender's queue, or be taken in by its receiver's port."""
    if phase == JOINS:
        ports.to_join[sender] -= 1
        return _leave(ports, now, sender, cost)
    latency, wire_bits, link_seconds = cost
    received = receive(now, ports.in_idle[receiver], wire_bits / ports.ingress[receiver])
    ports.in_idle[receiver] = received
    time = delivered(received, first, last, latency, link_seconds)
    if not ports.steady:
        pair = sender * ports.n + receiver
        time = ports.pair_delivered[pair] = max(time, ports.pair_delivered[pair])
    return time, DELIVERED, first, last


@shared
def last_bit(ports: Ports, sender: int) -> float:
    """Return when all that a node posted has left; infinite while some of it waits for its handshakes."""
    return float("inf") if ports.to_join[sender] else ports.last_left[sender]


@shared
def _leave(ports: Ports, joined: float, sender: int, cost: Charge) -> Next:
    """Let a message pass its sender's port."""
    latency, wire_bits, _ = cost
    first, last = leave(joined, ports.out_idle[sender], ports.overhead, wire_bits / ports.egress[sender])
    ports.out_idle[sender] = ports.last_left[sender] = last
    return first + latency, ARRIVES, first, last

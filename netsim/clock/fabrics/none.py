"""Links are independent and nothing queues: every message costs alpha + b/B, the textbook model."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from netsim.clock.compiling import shared
from netsim.clock.fabrics import DELIVERED
from netsim.clock.link_cost import (
    Link,
    delivered_unshared,
    join,
    latency_of,
    link_seconds_of,
    make_link,
    wire_bits_of,
)

Next = tuple[float, int, float, float]


class Ports(NamedTuple):
    """What the network charges.

    Attributes
    ----------
    link
        Latency, bandwidth and the like.
    last_left
        (n,) seconds: when the last bit that a node has sent leaves.
    """

    link: Link
    last_left: Any


def make(network: Any, links: Any, column: Callable[[Sequence[float]], Any]) -> Ports:
    """Return the links when nothing was sent."""
    return Ports(make_link(network, links, column), column([0.0] * len(links.egress)))


@shared
def post(ports: Ports, posted: float, sender: int, receiver: int, number: int, bits: float) -> Next:
    """Deliver a message: all that becomes of it is known at once."""
    link = ports.link
    latency = latency_of(link, sender, receiver, number)
    link_seconds = link_seconds_of(link, sender, receiver, wire_bits_of(link, bits))
    first = join(posted, link.handshakes, latency) + link.overhead
    last = first + link_seconds
    ports.last_left[sender] = max(ports.last_left[sender], last)
    time = delivered_unshared(posted, link.handshakes, link.overhead, latency, link_seconds)
    return time, DELIVERED, first, last


@shared
def reach(
    ports: Ports,
    phase: int,
    now: float,
    sender: int,
    receiver: int,
    number: int,
    bits: float,
    first: float,
    last: float,
) -> Next:
    """Return what is already known: a message that was posted is delivered."""
    return now, DELIVERED, first, last


@shared
def last_bit(ports: Ports, sender: int) -> float:
    """Return when all that a node posted has left."""
    return ports.last_left[sender]

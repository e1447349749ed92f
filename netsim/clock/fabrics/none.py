"""Links are independent and nothing queues: every message costs alpha + b/B, the textbook model."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from netsim.clock.compiling import shared
from netsim.clock.fabrics import DELIVERED
from netsim.clock.link_cost import Charge, delivered_unshared, join

Next = tuple[float, int, float, float]


class Ports(NamedTuple):
    """What the network charges.

    Attributes
    ----------
    overhead, handshakes
        As of :class:`netsim.Network`.
    last_left
        (n,) seconds: when the last bit that a node has sent leaves.
    """

    overhead: float
    handshakes: float
    last_left: Any


def make(network: Any, links: Any, column: Callable[[Sequence[float]], Any]) -> Ports:
    """Return the links when nothing was sent."""
    return Ports(float(network.overhead), float(network.handshakes), column([0.0] * len(links.egress)))


@shared
def post(ports: Ports, posted: float, sender: int, receiver: int, cost: Charge) -> Next:
    """Deliver a message: all that becomes of it is known at once."""
    latency, _, link_seconds = cost
    first = join(posted, ports.handshakes, latency) + ports.overhead
    last = first + link_seconds
    ports.last_left[sender] = max(ports.last_left[sender], last)
    time = delivered_unshared(posted, ports.handshakes, ports.overhead, latency, link_seconds)
    return time, DELIVERED, first, last


@shared
def reach(
    ports: Ports, phase: int, now: float, sender: int, receiver: int, cost: Charge, first: float, last: float
) -> Next:
    """Return what is already known: a message that was posted is delivered."""
    return now, DELIVERED, first, last


@shared
def last_bit(ports: Ports, sender: int) -> float:
    """Return when all that a node posted has left."""
    return ports.last_left[sender]

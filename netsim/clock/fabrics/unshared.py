"""Links are independent and nothing queues: every message costs alpha + b/B, the textbook model."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from netsim.clock.compiling import shared
from netsim.clock.fabrics import DELIVERED
from netsim.clock.link_cost import delivered_unshared, join

Next = tuple[float, int, float, float]


class Ports(NamedTuple):
    """What the network charges.

    Attributes
    ----------
    n, per_link
        Number of nodes; 1, or 0 where all links are alike: the link from i to j has the entry ``(i * n + j) * per_link``.
    latency, bandwidth
        Seconds and bit/s of every link, or of all.
    overhead, handshakes, framing
        As of :class:`netsim.Network`.
    last_left
        (n,) seconds: when the last bit that a node has sent leaves.
    """

    n: int
    per_link: int
    latency: Any
    bandwidth: Any
    overhead: float
    handshakes: float
    framing: float
    last_left: Any


def make(network: Any, links: Any, column: Callable[[Sequence[float]], Any]) -> Ports:
    """Return the links when nothing was sent."""
    n = len(links.egress)
    latency, bandwidth, per_link = links.flat
    overhead, handshakes, framing = float(network.overhead), float(network.handshakes), float(network.framing)
    return Ports(n, per_link, column(latency), column(bandwidth), overhead, handshakes, framing, column([0.0] * n))


@shared
def post(ports: Ports, posted: float, sender: int, receiver: int, bits: float) -> Next:
    """Deliver a message: all that becomes of it is known at once."""
    link = (sender * ports.n + receiver) * ports.per_link
    latency, link_seconds = ports.latency[link], bits * ports.framing / ports.bandwidth[link]
    first = join(posted, ports.handshakes, latency) + ports.overhead
    last = first + link_seconds
    ports.last_left[sender] = max(ports.last_left[sender], last)
    time = delivered_unshared(posted, ports.handshakes, ports.overhead, latency, link_seconds)
    return time, DELIVERED, first, last


@shared
def reach(
    ports: Ports, phase: int, now: float, sender: int, receiver: int, bits: float, first: float, last: float
) -> Next:
    """Return what is already known: a message that was posted is delivered."""
    return now, DELIVERED, first, last


@shared
def last_bit(ports: Ports, sender: int) -> float:
    """Return when all that a node posted has left."""
    return ports.last_left[sender]

"""What one message costs: the expressions of the model, which both engines evaluate in this order of operations, so that they agree bit for bit.

They are Python functions to the event engine, and compiled into the other one. Comparisons in place of ``max`` are faster in Python.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from netsim.clock.compiling import shared

Charge = tuple[float, float, float]
"""What a message is charged whatever else is under way: the latency (s), the bits on the wire, and the seconds that its link takes for them."""


class Link(NamedTuple):
    """What a network charges for messages.

    Attributes
    ----------
    n, per_link
        Number of nodes; 1, or 0 where all links are alike: the link from i to j has the entry ``(i * n + j) * per_link``.
    latency, bandwidth
        Seconds and bit/s of every link, or of all.
    framing
        As of :class:`netsim.Network`.
    """

    n: int
    per_link: int
    latency: Any
    bandwidth: Any
    framing: float


def make_link(network: Any, links: Any, column: Callable[[Sequence[float]], Any]) -> Link:
    """Return what a network charges; ``column`` turns a sequence of numbers into a list, or an array."""
    latency, bandwidth, per_link = links.flat
    return Link(len(links.egress), per_link, column(latency), column(bandwidth), float(network.framing))


@shared
def charge(link: Link, sender: int, receiver: int, number: int, bits: float) -> Charge:
    """Return what a message of so many bits, its sender's ``number``-th, is charged: a function of these alone."""
    at = (sender * link.n + receiver) * link.per_link
    wire_bits = bits * link.framing
    return link.latency[at], wire_bits, wire_bits / link.bandwidth[at]


@shared
def join(posted: float, handshakes: float, latency: float) -> float:
    """Return when a message joins the queue of its sender's port: after its handshakes."""
    return posted + handshakes * latency


@shared
def leave(joined: float, port_idle: float, overhead: float, egress_seconds: float) -> tuple[float, float]:
    """Return when the first and the last bit leave; with the last, the sender's port falls idle."""
    first_bit = (joined if joined > port_idle else port_idle) + overhead
    return first_bit, first_bit + egress_seconds


@shared
def receive(first_bit_arrival: float, port_idle: float, ingress_seconds: float) -> float:
    """Return when the receiver's port has taken the message in and falls idle."""
    return (first_bit_arrival if first_bit_arrival > port_idle else port_idle) + ingress_seconds


@shared
def delivered(received: float, first_bit: float, last_bit: float, latency: float, link_seconds: float) -> float:
    """Return when the message is delivered: no earlier than the receiver's port, the last bit and the link allow."""
    by_egress, by_link = last_bit + latency, first_bit + link_seconds + latency
    time = received if received > by_egress else by_egress
    return time if time > by_link else by_link


@shared
def delivered_unshared(posted: float, handshakes: float, overhead: float, latency: float, link_seconds: float) -> float:
    """Return when a message is delivered where links are independent and nothing queues: alpha + b/B after it was posted."""
    return posted + (handshakes * latency + overhead) + (latency + link_seconds)

"""What one message costs: the expressions that the event engine and the recurrence share.

Both engines evaluate these, and nothing else, in this order of operations, so that their times agree bit for bit. ``maximum`` is ``max`` for the
event engine's floats and its like for the recurrence's arrays (one entry a network).
"""

from collections.abc import Callable
from typing import Any

Seconds = Any  # a float, or an array with one entry a network


def join(posted: Seconds, handshakes: Any, latency: Seconds) -> Seconds:
    """Return when a message joins the queue of its sender's port: after its handshakes."""
    return posted + handshakes * latency


def leave(
    joined: Seconds, port_idle: Seconds, overhead: Seconds, egress_seconds: Seconds, maximum: Callable
) -> tuple[Seconds, Seconds]:
    """Return when the first and the last bit leave; with the last, the sender's port falls idle."""
    first_bit = maximum(joined, port_idle) + overhead
    return first_bit, first_bit + egress_seconds


def receive(first_bit_arrival: Seconds, port_idle: Seconds, ingress_seconds: Seconds, maximum: Callable) -> Seconds:
    """Return when the receiver's port has taken the message in and falls idle."""
    return maximum(first_bit_arrival, port_idle) + ingress_seconds


def delivered(
    received: Seconds, first_bit: Seconds, last_bit: Seconds, latency: Seconds, link_seconds: Seconds, maximum: Callable
) -> Seconds:
    """Return when the message is delivered: no earlier than the receiver's port, the last bit and the link allow."""
    return maximum(received, last_bit + latency, first_bit + link_seconds + latency)


def delivered_unshared(
    posted: Seconds, handshakes: Any, overhead: Seconds, latency: Seconds, link_seconds: Seconds
) -> Seconds:
    """Return when a message is delivered where links are independent and nothing queues: alpha + b/B after it was posted."""
    return posted + (handshakes * latency + overhead) + (latency + link_seconds)

"""Ways of sharing ports: one file each, behind one interface that both engines use.

A fabric is a module with a NamedTuple ``Ports`` of all that it keeps, and four functions on it, which the event engine calls as they are and the
other engine compiles:

``make(network, links, column)``
    the ports when nothing was sent; ``column`` turns a sequence of numbers into what one engine indexes fast (a list, or an array).
``post(ports, posted, sender, receiver, bits)``
    a message of so many bits is posted: what happens to it next, ``(time, phase, first bit leaves, last bit leaves)``.
``reach(ports, phase, now, sender, receiver, bits, first, last)``
    what was to happen to it does, and what happens next; at most once a phase.
``last_bit(ports, sender)``
    when the last bit of all that a node posted leaves; infinite while that is not known.

Phases are numbers of the fabric's own, but for :data:`DELIVERED`: then ``time`` is when the receiver has the message, which may be told as soon as it
is known. At one instant messages are taken in the order (posted, sender, number of the sender's message); what they cause at the same instant comes
after all of them.
"""

from importlib import import_module
from typing import Any

DELIVERED = -1
NEVER = float("inf")

FABRICS = {"fifo": "netsim.clock.fabrics.fifo", "none": "netsim.clock.fabrics.unshared"}
"""By ``Network.sharing``: the module, imported when a trace is timed."""


def fabric_of(sharing: str) -> Any:
    """Return the module of a way of sharing ports."""
    return import_module(FABRICS[sharing])

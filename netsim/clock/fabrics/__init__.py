"""Ways of sharing ports: one file each, whose name is the value of ``Network.sharing``, behind one interface that both engines use.

A fabric is a module with a NamedTuple ``Ports`` of all that it keeps, and four functions on it, which the event engine calls as they are and the
other engine compiles:

``make(network, links, column)``
    the ports when nothing was sent; ``column`` turns a sequence of numbers into what one engine indexes fast (a list, or an array).
``post(ports, posted, sender, receiver, cost)``
    a message is posted that is charged ``cost`` (:data:`netsim.clock.link_cost.Charge`): what happens to it next, ``(time, phase, first bit leaves,
    last bit leaves)``.
``reach(ports, phase, now, sender, receiver, cost, first, last)``
    what was to happen to it does, and what happens next.
``last_bit(ports, sender)``
    when the last bit of all that a node posted leaves; :data:`NEVER` while that is not known.
``known_when_posted(ports)`` (may be left out)
    whether all that happens to a message is known as it is posted, provided that nobody else sends to its receiver: ``reach`` can then be called at
    once, for it depends on the messages of one pair alone, in the order in which they are posted. Ring all-reduces need no queue of events then.

Phases are numbers of the fabric's own, but for :data:`DELIVERED`: then ``time`` is when the receiver has the message, which may be told as soon as it
is known.

**Ties.** Of all that is to happen at one instant, the first in the order (posted, sender, number of the sender's message) happens next: the message
that was posted earlier, then the one whose sender has the lower index, then the one that its sender posted first. A node that can go on thereby does
so at once, and what it posts at the same instant takes its place in that order among what is still to happen then. So where messages take no time at
all (latency 0 and no bits, or infinite speeds), one that is caused by another at the same instant may come to a port before one of a higher sender
that stood ready, but never before the one that caused it. Where messages take some time, each is known before its instant, and the order decides.

``reach`` is called in the order of time. ``post`` is not: nodes run ahead of the clock, each in the order of its own posts. So ``post`` may change
nothing that other nodes' messages depend on; what does, waits for ``reach``.
"""

from importlib import import_module
from pkgutil import iter_modules
from typing import Any

DELIVERED = -1
NEVER = float("inf")

FABRICS = tuple(sorted(module.name for module in iter_modules(__path__)))
"""The ways that there are; their modules are imported when a trace is timed."""


def fabric_of(sharing: str) -> Any:
    """Return the module of a way of sharing ports."""
    return import_module(f"{__name__}.{sharing}")

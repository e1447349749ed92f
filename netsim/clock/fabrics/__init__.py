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

Phases are numbers of the fabric's own, but for :data:`DELIVERED`: then ``time`` is when the receiver has the message, which may be told as soon as it
is known. At one instant messages are taken in the order (posted, sender, number); what they cause at the same instant comes after all of them.

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

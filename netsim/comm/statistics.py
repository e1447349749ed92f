"""Statistics of a run's messages: compression error, clipped numbers, and counts over the edges that methods ask for."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace

from netsim.algorithms.compression import Compressor, Message
from netsim.device import Array, to_host


class Sent(NamedTuple):
    """The messages of one operation, one per row, as passed to an observer.

    Attributes
    ----------
    kind
        The operation: "post" (a send too), "all_gather", "push" or "pull".
    purpose
        Name of the random stream that the compressor drew from.
    compressor
        The compressor; Identity for full precision.
    given
        (rows, P): what was compressed.
    message
        The compressor's result.
    """

    kind: str
    purpose: str
    compressor: Compressor
    given: Array
    message: Message


class Exchanged(NamedTuple):
    """The messages of one exchange along the edges, as passed to an observer.

    Attributes
    ----------
    at_low, at_high
        (E, k): what the lower and the higher ends sent.
    numbers
        (E,) integers, how many of the k numbers are sent and billed; None: all.
    """

    at_low: Array
    at_high: Array
    numbers: Array | None


OnMessage = Callable[[Sent | Exchanged], None]
"""An observer: called for every operation that sends compressed rows or exchanges along the edges. It must leave the arrays as they are."""


class Statistics:
    """Statistics of all compressed messages of a run; an observer of its communicator.

    Attributes
    ----------
    compression_error
        Per kind of operation the largest ||C(z) - z||_F / ||z||_F so far, on the device.
    clipped
        Count of numbers that quantizers clipped, over all messages.
    compressed_numbers
        Count of numbers that were compressed, over all messages.
    tallies
        {name: integer}: counts over the edges that methods ask for (:meth:`netsim.comm.communicator.Communicator.tally`).
    """

    def __init__(self) -> None:
        self.compression_error: dict[str, Array] = {}
        self.clipped: Array | int = 0
        self.compressed_numbers = 0
        self.tallies: dict[str, Array | int] = {}

    def __call__(self, sent: Sent) -> None:
        """Count the messages of an operation."""
        kind, y, message = sent.kind, sent.given, sent.message
        xp = array_namespace(y)
        error = message.value - y
        size = xp.vdot(y, y)
        ratio = xp.where(size > 0, xp.sqrt(xp.vdot(error, error) / xp.where(size > 0, size, 1)), 0)
        ratio = xp.where(xp.isfinite(ratio), ratio, 0)  # diverged models say nothing about the compressor
        before = self.compression_error.get(kind)
        self.compression_error[kind] = ratio if before is None else xp.maximum(before, ratio)
        self.clipped = self.clipped + message.clipped
        self.compressed_numbers += y.size

    def add(self, name: str, count: Array | int) -> None:
        """Add to a tally."""
        self.tallies[name] = self.tallies.get(name, 0) + count

    def errors(self) -> dict[str, float]:
        """Return per kind of operation the largest ||C(z) - z||_F / ||z||_F, on the host."""
        return {kind: float(to_host(ratio)) for kind, ratio in self.compression_error.items()}

    def attributes(self) -> dict[str, Any]:
        """Return the statistics as attributes of a run's dataset: the tallies, ``compression_error`` and ``clipped``; empty ones are left out."""
        found: dict[str, Any] = {name: int(to_host(count)) for name, count in self.tallies.items()}
        if self.compressed_numbers:
            found["compression_error"] = max(self.errors().values())
            found["clipped"] = float(np.sum(to_host(self.clipped))) / self.compressed_numbers
        return found

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the statistics so far, for a checkpoint."""
        return {
            "compression_error": dict(self.compression_error),
            "clipped": self.clipped,
            "compressed_numbers": self.compressed_numbers,
            "tallies": dict(self.tallies),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what :meth:`state_dict` returned."""
        self.compression_error, self.tallies = dict(state["compression_error"]), dict(state["tallies"])
        self.clipped, self.compressed_numbers = state["clipped"], state["compressed_numbers"]

"""When everything was finished: what an engine returns."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

NOBODY, FLUSHING = -1, -2  # in place of a tag


class Ticks(NamedTuple):
    """What an engine measured.

    Attributes
    ----------
    finish
        (rounds, n) seconds, or (rounds, 1), when the last worker finishes each round.
    messages
        How many were sent.
    stuck
        (nodes,): under which tag a node waits for what never comes; NOBODY: it does not; FLUSHING: what it posted never leaves.
    """

    finish: np.ndarray
    messages: int
    stuck: np.ndarray


@dataclass(frozen=True, eq=False)
class Timeline:
    """When everything was finished on one network.

    Attributes
    ----------
    finish
        (rounds, n) seconds at which each worker finishes each round.
    messages
        Number of messages.
    engine
        "simpy" or "compiled": which one timed it.
    """

    finish: np.ndarray
    messages: int
    engine: str

    @property
    def round_end(self) -> np.ndarray:
        """(rounds,) seconds: when the last worker finishes each round."""
        return self.finish.max(axis=1)


@dataclass(frozen=True, eq=False)
class Timelines:
    """When the rounds ended on C networks.

    Attributes
    ----------
    round_end
        (C, rounds) seconds: when the last worker finishes each round, or each of those that were wanted.
    engine
        C times "simpy" or "compiled".
    checked
        How many of the compiled engine's networks were timed by the event engine too.
    largest_difference
        The largest difference found there, in seconds: 0.0, or the replay would have stopped.
    """

    round_end: np.ndarray
    engine: tuple[str, ...]
    checked: int
    largest_difference: float

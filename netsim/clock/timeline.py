"""When everything was finished: what an engine returns."""

from dataclasses import dataclass

import numpy as np


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
        "simpy" or "recurrence": which one timed it.
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
        (C, rounds) seconds: when the last worker finishes each round.
    engine
        C times "simpy" or "recurrence".
    checked
        How many of the recurrence's networks were timed by the event engine too.
    largest_difference
        The largest difference found there, in seconds: 0.0, or the replay would have stopped.
    """

    round_end: np.ndarray
    engine: tuple[str, ...]
    checked: int
    largest_difference: float = 0.0

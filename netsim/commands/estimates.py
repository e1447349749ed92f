"""How much of a command's work is done, and how long the rest may take."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

MESSAGES_A_SECOND = 3e6  # until the first network was timed, which tells how many it really is


@dataclass
class _Seen:
    """What was seen of one piece of work; a resumed training did not do all of its steps here, but those after the first."""

    began: float
    seen: float
    first: int
    done: int
    total: int


@dataclass
class Work:
    """The work of a command, of which its progress callback tells.

    Parameters
    ----------
    trainings
        Steps by the name passed to the callback.
    timings
        {name: (networks in all, seconds that one may take)}, after the trainings.
    jobs
        Trainings at a time.
    count
        How many pieces are known from the start, where more may follow, or each may end at any time, so that nobody knows how long they take; None:
        those of ``trainings`` and ``timings``, whose time is estimated.
    clock
        Returns seconds.
    """

    trainings: Mapping[str, int] = field(default_factory=dict)
    timings: Mapping[str, tuple[int, float]] = field(default_factory=dict)
    jobs: int = 1
    count: int | None = None
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._seen: dict[str, _Seen] = {}
        self._start = self.clock()

    @property
    def several(self) -> bool:
        """Whether there is more than one piece of work."""
        return (self.count or 0) + len(self.trainings) + len(self.timings) > 1

    def now(self) -> float:
        """Return seconds of the clock."""
        return self.clock()

    def saw(self, what: str, done: int, total: int) -> None:
        """Take note of how far a piece of work is."""
        now = self.clock()
        one = self._seen.setdefault(what, _Seen(now, now, done, done, total))
        one.seen, one.done, one.total = now, done, total

    def begun(self, what: str) -> float:
        """Return when a piece of work was first seen."""
        return self._seen[what].began

    def rate(self, what: str) -> float:
        """Return the steps per second of a piece of work, 0 if it is not known yet."""
        one = self._seen.get(what)
        seconds = one.seen - one.began if one else 0.0
        return (one.done - one.first) / seconds if one and seconds > 0 else 0.0

    def counted(self) -> tuple[int, int]:
        """Return how many pieces of work are done, and of how many that are known."""
        done = sum(one.done >= one.total for one in self._seen.values())
        known = self.count if self.count is not None else len(self.trainings) + len(self.timings)
        return done, max(known, len(self._seen))

    def left(self) -> float | None:
        """Return the seconds that all trainings and timings may still take; None: nobody knows."""
        if self.count is not None:
            return None
        rates = [rate for name in self.trainings if (rate := self.rate(name))]
        usual = len(rates) / sum(1 / rate for rate in rates) if rates else None
        remaining = []
        for name, steps in self.trainings.items():
            one = self._seen.get(name)
            missing = steps if one is None else one.total - one.done
            speed = self.rate(name) or usual
            if missing > 0 and speed is None:
                return None
            remaining.append(max(0, missing) / speed if speed else 0.0)
        together = max([sum(remaining) / max(1, self.jobs), *remaining], default=0.0)
        return together + sum(self._timing_left(name, *asked) for name, asked in self.timings.items())

    def _timing_left(self, name: str, networks: int, each: float) -> float:
        if name not in self._seen:
            measured = [rate for other in self.timings if (rate := self.rate(other))]
            return networks / measured[0] if measured else networks * each
        one, rate = self._seen[name], self.rate(name)
        return (one.total - one.done) / rate if rate else (one.total - one.done) * each

    def in_words(self) -> str:
        """Return what is known of all the work together, as text; "" where it is one piece of which nothing more is to be said."""
        done, of = self.counted()
        left = self.left()
        if self.count is None and not self.trainings:
            return ""
        if left is None:
            return f"{done} of {of} done, {in_seconds(self.clock() - self._start)} so far"
        return f"about {in_seconds(left)} left in all" if left > 0 else ""


def in_seconds(seconds: float) -> str:
    """Return a time for people: 42 s, 3 min 5 s, 2 h 10 min."""
    whole = math.ceil(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"

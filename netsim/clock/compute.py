"""How long a gradient takes: a constant, one number a worker, or a draw per worker and round.

A compute model is any object with ``draw(rounds, n) -> (rounds, n)`` seconds. Those here are keyed by (seed, worker) and read in the order of
the rounds, so a draw is a function of (seed, worker, round) alone: the same on every network and for every algorithm compared.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, runtime_checkable

import numpy as np
from annotated_types import Interval

from netsim.errors import NetsimError, check
from netsim.fields import TIMES, Said, Seconds, Seed, check_fields
from netsim.files.units import format_seconds


@runtime_checkable
class ComputeModel(Protocol):
    """Seconds a gradient takes, drawn per worker and round."""

    def draw(self, rounds: int, n: int) -> np.ndarray:
        """Return (rounds, n) seconds, none negative; row r must not depend on how many rounds are asked for."""


GradientTimes = Annotated[
    ComputeModel,
    Said("a model with draw(rounds, n)", 'a table such as { kind = "lognormal", mean = "50 ms", cv = 0.1 }'),
]
Means = Annotated[float | Sequence[float] | np.ndarray, *TIMES]


@dataclass(frozen=True)
class LogNormal:
    """Log-normal gradient times.

    Parameters
    ----------
    mean
        Seconds, of every worker or one number a worker.
    cv
        Coefficient of variation: standard deviation over mean.
    seed
        Of the draws.
    """

    mean: Means
    cv: Annotated[float, Interval(ge=0, le=100)]
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_fields(self)

    def draw(self, rounds: int, n: int) -> np.ndarray:
        """Return (rounds, n) seconds."""
        sigma = np.sqrt(np.log1p(self.cv**2))
        return _per_worker(
            self.seed, rounds, n, lambda g: np.exp(sigma * g.standard_normal(rounds) - sigma**2 / 2)
        ) * _means(self.mean, n)


@dataclass(frozen=True)
class Exponential:
    """Exponential gradient times.

    Parameters
    ----------
    mean
        Seconds, of every worker or one number a worker.
    seed
        Of the draws.
    """

    mean: Means
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_fields(self)

    def draw(self, rounds: int, n: int) -> np.ndarray:
        """Return (rounds, n) seconds."""
        return _per_worker(self.seed, rounds, n, lambda g: g.standard_exponential(rounds)) * _means(self.mean, n)


@dataclass(frozen=True)
class Uniform:
    """Uniform gradient times.

    Parameters
    ----------
    low
        The shortest, in seconds.
    high
        The longest, in seconds.
    seed
        Of the draws.
    """

    low: Seconds
    high: Seconds
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_fields(self)
        check(self.high >= self.low, "high", self.high, f"at least low = {self.low} seconds")

    def draw(self, rounds: int, n: int) -> np.ndarray:
        """Return (rounds, n) seconds."""
        return self.low + (self.high - self.low) * _per_worker(self.seed, rounds, n, lambda g: g.random(rounds))


def in_words(compute: float | Sequence[float] | np.ndarray | ComputeModel) -> str:
    """Return gradient times in words: "50 ms", "10 ms to 30 ms", "log-normal, mean 10 ms, cv 0.5"; a model of a user's by its class's name."""
    if not isinstance(compute, ComputeModel):
        return _times(compute)
    return _WORDS.get(type(compute), lambda model: type(model).__name__)(compute)


def _times(seconds: float | Sequence[float] | np.ndarray) -> str:
    """Return a time in words, or the least and the largest of several."""
    ends = (format_seconds(float(end)) for end in (np.min(seconds), np.max(seconds)))
    return " to ".join(dict.fromkeys(ends))


_WORDS: Mapping[type, Callable[[Any], str]] = {
    LogNormal: lambda model: f"log-normal, mean {_times(model.mean)}, cv {model.cv:g}",
    Exponential: lambda model: f"exponential, mean {_times(model.mean)}",
    Uniform: lambda model: f"uniform, {_times((model.low, model.high))}",
}


def _means(mean: float | Sequence[float] | np.ndarray, n: int) -> float | np.ndarray:
    """Return one number, or one a worker."""
    means = np.asarray(mean, dtype=float)
    if means.shape not in ((), (n,)):
        raise NetsimError(f"compute.mean has shape {means.shape}: give one time, or {n}, one a worker")
    return means


def _per_worker(seed: int, rounds: int, n: int, sample: Callable[[np.random.Generator], np.ndarray]) -> np.ndarray:
    streams = (np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, worker]))) for worker in range(n))
    return np.stack([sample(stream) for stream in streams], axis=1) if rounds else np.zeros((0, n))


def compute_seconds(compute: float | Sequence[float] | np.ndarray | ComputeModel, rounds: int, n: int) -> np.ndarray:
    """Return (rounds, n) seconds of one gradient per worker and round.

    Raises
    ------
    NetsimError
        A time is negative or not finite, or the shape does not fit n workers.
    """
    drawn: object = compute.draw(rounds, n) if isinstance(compute, ComputeModel) else compute
    whose = (
        f"compute = {type(compute).__name__}: draw({rounds}, {n})" if isinstance(compute, ComputeModel) else "compute"
    )
    try:
        numbers = np.asarray(drawn) if isinstance(compute, ComputeModel) else np.asarray(drawn, dtype=float)
    except ValueError:  # lists of different lengths
        numbers = np.asarray(None)
    if numbers.dtype.kind not in "fiu":
        raise NetsimError(f"{whose}: must be seconds, real numbers, not {numbers.dtype} ones")
    if numbers.shape not in ((), (n,), (rounds, n)):
        raise NetsimError(
            f"{whose} has shape {numbers.shape}: give one number, {n} numbers (one a worker), or a model that draws ({rounds}, {n})"
        )
    seconds = np.broadcast_to(numbers.astype(float), (rounds, n))
    if not (np.isfinite(seconds).all() and (seconds >= 0).all()):
        raise NetsimError(f"{whose}: every gradient time must be finite and at least 0 seconds")
    return seconds

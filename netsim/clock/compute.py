"""How long a gradient takes: a constant, one number a worker, or a draw per worker and round.

A compute model is any object with ``draw(rounds, n) -> (rounds, n)`` seconds. Those here are keyed by (seed, worker) and read in the order of
the rounds, so a draw is a function of (seed, worker, round) alone: the same on every network and for every algorithm compared.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from netsim.errors import NetsimError, check


@runtime_checkable
class ComputeModel(Protocol):
    """Seconds a gradient takes, drawn per worker and round."""

    def draw(self, rounds: int, n: int) -> np.ndarray:
        """Return (rounds, n) seconds, none negative; row r must not depend on how many rounds are asked for."""


@dataclass(frozen=True)
class LogNormal:
    """Log-normal gradient times.

    Parameters
    ----------
    mean
        Seconds, of every worker or one number a worker.
    cv
        Coefficient of variation, at least 0.
    seed
        Of the draws.
    """

    mean: float | Sequence[float]
    cv: float
    seed: int = 0

    def __post_init__(self) -> None:
        check(_at_least_0(self.mean), "mean", self.mean, "at least 0 seconds")
        check(np.ndim(self.cv) == 0 and _at_least_0(self.cv), "cv", self.cv, "a number, at least 0")

    def draw(self, rounds: int, n: int) -> np.ndarray:
        """Return (rounds, n) seconds."""
        sigma = np.sqrt(np.log1p(self.cv**2))
        return (
            _per_worker(self.seed, rounds, n, lambda g: np.exp(sigma * g.standard_normal(rounds) - sigma**2 / 2))
            * self.mean
        )


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

    mean: float | Sequence[float]
    seed: int = 0

    def __post_init__(self) -> None:
        check(_at_least_0(self.mean), "mean", self.mean, "at least 0 seconds")

    def draw(self, rounds: int, n: int) -> np.ndarray:
        """Return (rounds, n) seconds."""
        return _per_worker(self.seed, rounds, n, lambda g: g.standard_exponential(rounds)) * self.mean


@dataclass(frozen=True)
class Uniform:
    """Uniform gradient times.

    Parameters
    ----------
    low, high
        Seconds.
    seed
        Of the draws.
    """

    low: float
    high: float
    seed: int = 0

    def __post_init__(self) -> None:
        check(_at_least_0(self.low), "low", self.low, "at least 0 seconds")
        check(_at_least_0(self.high) and self.high >= self.low, "high", self.high, f"at least low = {self.low} seconds")

    def draw(self, rounds: int, n: int) -> np.ndarray:
        """Return (rounds, n) seconds."""
        return self.low + (self.high - self.low) * _per_worker(self.seed, rounds, n, lambda g: g.random(rounds))


def _at_least_0(value: float | Sequence[float]) -> bool:
    try:
        numbers = np.asarray(value, dtype=float)
    except (TypeError, ValueError):
        return False
    return bool(np.all(np.isfinite(numbers) & (numbers >= 0)))


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
    drawn = compute.draw(rounds, n) if isinstance(compute, ComputeModel) else np.asarray(compute, dtype=float)
    try:
        seconds = np.broadcast_to(drawn, (rounds, n))
    except ValueError:
        raise NetsimError(
            f"compute has shape {np.shape(drawn)}: give one number, {n} numbers (one a worker), or a model that draws ({rounds}, {n})"
        ) from None
    if not (np.isfinite(seconds).all() and (seconds >= 0).all()):
        raise NetsimError("compute: every gradient time must be finite and at least 0 seconds")
    return seconds

"""The only module of this package that makes random generators."""

import zlib
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import numpy as np

Array = Any


def generator(seed: int, purpose: str, worker: int = 0, epoch: int = 0) -> np.random.Generator:
    """Return the generator of (seed, purpose, worker, epoch).

    It is counter-based (Philox, Salmon et al. 2011), keyed through ``numpy.random.SeedSequence``: every draw is a
    function of these four, so nothing has to be stored to resume, and no worker's draws depend on another's.

    Parameters
    ----------
    seed
        The seed of the run, a nonnegative int.
    purpose
        What the numbers are for; different purposes never share a stream.
    worker, epoch
        For which worker, in which epoch.
    """
    key = np.random.SeedSequence([seed, zlib.crc32(purpose.encode()), worker, epoch])
    return np.random.Generator(np.random.Philox(key))


@dataclass(frozen=True)
class HostKey:
    """Random streams of workers, drawn by NumPy: for a task that is used on its own, without netsim's keys.

    Parameters
    ----------
    seed
        Of the run.
    purpose
        What the numbers are for.
    workers
        Numbers of the workers whose streams these are.
    round
        Number of the step.
    xp
        Array module of the device that the numbers are copied to.
    """

    seed: int
    purpose: str
    workers: range
    round: int
    xp: ModuleType

    @classmethod
    def make(cls, seed: int, purpose: str, rows: int, round: int = 0, xp: ModuleType = np) -> "HostKey":
        """Make the key of (seed, purpose, worker, round) for so many workers."""
        return cls(seed, purpose, range(rows), round, xp)

    def __getitem__(self, rows: slice) -> "HostKey":
        return replace(self, workers=self.workers[rows])

    def bits(self, size: int, start: int = 0, draw: int = 0) -> Array:
        """Return words ``start .. start + size`` of each worker's stream, (workers, size) uint32, of one of several draws."""
        words = [
            generator(self.seed, f"{self.purpose} {draw}", worker, self.round).integers(
                2**32, size=start + size, dtype=np.uint32
            )
            for worker in self.workers
        ]
        return self.xp.asarray(np.stack(words)[:, start:])

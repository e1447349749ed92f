"""The one place of this package that makes random generators."""

import zlib

import numpy as np


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

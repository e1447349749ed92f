"""Theoretical bounds for compressed gossip, compared with measured errors."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from netsim.comm.topology import Topology


def theorem1_bound(topology: Topology) -> float:
    """Return (1 - rho) / (2 mu): DCD-PSGD converges where alpha is below it (Theorem 1 of Tang et al. 2018)."""
    return topology.spectral_gap / (2 * topology.mu)


def remark_bound(topology: Topology) -> float:
    """Return (1 - rho) / (2 sqrt(2) mu): where alpha is at most this, DCD-PSGD has the rate of D-PSGD (Tang et al. 2018, remark after Theorem 3)."""
    return topology.spectral_gap / (2 * np.sqrt(2) * topology.mu)


def bounds(topology: Topology) -> dict[str, float]:
    """Return both bounds of a topology, by their names in results."""
    return {"theorem1_bound": theorem1_bound(topology), "remark_bound": remark_bound(topology)}


def remarks(topology: Topology, compression_error: float | None) -> tuple[str, ...]:
    """Return the warnings and notes of Tang et al. 2018 that a run carries.

    Parameters
    ----------
    topology
        The run's.
    compression_error
        Largest ||C(z) - z||_F / ||z||_F of the messages: a lower bound of the paper's alpha, which is a supremum. None: nothing was compressed.
    """
    if compression_error is None:
        return ()
    measured = f"alpha >= {compression_error:.3g} (largest ||C(z) - z||/||z|| seen; alpha is a supremum)"
    if not compression_error < theorem1_bound(topology):
        return (
            f"warning: {measured}, outside Theorem 1 of Tang et al. 2018 for DCD-PSGD: alpha < (1 - rho)/(2 mu) = {theorem1_bound(topology):.3g}",
        )
    if compression_error > remark_bound(topology):
        return (
            f"note: {measured}, above (1 - rho)/(2 sqrt(2) mu) = {remark_bound(topology):.3g} of the remark after Theorem 3 of Tang et al. 2018",
        )
    return ()


THEORIES: Mapping[str, Callable[[Topology, float | None], tuple[str, ...]]] = {"Tang et al. 2018": remarks}
"""Whose conditions a method may be held against: it declares ``theory``, one of these names."""


def held_against_theory(algorithm: Any, topology: Topology, compression_error: float | None) -> tuple[str, ...]:
    """Return the warnings and notes of the theory that an algorithm declares, if any."""
    theory = getattr(algorithm, "theory", None)
    return THEORIES[theory](topology, compression_error) if theory else ()

"""Whether networks fit the workers, found before anything is trained."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from netsim.algorithms.description import name_of
from netsim.clock.compute import ComputeModel, compute_seconds
from netsim.clock.network import Network, NetworkGrid, links
from netsim.errors import NetsimError, check

_ROUNDS = 3  # that a compute model draws to be tried


def check_networks(networks: NetworkGrid | Sequence[Network], n: int) -> None:
    """Raise if a network does not fit n workers: its links, its ports, or its compute times.

    Parameters
    ----------
    networks
        A grid, or networks.
    n
        Number of workers; with or without a server, which fits wherever the workers do.

    Raises
    ------
    NetsimError
        One does not fit, or its compute model does not draw the same twice; of several the line names the network.
    """
    tried: set[int] = set()
    for network in _different(networks):
        check(isinstance(network, Network), "networks", network, "a list of networks, or Network.grid")
        try:
            arrays: Any = (network.latency, network.bandwidth, network.egress, network.ingress)
            if any(map(np.ndim, arrays)):
                links(network, n)
            if id(network.compute) not in tried:
                tried.add(id(network.compute))
                check_compute(network.compute, n)
        except NetsimError as error:
            several = not isinstance(networks, NetworkGrid) and len(networks) > 1
            raise NetsimError(f"network {network.name!r}: {error}" if several else str(error)) from None


def _different(networks: NetworkGrid | Sequence[Network]) -> Iterable[Network]:
    """Return the networks; of a grid one for each point of an axis."""
    if not isinstance(networks, NetworkGrid):
        return networks
    across = len(networks.bandwidth)
    return (networks[at] for at in [*range(across), *range(across, len(networks), across)])


def check_compute(compute: Any, n: int) -> None:
    """Raise if compute times do not fit n workers, or a model does not keep to ``draw``'s contract.

    Raises
    ------
    NetsimError
        The shape is wrong, a time is negative or not finite, or two draws differ.
    """
    seconds = _drawn(compute, _ROUNDS, n)
    if not isinstance(compute, ComputeModel):
        return
    again, fewer = (_drawn(compute, rounds, n) for rounds in (_ROUNDS, _ROUNDS - 1))
    if not (np.array_equal(seconds, again) and np.array_equal(seconds[:-1], fewer)):
        raise NetsimError(
            f"compute = {type(compute).__name__}: draw(rounds, n) must return the same seconds every time, and round r the same however many "
            "are asked for: make the generator inside draw, from a seed of its own"
        )


def _drawn(compute: Any, rounds: int, n: int) -> np.ndarray:
    try:
        return compute_seconds(compute, rounds, n)
    except NetsimError:
        raise
    except Exception as error:  # a user's model may raise anything
        said = " ".join(str(error).split())
        raise NetsimError(
            f"compute = {name_of(compute)}: draw({rounds}, {n}) failed: {type(error).__name__}: {said}"
        ) from error

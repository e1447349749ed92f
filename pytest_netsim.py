"""The pytest plugin of netsim: the fixture ``simulated_ring``.

A module of its own beside the packages, because pytest imports it at every start, and importing netsim takes a second: it waits for the first test
that asks for the fixture.
"""

from collections.abc import Callable
from typing import Any

import pytest


@pytest.fixture(scope="session")
def simulated_ring() -> Callable[..., Any]:
    """Return :func:`netsim.testing.simulated_ring`, which makes rings: ``simulated_ring(n=8, latency="20 ms", bandwidth="50 Mbit/s")``."""
    from netsim.testing import simulated_ring

    return simulated_ring

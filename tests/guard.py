"""The guard array of ``netsim.testing.guard``, for the tests."""

from netsim.testing.guard import (
    METHODS,
    MISSING_EVERYWHERE,
    MISSING_KEYWORDS,
    MISSING_NAMES,
    VALUES,
    GuardArray,
    allow_sync,
    guard,
)

__all__ = [
    "METHODS",
    "MISSING_EVERYWHERE",
    "MISSING_KEYWORDS",
    "MISSING_NAMES",
    "VALUES",
    "GuardArray",
    "allow_sync",
    "guard",
]

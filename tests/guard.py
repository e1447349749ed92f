"""The array that refuses NumPy, as the tests know it; it is defined in ``netsim.testing.guard``, where users have it too."""

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

"""The version of netsim, as it is installed."""

from importlib.metadata import PackageNotFoundError, version

DISTRIBUTION = "netsim-training"


def installed() -> str:
    """Return the version of the installed distribution; "unknown" where netsim runs without being installed."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"

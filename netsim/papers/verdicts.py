"""What the papers claim, held against results: each claim as a number, a criterion fixed beforehand, and where it holds."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import xarray as xr

from netsim.errors import NetsimError
from netsim.files.units import format_bandwidth, format_seconds


class Verdict(NamedTuple):
    """One number that a paper's claim comes down to.

    Attributes
    ----------
    letter
        Which claim.
    ratio
        What is divided by what.
    value
        The ratio.
    criterion
        When the claim is said to hold.
    holds
        Whether it does, here.
    where
        For which range of networks it does, "" where no network matters.
    """

    letter: str
    ratio: str
    value: float
    criterion: str
    holds: bool
    where: str


def verdict_at(
    letter: str, ratio: str, values: xr.DataArray, at: dict[str, float], criterion: str, test: Callable, along: str
) -> Verdict:
    """Return the verdict on one network, and along one axis of the plane through it.

    Parameters
    ----------
    letter, ratio, criterion
        As of :class:`Verdict`.
    values
        The ratio over ``latency`` and ``bandwidth``.
    at
        Latency (s) and bandwidth (bit/s) of the network; the grid's point next to it is taken.
    test
        Whether the criterion is met, of a number and of arrays.
    along
        "latency" or "bandwidth".
    """
    here = values.sel(at, method="nearest")
    line = values.sel({dim: value for dim, value in at.items() if dim != along}, method="nearest")
    where = _ranges(line[along].values, np.asarray(test(line)), along)
    return Verdict(letter, ratio, float(here), criterion, bool(test(here)), where)


def named_network(ds: xr.Dataset, name: str) -> dict[str, float]:
    """Return latency (s) and bandwidth (bit/s) of a named network of results.

    Raises
    ------
    NetsimError
        There is none of that name.
    """
    if name not in ds["condition"].values:
        raise NetsimError(f"no network named {name!r} in these results: run the preset tang2018")
    one = ds.sel(condition=name)
    return {"latency": float(one["condition_latency"]), "bandwidth": float(one["condition_bandwidth"])}


def _ranges(axis: np.ndarray, holds: np.ndarray, along: str) -> str:
    """Return the stretches of an axis on which something holds, in words."""
    form = format_seconds if along == "latency" else format_bandwidth
    if holds.all():
        return f"every {along} from {form(axis[0])} to {form(axis[-1])}"
    edges = np.flatnonzero(np.diff(np.concatenate([[False], holds, [False]]).astype(int))).reshape(-1, 2)
    words = [
        f"up to {form(axis[stop - 1])}"
        if start == 0
        else f"from {form(axis[start])}"
        if stop == len(axis)
        else f"{form(axis[start])} to {form(axis[stop - 1])}"
        for start, stop in edges
    ]
    return " and ".join(words) or f"no {along} on the grid"

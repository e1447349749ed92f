"""Verdicts on the papers' claims from results: a number, a criterion fixed beforehand, and the networks where it holds."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import xarray as xr

from netsim.errors import NetsimError
from netsim.files.units import format_bandwidth, format_seconds


class Verdict(NamedTuple):
    """A paper's claim as one number and a criterion.

    Attributes
    ----------
    letter
        Letter of the claim.
    ratio
        What the number is the ratio of.
    value
        The ratio.
    criterion
        The condition under which the claim holds, as text.
    holds
        Whether it holds in these results.
    where
        Range of networks on which it holds, as text; "" where it does not depend on the network.
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
        Latency (s) and bandwidth (bit/s) of the network; the grid's nearest point is taken.
    test
        Function that returns whether a number, or each entry of an array, meets the criterion.
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
        There is no network of that name.
    """
    if name not in ds["condition"].values:
        raise NetsimError(f"no network named {name!r} in these results: run the preset tang2018")
    one = ds.sel(condition=name)
    return {"latency": float(one["condition_latency"]), "bandwidth": float(one["condition_bandwidth"])}


def _ranges(axis: np.ndarray, holds: np.ndarray, along: str) -> str:
    """Return the ranges of an axis on which a condition holds, as text."""
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

"""Who is first: on every network of a grid, and between its points by the closed forms."""

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import xarray as xr

from netsim.errors import NetsimError
from netsim.plots.style import drawable

CLOSE = 0.02  # relative to the shortest time: a runner-up within this is hatched
_EQUAL = 1e-9  # relative: within this, times are equal to rounding
_FINE = 400  # points that break-even lines are found on, each way


class Winners(NamedTuple):
    """The fastest experiment, over (latency, bandwidth).

    Attributes
    ----------
    first
        (L, B): number of the experiment with the least time to target, the earlier in the Dataset where times are equal; -1: none reaches it.
    near
        (E, L, B): whether an experiment's time is within 2 % of that; the first one's is.
    """

    first: np.ndarray
    near: np.ndarray


def winners(ds: xr.Dataset) -> Winners:
    """Return the experiment that reaches the target first on each network of a Dataset of one sharing.

    Parameters
    ----------
    ds
        Results over a grid of networks, without a dimension ``sharing``.

    Raises
    ------
    NetsimError
        The results are over no grid.
    """
    times = times_to_target(ds)
    least = times.min(axis=0)
    with np.errstate(over="ignore"):
        equal, near = (np.isfinite(times) & (times <= least * (1 + share)) for share in (_EQUAL, CLOSE))
    return Winners(np.where(np.isfinite(least), equal.argmax(axis=0), -1), near)


def times_to_target(ds: xr.Dataset) -> np.ndarray:
    """Return (experiment, latency, bandwidth) seconds to the target, infinite where it is not reached.

    Raises
    ------
    NetsimError
        The results are over no grid.
    """
    if not {"latency", "bandwidth"} <= set(ds["time_to_target"].dims):
        raise NetsimError("a winner map needs results over a grid of latency and bandwidth; use Network.grid")
    times = ds["time_to_target"].transpose("experiment", "latency", "bandwidth").values
    return np.where(np.isnan(times), np.inf, times)


def twins_of(maps: list[xr.Dataset]) -> np.ndarray:
    """Return (E, E): whether two experiments' times are within 2 % of each other on all networks of all maps."""
    times = np.concatenate([times_to_target(one).reshape(one.sizes["experiment"], -1) for one in maps], axis=1)
    reached = np.isfinite(times).any(axis=1)
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(times[:, None] - times[None]) > CLOSE * np.minimum(times[:, None], times[None])
    same = ~apart.any(axis=2) & (np.isfinite(times[:, None]) == np.isfinite(times[None])).all(axis=2)
    return same & reached[:, None] & reached[None]


def contested(won: Winners, twins: np.ndarray) -> np.ndarray:
    """Return (L, B): whether an experiment other than the first and its twins is near it."""
    rivals = won.near & ~twins[won.first].transpose(2, 0, 1)
    return rivals.any(axis=0) & (won.first >= 0)


class Border(NamedTuple):
    """Where two methods are equally fast by their closed forms: the zero of ``apart``.

    Attributes
    ----------
    latency, bandwidth
        Points, ascending.
    apart
        (latency, bandwidth): the logarithm of the ratio of their times, masked where neither is the fastest.
    """

    latency: np.ndarray
    bandwidth: np.ndarray
    apart: np.ma.MaskedArray


def borders(ds: xr.Dataset) -> list[Border]:
    """Return the lines where the algorithm with the least closed form changes; equal ones count as the first's, as equal times do."""
    if "closed_form" not in ds or min(ds.sizes["latency"], ds.sizes["bandwidth"]) < 2:
        return []
    latency, bandwidth = ds["latency"].values, ds["bandwidth"].values
    known = ds["closed_form"].transpose("experiment", "latency", "bandwidth").values
    finer = np.geomspace(latency[0], latency[-1], _FINE), np.geomspace(bandwidth[0], bandwidth[-1], _FINE)
    times = [_between(one, latency, bandwidth, *finer) for one in known if drawable(one).all()]
    return list(_borders(np.array(times), *finer)) if times else []


def _borders(times: np.ndarray, latency: np.ndarray, bandwidth: np.ndarray) -> Iterator[Border]:
    first = (times <= np.min(times, axis=0) * (1 + _EQUAL)).argmax(axis=0)
    for a, b in itertools.combinations(np.unique(first), 2):
        border = _both_near(first, a, b)
        if border.any():
            yield Border(latency, bandwidth, np.ma.masked_where(~border, np.log(times[a] / times[b]) - _EQUAL))


def _both_near(first: np.ndarray, a: int, b: int) -> np.ndarray:
    """Return which points are corners of a cell of the grid that has both a and b at its corners."""
    corners = [(slice(i, i - 1 or None), slice(j, j - 1 or None)) for i in (0, 1) for j in (0, 1)]
    cell = np.any([first[c] == a for c in corners], axis=0) & np.any([first[c] == b for c in corners], axis=0)
    out = np.zeros(first.shape, bool)
    for corner in corners:
        out[corner] |= cell
    return out


def _between(
    values: np.ndarray,
    latency: np.ndarray,
    bandwidth: np.ndarray,
    finer_latency: np.ndarray,
    finer_bandwidth: np.ndarray,
) -> np.ndarray:
    """Return a closed form between the points of the grid, (latency, bandwidth).

    It is affine in latency and 1/bandwidth, and constant where computing hides the exchange: the larger of the two is fitted, and taken if it meets
    every point. What is of another form is interpolated linearly in latency and 1/bandwidth.
    """
    terms = _terms(latency, bandwidth)
    floor = values.min()
    above = values > floor * (1 + _EQUAL)
    if above.sum() >= 3:
        weights = 1 / values[above]  # so that small times count as much as large ones
        slopes = np.linalg.lstsq(terms[above] * weights[:, None], np.ones(above.sum()), rcond=None)[0]
        if np.allclose(np.maximum(floor, terms @ slopes), values, rtol=1e-6, atol=0):
            return np.maximum(floor, _terms(finer_latency, finer_bandwidth) @ slopes)
    across = np.array([np.interp(-1 / finer_bandwidth, -1 / bandwidth, row) for row in values])
    return np.array([np.interp(finer_latency, latency, column) for column in across.T]).T


def _terms(latency: np.ndarray, bandwidth: np.ndarray) -> np.ndarray:
    """Return 1, latency and 1/bandwidth (each over its largest value), over (latency, bandwidth)."""
    alpha, beta = np.meshgrid(latency / latency[-1], bandwidth[0] / bandwidth, indexing="ij")
    return np.stack([np.ones_like(alpha), alpha, beta], axis=-1)

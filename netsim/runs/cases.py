"""Cases: one topology and one seed each. How their results are put into one Dataset, and how such a Dataset is read.

Results of one case have neither dimension. Where there are several topologies or seeds, what depends on them has a first dimension ``topology`` or
``seed``, or both in this order: of several seeds all but ``OF_METHOD`` and ``OF_TOPOLOGY``, of several topologies all but ``OF_METHOD``.
``ds.sel(topology=..., seed=...)`` is in the form of one case, and so is :func:`over_seeds` (medians) of one topology.

Speed-ups are over all-reduce of the same case. The target is one for all: where none is given, 1.05 times the best loss of all-reduce in the case
where that is highest, so that all-reduce reaches it in every case and times of different seeds and topologies are to the same goal.
"""

import ast
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from netsim.clock.compute import in_words
from netsim.errors import NetsimError
from netsim.files.units import format_bandwidth, format_seconds

TIMED = (
    "time",
    "seconds_per_epoch",
    "time_to_target",
    "closed_form",
    "speedup",
    "engine",
)  # quantities that depend on a network
SUMMED = ("by_compiled", "by_simpy", "checked")  # attributes that are counts, over all networks and cases
OF_METHOD = ("description", "learning_rate", "overlap")  # the same whatever the topology and the seed
OF_TOPOLOGY = ("topology", "workers", "steps_per_epoch", "theorem1_bound", "remark_bound")  # the same for every seed
APART = "condition_"  # before the name of what was timed on a named network that is no point of the grid


def combined(found: Mapping[tuple[str, int], xr.Dataset]) -> xr.Dataset:
    """Return one Dataset of several cases: the Dataset itself where there is one.

    Parameters
    ----------
    found
        {(name of the topology, seed): results}, for every pair of a topology and a seed.
    """
    topologies, seeds = (list(dict.fromkeys(key[i] for key in found)) for i in (0, 1))
    rows = [
        _along("seed", seeds, [each for key, each in found.items() if key[0] == name], OF_METHOD + OF_TOPOLOGY)
        for name in topologies
    ]
    if len(topologies) > 1:
        rows = [row.drop_vars("topology") for row in rows]
    ds = _along("topology", topologies, rows, OF_METHOD)
    every = [one.attrs for one in found.values()]
    totals: dict[str, Any] = {key: sum(attrs[key] for attrs in every) for key in SUMMED}
    totals["largest_difference"] = max(attrs["largest_difference"] for attrs in every)
    several = [name for name, values in (("topology", topologies), ("seed", seeds)) if len(values) > 1]
    kept = {key: value for key, value in {**every[0], **totals}.items() if key not in several}
    return ds.drop_attrs(deep=False).assign_attrs(kept)


def _along(dim: str, values: Sequence[Any], parts: Sequence[xr.Dataset], fixed: Sequence[str]) -> xr.Dataset:
    """Return parts along a new first dimension, without what does not depend on it; a part alone stays as it is."""
    if len(parts) == 1:
        return parts[0]
    ds = xr.concat(
        parts, dim=dim, data_vars="all", coords="minimal", compat="override", join="outer", combine_attrs="override"
    )
    once = {
        name: ds[name].any(dim) if ds[name].dtype == bool else ds[name].isel({dim: 0}) for name in fixed if name in ds
    }
    return ds.assign(once).assign_coords({dim: list(values)})


def over_seeds(ds: xr.Dataset) -> xr.Dataset:
    """Return results in the form of one seed: of every quantity the median over the seeds.

    What did not happen with half of the seeds or more has not happened in the median: a target that was not reached (infinite time, steps -1), a
    divergence (-1). After the end of a run that diverged its loss is NaN: the median is that of the others, and NaN where they are not more than
    half. Attribute ``seeds`` is the number of seeds.

    Parameters
    ----------
    ds
        Results, with or without a dimension ``seed``.
    """
    if "seed" not in ds.dims:
        return ds
    found = {name: _median(ds[name]) for name in ds.data_vars if "seed" in ds[name].dims}
    median = ds.drop_vars([*found, "seed"]).assign(found).assign_attrs(seeds=ds.sizes["seed"])
    coordinates = {name: each for name, each in ds.coords.items() if "seed" not in each.dims and name != "seed"}
    return median[list(ds.data_vars)].assign_coords(coordinates)  # those of no variable, such as condition, too


def _median(values: xr.DataArray) -> xr.DataArray:
    """Return the median over the seeds of numbers; of text what all seeds say."""
    seeds = values.sizes["seed"]
    first = values.isel(seed=0, drop=True)
    axis = values.dims.index("seed")
    if values.dtype.kind in "OUS":
        if values.name != "remarks":
            return first
        joined = np.apply_along_axis(
            lambda said: "; ".join(dict.fromkeys(filter(None, said))), axis, values.astype(object).values
        )
        return first.copy(data=joined.astype(str))
    if values.dtype.kind == "b":
        return first.copy(data=values.values.any(axis=axis))
    if values.dtype.kind in "iu":  # -1: it did not happen
        last = np.iinfo(values.dtype).max
        middle = np.sort(np.where(values.values == -1, last, values.values), axis=axis).take(seeds // 2, axis=axis)
        return first.copy(data=np.where(middle == last, -1, middle))
    known = (~np.isnan(values.values)).sum(axis=axis)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # nothing known at all
        middle = np.nanmedian(values.values, axis=axis)
    return first.copy(data=np.where(2 * known > seeds, middle, np.nan))


def topologies_of(ds: xr.Dataset) -> dict[str, xr.Dataset]:
    """Return {name of a topology: its results, without the dimension}; where there is one, {"": the results}."""
    if "topology" not in ds.dims:
        return {"": ds}
    return {str(name): ds.sel(topology=name) for name in ds["topology"].values}


def topology_said(ds: xr.Dataset) -> str:
    """Return the name of the topology of results of one, or of each if there are several."""
    return ", ".join(dict.fromkeys(map(str, np.atleast_1d(ds["topology"].values).ravel())))


def at_condition(ds: xr.Dataset, name: str) -> xr.Dataset:
    """Return results on one named network: what depends on a network no longer has the dimensions of the grid.

    Parameters
    ----------
    ds
        Results with named networks (``condition``).
    name
        One of them.

    Raises
    ------
    NetsimError
        There is no network of this name.
    """
    names = [str(one) for one in np.atleast_1d(ds["condition"].values)] if "condition" in ds.coords else []
    if name not in names:
        raise NetsimError(f"condition = {name!r}: these results hold {', '.join(map(repr, names)) or 'none'}")
    one = ds.sel(condition=name) if "condition" in ds.dims else ds
    apart = [key for key in TIMED if f"{APART}{key}" in one]
    if not apart:
        return one.sel(latency=float(one["condition_latency"]), bandwidth=float(one["condition_bandwidth"]))
    timed = {key: one[f"{APART}{key}"] for key in apart}
    left = one.drop_vars([*apart, *(f"{APART}{key}" for key in apart)]).drop_dims(
        ["latency", "bandwidth"], errors="ignore"
    )
    return left.assign(timed)


def on_the_grid(ds: xr.Dataset) -> list[str]:
    """Return the names of the named networks that are points of the grid."""
    if "condition" not in ds.dims:
        return []
    apart = ds["condition_apart"].values if "condition_apart" in ds.coords else np.zeros(ds.sizes["condition"], bool)
    return [str(name) for name in ds["condition"].values[~apart]]


def network_said(ds: xr.Dataset, name: str) -> str:
    """Return a named network in words, such as ``"20 ms, 5 Mbit/s"``.

    Parameters
    ----------
    ds, name
        As for :func:`at_condition`.
    """
    one = ds.sel(condition=name) if "condition" in ds.dims else ds
    if "condition_network" in one.coords:
        return str(one["condition_network"].values)
    latency, bandwidth = float(one["condition_latency"]), float(one["condition_bandwidth"])
    return f"{format_seconds(latency)}, {format_bandwidth(bandwidth)}"


def compute_said(ds: xr.Dataset) -> str:
    """Return the time of a gradient in words, as :func:`netsim.clock.compute.in_words`; "" where networks differ in it.

    Of a model in results of an older netsim, which have no attribute ``compute_words``, it is the name alone.
    """
    said = str(ds.attrs.get("compute", ""))
    try:
        return in_words(np.asarray(ast.literal_eval(said), dtype=float))
    except (ValueError, TypeError, SyntaxError):  # a model
        return str(ds.attrs.get("compute_words", said.split("(")[0]))

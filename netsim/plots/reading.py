"""Reading results for figures: one kind of sharing, one topology, the median of seeds, named networks, points of the grid, epochs, the subtitle."""

from typing import Any

import numpy as np
import xarray as xr

from netsim.errors import NetsimError
from netsim.files.units import format_bandwidth, format_seconds
from netsim.plots.looks import styles
from netsim.plots.methods import labels
from netsim.plots.style import drawable
from netsim.plots.text import NO_BREAK, clean
from netsim.runs.cases import at_condition, compute_said, network_said, on_the_grid, over_seeds

MOST_METHODS = 60  # in one figure: a legend of more cannot be read
MOST_PANELS = 12  # networks with a panel of their own
SHARING = {
    "fifo": "ports queue messages",
    "none": "links share nothing",
    "fair": "ports shared fairly",
}
_BANDS = ("loss", "consensus", "seconds_per_epoch")  # drawn with a band from the least to the largest of the seeds
_UNITS = {"latency": "ms", "bandwidth": "Mbit/s"}
_PAPERS = ("paper", "paper panel")


def choose(ds: xr.Dataset, sharing: str | None, topology: str | None = None) -> xr.Dataset:
    """Return the part of a Dataset for one sharing and one topology, as figures read it: its grid ascending, its seeds' medians.

    Parameters
    ----------
    ds
        Of :func:`netsim.runs.sweeping`, or of the command line with its dimension ``sharing``; perhaps with dimensions ``seed`` and ``topology``.
    sharing
        "fifo", "none", …; None: "fifo" where there is a choice, else what there is.
    topology
        By name; None: the first.

    Returns
    -------
    xarray.Dataset
        Without these dimensions. Its attributes hold, for figures alone, ``looks`` and ``called`` (every experiment's style and label, which a part
        of it keeps), ``seeds`` (their number), ``on`` (the topology, where there are several) and ``omitted`` (experiments beyond the first 60).

    Raises
    ------
    NetsimError
        The Dataset holds another sharing, or no such topology.
    """
    if "looks" in ds.attrs and not {"sharing", "topology", "seed"} & set(ds.dims) and sharing is topology is None:
        return ds  # it was chosen before
    ds = _on_topology(ds, topology)
    held = [str(one) for one in np.atleast_1d(ds["sharing"].values)] if "sharing" in ds.coords else [sharing_of(ds)]
    wanted = sharing or ("fifo" if "fifo" in held else held[0])
    if wanted not in held:
        raise NetsimError(f"sharing = {wanted!r}: these results hold {', '.join(map(repr, held))}")
    one = ds.sel(sharing=wanted) if "sharing" in ds.dims else ds
    omitted = max(0, one.sizes["experiment"] - MOST_METHODS)
    one = one.isel(experiment=slice(MOST_METHODS)) if omitted else one
    one = _medians(one.sortby([dim for dim in ("latency", "bandwidth") if dim in one.dims]))
    one = one.assign_attrs(omitted=ds.attrs.get("omitted", 0) + omitted)
    return one if "looks" in one.attrs else one.assign_attrs(looks=styles(one), called=labels(one))


def _on_topology(ds: xr.Dataset, wanted: str | None) -> xr.Dataset:
    held = topologies(ds)
    if wanted is not None and wanted not in (held or own_topologies(ds)):
        raise NetsimError(
            f"topology = {wanted!r}: these results hold {', '.join(map(repr, held or own_topologies(ds)))}"
        )
    if not held:
        return ds
    at = held.index(wanted) if wanted is not None else 0
    return ds.isel(topology=at, drop=True).assign_attrs(
        on=f"{clean(held[at])} of {len(held)} topologies".replace(" ", NO_BREAK)
    )


def topologies(ds: xr.Dataset) -> list[str]:
    """Return the names of the topologies that results are over; none where they are over one."""
    return _names(ds, "topology")


def own_topologies(ds: xr.Dataset) -> list[str]:
    """Return the topologies that the experiments of results over one topology name."""
    if "topology" in ds.variables and ds["topology"].dims in ((), ("experiment",)):
        return sorted({str(name) for name in np.atleast_1d(ds["topology"].values)})
    return [str(ds.attrs["topology"])] if "topology" in ds.attrs else []


def _medians(ds: xr.Dataset) -> xr.Dataset:
    """Return the medians over the dimension seed, beside them the least and the largest of what is drawn with a band."""
    if "seed" not in ds.dims:
        return ds
    found: dict[str, Any] = {}
    for name in _BANDS:
        if name in ds and "seed" in ds[name].dims:
            found[f"{name}_least"], found[f"{name}_most"] = ds[name].min("seed"), ds[name].max("seed")
    if "diverged_at" in ds and "seed" in ds["diverged_at"].dims:
        found["diverged_seeds"] = (ds["diverged_at"] >= 0).sum("seed")
    return over_seeds(ds).assign(found)


def sharing_of(ds: xr.Dataset) -> str:
    """Return how ports are shared in a Dataset of one sharing."""
    return str(ds["sharing"].values) if "sharing" in ds.coords else str(ds.attrs.get("sharing", "fifo"))


def sharing_words(ds: xr.Dataset) -> str:
    """Return in words how the ports of a Dataset of one sharing are shared: "ports queue messages"."""
    own = sharing_of(ds)
    words = SHARING.get(own, f"sharing {clean(own)}")
    return f"{words}, half duplex" if str(ds.attrs.get("duplex", "full")) == "half" else words


def circumstances(ds: xr.Dataset, timed: bool = True, target: bool = True, band: bool = True) -> str:
    """Return the subtitle of a figure.

    Parameters
    ----------
    ds
        Of one sharing.
    timed
        Whether the figure shows times: then compute time and sharing are said.
    target
        Whether it shows the target.
    band
        Whether it shows the least and the largest of several seeds.
    """
    words = [f"target loss {ds.attrs['target']:.3g}"] if target and "target" in ds.attrs else []
    if "workers" in ds and len(np.unique(ds["workers"])) == 1:
        words.append(f"{int(ds['workers'].values.flat[0])} workers")
    if "on" in ds.attrs:
        words.append(ds.attrs["on"])
    if timed and (compute := compute_said(ds)):
        words.append(f"compute {clean(compute)}")
    if timed and ("sharing" in ds.coords or "sharing" in ds.attrs):
        words.append(sharing_words(ds))
    if ds.attrs.get("seeds", 1) > 1:
        words.append(f"median of {ds.attrs['seeds']} seeds{' (band: least to largest)' if band else ''}")
    if ds.attrs.get("omitted"):
        words.append(f"{ds.attrs['omitted']} further methods left out")
    return ", ".join(words)


def conditions(ds: xr.Dataset) -> list[str]:
    """Return the names of the named conditions."""
    return _names(ds, "condition")


def networks(ds: xr.Dataset) -> list[str]:
    """Return the names of the networks that times are known on: the named conditions of a grid, or the list of networks."""
    return _names(ds, "network") or conditions(ds)


def of_a_paper(ds: xr.Dataset) -> bool:
    """Return whether results reproduce a paper: some of their named conditions are a paper's. A file of one's own has no source to state."""
    if "condition_source" in ds.variables:
        return any(str(one) in _PAPERS for one in np.atleast_1d(ds["condition_source"].values))
    return "condition_ours" in ds.variables and not np.all(ds["condition_ours"].values)


def is_ours(ds: xr.Dataset, condition: str) -> bool:
    """Return whether a named condition is ours, in results that reproduce a paper (see :func:`of_a_paper`)."""
    return of_a_paper(ds) and "condition_ours" in ds.variables and bool(ds["condition_ours"].sel(condition=condition))


def is_a_point(ds: xr.Dataset, condition: str) -> bool:
    """Return whether a named condition is a point of the grid, and not a network of its own, timed apart."""
    one = ds.sel(condition=condition)
    points = all(float(one[f"condition_{of}"]) in ds[of].values for of in ("latency", "bandwidth"))
    return points and condition in on_the_grid(ds)


def grid_of(ds: xr.Dataset, of: str) -> xr.DataArray:
    """Return the latencies (s) or the bandwidths (bit/s); raise NetsimError where the results are over no grid."""
    if of not in ds.dims:
        raise NetsimError(
            f"these results are over no grid of latency and bandwidth (no dimension {of!r}); use Network.grid"
        )
    return ds[of]


def on_grid(ds: xr.Dataset, of: str, value: float) -> float:
    """Return the grid's value for a given one, which may be rounded."""
    values = grid_of(ds, of).values
    if value in values:  # an infinite one too
        return value
    show = format_seconds if of == "latency" else format_bandwidth
    with np.errstate(over="ignore", invalid="ignore"):
        nearest = float(values[np.nan_to_num(np.abs(values - value), nan=np.inf).argmin()])
        if not abs(nearest - value) <= 0.01 * abs(value):
            raise NetsimError(f"{of} {show(value)} is not on the grid; it holds {', '.join(map(show, values))}")
    return nearest


def times_on(ds: xr.Dataset, condition: str | tuple[float, float]) -> tuple[xr.DataArray, str]:
    """Return the time of every step on one network, and the network's name."""
    if isinstance(condition, str) and "network" in ds.dims:
        _known(condition, _names(ds, "network"), "network")
        return ds["time"].sel(network=condition), clean(condition)
    if isinstance(condition, str):
        whose = " (ours, not in the paper)" if condition in conditions(ds) and is_ours(ds, condition) else ""
        return at_condition(ds, condition)["time"], f"{clean(condition)}{whose}\n{clean(network_said(ds, condition))}"
    latency, bandwidth = condition
    time = ds["time"].sel(latency=on_grid(ds, "latency", latency), bandwidth=on_grid(ds, "bandwidth", bandwidth))
    return time, f"{format_seconds(latency)}, {format_bandwidth(bandwidth)}"


def _known(name: str, names: list[str], what: str) -> None:
    if name not in names:
        raise NetsimError(f"{what} = {name!r}: these results hold {', '.join(map(repr, names)) or 'none'}")


def _names(ds: xr.Dataset, dim: str) -> list[str]:
    return [str(name) for name in ds[dim].values] if dim in ds.dims else []


def axis_label(ds: xr.Dataset, of: str) -> str:
    """Return the label of the axis of latency (ms) or bandwidth (Mbit/s)."""
    mean = ", mean over links" if f"link_{of}" in ds else ""
    return f"{of} ({_UNITS[of]}){mean}"


def has_epochs(ds: xr.Dataset) -> bool:
    """Return whether all tasks of these results know how many steps an epoch has."""
    return "steps_per_epoch" in ds and bool((ds["steps_per_epoch"] > 0).all())


def epochs_of(ds: xr.Dataset) -> xr.DataArray:
    """Return the epochs of (experiment, step); the steps where the tasks know no epochs."""
    per_epoch = ds["steps_per_epoch"] if has_epochs(ds) else xr.ones_like(ds["experiment"], dtype=int)
    return ds["step"] / per_epoch


def epoch_label(ds: xr.Dataset) -> str:
    """Return the axis label of :func:`epochs_of`."""
    return "epochs" if has_epochs(ds) else "steps"


def learning_rates(ds: xr.Dataset) -> str:
    """Return the learning rates of these runs as text."""
    rates = {str(rate) for rate in ds["learning_rate"].values.flat} if "learning_rate" in ds else set()
    return f"learning rate {' or '.join(map(clean, sorted(rates)))}" if rates else ""


def shown_on(ds: xr.Dataset, dim: str) -> np.ndarray:
    """Return the numbers of the points of latency or bandwidth that a logarithmic axis shows."""
    return np.flatnonzero(drawable(ds[dim].values)) if dim in ds.dims else np.array([], int)


def without_plane(ds: xr.Dataset) -> str:
    """Return why the networks span no plane of latency and bandwidth that logarithmic axes can show; "": they do."""
    if not {"latency", "bandwidth"} <= set(ds.dims):
        return "the results are over no grid of latency and bandwidth"
    fewer = [dim for dim in ("latency", "bandwidth") if len(shown_on(ds, dim)) < 2]
    return (
        f"the grid has fewer than two points of {' and of '.join(fewer)} that a logarithmic axis shows" if fewer else ""
    )

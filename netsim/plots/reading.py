"""Reading results for figures: one kind of sharing, named networks, points of the grid, epochs, and the subtitle."""

import numpy as np
import xarray as xr

from netsim.errors import NetsimError
from netsim.files.units import format_bandwidth, format_seconds


def choose(ds: xr.Dataset, sharing: str | None) -> xr.Dataset:
    """Return the part of a Dataset for one sharing, its grid ascending.

    Parameters
    ----------
    ds
        Of :func:`netsim.runs.sweeping`, or of the command line with its dimension ``sharing``.
    sharing
        "fifo", "none", …; None: "fifo" where there is a choice, else what there is.

    Raises
    ------
    NetsimError
        The Dataset holds another.
    """
    held = [str(one) for one in np.atleast_1d(ds["sharing"].values)] if "sharing" in ds.coords else [sharing_of(ds)]
    wanted = sharing or ("fifo" if "fifo" in held else held[0])
    if wanted not in held:
        raise NetsimError(f"sharing = {wanted!r}: these results hold {', '.join(map(repr, held))}")
    one = ds.sel(sharing=wanted) if "sharing" in ds.dims else ds
    return one.sortby([dim for dim in ("latency", "bandwidth") if dim in one.dims])


def sharing_of(ds: xr.Dataset) -> str:
    """Return how ports are shared in a Dataset of one sharing."""
    return str(ds["sharing"].values) if "sharing" in ds.coords else str(ds.attrs.get("sharing", "fifo"))


def circumstances(ds: xr.Dataset, timed: bool = True) -> str:
    """Return the subtitle of every figure: target, workers and, where it shows times, compute time and how ports are shared."""
    words = [f"target loss {ds.attrs['target']:.3g}"] if "target" in ds.attrs else []
    if "workers" in ds and len(np.unique(ds["workers"])) == 1:
        words.append(f"{int(ds['workers'].values.flat[0])} workers")
    compute = str(ds.attrs.get("compute", ""))
    if timed and compute:
        words.append(f"compute {_in_seconds(compute)}")
    if timed and ("sharing" in ds.coords or "sharing" in ds.attrs):
        words.append(f"sharing {sharing_of(ds)}")
    return ", ".join(words)


def _in_seconds(compute: str) -> str:
    """Return a compute time, or the repr of a compute model, as text."""
    try:
        return format_seconds(float(compute))
    except ValueError:
        return compute


def conditions(ds: xr.Dataset) -> list[str]:
    """Return the names of the named conditions."""
    return _names(ds, "condition")


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
    nearest = float(values[np.abs(values - value).argmin()])
    if abs(nearest - value) > 0.01 * abs(value):
        show = format_seconds if of == "latency" else format_bandwidth
        raise NetsimError(f"{of} {show(value)} is not on the grid; it holds {', '.join(map(show, values))}")
    return nearest


def times_on(ds: xr.Dataset, condition: str | tuple[float, float]) -> tuple[xr.DataArray, str]:
    """Return the time of every step on one network, and the network's name."""
    if isinstance(condition, str) and "network" in ds.dims:
        _known(condition, _names(ds, "network"), "network")
        return ds["time"].sel(network=condition), condition
    said, ours = "", False
    if isinstance(condition, str):
        _known(condition, conditions(ds), "condition")
        one = ds.sel(condition=condition)
        latency, bandwidth = float(one["condition_latency"]), float(one["condition_bandwidth"])
        ours = bool(one["condition_ours"]) if "condition_ours" in ds.variables else False
        said = f"{condition}{' (ours, not in the paper)' if ours else ''}\n"
    else:
        latency, bandwidth = condition
    time = ds["time"].sel(latency=on_grid(ds, "latency", latency), bandwidth=on_grid(ds, "bandwidth", bandwidth))
    return time, f"{said}{format_seconds(latency)}, {format_bandwidth(bandwidth)}"


def _known(name: str, names: list[str], what: str) -> None:
    if name not in names:
        raise NetsimError(f"{what} = {name!r}: these results hold {', '.join(map(repr, names)) or 'none'}")


def _names(ds: xr.Dataset, dim: str) -> list[str]:
    return [str(name) for name in ds[dim].values] if dim in ds.dims else []


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
    rates = {str(rate) for rate in ds["learning_rate"].values} if "learning_rate" in ds else set()
    return f"learning rate {' or '.join(sorted(rates))}" if rates else ""


def has_plane(ds: xr.Dataset) -> bool:
    """Return whether the networks span a plane of latency and bandwidth that logarithmic axes can show."""
    return all(
        dim in ds.dims and np.sum((ds[dim].values > 0) & np.isfinite(ds[dim].values)) > 1
        for dim in ("latency", "bandwidth")
    )

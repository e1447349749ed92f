"""Results: Datasets in files, as tables and as JSON."""

import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from netsim.algorithms.description import name_of
from netsim.clock.closed_forms import overlaps
from netsim.clock.network import Network
from netsim.clock.timeline import Timeline
from netsim.errors import NetsimError
from netsim.runs.bounds import remark_bound, theorem1_bound
from netsim.runs.cases import SUMMED, TIMED, at_condition, network_said, over_seeds, topologies_of
from netsim.runs.storage import read_sealed, write_sealed
from netsim.runs.training import Run

_OF_SWEEP = ("title", "preset", "target", "baseline", *SUMMED, "largest_difference", "compute", "seed", "device")
_OF_CONSENSUS = ("title", "preset", "target", "topology", "workers", "optimal_gossip_rate", "seed", "dtype", "device")
_OF_EACH_ALGORITHM = (
    "learning_rate",
    "overlap",
    "diverged_at",
    "steps_to_target",
    "compression_error",
    "clipped",
    "violations",
    "theorem1_bound",
    "remark_bound",
    "remarks",
)
LARGEST_DECLARED = 1024  # times the bytes of a file: what its arrays may take in memory
_HDF5 = b"\x89HDF"
_REMEDY = "write it again with the command that wrote it, or with netsim.runs.results.save"
SENT = "MB (10^6 bytes) per worker, over all its neighbours"


def kind_of(ds: xr.Dataset) -> str:
    """Return which command wrote results, by their dimensions: ``"consensus"``, ``"tune"``, ``"run"``, or else ``"sweep"``."""
    if {"start", "experiment", "round"} <= set(ds.dims):
        return "consensus"
    if {"experiment", "gamma"} <= set(ds.dims):
        return "tune"
    return "run" if set(ds.dims) == {"step", "worker"} and "time" in ds else "sweep"


def table(ds: xr.Dataset) -> list[dict[str, Any]]:
    """Return the table of results: a row for each algorithm, named network and kind of sharing, or, of gossip alone, for each start and method.

    Returns
    -------
    list of dict
        Of a sweep ``algorithm``, ``condition``, ``sharing``, ``network`` (in words), ``latency`` (s) and ``bandwidth`` (bit/s; NaN: they differ by
        link), ``seconds_per_epoch`` (per 1,000 steps where the task knows no epochs), ``seconds_to_target`` (inf: not reached), ``speedup`` (over
        all-reduce; 0: not reached, NaN: all-reduce did not reach it either), ``status`` ("reached", "not reached" or "diverged @ step"), ``engine``.
        Of several topologies ``topology`` too. Of several seeds the numbers are medians, and beside them are ``seconds_per_epoch_range``,
        ``seconds_to_target_range`` and ``speedup_range`` ([lowest, highest]), ``seeds`` and ``reached`` (how many, and how many reached the target).

        Of gossip alone ``start``, ``method``, ``algorithm``, ``gamma``, ``theta``, ``searched``, ``rounds``, ``megabytes`` (None: not reached),
        ``last_error``, ``status`` ("reached", "not reached" or "diverged @ round"), ``published``, ``difference`` (in percent of the published;
        None: there is none).
    """
    return _consensus_table(ds) if kind_of(ds) == "consensus" else _sweep_table(ds)


def _sweep_table(ds: xr.Dataset) -> list[dict[str, Any]]:
    rows = []
    for topology, all_seeds in topologies_of(ds).items():
        middle = over_seeds(all_seeds)
        for sharing in ds["sharing"].values:
            for condition in ds["condition"].values:
                each, point = (at_condition(one.sel(sharing=sharing), str(condition)) for one in (all_seeds, middle))
                where = {"topology": topology} if topology else {}
                where |= {
                    "condition": str(condition),
                    "sharing": str(sharing),
                    "network": network_said(ds, str(condition)),
                }
                rows += [_sweep_row(str(name), where, point, each) for name in ds["experiment"].values]
    return rows


def _sweep_row(name: str, where: dict[str, str], point: xr.Dataset, each: xr.Dataset) -> dict[str, Any]:
    """Return a row of the table, from the medians over the seeds and from every seed."""
    cell, seeds = point.sel(experiment=name), each.sel(experiment=name)
    row: dict[str, Any] = {
        "algorithm": name,
        **where,
        "latency": float(cell["condition_latency"]),
        "bandwidth": float(cell["condition_bandwidth"]),
        "seconds_per_epoch": float(cell["seconds_per_epoch"]),
        "seconds_to_target": float(cell["time_to_target"]),
        "speedup": float(cell["speedup"]),
        "status": _status(int(cell["diverged_at"]), int(cell["steps_to_target"])),
        "engine": str(cell["engine"].values),
    }
    if "seed" in each.dims:
        count, reached = each.sizes["seed"], int((seeds["steps_to_target"] >= 0).sum())
        if 0 < reached < count:
            row["status"] += f" ({reached} of {count} seeds reached it)"
        spread = {"seconds_per_epoch": "seconds_per_epoch", "seconds_to_target": "time_to_target", "speedup": "speedup"}
        row |= {f"{key}_range": [float(seeds[of].min()), float(seeds[of].max())] for key, of in spread.items()}
        row |= {"seeds": count, "reached": reached}
    return row


def _consensus_table(ds: xr.Dataset) -> list[dict[str, Any]]:
    rows = []
    for start in ds["start"].values:
        for method in ds["experiment"].values:
            cell = ds.sel(start=start, experiment=method)
            if not cell["algorithm"].item():
                continue
            rounds, sent, published = (
                cell[name].item() for name in ("rounds_to_target", "megabytes_to_target", "published")
            )
            diverged = int(cell["diverged_at"])
            status = "reached" if rounds >= 0 else f"diverged @ {diverged}" if diverged >= 0 else "not reached"
            known = math.isfinite(sent) and math.isfinite(published)
            rows.append(
                {
                    "start": str(start),
                    "method": str(method),
                    "algorithm": cell["algorithm"].item(),
                    "gamma": _number(cell["gamma"]),
                    "theta": _number(cell["theta"]),
                    "searched": bool(cell["searched"]),
                    "rounds": rounds if rounds >= 0 else None,
                    "megabytes": _number(cell["megabytes_to_target"]),
                    "last_error": _number(cell["last_error"]),
                    "status": status,
                    "published": _number(cell["published"]),
                    "difference": 100 * (sent / published - 1) if known else None,
                }
            )
    return rows


def _status(diverged_at: int, steps_to_target: int) -> str:
    if diverged_at >= 0:
        return f"diverged @ {diverged_at}"
    return "reached" if steps_to_target >= 0 else "not reached"


def _number(value: xr.DataArray) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def curve(ds: xr.Dataset, start: str, method: str) -> tuple[np.ndarray, np.ndarray]:
    """Return (megabytes, relative error) after each round of one run, from the start on."""
    one = ds.sel(start=start, experiment=method)
    done = np.isfinite(one["megabytes"].values)
    return one["megabytes"].values[done], one["relative_error"].values[done]


def megabytes_to(ds: xr.Dataset, start: str, method: str, relative_error: float) -> float:
    """Return the MB that a worker had sent when a relative error was first reached; infinite: it was not."""
    sent, error = curve(ds, start, method)
    at = np.flatnonzero(error <= relative_error)
    return float(sent[at[0]]) if len(at) else math.inf


def to_json(ds: xr.Dataset) -> dict[str, Any]:
    """Return the table and the attributes, ready for ``json.dumps``: numbers that are not finite are None."""
    if kind_of(ds) == "consensus":
        return plain({**{key: ds.attrs[key] for key in _OF_CONSENSUS}, "table": table(ds)})
    known = {key: ds.attrs[key] for key in _OF_SWEEP if key in ds.attrs}
    plural = {"topology": "topologies", "seed": "seeds"}
    several = {word: ds[name].values.tolist() for name, word in plural.items() if name in ds.dims}
    algorithms = [one for each in _cases(ds) for one in _algorithms(*each)]
    every = {"runs": [{**where, **row} for where, one in _cases(ds) for row in table(one)]} if several else {}
    return plain({**known, **several, "algorithms": algorithms, "table": table(ds), **every})


def _cases(ds: xr.Dataset) -> Iterator[tuple[dict[str, Any], xr.Dataset]]:
    """Yield ({"topology": name, "seed": seed}, as far as there are several, and the results of this case)."""
    for topology, of_one in topologies_of(ds).items():
        where = {"topology": topology} if topology else {}
        for seed in ds["seed"].values.tolist() if "seed" in ds.dims else [None]:
            yield where | ({} if seed is None else {"seed": seed}), of_one if seed is None else of_one.sel(seed=seed)


def _algorithms(where: dict[str, Any], ds: xr.Dataset) -> list[dict[str, Any]]:
    return [
        {"algorithm": str(name), **where}
        | {key: _known(key, ds[key].sel(experiment=name).item()) for key in _OF_EACH_ALGORITHM}
        for name in ds["experiment"].values
    ]


def _known(key: str, value: Any) -> Any:
    """Return None for a value that means "did not happen": no divergence, target not reached, nothing compressed, no violations counted."""
    never = {"diverged_at": -1, "steps_to_target": -1, "compression_error": 0.0, "violations": -1}
    return None if key in never and value == never[key] else value


def plain(value: Any) -> Any:
    """Return nested dicts and lists with numbers that are not finite replaced by None."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and not math.isfinite(value) else value


def timed_history(run: Run, timeline: Timeline) -> xr.Dataset:
    """Return a run's history with the simulated ``time`` (step), in seconds, of one network."""
    ends = np.concatenate([[0.0], timeline.round_end])
    steps = run.history["step"].values
    return run.history.assign(time=("step", ends[np.minimum(steps, len(ends) - 1)], {"units": "s"}))


def summarise(run: Run, timeline: Timeline, network: Network, target: float | None, rows: int = 10) -> dict[str, Any]:
    """Return the summary of one run on one network.

    Parameters
    ----------
    run, timeline, network
        The run, and when its rounds ended on the network.
    target
        Training loss to be reached, or None.
    rows
        About how many evaluations are listed, including the first and the last.

    Returns
    -------
    dict
        Names, settings, ``seconds``, ``seconds_to_target`` (None: not reached), ``status``, ``bits_per_worker`` (mean over workers),
        ``compression_error`` and its bounds, ``remarks``, and ``history``: a list of dicts with ``step``, ``time`` and the numbers of ``numbers``.
    """
    history = timed_history(run, timeline)
    topology, steps = run.experiment.topology, history["step"].values
    reached = np.flatnonzero(history["loss"].values <= (-np.inf if target is None else target))
    first = int(reached[0]) if len(reached) else -1
    numbers = [name for name in ("loss", "accuracy", "test_loss", "consensus") if name in history]
    listed = np.unique(np.linspace(0, len(steps) - 1, rows).round().astype(int))
    return {
        "algorithm": run.experiment.name,
        "topology": topology.name,
        "network": network.name,
        "sharing": network.sharing,
        "learning_rate": name_of(run.experiment.lr),
        "overlap": overlaps(run.trace),
        "engine": timeline.engine,
        "messages": timeline.messages,
        "rounds": run.trace.rounds,
        "steps_per_epoch": run.steps_per_epoch,
        "seconds": float(timeline.round_end[-1]),
        "target": target,
        "seconds_to_target": float(history["time"].values[first]) if first >= 0 else None,
        "status": _status(run.diverged_at or -1, first if target is not None else 0),
        "bits_per_worker": float(history["bits"].values[-1].mean()),
        "compression_error": history.attrs.get("compression_error"),
        "clipped": history.attrs.get("clipped"),
        "violations": history.attrs.get("violations"),
        "theorem1_bound": theorem1_bound(topology),
        "remark_bound": remark_bound(topology),
        "remarks": list(run.remarks),
        "numbers": numbers,
        "history": [
            {"step": int(steps[i]), "time": float(history["time"].values[i])}
            | {name: float(history[name].values[i]) for name in numbers}
            for i in listed
        ],
    }


def save(ds: xr.Dataset, path: str | Path) -> Path:
    """Write a Dataset to a netCDF file, whole or not at all, with a checksum after its end, which :func:`read` verifies.

    Raises
    ------
    NetsimError
        The file cannot be written; what was there before is as it was.
    """
    return write_sealed(path, ds.to_netcdf(engine="h5netcdf"))


def load(path: str | Path) -> xr.Dataset:
    """Read what ``netsim sweep`` wrote.

    Raises
    ------
    NetsimError
        The file is missing, damaged, or not of a sweep.
    """
    ds = read(path)
    check(ds, path)
    return ds


def check(ds: xr.Dataset, path: str | Path) -> None:
    """Raise if results, read from a file, are not of a sweep.

    Raises
    ------
    NetsimError
        They are not.
    """
    missing = [name for name in ("loss", *TIMED, "sharing", "condition") if name not in ds.variables]
    if missing:
        held = ", ".join(map(str, [*ds.variables][:5])) or "nothing"
        raise NetsimError(
            f"{path}: not results of netsim (no {missing[0]!r} in it, but {held}); write them with `netsim sweep`"
        )


def read(path: str | Path) -> xr.Dataset:
    """Read any Dataset that :func:`save` wrote; no library opens the file before its checksum is verified.

    Raises
    ------
    NetsimError
        The file is missing, was cut short, is damaged, or was written by another program.
    """
    path = Path(path)
    if not path.is_file():
        what = "no such file" if not path.exists() else "not a file; name the results.nc"
        what = "is a folder; name the results.nc in it" if path.is_dir() else what
        raise NetsimError(f"{path}: {what}; `netsim sweep` writes results.nc")
    data = read_sealed(path, _HDF5, _REMEDY)
    try:
        with xr.open_dataset(io.BytesIO(data), engine="h5netcdf") as ds:
            if ds.nbytes > LARGEST_DECLARED * len(data):
                raise ValueError(f"it declares {ds.nbytes:,} bytes and has {len(data):,}")
            return ds.load()
    except (OSError, ValueError, KeyError, RuntimeError, MemoryError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise NetsimError(f"{path}: not a netCDF file of netsim ({said}); {_REMEDY}") from None

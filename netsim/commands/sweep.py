"""``netsim sweep``: train every algorithm once, time it on every network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr

from netsim.commands import options
from netsim.commands.console import print_json, training
from netsim.commands.drawn import publish_drawn, tell
from netsim.commands.estimates import MESSAGES_A_SECOND, Work
from netsim.commands.publishing import RESULTS, Claim, check_checkpoints, claimed, figure_files
from netsim.commands.quantities import bandwidths, latencies
from netsim.commands.streams import say
from netsim.commands.tables import TextTable, heading, lines, print_table
from netsim.errors import NetsimError
from netsim.files import config
from netsim.files.units import format_seconds
from netsim.planning.fitting import fitted
from netsim.plots.drawing import STEMS
from netsim.plots.saving import DEFAULT
from netsim.runs import results
from netsim.runs.cases import compute_said, network_said, over_seeds, topologies_of
from netsim.runs.checkpoints import Checkpoints, clear_all
from netsim.runs.pipeline import labels, run, samples_per_step, trainings
from netsim.runs.setup import Setup

EXAMPLES = (
    "netsim sweep tang2018",
    "netsim sweep mine.toml --steps 100 --jobs 2 --out results/mine",
    'netsim sweep tang2018 --latency "1 ms .. 20 ms x 5" --bandwidth "1 Gbit/s"',
)
KEYS = {
    "title, preset, target, baseline, compute, seed, device": "what was run; the target is a training loss",
    "by_compiled, by_simpy, checked, largest_difference": "replays by each engine, by both, and their largest difference in seconds",
    "algorithms": "algorithm, learning_rate, overlap, diverged_at, steps_to_target, compression_error, remarks, … of each",
    "table": "algorithm, condition, sharing, latency (s), bandwidth (bit/s), seconds_per_epoch, seconds_to_target, speedup, status, engine",
    "topologies, seeds, runs": "only where the file has several: their names, and the table of each pair of them",
    "out": "folder of results.nc and figures/",
}


def command(
    source: options.Source,
    data: options.Data = None,
    download: options.Download = False,
    out_folder: options.Out = None,
    engine: options.Engine = options.EngineName.auto,
    steps: options.Steps = None,
    seed: options.Seed = None,
    latency: options.Latencies = None,
    bandwidth: options.Bandwidths = None,
    jobs: options.Jobs = None,
    device: options.Device = None,
    every: options.Every = options.CHECKPOINT_EVERY,
    resume: options.Resume = False,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Train every algorithm once, time it on every network, and see who is first."""
    asked = {"latency": latencies(latency), "bandwidth": bandwidths(bandwidth)}
    grid = {axis: values for axis, values in asked.items() if values is not None}
    setup = config.load(source, data, steps, device, download, "training", seed=seed, grid=grid)
    folder, together = out_folder or Path("results") / setup.name, options.at_a_time(jobs)
    with claimed(folder, files=[RESULTS, *figure_files(STEMS, DEFAULT)]) as claim:
        checkpoints = Checkpoints(folder / "checkpoints", every, resume)
        check_checkpoints(checkpoints.folder, resume, force)
        setup = setup.with_tasks_of(fitted(setup.largest(), together, say=say))
        say(_announced(setup))
        with training(together, _samples(setup), _work(setup, together)) as (executor, progress):
            ds = run(setup, engine, executor, progress, checkpoints)
        say("drawing the figures")
        _publish(ds, claim, checkpoints.folder, force)
    if as_json:
        print_json({**results.to_json(ds), "out": str(folder)})
        return
    theories = {
        name: getattr(one.algorithm, "theory", "")
        for name, one in zip(labels(setup.experiments), setup.experiments, strict=True)
    }
    show(ds, theories)
    lines(f"wrote {folder / 'results.nc'} and {folder / 'figures'} (PNG and SVG)")


def _publish(ds: xr.Dataset, claim: Claim, checkpoints: Path, force: bool) -> None:
    """Write results and figures, and remove the checkpoints."""
    try:
        drawn = publish_drawn(claim, ds, force)
    except NetsimError as error:
        raise NetsimError(f"{error}; what was trained is in {checkpoints}: mend that, then add --resume") from None
    clear_all(checkpoints)
    tell(claim, drawn)


def _announced(setup: Setup) -> str:
    swept = " and ".join(f"{len(grid)} networks ({sharing})" for sharing, grid in setup.grids.items())
    cases = len(setup.cases())
    many = f", {cases} pairs of a topology and a seed" if cases > 1 else ""
    return f"{setup.title}: {len(setup.experiments)} algorithms{many}, {swept}"


def _samples(setup: Setup) -> dict[str, int]:
    return {one.label: count for one in trainings(setup) for count in samples_per_step([one.experiment]).values()}


def _work(setup: Setup, jobs: int) -> Work:
    """Return what there is to do: the trainings, then the networks on which they are timed."""
    steps = {one.label: one.experiment.steps for one in trainings(setup)}
    each = max(steps.values()) * 2 * len(setup.topology.edges) / MESSAGES_A_SECOND
    timings = {f"networks, {sharing}": (len(steps) * len(grid), each) for sharing, grid in setup.grids.items()}
    if setup.apart:
        timings |= {f"named networks, {sharing}": (len(steps) * len(setup.apart), each) for sharing in setup.grids}
    return Work(steps, timings, jobs)


def show(ds: xr.Dataset, theories: Mapping[str, str]) -> None:
    """Print a sweep: for each topology the table of the first kind of sharing, medians over the seeds, and the remarks on it.

    Parameters
    ----------
    ds
        Of :func:`netsim.runs.pipeline.run`.
    theories
        By experiment, the theory that its algorithm declares, or "".
    """
    sharing = str(ds["sharing"].values[0])
    rows = [row for row in results.table(ds) if row["sharing"] == sharing]
    heading(ds.attrs["title"])
    if ds.attrs.get("changed"):
        lines(f"changed: {ds.attrs['changed']}; the rates, the target and the assumptions are the file's")
    for topology, every_seed in topologies_of(ds).items():
        _show_topology(
            over_seeds(every_seed), [row for row in rows if row.get("topology", "") == topology], sharing, theories
        )
    lines(
        f"timed: {ds.attrs['by_compiled']} compiled, {ds.attrs['by_simpy']} by SimPy, largest difference "
        f"{ds.attrs['largest_difference']:g} s ({ds.attrs['checked']} timed by both)"
    )


def _show_topology(ds: xr.Dataset, rows: list[dict[str, Any]], sharing: str, theories: Mapping[str, str]) -> None:
    lines(f"{_setting(ds)}; sharing = {sharing}")
    print_table(_sweep_table(ds, rows))
    lines(
        f"target: training loss {ds.attrs['target']:.4g} of the average model; speed-up over {ds.attrs['baseline']}",
        *(line for name in ds["experiment"].values for line in _of_one(ds.sel(experiment=name), str(name))),
    )
    if (ds["compression_error"] > 0).any():
        lines(
            f"compression error: max ||C(z) - z||/||z|| of what was compressed, a lower bound of alpha{_bounds(ds, theories)}"
        )


def _of_one(one: xr.Dataset, name: str) -> list[str]:
    travel = "messages travel while a gradient is computed" if one["overlap"] else "no overlap"
    error = f"; compression error {float(one['compression_error']):.3g}" if one["compression_error"] else ""
    broken = f"; theta violated {int(one['violations']):,} times" if one["violations"] >= 0 else ""
    remarks = [f"    {one['remarks'].item()}"] if one["remarks"].item() else []
    return [f"  {name}: lr {one['learning_rate'].item()}; {travel}{error}{broken}", *remarks]


def _bounds(ds: xr.Dataset, theories: Mapping[str, str]) -> str:
    """Return the bounds of the paper whose methods are among those that were run; "" where there is none."""
    held = [name for name, theory in theories.items() if theory and float(ds["compression_error"].sel(experiment=name))]
    if not held:
        return ""
    theorem, remark = (float(ds[name].sel(experiment=held[0])) for name in ("theorem1_bound", "remark_bound"))
    return f"; {theories[held[0]]} for DCD-PSGD: alpha < {theorem:.3g} (Theorem 1), alpha <= {remark:.3g} (remark after Theorem 3)"


def _setting(ds: xr.Dataset) -> str:
    said = compute_said(ds)
    compute = f"compute {said}" + (" a gradient" if said[:1].isdigit() else "")  # a model's words are longer
    if said == format_seconds(0):
        compute = "gradients take no time: communication only"
    per_epoch = int(np.ravel(ds["steps_per_epoch"].values)[0])
    epoch = f"an epoch is {per_epoch} steps" if per_epoch else "no epochs: per 1,000 steps"
    seeds = f", medians of {ds.attrs['seeds']} seeds" if ds.attrs.get("seeds", 1) > 1 else ""
    return f"{np.ravel(ds['topology'].values)[0]}{seeds}, {int(ds['step'][-1])} steps, {epoch}, {compute}"


def _sweep_table(ds: xr.Dataset, rows: list[dict[str, Any]]) -> TextTable:
    words = {"ours": " (ours)", "paper panel": " (number ours)"} if _of_a_paper(ds) else {}
    headings = ["algorithm", ""]
    for condition in ds["condition"].values:
        whose = words.get(ds["condition_source"].sel(condition=condition).item(), "")
        headings.append(f"{condition}{whose}\n" + network_said(ds, str(condition)).replace(", ", "\n"))
    shown = TextTable(headings, left=2, ruled=True)
    epoch = "s per epoch" if int(np.ravel(ds["steps_per_epoch"].values)[0]) else "s per 1,000 steps"
    for name in ds["experiment"].values:
        cells = [row for row in rows if row["algorithm"] == name]
        shown.rows.append((str(name), f"{epoch}\ns to target\nspeed-up", *map(_cell, cells)))
    return shown


def _of_a_paper(ds: xr.Dataset) -> bool:
    """Return whether a paper has one of the named networks, so that it matters whose the others are."""
    return any(source != "ours" for source in ds["condition_source"].values)


def _with_range(row: dict[str, Any], key: str, form: str, unit: str = "") -> str:
    """Return a number of a row; of several seeds, which differ in it, with the lowest and the highest that reached the target."""
    spread = [one for one in row.get(f"{key}_range", ()) if 0 < one < float("inf")]
    differ = len(spread) == 2 and spread[0] < spread[1]
    return f"{row[key]:{form}}{unit}" + (f" ({spread[0]:{form}} to {spread[1]:{form}})" if differ else "")


def _cell(row: dict[str, Any]) -> str:
    seconds, speedup = row["seconds_to_target"], row["speedup"]
    reached = seconds < float("inf")
    found = [_with_range(row, "seconds_per_epoch", ".3g"), row["status"]]
    if reached:
        found[1] = _with_range(row, "seconds_to_target", ".4g")
        found.append(_with_range(row, "speedup", ".3g", "x") if speedup < float("inf") else "baseline: not reached")
    if reached and row["status"] != "reached":
        found.append(row["status"])
    return "\n".join(found)

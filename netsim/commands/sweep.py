"""``netsim sweep``: train every algorithm once, time it on every network."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import xarray as xr
from rich.console import Console
from rich.table import Table

from netsim.commands import options
from netsim.commands.console import out, print_json, say, training
from netsim.commands.publishing import check_folder, publish
from netsim.files import config
from netsim.files.units import format_bandwidth, format_seconds
from netsim.planning.fitting import fitted
from netsim.plots.drawing import draw
from netsim.runs import results
from netsim.runs.checkpoints import Checkpoints, clear
from netsim.runs.pipeline import run, samples_per_step


def command(
    source: options.Source,
    data: options.Data = None,
    download: options.Download = False,
    out_folder: options.Out = None,
    engine: options.Engine = options.EngineName.auto,
    steps: options.Steps = None,
    jobs: options.Jobs = None,
    device: options.Device = None,
    every: options.Every = options.CHECKPOINT_EVERY,
    resume: options.Resume = False,
    as_json: options.Json = False,
) -> None:
    """Train every algorithm once, time it on every network, and see who is first."""
    setup = config.load(source, data, steps, device, download, kind="training")
    folder, together = out_folder or Path("results") / setup.name, options.at_a_time(jobs)
    check_folder(folder)
    setup = replace(setup, experiments=fitted(setup.experiments, together, say=say))
    swept = " and ".join(f"{len(grid)} networks ({sharing})" for sharing, grid in setup.grids.items())
    say(f"{setup.title}: {len(setup.experiments)} algorithms, {swept}")
    with training(together, samples_per_step(setup.experiments)) as (executor, progress):
        checkpoints = Checkpoints(folder / "checkpoints", every, resume)
        ds = run(setup, engine, executor, progress, checkpoints)
    say("drawing the figures")
    _publish(ds, folder)
    if as_json:
        print_json({**results.to_json(ds), "out": str(folder)})
        return
    show(ds, out())
    out().print(f"wrote {folder / 'results.nc'} and {folder / 'figures'} (PNG and SVG)", markup=False)


def _publish(ds: xr.Dataset, folder: Path) -> None:
    """Write results and figures, and remove the checkpoints; an error in a figure does not lose the results."""
    failed: list[Exception] = []

    def write(fresh: Path) -> None:
        results.save(ds, fresh / "results.nc")
        try:
            draw(ds, fresh / "figures")
        except Exception as error:
            failed.append(error)

    publish(folder, write)
    clear(folder / "checkpoints")
    if failed:
        say(f"the results are in {folder / 'results.nc'}, but a figure failed")
        raise failed[0]


def show(ds: xr.Dataset, console: Console) -> None:
    """Print a sweep: the table of its first kind of sharing, and the remarks on it."""
    sharing = str(ds["sharing"].values[0])
    rows = [row for row in results.table(ds) if row["sharing"] == sharing]
    console.print(f"[bold]{ds.attrs['title']}[/bold]\n{_setting(ds)}; sharing = {sharing}")
    if ds.attrs.get("changed"):
        console.print(
            f"changed: {ds.attrs['changed']}; the rates, the target and the assumptions are the file's", markup=False
        )
    console.print(_sweep_table(ds, rows))
    target, baseline = ds.attrs["target"], ds.attrs["baseline"]
    console.print(f"target: training loss {target:.4g} of the average model; speed-up over {baseline}")
    for name in ds["experiment"].values:
        one = ds.sel(experiment=name)
        travel = "messages travel while a gradient is computed" if one["overlap"] else "no overlap"
        error = f"; compression error {float(one['compression_error']):.3g}" if one["compression_error"] else ""
        broken = f"; theta violated {int(one['violations']):,} times" if one["violations"] >= 0 else ""
        console.print(
            f"  {name}: lr {one['learning_rate'].item()}; {travel}{error}{broken}", markup=False, soft_wrap=True
        )
        if one["remarks"].item():
            console.print(f"    {one['remarks'].item()}", markup=False, soft_wrap=True)
    theorem, remark = float(ds["theorem1_bound"][0]), float(ds["remark_bound"][0])
    console.print(
        "compression error: max ||C(z) - z||/||z|| of what was compressed, a lower bound of alpha; Tang et al. 2018 for DCD-PSGD: "
        f"alpha < {theorem:.3g} (Theorem 1), alpha <= {remark:.3g} (remark after Theorem 3)",
        soft_wrap=True,
    )
    console.print(
        f"timed: {ds.attrs['by_compiled']} compiled, {ds.attrs['by_simpy']} by SimPy, largest difference "
        f"{ds.attrs['largest_difference']:g} s ({ds.attrs['checked']} timed by both)"
    )


def _setting(ds: xr.Dataset) -> str:
    compute = ds.attrs["compute"]
    with suppress(ValueError):  # a compute model has a repr
        compute = format_seconds(float(compute))
    per_epoch = int(ds["steps_per_epoch"][0])
    epoch = f"an epoch is {per_epoch} steps" if per_epoch else "no epochs: per 1,000 steps"
    return f"{ds['topology'].values[0]}, {int(ds['step'][-1])} steps, {epoch}, compute {compute} a gradient"


def _sweep_table(ds: xr.Dataset, rows: list[dict[str, Any]]) -> Table:
    shown = Table(show_lines=True)
    shown.add_column("algorithm", overflow="fold")
    shown.add_column("")
    for condition in ds["condition"].values:
        named = ds.sel(condition=condition)
        ours = {"ours": " (ours)", "paper panel": " (number ours)"}.get(named["condition_source"].item(), "")
        latency, bandwidth = float(named["condition_latency"]), float(named["condition_bandwidth"])
        shown.add_column(
            f"{condition}{ours}\n{format_seconds(latency)}\n{format_bandwidth(bandwidth)}", justify="right"
        )
    epoch = "s per epoch" if int(ds["steps_per_epoch"][0]) else "s per 1,000 steps"
    for name in ds["experiment"].values:
        cells = [row for row in rows if row["algorithm"] == name]
        shown.add_row(str(name), f"{epoch}\ns to target\nspeed-up", *map(_cell, cells))
    return shown


def _cell(row: dict[str, Any]) -> str:
    seconds, speedup = row["seconds_to_target"], row["speedup"]
    reached = seconds < float("inf")
    lines = [f"{row['seconds_per_epoch']:.3g}", f"{seconds:.4g}" if reached else row["status"]]
    if reached:
        lines.append(f"{speedup:.3g}x" if speedup < float("inf") else "baseline: not reached")
    if reached and row["status"] != "reached":
        lines.append(row["status"])
    return "\n".join(lines)

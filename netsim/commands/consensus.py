"""``netsim consensus``: gossip without gradients, error against bytes sent."""

import shlex
from pathlib import Path
from typing import Annotated

import typer
import xarray as xr
from rich.table import Table

from netsim.commands import options
from netsim.commands.console import out, print_json, say, training
from netsim.commands.publishing import check_folder, publish
from netsim.files import config
from netsim.plots.drawing import draw
from netsim.runs import results
from netsim.runs.pipeline import run
from netsim.runs.setup import Setup
from netsim.runs.tuning import search


def command(
    source: options.Source,
    data: options.Data = None,
    out_folder: options.Out = None,
    again: Annotated[
        bool, typer.Option("--search", help="Search step sizes again, in place of the best ones that the file has.")
    ] = False,
    jobs: options.Jobs = None,
    device: options.Device = None,
    as_json: options.Json = False,
) -> None:
    """Gossip without gradients: how far the workers are from their average, against what they sent."""
    setup = config.load(source, data, device=device, kind="gossip")
    folder = out_folder or Path("results") / setup.name
    check_folder(folder)
    for name, why in setup.left_out.items():
        say(f"{name}: left out: {why}")
    with training(options.at_a_time(jobs)) as (executor, progress):
        found = search(setup, executor, progress, known=again)
        ds = run(setup, executor=executor, progress=progress, found=found)

    def write(fresh: Path) -> None:
        results.save(ds, fresh / "results.nc")
        draw(ds, fresh / "figures")

    publish(folder, write)
    if as_json:
        print_json({**results.to_json(ds), "left_out": dict(setup.left_out), "out": str(folder)})
        return
    command = shlex.join(["netsim", "tune", source, *([] if data is None else ["--data", str(data)])])
    _show(ds, setup, command)
    out().print(f"wrote {folder / 'results.nc'} and {folder / 'figures'} (PNG and SVG)", markup=False, soft_wrap=True)


def _show(ds: xr.Dataset, setup: Setup, command: str) -> None:
    console = out()
    console.print(f"[bold]{setup.title}[/bold]", soft_wrap=True)
    console.print(_table(ds))
    console.print(f"MB: {results.SENT}; {_budgets(ds)}", markup=False, soft_wrap=True)
    console.print(f"* searched: {command}", markup=False, soft_wrap=True)
    for name, why in setup.left_out.items():
        console.print(f"{name}: left out: {why}", markup=False, soft_wrap=True)


def _table(ds: xr.Dataset) -> Table:
    shown = Table()
    columns = (
        "start",
        "method",
        "gamma",
        "theta",
        "rounds",
        f"MB to {ds.attrs['target']:g}",
        "elsewhere",
        "difference",
    )
    for column in columns:
        shown.add_column(column, justify="left" if column in ("start", "method") else "right", overflow="fold")
    last = ""
    for row in results.table(ds):
        if last and row["start"] != last:
            shown.add_section()
        searched = "*" if row["searched"] else ""
        reached = row["megabytes"] is not None
        left = f"{row['status']}, {row['last_error']:.2g}" if row["last_error"] is not None else row["status"]
        shown.add_row(
            row["start"] if row["start"] != last else "",
            row["method"],
            f"{row['gamma']:.4g}{searched}" if row["gamma"] is not None else "",
            f"{row['theta']:.4g}{searched}" if row["theta"] is not None else "",
            str(row["rounds"]) if reached else "",
            f"{row['megabytes']:.3f}" if reached else left,
            f"{row['published']:.2f}" if row["published"] is not None else "",
            f"{row['difference']:+.1f} %" if row["difference"] is not None else "",
        )
        last = row["start"]
    return shown


def _budgets(ds: xr.Dataset) -> str:
    """Return the stopping rules of the runs, as text."""
    budgets = ", ".join(f"{name} {float(ds['budget'].sel(start=name)):.3g} MB" for name in ds["start"].values)
    return f"a worker may send at most: {budgets}; where the target was not reached, the relative error at the end is shown"

"""The command ``netsim consensus``: gossip alone, error against what was sent."""

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
import xarray as xr
from rich.table import Table

from netsim.commands.console import check_folder, out, publish, training
from netsim.commands.plot import draw
from netsim.files import gossip as gossip_file
from netsim.runs import gossip_results, results

Source = Annotated[
    str, typer.Argument(metavar="PRESET|FILE.toml", help="A preset's name, such as powergossip-consensus, or a file.")
]
Data = Annotated[Path | None, typer.Option(help="Folder of the Olivetti faces.", metavar="PATH")]
Jobs = Annotated[int | None, typer.Option(help="Runs at a time. Default: the cores, at most 4.", min=1)]
OnDevice = Annotated[str | None, typer.Option(help="auto, cpu or cuda, instead of the file's choice.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, and nothing else there.")]


def consensus_command(
    source: Source,
    data: Data = None,
    out_folder: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for results.nc and figures/. Default: results/NAME.", metavar="DIR"),
    ] = None,
    search: Annotated[
        bool, typer.Option("--search", help="Search step sizes again, in place of the best ones that the file has.")
    ] = False,
    jobs: Jobs = None,
    device: OnDevice = None,
    as_json: AsJson = False,
) -> None:
    """Gossip without gradients: how far the workers are from their average, against what they sent."""
    plan = gossip_file.load(source, data, device)
    folder = out_folder or Path("results") / plan.name
    check_folder(folder)
    for name, why in plan.left_out.items():
        _say(f"{name}: left out: {why}")
    with training(jobs or min(os.cpu_count() or 1, 4)) as (executor, progress):
        found = gossip_results.search(plan, executor, progress, again=search)
        ds = gossip_results.run_plan(plan, found, executor, progress)
    publish(folder, lambda fresh: _write(ds, fresh))
    if as_json:
        keys = ("title", "preset", "target", "topology", "workers", "optimal_gossip_rate", "seed", "dtype", "device")
        said = {**{key: ds.attrs[key] for key in keys}, "left_out": dict(plan.left_out)}
        print_json({**said, "table": gossip_results.table(ds), "out": str(folder)})
        return
    console = out()
    console.print(f"[bold]{plan.title}[/bold]", soft_wrap=True)
    console.print(consensus_table(ds))
    console.print(f"MB: {gossip_results.SENT}; {describe(ds)}", markup=False, soft_wrap=True)
    command = shlex.join(["netsim", "tune", source, *([] if data is None else ["--data", str(data)])])
    console.print(f"* searched: {command}", markup=False, soft_wrap=True)
    for name, why in plan.left_out.items():
        console.print(f"{name}: left out: {why}", markup=False, soft_wrap=True)
    console.print(f"wrote {folder / 'results.nc'} and {folder / 'figures'} (PNG and SVG)", markup=False, soft_wrap=True)


def consensus_table(ds: xr.Dataset) -> Table:
    """Return the table of a Dataset of :func:`netsim.runs.gossip_results.run_plan`."""
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
    for row in gossip_results.table(ds):
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


def describe(ds: xr.Dataset) -> str:
    """Return how far the runs went, in words."""
    budgets = ", ".join(f"{name} {float(ds['budget'].sel(start=name)):.3g} MB" for name in ds["start"].values)
    return f"a worker may send at most: {budgets}; where the target was not reached, the relative error at the end is shown"


def print_json(value: Any) -> None:
    """Print JSON on stdout."""
    print(json.dumps(results.plain(value), indent=2, ensure_ascii=False))


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _write(ds: xr.Dataset, fresh: Path) -> None:
    results.save(ds, fresh / "results.nc")
    draw(ds, fresh / "figures")

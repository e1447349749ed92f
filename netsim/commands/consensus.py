"""``netsim consensus``: gossip without gradients, error against bytes sent."""

import shlex
from pathlib import Path
from typing import Annotated

import xarray as xr

from netsim.commands import options
from netsim.commands.console import print_json, training
from netsim.commands.drawn import publish_drawn, tell
from netsim.commands.estimates import Work
from netsim.commands.publishing import RESULTS, claimed, figure_files
from netsim.commands.streams import say
from netsim.commands.tables import TextTable, heading, lines, print_table
from netsim.files import config
from netsim.plots.drawing import STEMS
from netsim.plots.saving import DEFAULT
from netsim.runs import results
from netsim.runs.pipeline import run
from netsim.runs.setup import Setup
from netsim.runs.tuning import search, searched

EXAMPLES = ("netsim consensus powergossip-consensus", "netsim consensus mine.toml --out results/mine --json")
KEYS = {
    "title, preset, target, topology, workers, optimal_gossip_rate, seed, dtype, device": "what was run; the target is a relative error",
    "table": "start, method, gamma, theta, searched, rounds, megabytes, last_error, status, published, difference of each run",
    "left_out": "starts without data, and why",
    "out": "folder of results.nc and figures/",
}


def command(
    source: options.Source,
    data: options.Data = None,
    out_folder: options.Out = None,
    again: Annotated[
        bool,
        options.option("--search", help="Search step sizes again, in place of the best ones that the file has."),
    ] = False,
    jobs: options.Jobs = None,
    seed: options.Seed = None,
    device: options.Device = None,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Gossip without gradients: how far the workers are from their average, against what they sent."""
    setup = config.load(source, data, device=device, kind="gossip", seed=seed)
    folder = out_folder or Path("results") / setup.name
    for name, why in setup.left_out.items():
        say(f"{name}: left out: {why}")
    pairs, races = setup.pairs(), searched(setup, known=again)
    with claimed(folder, files=[RESULTS, *figure_files(STEMS, DEFAULT)]) as claim:
        with training(options.at_a_time(jobs), work=Work(count=len(pairs) + len(races))) as (executor, progress):
            found = search(setup, executor, progress, known=again)
            ds = run(setup, executor=executor, progress=progress, found=found)
        tell(claim, publish_drawn(claim, ds, force))
    if as_json:
        print_json({**results.to_json(ds), "left_out": dict(setup.left_out), "out": str(folder)})
        return
    command = shlex.join(["netsim", "tune", source, *([] if data is None else ["--data", str(data)])])
    _show(ds, setup, command)
    lines(f"wrote {folder / 'results.nc'} and {folder / 'figures'} (PNG and SVG)")


def _show(ds: xr.Dataset, setup: Setup, command: str) -> None:
    heading(setup.title)
    print_table(_table(ds))
    lines(f"MB: {results.SENT}; {_budgets(ds)}")
    if any(row["searched"] for row in results.table(ds)):
        lines(f"* searched: {command}")
    lines(*(f"{name}: left out: {why}" for name, why in setup.left_out.items()))


def _table(ds: xr.Dataset) -> TextTable:
    rows = results.table(ds)
    published = any(row["published"] is not None for row in rows)
    target = f"MB to {ds.attrs['target']:g}"
    headings = (
        "start",
        "method",
        "gamma",
        "theta",
        "rounds",
        target,
        *(("elsewhere", "difference") if published else ()),
    )
    begun = [at for at, row in enumerate(rows) if not at or row["start"] != rows[at - 1]["start"]]
    shown = TextTable(headings, left=2, sections=begun)
    for at, row in enumerate(rows):
        star = "*" if row["searched"] else ""
        reached = row["megabytes"] is not None
        left = f"{row['status']}, {row['last_error']:.2g}" if row["last_error"] is not None else row["status"]
        cells = (
            row["start"] if at in begun else "",
            row["method"],
            f"{row['gamma']:.4g}{star}" if row["gamma"] is not None else "",
            f"{row['theta']:.4g}{star}" if row["theta"] is not None else "",
            str(row["rounds"]) if reached else "",
            f"{row['megabytes']:.3f}" if reached else left,
            f"{row['published']:.2f}" if row["published"] is not None else "",
            f"{row['difference']:+.1f} %" if row["difference"] is not None else "",
        )
        shown.rows.append(cells[: len(headings)])
    return shown


def _budgets(ds: xr.Dataset) -> str:
    """Return the stopping rules of the runs, as text."""
    budgets = ", ".join(f"{name} {float(ds['budget'].sel(start=name)):.3g} MB" for name in ds["start"].values)
    return f"a worker may send at most: {budgets}; where the target was not reached, the relative error at the end is shown"

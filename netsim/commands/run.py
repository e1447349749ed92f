"""``netsim run``: train one algorithm and time it on one network."""

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from netsim.clock.replaying import replay
from netsim.commands import options
from netsim.commands.console import out, print_json, say, training
from netsim.commands.publishing import check_folder, publish
from netsim.files import config
from netsim.files.units import bits_per_second, format_bytes, format_seconds, seconds
from netsim.planning.fitting import fitted
from netsim.runs import results
from netsim.runs.checkpoints import Checkpoints, clear, remove_empty
from netsim.runs.pipeline import samples_per_step, train_all


def command(
    source: options.Source,
    algorithm: Annotated[
        str,
        typer.Option(help="Class, full name, or number (1 is the first) of one algorithm of the file.", metavar="NAME"),
    ],
    latency: options.Latency,
    bandwidth: options.Bandwidth,
    sharing: options.Sharing = "fifo",
    data: options.Data = None,
    download: options.Download = False,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Also write run.nc into this folder.", metavar="DIR")
    ] = None,
    engine: options.Engine = options.EngineName.auto,
    steps: options.Steps = None,
    device: options.Device = None,
    every: options.Every = options.CHECKPOINT_EVERY,
    resume: options.Resume = False,
    as_json: options.Json = False,
) -> None:
    """Train one algorithm and time it on one network."""
    alpha, rate = seconds(latency, "--latency"), bits_per_second(bandwidth, "--bandwidth")
    setup = config.load(source, data, steps, device, download, kind="training").only(algorithm)
    network = setup.network(alpha, rate, sharing)
    kept = (out_folder or Path("results") / setup.name) / "checkpoints-run"
    check_folder(kept)
    experiments = fitted(setup.experiments, 1, say=say)
    with training(1, samples_per_step(experiments)) as (executor, progress):
        (run,) = train_all(experiments, executor, progress, Checkpoints(kept, every, resume))
        timeline = replay(run.trace, network, engine)
    summary = results.summarise(run, timeline, network, setup.target)
    if out_folder is not None:
        publish(out_folder, lambda fresh: results.save(results.timed_history(run, timeline), fresh / "run.nc"))
    clear(kept)
    remove_empty(kept.parent)
    if as_json:
        print_json(summary)
        return
    _show(summary)
    if out_folder is not None:
        out().print(f"wrote {out_folder / 'run.nc'}", markup=False)


def _show(summary: dict[str, Any]) -> None:
    console = out()
    console.print(
        f"{summary['algorithm']} on {summary['topology']}, {summary['network']}, sharing = {summary['sharing']}",
        markup=False,
    )
    shown = Table()
    for heading in ("step", "simulated time", *summary["numbers"]):
        shown.add_column(heading, justify="right")
    for row in summary["history"]:
        numbers = [f"{row[name]:.4g}" for name in summary["numbers"]]
        shown.add_row(str(row["step"]), format_seconds(row["time"]), *numbers)
    console.print(shown)
    sent = f"{format_bytes(summary['bits_per_worker'] / 8)} sent by a worker in {summary['rounds']} steps"
    travel = "messages travel while a gradient is computed" if summary["overlap"] else "no overlap"
    lines = [
        f"{format_seconds(summary['seconds'])} simulated, {summary['messages']} messages timed by {summary['engine']}; {sent}; {travel}",
        f"learning rate {summary['learning_rate']}; {_goal(summary)}",
    ]
    if summary["compression_error"] is not None:
        bounds = f"bounds {summary['theorem1_bound']:.3g} (Theorem 1), {summary['remark_bound']:.3g} (remark after Theorem 3)"
        lines.append(
            f"compression error: max ||C(z) - z||/||z|| = {summary['compression_error']:.3g}, a lower bound of alpha; {bounds}"
        )
    if summary["violations"] is not None:
        lines.append(
            f"violations of theta: {summary['violations']:,} (neighbours' numbers further apart than theta, over all steps)"
        )
    for line in [*lines, *summary["remarks"]]:
        console.print(line, markup=False, soft_wrap=True)


def _goal(summary: dict[str, Any]) -> str:
    if summary["target"] is None:
        return "no target" if summary["status"] == "reached" else summary["status"]
    if summary["seconds_to_target"] is None:
        return f"target loss {summary['target']:g}: {summary['status']}"
    return f"target loss {summary['target']:g} after {format_seconds(summary['seconds_to_target'])}"

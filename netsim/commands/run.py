"""``netsim run``: train one algorithm and time it on one network."""

from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Any

from netsim.clock.replaying import replay
from netsim.commands import options
from netsim.commands.console import print_json, training
from netsim.commands.publishing import check_checkpoints, claimed, publish, remove_folders
from netsim.commands.quantities import asked_bandwidth, asked_seconds
from netsim.commands.streams import say
from netsim.commands.tables import TextTable, lines, print_table
from netsim.files import config
from netsim.files.units import format_bytes, format_seconds
from netsim.planning.fitting import fitted
from netsim.runs import results
from netsim.runs.checkpoints import Checkpoints, clear_all
from netsim.runs.pipeline import samples_per_step, train_all
from netsim.runs.resume import folder_name

EXAMPLES = (
    'netsim run tang2018 --algorithm 3 --latency "20 ms" --bandwidth "5 Mbit/s"',
    'netsim run mine.toml --algorithm 1 --latency "1 ms" --bandwidth inf',
)
KEYS = {
    "algorithm, topology, network, sharing, learning_rate, overlap, engine, steps_per_epoch": "what was run, and what timed it",
    "messages, rounds, bits_per_worker": "how much was said",
    "seconds, target, seconds_to_target, status": "simulated time; a training loss; null: no target, or not reached",
    "compression_error, clipped, violations, theorem1_bound, remark_bound, remarks": "of compression; null where there is none",
    "numbers, history": "step, simulated time (s), and the numbers that were evaluated, about ten times",
}


def command(
    source: options.Source,
    algorithm: Annotated[
        str,
        options.option(
            help="One algorithm of the file: its class, its full name, or its number; 1 is the first.", metavar="NAME"
        ),
    ],
    latency: options.Latency,
    bandwidth: options.Bandwidth,
    sharing: options.Sharing = "fifo",
    data: options.Data = None,
    download: options.Download = False,
    out_folder: Annotated[
        Path | None, options.option("--out", help="Also write run.nc into this folder.", metavar="DIR")
    ] = None,
    engine: options.Engine = options.EngineName.auto,
    steps: options.Steps = None,
    seed: options.Seed = None,
    device: options.Device = None,
    every: options.Every = options.CHECKPOINT_EVERY,
    resume: options.Resume = False,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Train one algorithm and time it on one network."""
    alpha, rate = asked_seconds(latency, "--latency"), asked_bandwidth(bandwidth, "--bandwidth")
    setup = config.load(source, data, steps, device, download, kind="training", seed=seed)
    setup, left_out = setup.only(algorithm).first_only()
    if left_out:
        say(f"of several in the file, only {left_out}")
    network = setup.network(alpha, rate, sharing)
    kept = (out_folder or Path("results") / setup.name) / "checkpoints-run" / folder_name(setup.experiments[0])
    with ExitStack() as claims:
        claim = claims.enter_context(claimed(out_folder, files=["run.nc"])) if out_folder else None
        claims.enter_context(claimed(kept, "checkpoints in"))
        check_checkpoints(kept, resume, force)
        experiments = fitted(setup.experiments, 1, say=say)
        with training(1, samples_per_step(experiments)) as (executor, progress):
            (run,) = train_all(experiments, executor, progress, Checkpoints(kept, every, resume))
            timeline = replay(run.trace, network, engine)
        summary = results.summarise(run, timeline, network, setup.target)
        if claim is not None:
            publish(claim, lambda fresh: results.save(results.timed_history(run, timeline), fresh / "run.nc"), force)
        clear_all(kept)
    remove_folders(kept, *kept.parents[: 1 if out_folder else 3])
    if as_json:
        print_json(summary)
        return
    _show(summary, getattr(run.experiment.algorithm, "theory", None))
    if out_folder is not None:
        lines(f"wrote {out_folder / 'run.nc'}")


def _show(summary: dict[str, Any], theory: str | None) -> None:
    lines(f"{summary['algorithm']} on {summary['topology']}, {summary['network']}, sharing = {summary['sharing']}")
    shown = TextTable(("step", "simulated time", *summary["numbers"]), left=0)
    for row in summary["history"]:
        numbers = [f"{row[name]:.4g}" for name in summary["numbers"]]
        shown.rows.append((str(row["step"]), format_seconds(row["time"]), *numbers))
    print_table(shown)
    sent = f"{format_bytes(summary['bits_per_worker'] / 8)} sent by a worker in {summary['rounds']} steps"
    travel = "messages travel while a gradient is computed" if summary["overlap"] else "no overlap"
    lines(
        f"{format_seconds(summary['seconds'])} simulated, {summary['messages']} messages timed by {summary['engine']}; {sent}; {travel}",
        f"learning rate {summary['learning_rate']}; {_goal(summary)}",
    )
    if summary["compression_error"] is not None:
        bounds = ""
        if theory:
            bounds = f"; bounds {summary['theorem1_bound']:.3g} (Theorem 1), {summary['remark_bound']:.3g} (remark after Theorem 3) of {theory}"
        lines(
            f"compression error: max ||C(z) - z||/||z|| = {summary['compression_error']:.3g}, a lower bound of alpha{bounds}"
        )
    if summary["violations"] is not None:
        lines(
            f"violations of theta: {summary['violations']:,} (neighbours' numbers further apart than theta, over all steps)"
        )
    if summary["remarks"]:
        lines(*summary["remarks"])


def _goal(summary: dict[str, Any]) -> str:
    if summary["target"] is None:
        return "no target" if summary["status"] == "reached" else summary["status"]
    if summary["seconds_to_target"] is None:
        return f"target loss {summary['target']:g}: {summary['status']}"
    return f"target loss {summary['target']:g} after {format_seconds(summary['seconds_to_target'])}"

"""The command line: ``netsim sweep | run | presets | plot | tune | consensus``.

Results go to stdout, progress and mistakes to stderr. A mistake of the user is one line and exit code 2; Ctrl-C is exit code 130.
"""

import json
import os
import signal
import sys
import warnings
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from netsim.clock.replaying import replay
from netsim.commands.accounting import bytes_command, time_command
from netsim.commands.check import check_command
from netsim.commands.consensus import consensus_command
from netsim.commands.console import check_folder, out, publish, show_sweep, training
from netsim.commands.plan import CannotFit, fitted, plan_command
from netsim.commands.plot import draw, plot_command
from netsim.commands.tune import pick, tune_command
from netsim.errors import NetsimError
from netsim.files import config
from netsim.files.calls import hint
from netsim.files.units import bits_per_second, format_bytes, format_seconds, seconds
from netsim.runs import results
from netsim.runs.checkpoints import Checkpoints, clear, remove_empty

CHECKPOINT_EVERY = 1000  # steps
STOPPED = 130  # exit code of a command that was interrupted


class Engine(StrEnum):
    """What times the messages."""

    auto = "auto"
    simpy = "simpy"
    compiled = "compiled"


class Device(StrEnum):
    """Where to train."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Sharing(StrEnum):
    """What messages under way at the same time do to each other."""

    fifo = "fifo"
    none = "none"


Source = Annotated[str, typer.Argument(metavar="PRESET|FILE.toml", help="A preset's name, or a configuration file.")]
Data = Annotated[Path | None, typer.Option(help="Folder of the MNIST or CIFAR-10 files.", metavar="PATH")]
Download = Annotated[
    bool, typer.Option("--download", help="Fetch MNIST or CIFAR-10 once, checked, where there is no --data.")
]
Steps = Annotated[int | None, typer.Option(help="Train for so many steps instead of the file's.", min=1)]
Jobs = Annotated[int | None, typer.Option(help="Trainings at a time. Default: the cores, at most 4.", min=1)]
OnDevice = Annotated[Device | None, typer.Option(help="Where to train, instead of the file's choice.")]
EngineOption = Annotated[
    Engine,
    typer.Option(
        help="simpy: SimPy's events. auto, compiled: the same in machine code, a sample of it checked by SimPy."
    ),
]
Every = Annotated[
    int, typer.Option("--checkpoint-every", help="Steps between checkpoints, which a stop writes too.", min=1)
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on from the checkpoints of a run that was stopped or killed.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, and nothing else there.")]

app = typer.Typer(
    name="netsim",
    help="Which way of communicating reaches my target loss first on my network?\n\n"
    "Trains every algorithm once on real data, puts every message through a simulated network, and reads off the time for any latency and bandwidth.",
    epilog="Begin with: netsim presets, then netsim sweep tang2018",
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command("sweep")
def sweep_command(
    source: Source,
    data: Data = None,
    download: Download = False,
    out_folder: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for results.nc and figures/. Default: results/NAME.", metavar="DIR"),
    ] = None,
    engine: EngineOption = Engine.auto,
    steps: Steps = None,
    jobs: Jobs = None,
    device: OnDevice = None,
    every: Every = CHECKPOINT_EVERY,
    resume: Resume = False,
    as_json: AsJson = False,
) -> None:
    """Train every algorithm once, time it on every network, and see who is first."""
    plan = config.load(source, data, steps, device, download)
    folder = out_folder or Path("results") / plan.name
    check_folder(folder)
    plan = replace(plan, experiments=fitted(plan.experiments, _jobs(jobs)))
    _say(
        f"{plan.title}: {len(plan.experiments)} algorithms, {' and '.join(f'{len(g)} networks ({s})' for s, g in plan.grids.items())}"
    )
    with training(_jobs(jobs), results.samples_per_step(plan.experiments)) as (executor, progress):
        checkpoints = Checkpoints(folder / "checkpoints", every, resume)
        ds = results.run_plan(plan, engine, executor, progress, checkpoints)
    _say("drawing the figures")

    failed: list[Exception] = []

    def write(fresh: Path) -> None:
        results.save(ds, fresh / "results.nc")
        try:
            draw(ds, fresh / "figures")
        except Exception as error:  # whatever is wrong with a figure, the results are not lost with it
            failed.append(error)

    publish(folder, write)
    clear(folder / "checkpoints")
    if failed:
        _say(f"the results are in {folder / 'results.nc'}, but a figure failed")
        raise failed[0]
    if as_json:
        _print_json({**results.to_json(ds), "out": str(folder)})
    else:
        show_sweep(ds, out())
        out().print(f"wrote {folder / 'results.nc'} and {folder / 'figures'} (PNG and SVG)", markup=False)


@app.command("run")
def run_command(
    source: Source,
    algorithm: Annotated[
        str,
        typer.Option(help="Class, full name, or number (1 is the first) of one algorithm of the file.", metavar="NAME"),
    ],
    latency: Annotated[str, typer.Option(help='Such as "20 ms".')],
    bandwidth: Annotated[str, typer.Option(help='Such as "5 Mbit/s".')],
    sharing: Annotated[
        Sharing, typer.Option(help="fifo: messages queue at ports; none: they share nothing.")
    ] = Sharing.fifo,
    data: Data = None,
    download: Download = False,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Also write run.nc into this folder.", metavar="DIR")
    ] = None,
    engine: EngineOption = Engine.auto,
    steps: Steps = None,
    device: OnDevice = None,
    every: Every = CHECKPOINT_EVERY,
    resume: Resume = False,
    as_json: AsJson = False,
) -> None:
    """Train one algorithm and time it on one network."""
    alpha, rate = seconds(latency, "--latency"), bits_per_second(bandwidth, "--bandwidth")
    plan = config.load(source, data, steps, device, download)
    classes = [type(one.algorithm).__name__ for one in plan.experiments]
    experiment = plan.experiments[pick(results.labels(plan.experiments), classes, algorithm, source)]
    network = config.at(plan, alpha, rate, sharing)
    kept = (out_folder or Path("results") / plan.name) / "checkpoints-run"
    check_folder(kept)
    (experiment,) = fitted([experiment], 1)
    with training(1, results.samples_per_step([experiment])) as (executor, progress):
        (run,) = results.train_all([experiment], executor, progress, Checkpoints(kept, every, resume))
        timeline = replay(run.trace, network, engine)
    summary = results.summarise(run, timeline, network, plan.target)
    if out_folder is not None:
        publish(out_folder, lambda fresh: results.save(results.timed_history(run, timeline), fresh / "run.nc"))
    clear(kept)
    remove_empty(kept.parent)
    if as_json:
        _print_json(summary)
        return
    _show_run(summary)
    if out_folder is not None:
        out().print(f"wrote {out_folder / 'run.nc'}", markup=False)


@app.command("presets")
def presets_command(
    name: Annotated[str | None, typer.Argument(help="Print this preset, with its assumptions.")] = None,
) -> None:
    """List the presets, or print one."""
    known = config.presets()
    if name is None:
        width = max(map(len, known))
        for preset, title in known.items():
            out().print(f"{preset:<{width}} {title}", markup=False, soft_wrap=True)
        return
    if name not in known:
        raise NetsimError(f"{name}: no preset of this name; {hint(name, known)}")
    print((config.PRESETS / f"{name}.toml").read_text("utf-8"))
    print(f"What {name} assumes, and whose assumption it is:")
    for what, said in config.read(name)[2]["assumptions"].items():
        print(f"  {what}: {said}")


app.command("plot")(plot_command)
app.command("tune")(tune_command)
app.command("consensus")(consensus_command)
app.command("bytes")(bytes_command)
app.command("time")(time_command)
app.command("check")(check_command)
app.command("plan")(plan_command)


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit.

    Parameters
    ----------
    arguments
        Instead of the process's own.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that temporary folders are removed
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_: _say(f"warning: {message}")
            code = app(args=arguments or ["--help"], prog_name="netsim", standalone_mode=False)
    except KeyboardInterrupt:
        code = STOPPED
    except CannotFit as error:  # the one mistake that comes with a table
        _say(f"netsim: {error}")
        code = 2
    except (NetsimError, OSError) as error:
        _say(f"netsim: {' '.join(str(error).split())}")
        code = 2
    except Exception as error:
        if not hasattr(error, "format_message"):  # typer's own, of an option or a command
            raise
        _say(f"netsim: {' '.join(error.format_message().split())} (see netsim --help)")
        code = 2
    if code == STOPPED:
        _say(
            "netsim: stopped; results are written whole or not at all; sweep and run go on from their checkpoints with --resume"
        )
    sys.exit(code)


def _jobs(jobs: int | None) -> int:
    return jobs or min(os.cpu_count() or 1, 4)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _print_json(value: Any) -> None:
    print(json.dumps(results.plain(value), indent=2, ensure_ascii=False))


def _show_run(summary: dict[str, Any]) -> None:
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

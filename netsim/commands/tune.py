"""The command ``netsim tune``: learning rates by training, or consensus step sizes by gossip alone."""

import math
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from netsim.commands.consensus import AsJson, Jobs, OnDevice, print_json
from netsim.commands.console import check_folder, out, publish, show_tuning, training
from netsim.commands.plan import fitted
from netsim.errors import NetsimError
from netsim.files import config
from netsim.files import gossip as gossip_file
from netsim.files.config import Plan
from netsim.runs import gossip_results, results
from netsim.runs.gossip_search import Problem, Trial, at_edge, best, candidates, has_step_size, race, standard_normal
from netsim.runs.tuning import FACTOR, GRID, tune
from netsim.runs.tuning import best as best_rate

Races = dict[str, dict[str, list[Trial]]]  # start -> method -> trials
RULE = (
    "best: the fewest rounds to the target, then the lowest error; a race ends for all when one has reached the target; "
    "(…): relative error at its end; *: best"
)


def tune_command(
    source: Annotated[
        str, typer.Argument(metavar="PRESET|FILE.toml", help="A preset's name, or a configuration file.")
    ],
    algorithm: Annotated[
        str | None, typer.Option(help="Only this one: class, full name, or number (1 is the first).", metavar="NAME")
    ] = None,
    gamma: Annotated[
        bool,
        typer.Option(
            "--gamma", help="The consensus step size (and theta), by gossip alone, in place of the learning rate."
        ),
    ] = False,
    data: Annotated[Path | None, typer.Option(help="Folder of the data files.", metavar="PATH")] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch MNIST or CIFAR-10 once, checked.")] = False,
    steps: Annotated[int | None, typer.Option(help="Train for so many steps instead of the file's.", min=1)] = None,
    out_folder: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="With --gamma: let every candidate go on to the end, and write how it did, and a figure, here.",
            metavar="DIR",
        ),
    ] = None,
    jobs: Jobs = None,
    device: OnDevice = None,
    as_json: AsJson = False,
) -> None:
    """Find each method's learning rate, or consensus step size, on one log grid.

    Learning rates are found by training; the grid is extended where the best is at an edge. Step sizes (--gamma, and presets of netsim consensus) are
    found by the shortest gossip that decides.
    """
    *_, table = config.read(source)
    gossip_only = "gossip" in table
    options = {"--algorithm": algorithm, "--data": data, "--steps": steps, "--device": device, "--out": out_folder}
    given = [str(word) for option, value in options.items() if value is not None for word in (option, value)]
    command = shlex.join(["netsim", "tune", source, *(["--gamma"] if gamma else []), *given])
    workers = jobs or min(os.cpu_count() or 1, 4)
    if not gossip_only and not gamma:
        if out_folder is not None:
            raise NetsimError("--out: only with --gamma; without it nothing is written")
        _tune_rates(config.load(source, data, steps, device, download), algorithm, source, command, workers, as_json)
        return
    if steps is not None:
        raise NetsimError("--steps: not with --gamma: gossip goes on until it is decided which step size is best")
    if out_folder is not None:
        check_folder(out_folder)
    if gossip_only:
        problems, found = _gossip_races(source, algorithm, data, device, workers, out_folder is not None)
    else:
        plan = config.load(source, data, None, device, download)
        problems, found = _training_races(plan, algorithm, source, workers, out_folder is not None)
    if out_folder is not None:
        publish(out_folder, lambda fresh: _write(problems, found, fresh))
    if as_json:
        print_json(
            {"command": command, "starts": {start: _as_json(problems[start], each) for start, each in found.items()}}
        )
        return
    _show(problems, found, command)
    if out_folder is not None:
        out().print(
            f"wrote {out_folder}: sensitivity to the step size (netCDF, PNG and SVG)", markup=False, soft_wrap=True
        )


def pick(names: Sequence[str], classes: Sequence[str], wanted: str, source: str) -> int:
    """Return which one ``--algorithm`` means: by class, full name, or number from 1.

    Raises
    ------
    NetsimError
        None, or several.
    """
    numbers = [str(number) for number in range(1, len(names) + 1)]
    found = next(
        (
            [i for i, one in enumerate(called) if one == wanted]
            for called in (names, numbers, classes)
            if wanted in called
        ),
        [],
    )
    numbered = "; ".join(f"{number} {name}" for number, name in enumerate(names, 1))
    if len(found) != 1:
        what = "no such algorithm" if not found else "several of this class"
        raise NetsimError(f"--algorithm {wanted}: {what} in {source}; write a number or a full name: {numbered}")
    return found[0]


def _tune_rates(plan: Plan, algorithm: str | None, source: str, command: str, jobs: int, as_json: bool) -> None:
    experiments = fitted(_picked(plan, algorithm, source), jobs, len(GRID))
    names = results.labels(experiments)
    with training(jobs) as (executor, progress):
        found = tune(experiments, names, plan.target, executor, progress)
    if as_json:
        methods = {
            n: {"lr": best_rate(trials).lr, "trials": [asdict(t) for t in trials]} for n, trials in found.items()
        }
        print_json({"command": command, "grid": GRID, "factor": FACTOR, "target": plan.target, "algorithms": methods})
        return
    show_tuning(found, out())
    grid = ", ".join(f"{rate:g}" for rate in GRID)
    goal = "the lowest last loss"
    if plan.target is not None:
        goal = f"the fewest steps to the target, then {goal}"
    out().print(
        f"grid: {grid}, extended by a factor of {FACTOR:g} beyond an edge that is best; best: {goal}", soft_wrap=True
    )
    for name, trials in found.items():
        out().print(f"  {name}: lr = {best_rate(trials).lr:g}", markup=False)
    out().print(f"found by: {command}", markup=False, soft_wrap=True)


def _picked(plan: Plan, algorithm: str | None, source: str) -> tuple[Any, ...]:
    if algorithm is None:
        return plan.experiments
    classes = [type(one.algorithm).__name__ for one in plan.experiments]
    return (plan.experiments[pick(results.labels(plan.experiments), classes, algorithm, source)],)


def _gossip_races(
    source: str, wanted: str | None, data: Path | None, device: str | None, jobs: int, to_the_end: bool
) -> tuple[Mapping[str, Problem], Races]:
    """Search what a file of netsim consensus has grids for; to the end: every method that has a step size."""
    plan = gossip_file.load(source, data, device)
    for name, why in plan.left_out.items():
        typer.echo(f"{name}: left out: {why}", err=True)
    methods = plan.methods
    if wanted is not None:
        classes = [type(one.algorithm).__name__ for one in methods]
        methods = (methods[pick([one.label for one in methods], classes, wanted, source)],)
    found: Races = {}
    with training(jobs) as (executor, progress):
        for start, method in plan.pairs():
            each = method.candidates(plan.topology)
            if len(each) == 1 and to_the_end and has_step_size(method.algorithm):
                each = candidates(method.algorithm, plan.topology)
            if method in methods and len(each) > 1:
                name = f"{start}, {method.label}"
                trials = race(plan.problems[start], each, not to_the_end, executor, progress, name)
                found.setdefault(start, {})[method.label] = trials
    if not found:
        raise NetsimError(f"{source}: no step size to search: write gamma as a grid, {{ from, to, points }}")
    return plan.problems, found


def _training_races(
    plan: Plan, wanted: str | None, source: str, jobs: int, to_the_end: bool
) -> tuple[Mapping[str, Problem], Races]:
    """Search the step sizes of a training's methods, from standard normal numbers in the shape of its model."""
    chosen = [one for one in _picked(plan, wanted, source) if has_step_size(one.algorithm)]
    if not chosen:
        raise NetsimError(f"{source}: none of its methods has a consensus step size: no gamma to search")
    first = chosen[0]
    tensors = dict(first.task.tensors)
    size = sum(math.prod(shape) for shape in tensors.values())
    start = f"standard normal numbers in the shape of the model ({size:,} numbers)"
    x0 = standard_normal(first.topology.n, (size,), first.seed)
    problem = Problem(x0, first.topology, seed=first.seed, dtype=first.dtype, device=first.device, tensors=tensors)
    with training(jobs) as (executor, progress):
        found = {
            name: race(problem, candidates(one.algorithm, one.topology), not to_the_end, executor, progress, name)
            for name, one in zip(results.labels(chosen), chosen, strict=True)
        }
    return {start: problem}, {start: found}


def _show(problems: Mapping[str, Problem], found: Races, command: str) -> None:
    console = out()
    for start, methods in found.items():
        problem = problems[start]
        console.print(
            f"{start}: {problem.topology.name}, to a relative error of {problem.target:g}, at most {problem.budget:.3g} MB a worker; "
            f"optimal gossip rate {problem.topology.optimal_gossip_rate:.4g}",
            markup=False,
            soft_wrap=True,
        )
        for method, trials in methods.items():
            console.print(f"{method}: rounds to the target", markup=False, soft_wrap=True)
            console.print(_trials(trials))
    console.print(RULE, markup=False, soft_wrap=True)
    for start, methods in found.items():
        for method, trials in methods.items():
            console.print(f"  {start}, {method}: {_in_words(trials)}", markup=False, soft_wrap=True)
    console.print(f"found by: {command}", markup=False, soft_wrap=True)


def _trials(trials: list[Trial]) -> Table:
    """Return the table of a race: a row for every step size, a column for every theta."""
    winner = best(trials)
    thetas = list(dict.fromkeys(trial.theta for trial in trials))
    shown = Table()
    shown.add_column("gamma", justify="right")
    for theta in thetas:
        shown.add_column("rounds" if theta is None else f"theta {theta:.3g}", justify="right")
    by_both = {(trial.gamma, trial.theta): trial for trial in trials}
    for gamma in dict.fromkeys(trial.gamma for trial in trials):
        cells = (_trial(by_both[gamma, theta]) + "*" * (by_both[gamma, theta] is winner) for theta in thetas)
        shown.add_row(f"{gamma:.4g}", *cells)
    return shown


def _trial(trial: Trial) -> str:
    if trial.outcome == "diverged":
        return f"div. @ {trial.rounds}"
    return str(trial.rounds) if trial.outcome == "reached" else f"({trial.relative_error:.2g})"


def _in_words(trials: list[Trial]) -> str:
    """Return what is best, as a configuration file writes it, and how far it came."""
    winner = best(trials)
    values = f"gamma = {winner.gamma!r}" + ("" if winner.theta is None else f", theta = {winner.theta!r}")
    how = f"target not reached, relative error {winner.relative_error:.2g}"
    if winner.outcome == "reached":
        how = f"{winner.rounds} rounds, {winner.megabytes:.3f} MB"
    edge = at_edge(trials)
    return f"{{ {values} }}; {how}" + (f"; {edge}" if edge else "")


def _as_json(problem: Problem, methods: Mapping[str, list[Trial]]) -> dict[str, Any]:
    return {
        "target": problem.target,
        "budget": problem.budget,
        "optimal_gossip_rate": problem.topology.optimal_gossip_rate,
        "algorithms": {
            method: {
                "best": asdict(best(trials)),
                "at_edge": at_edge(trials),
                "trials": [asdict(one) for one in trials],
            }
            for method, trials in methods.items()
        },
    }


def _write(problems: Mapping[str, Problem], found: Races, fresh: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from netsim.plots import consensus as gossip_plots
    from netsim.plots import style as look

    for start, methods in found.items():
        ds = gossip_results.sensitivity_of(problems[start], methods).assign_attrs(start=start)
        stem = "sensitivity" if len(found) == 1 else f"sensitivity-{start}"
        results.save(ds, fresh / f"{stem}.nc")
        look.save(gossip_plots.sensitivity(ds, start), fresh / stem)

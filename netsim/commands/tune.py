"""``netsim tune``: learning rates by training, or consensus step sizes by gossip without gradients."""

import shlex
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

from netsim.commands import options
from netsim.commands.console import print_json, training
from netsim.commands.estimates import Work
from netsim.commands.publishing import Claim, claimed, publish
from netsim.commands.streams import say
from netsim.commands.tables import TextTable, lines, print_table
from netsim.errors import NetsimError
from netsim.files import config
from netsim.planning.fitting import fitted
from netsim.plots import consensus, save
from netsim.runs import results
from netsim.runs.gossip import Problem
from netsim.runs.pipeline import sensitivity_of
from netsim.runs.setup import Setup
from netsim.runs.tuning import FACTOR, GRID, Trial, at_edge, best, search, searched, tune

EXAMPLES = (
    "netsim tune tang2018 --algorithm DPSGD",
    "netsim tune mine.toml --steps 200 --jobs 2",
    "netsim tune powergossip-consensus --out results/sensitivity",
)
KEYS = {
    "command": "this command",
    "grid, factor, target, algorithms": "of learning rates: lr (the best) and trials (lr, steps_to_target, loss, diverged_at) of each algorithm",
    "starts": "of step sizes, by start: target, budget (MB), optimal_gossip_rate, and best, at_edge and trials of each algorithm",
}

Races = dict[str, dict[str, list[Trial]]]  # start -> method -> trials
RULE = (
    "best: the fewest rounds to the target, then the lowest error; a race ends for all when one has reached the target; "
    "(…): relative error at its end; *: best"
)


def command(
    source: options.Source,
    algorithm: Annotated[
        str | None,
        options.option(help="Only this one: its class, its full name, or its number; 1 is the first.", metavar="NAME"),
    ] = None,
    gamma: Annotated[
        bool,
        options.option(
            "--gamma", help="The consensus step size (and theta), by gossip alone, in place of the learning rate."
        ),
    ] = False,
    data: options.Data = None,
    download: options.Download = False,
    steps: options.Steps = None,
    seed: options.Seed = None,
    out_folder: Annotated[
        Path | None,
        options.option(
            "--out",
            help="With --gamma: let every candidate go on to the end, and write how it did, and a figure, here.",
            metavar="DIR",
        ),
    ] = None,
    jobs: options.Jobs = None,
    device: options.Device = None,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Find each method's learning rate, or consensus step size, on one log grid.

    Learning rates are found by training; the grid is extended where the best is at an edge. Step sizes (--gamma, and presets of netsim consensus) are
    found by running gossip until the best one is decided.
    """
    words = ("--algorithm", "--data", "--steps", "--seed", "--device", "--out")
    asked = dict(zip(words, (algorithm, data, steps, seed, device, out_folder), strict=True))
    given = [str(word) for option, value in asked.items() if value is not None for word in (option, value)]
    call = shlex.join(["netsim", "tune", source, *(["--gamma"] if gamma else []), *given])
    by_gossip = gamma or config.kind_of(config.read(source).table) == "gossip"
    if by_gossip and steps is not None:
        raise NetsimError("--steps: not with --gamma: gossip goes on until it is decided which step size is best")
    if not by_gossip and out_folder is not None:
        raise NetsimError("--out: only with --gamma; without it nothing is written")
    setup, left_out = config.load(source, data, steps, device, download, seed=seed).first_only()
    if left_out:
        say(f"of several in the file, only {left_out}")
    for name, why in setup.left_out.items():
        say(f"{name}: left out: {why}")
    if algorithm is not None:
        setup = setup.only(algorithm)
    together = options.at_a_time(jobs)
    if by_gossip:
        with claimed(out_folder) if out_folder else nullcontext() as claim:
            _step_sizes(setup, call, together, claim, force, as_json)
    else:
        _rates(setup, call, together, as_json)


# --- learning rates ------------------------------------------------------------------------------------------------------


def _rates(setup: Setup, call: str, jobs: int, as_json: bool) -> None:
    experiments = fitted(setup.experiments, jobs, len(GRID), say)
    with training(jobs, work=Work(count=len(GRID) * len(experiments))) as (executor, progress):
        found = tune(experiments, [one.label for one in setup.methods], setup.target, executor, progress)
    winners = {name: _best(trials) for name, trials in found.items()}
    rates = {name: winner and winner.values["lr"] for name, winner in winners.items()}
    if as_json:
        methods = {name: {"lr": rates[name], "trials": list(map(_trained, each))} for name, each in found.items()}
        print_json({"command": call, "grid": GRID, "factor": FACTOR, "target": setup.target, "algorithms": methods})
        return
    lines("steps to the target (last loss); * is best")
    print_table(_rate_table(found, winners))
    goal = "the lowest last loss"
    if setup.target is not None:
        goal = f"the fewest steps to the target, then {goal}"
    grid = ", ".join(f"{rate:g}" for rate in GRID)
    lines(
        f"grid: {grid}, extended by a factor of {FACTOR:g} beyond an edge that is best; best: {goal}",
        *(f"  {name}: {'all diverged' if rate is None else f'lr = {rate:g}'}" for name, rate in rates.items()),
        f"found by: {call}",
    )


def _best(trials: Sequence[Trial]) -> Trial | None:
    """Return the best trial, or None where all diverged."""
    return None if all(trial.outcome == "diverged" for trial in trials) else best(trials)


def _trained(trial: Trial) -> dict[str, Any]:
    """Return a trial of a learning rate as plain data for JSON."""
    return {
        "lr": trial.values["lr"],
        "steps_to_target": trial.rounds if trial.outcome == "reached" else None,
        "loss": trial.error,
        "diverged_at": trial.rounds if trial.outcome == "diverged" else None,
    }


def _rate_table(found: Mapping[str, Sequence[Trial]], winners: Mapping[str, Trial | None]) -> TextTable:
    """Return the trials of every method, the best one marked: a row for every method, a column for every rate."""
    rates = sorted({trial.values["lr"] for trials in found.values() for trial in trials})
    shown = TextTable(["algorithm", *(f"lr {rate:g}" for rate in rates)], ruled=True)
    for name, trials in found.items():
        cells = {trial.values["lr"]: _rate_cell(trial, winners[name]) for trial in trials}
        shown.rows.append((name, *(cells.get(rate, "") for rate in rates)))
    return shown


def _rate_cell(trial: Trial, winner: Trial | None) -> str:
    if trial.outcome == "diverged":
        return f"diverged @ {trial.rounds}"
    steps = str(trial.rounds) if trial.outcome == "reached" else "not reached"
    return f"{steps}{'*' if trial is winner else ''}\n({trial.error:.3g})"


# --- consensus step sizes ------------------------------------------------------------------------------------------------


def _step_sizes(setup: Setup, call: str, jobs: int, claim: Claim | None, force: bool, as_json: bool) -> None:
    trained = bool(setup.experiments)
    setup = setup.without_gradients() if trained else setup
    to_the_end = claim is not None
    races = len(searched(setup, known=True, default=to_the_end or trained))
    with training(jobs, work=Work(count=races)) as (executor, progress):
        raced = search(setup, executor, progress, known=True, default=to_the_end or trained, stop_early=not to_the_end)
    if not raced:
        raise NetsimError(f"{setup.source}: no step size to search: write gamma as a grid, {{ from, to, points }}")
    found: Races = {}
    for (start, label), trials in raced.items():
        found.setdefault(start, {})[label] = trials
    if claim is not None:
        publish(claim, lambda fresh: _write(setup.problems, found, fresh), force)
    if as_json:
        starts = {start: _as_json(setup.problems[start], methods) for start, methods in found.items()}
        print_json({"command": call, "starts": starts})
        return
    _show(setup.problems, found, call)
    if claim is not None:
        lines(f"wrote {claim.folder}: sensitivity to the step size (netCDF, PNG and SVG)")


def _as_json(problem: Problem, methods: Mapping[str, list[Trial]]) -> dict[str, Any]:
    return {
        "target": problem.target,
        "budget": problem.budget,
        "optimal_gossip_rate": problem.topology.optimal_gossip_rate,
        "algorithms": {
            method: {
                "best": _raced(best(trials)),
                "at_edge": at_edge(trials),
                "trials": [_raced(one) for one in trials],
            }
            for method, trials in methods.items()
        },
    }


def _raced(trial: Trial) -> dict[str, Any]:
    """Return a trial of a step size as plain data for JSON."""
    return {
        "gamma": trial.values["gamma"],
        "theta": trial.values.get("theta"),
        "rounds": trial.rounds,
        "megabytes": trial.megabytes,
        "relative_error": trial.error,
        "outcome": trial.outcome,
    }


def _show(problems: Mapping[str, Problem], found: Races, call: str) -> None:
    for start, methods in found.items():
        problem = problems[start]
        lines(
            f"{start}: {problem.topology.name}, to a relative error of {problem.target:g}, at most {problem.budget:.3g} MB a worker; "
            f"optimal gossip rate {problem.topology.optimal_gossip_rate:.4g}"
        )
        for method, trials in methods.items():
            lines(f"{method}: rounds to the target")
            print_table(_race_table(trials))
    lines(RULE)
    for start, methods in found.items():
        for method, trials in methods.items():
            lines(f"  {start}, {method}: {_in_words(trials)}")
    lines(f"found by: {call}")


def _race_table(trials: Sequence[Trial]) -> TextTable:
    """Return the table of a race: a row for every step size, a column for every theta."""
    winner = best(trials)
    thetas = list(dict.fromkeys(trial.values.get("theta") for trial in trials))
    shown = TextTable(["gamma", *("rounds" if theta is None else f"theta {theta:.3g}" for theta in thetas)], left=0)
    cells = {
        (trial.values["gamma"], trial.values.get("theta")): _race_cell(trial) + "*" * (trial is winner)
        for trial in trials
    }
    for gamma in dict.fromkeys(trial.values["gamma"] for trial in trials):
        shown.rows.append((f"{gamma:.4g}", *(cells[gamma, theta] for theta in thetas)))
    return shown


def _race_cell(trial: Trial) -> str:
    if trial.outcome == "diverged":
        return f"div. @ {trial.rounds}"
    return str(trial.rounds) if trial.outcome == "reached" else f"({trial.error:.2g})"


def _in_words(trials: Sequence[Trial]) -> str:
    """Return the best values, as written in a configuration file, and their result."""
    winner = best(trials)
    values = ", ".join(f"{name} = {value!r}" for name, value in winner.values.items())
    how = f"target not reached, relative error {winner.error:.2g}"
    if winner.outcome == "reached":
        how = f"{winner.rounds} rounds, {winner.megabytes:.3f} MB"
    edge = at_edge(trials)
    return f"{{ {values} }}; {how}" + (f"; {edge}" if edge else "")


def _write(problems: Mapping[str, Problem], found: Races, fresh: Path) -> None:
    for start, methods in found.items():
        ds = sensitivity_of(problems[start], methods).assign_attrs(start=start)
        stem = "sensitivity" if len(found) == 1 else f"sensitivity-{start}"
        results.save(ds, fresh / f"{stem}.nc")
        save(consensus.sensitivity(ds, start), fresh / stem)

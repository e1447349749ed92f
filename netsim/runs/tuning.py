"""Grid searches: learning rates by training, consensus step sizes (and Moniqua's theta) by gossip without gradients.

Both are trials of candidates on a grid, of which :func:`best` is the one that reaches the target in the fewest rounds; of ties, or if
none reaches it, the one of lowest error (the last loss, or the relative error), then the first. A diverged one is never best.

:func:`tune` trains every learning rate of a published grid, 0.05, 0.1, 0.2, 0.4, 0.8, and extends it by a factor of two beyond an edge where the best
lies, until the best is inside: the rate beyond it is worse, or diverges.

:func:`race` runs all candidates from the same start for the same number of rounds. When one has reached the target, the others stop; a candidate that
diverges stops at once. The result is that of running all of them to the end of the budget, because one that has not reached the target in as many
rounds as another can only need more. Candidates of one race differ in step size and theta only, so they send equally much per round, and the fewest
rounds are the fewest bits.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from netsim.algorithms.description import name_of
from netsim.algorithms.protocol import Algorithm
from netsim.errors import NetsimError
from netsim.files.schedules import Constant, Cosine, InverseSqrt, StepDecay, WarmUp
from netsim.models.parallel import ONE_BLAS_THREAD
from netsim.runs.experiment import Experiment
from netsim.runs.gossip import Problem, megabytes
from netsim.runs.setup import Method, Setup
from netsim.runs.training import Run, train

GRID = (0.05, 0.1, 0.2, 0.4, 0.8)
FACTOR = 2.0
EXTENSIONS = 8  # at most, of one method: a factor of 256 beyond the grid
_STAGE, _STRETCH = 32, 1.25  # rounds of the first stage of a race; factor from stage to stage

Progress = Callable[[str, int, int, float | None], None]
"""Called with (what, steps or rounds done, how many in all, loss or None)."""


def silent(what: str, done: int, total: int, loss: float | None) -> None:
    """Ignore progress."""


@dataclass(frozen=True)
class Trial:
    """The result of one candidate.

    Attributes
    ----------
    values
        Its values: ``{"lr": …}``, the peak of a schedule, or ``{"gamma": …}`` and, of Moniqua, ``"theta"``.
    outcome
        "reached"; "diverged"; "behind": stopped, because another had reached the target; "budget": ended without reaching it, or there
        was no target.
    rounds
        Rounds (steps) to the target, or to the divergence; else those done.
    error
        After those rounds: relative error. Of a training the last evaluated loss; infinite where it diverged.
    megabytes
        MB (10^6 bytes) that a worker sent until the target was reached; infinite: it was not, or it was not measured.
    """

    values: Mapping[str, float]
    outcome: str
    rounds: int
    error: float
    megabytes: float = math.inf


def best(trials: Sequence[Trial]) -> Trial:
    """Return the trial with the fewest rounds to the target; of ties, or if none reached it, the one of lowest error.

    Raises
    ------
    NetsimError
        All diverged.
    """
    sound = [trial for trial in trials if trial.outcome != "diverged"]
    if not sound:
        raise NetsimError(f"all {len(trials)} candidates diverged; try smaller ones")
    reached = [trial for trial in sound if trial.outcome == "reached"]
    return min(reached or sound, key=lambda trial: (trial.rounds if reached else 0, trial.error))


def edges(trials: Sequence[Trial]) -> dict[str, int]:
    """Return at which edge of its grid each value of the best trial lies: -1, the lower; 1, the upper; 0, inside, or there is no grid."""
    winner = best(trials)
    found = {}
    for name, value in winner.values.items():
        grid = sorted({trial.values[name] for trial in trials})
        found[name] = 0 if len(grid) == 1 else (value == grid[-1]) - (value == grid[0])
    return found


def at_edge(trials: Sequence[Trial]) -> str:
    """Return "" where the best values lie inside their grids, else text that names the edge."""
    words = {-1: "smallest", 1: "largest"}
    return " and ".join(f"the {words[edge]} {name} of the grid" for name, edge in edges(trials).items() if edge)


# --- learning rates, by training ---------------------------------------------------------------------------------------


def tune(
    experiments: Sequence[Experiment],
    names: Sequence[str],
    target: float | None = None,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> dict[str, list[Trial]]:
    """Find the learning rate of each experiment.

    Parameters
    ----------
    experiments
        With any learning rate: a number, or a schedule that has a peak.
    names
        Their names.
    target
        Training loss to reach; None: the lowest last loss decides.
    executor
        Where to train; None: one after the other here.
    progress
        Called with (name and rate, steps done, steps, loss) after every step, from the thread that trains.

    Returns
    -------
    dict
        {name: trials, by rising rate}; :func:`best` picks the winner.

    Raises
    ------
    NetsimError
        A schedule has no peak.
    """

    def one(name: str, experiment: Experiment, rate: float) -> Trial:
        label = f"{name}, lr {rate:g}"
        tuned = replace(experiment, lr=at_rate(experiment.lr, rate))
        run = train(tuned, lambda done, loss: progress(label, done, tuned.steps, loss))
        if run.diverged_at is not None:
            progress(label, run.diverged_at, run.diverged_at, None)
        return _trained(rate, run, target)

    found: dict[str, list[Trial]] = {name: [] for name in names}
    wanted = [(name, experiment, rate) for name, experiment in zip(names, experiments, strict=True) for rate in GRID]
    while wanted:
        trials = list((executor.map if executor else map)(one, *zip(*wanted, strict=True)))
        for (name, *_), trial in zip(wanted, trials, strict=True):
            found[name] = sorted([*found[name], trial], key=lambda one: one.values["lr"])
        wanted = [
            (name, experiment, rate)
            for name, experiment in zip(names, experiments, strict=True)
            if (rate := beyond(found[name])) is not None
        ]
    return found


def beyond(trials: Sequence[Trial]) -> float | None:
    """Return the next rate to try, given trials by rising rate: beyond the edge where the best lies, or below all if all diverged; None: no more."""
    if len(trials) >= len(GRID) + EXTENSIONS:
        return None
    edge = -1 if all(trial.outcome == "diverged" for trial in trials) else edges(trials)["lr"]
    return trials[0 if edge < 0 else -1].values["lr"] * FACTOR**edge if edge else None


def at_rate(lr: Any, rate: float) -> Any:
    """Return a learning rate, or a schedule, with ``rate`` as its number, or its peak.

    Raises
    ------
    NetsimError
        It is a schedule without a peak.
    """
    if not callable(lr):
        return rate
    if isinstance(lr, Constant):
        return Constant(rate)
    if isinstance(lr, WarmUp):
        return replace(lr, then=at_rate(lr.then, rate))
    if isinstance(lr, StepDecay | Cosine | InverseSqrt):
        return replace(lr, peak=rate)
    raise NetsimError(f"lr = {name_of(lr)}: only a number, or a schedule with a peak, can be tuned")


def _trained(rate: float, run: Run, target: float | None) -> Trial:
    if run.diverged_at is not None:
        return Trial({"lr": rate}, "diverged", run.diverged_at, math.inf)
    loss, steps = run.history["loss"].values, run.history["step"].values
    at = np.flatnonzero(loss <= (-np.inf if target is None else target))
    outcome, rounds = ("reached", steps[at[0]]) if len(at) else ("budget", steps[-1])
    return Trial({"lr": rate}, outcome, int(rounds), float(loss[-1]))


# --- consensus step sizes, by gossip -----------------------------------------------------------------------------------


def search(
    setup: Setup,
    executor: Executor | None = None,
    progress: Progress = silent,
    *,
    known: bool = False,
    default: bool = False,
    stop_early: bool = True,
) -> dict[tuple[str, str], list[Trial]]:
    """Search the step size of every method that has a grid, from every start.

    Parameters
    ----------
    setup
        From :func:`netsim.files.config.load`.
    executor, progress, stop_early
        As for :func:`race`.
    known
        Search also where the file gives a best step size.
    default
        Search also the step sizes without a grid in the file, on the default grid.

    Returns
    -------
    dict
        {(start, label): trials}.
    """
    found = {}
    for start, method in searched(setup, known=known, default=default):
        each, name = method.candidates(setup.topology, default), f"{start}, {method.label}"
        found[start, method.label] = race(setup.problems[start], each, stop_early, executor, progress, name)
    return found


def searched(setup: Setup, *, known: bool = False, default: bool = False) -> list[tuple[str, Method]]:
    """Return the starts and methods whose step size :func:`search` searches, of which it has several candidates."""
    several = [(start, one) for start, one in setup.pairs() if len(one.candidates(setup.topology, default)) > 1]
    return [(start, one) for start, one in several if known or one.known(start) is None]


def race(
    problem: Problem,
    algorithms: Sequence[Algorithm],
    stop_early: bool = True,
    executor: Executor | None = None,
    progress: Progress = silent,
    name: str = "",
) -> list[Trial]:
    """Run candidates of gossip until the best one is decided.

    All candidates that have not ended are in memory at the same time: their models and state.

    Parameters
    ----------
    problem
        The consensus problem.
    algorithms
        The candidates, which send equally much in a round; see :func:`netsim.runs.gossip.candidates`.
    stop_early
        False: all run to the target or the end of the budget. The best is the same.
    executor
        Where; None: one after the other here.
    progress
        Called as the race goes on.
    name
        Name passed to ``progress``.

    Returns
    -------
    list of Trial
        In the order of the candidates; the same whatever the executor.

    Raises
    ------
    NetsimError
        As :func:`netsim.runs.gossip.consensus`.
    """
    total = problem.rounds(algorithms[0])
    runners = [_Runner(problem.start(algorithm)) for algorithm in algorithms]
    label = f"{name}, {len(algorithms)} candidates"
    stage = total if not stop_early else _STAGE
    while True:
        stage = min(stage, total)
        going = [runner for runner in runners if runner.run is None]
        list((executor.map if executor else map)(_advance, going, [stage] * len(going)))
        decided = any(runner.reached(problem.target) for runner in runners)
        progress(label, total if decided else stage, total, None)
        if stage == total or (decided and stop_early):
            break
        stage = math.ceil(_STRETCH * stage)
    return [runner.trial(algorithm, problem.target) for runner, algorithm in zip(runners, algorithms, strict=True)]


class _Runner:
    """A candidate in progress."""

    def __init__(self, going: Any) -> None:
        self.going, self.done, self.error = going, 0, 1.0
        self.run: Run | None = None

    def reached(self, target: float) -> bool:
        return self.error <= target

    def trial(self, algorithm: Any, target: float) -> Trial:
        sent = math.inf
        if self.run is None:
            outcome = "behind"
        elif self.run.diverged_at is not None:
            outcome = "diverged"
        elif self.reached(target):
            outcome, sent = "reached", float(megabytes(self.run)[-1])
        else:
            outcome = "budget"
        values = {name: getattr(algorithm, name) for name in ("gamma", "theta") if hasattr(algorithm, name)}
        return Trial(values, outcome, self.done, self.error, sent)


def _advance(runner: _Runner, to: int) -> None:
    """Run a candidate up to a number of rounds, or to its end."""
    with ONE_BLAS_THREAD:
        while runner.run is None and runner.done < to:
            try:
                runner.done, runner.error = next(runner.going)
            except StopIteration as ended:
                runner.run = ended.value
                runner.done = int(runner.run.trace.rounds)
                runner.error = float(runner.run.history["relative_error"][-1])

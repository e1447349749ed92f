"""Learning rates, tuned for each method on one published grid.

The grid is 0.05, 0.1, 0.2, 0.4, 0.8. Where the best rate lies at an edge, the grid is extended by a factor of two beyond that edge, until the
best is inside: the rate beyond it is worse, or diverges. Best is the rate that reaches the target in the fewest steps; of those that tie, or where
none reaches it, the one with the lowest last loss. A run that diverges is never best.
"""

import math
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from netsim.errors import NetsimError
from netsim.files.schedules import Constant, Cosine, InverseSqrt, StepDecay, WarmUp
from netsim.runs.experiment import Experiment
from netsim.runs.training import Run, train

GRID = (0.05, 0.1, 0.2, 0.4, 0.8)
FACTOR = 2.0
EXTENSIONS = 8  # at most, of one method: a factor of 256 beyond the grid


@dataclass(frozen=True)
class Trial:
    """One rate of one method.

    Attributes
    ----------
    lr
        The learning rate; of a schedule, its peak.
    steps_to_target
        Steps to the first evaluation at or below the target; None: not reached, or no target.
    loss
        Last evaluated loss; infinite where the run diverged.
    diverged_at
        The step at which it diverged, or None.
    """

    lr: float
    steps_to_target: int | None
    loss: float
    diverged_at: int | None


def tune(
    experiments: Sequence[Experiment],
    names: Sequence[str],
    target: float | None = None,
    executor: Executor | None = None,
    progress: Callable[[str, int, int, float | None], None] = lambda what, done, total, loss: None,
) -> dict[str, list[Trial]]:
    """Find the learning rate of each experiment.

    Parameters
    ----------
    experiments
        With any learning rate: a number, or a schedule that has a peak.
    names
        What to call each.
    target
        Training loss to reach; None: the lowest last loss decides.
    executor
        Where to train; None: one after the other here. With threads, pin BLAS to one thread.
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
        return _trial(rate, train(tuned, lambda done, loss: progress(label, done, tuned.steps, loss)), target)

    found: dict[str, list[Trial]] = {name: [] for name in names}
    wanted = [(name, experiment, rate) for name, experiment in zip(names, experiments, strict=True) for rate in GRID]
    while wanted:
        trials = list((executor.map if executor else map)(one, *zip(*wanted, strict=True)))
        for (name, *_), trial in zip(wanted, trials, strict=True):
            found[name] = sorted([*found[name], trial], key=lambda one: one.lr)
        wanted = [
            (name, experiment, rate)
            for name, experiment in zip(names, experiments, strict=True)
            if (rate := beyond(found[name])) is not None
        ]
    return found


def best(trials: Sequence[Trial]) -> Trial:
    """Return the trial with the fewest steps to the target, then the lowest last loss, then the lowest rate."""
    return min(trials, key=lambda trial: (_steps(trial), trial.loss, trial.lr))


def beyond(trials: Sequence[Trial]) -> float | None:
    """Return the next rate to try, given trials by rising rate: beyond the edge where the best lies; None: the best is inside."""
    if len(trials) >= len(GRID) + EXTENSIONS:
        return None
    winner = best(trials)
    if winner is trials[0]:
        return winner.lr / FACTOR
    return winner.lr * FACTOR if winner is trials[-1] else None


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
    raise NetsimError(f"lr = {lr!r}: only a number, or a schedule with a peak, can be tuned")


def _trial(rate: float, run: Run, target: float | None) -> Trial:
    if run.diverged_at is not None:
        return Trial(rate, None, math.inf, run.diverged_at)
    loss = run.history["loss"].values
    at = np.flatnonzero(loss <= (-np.inf if target is None else target))
    steps = int(run.history["step"].values[at[0]]) if len(at) else None
    return Trial(rate, steps, float(loss[-1]), None)


def _steps(trial: Trial) -> float:
    return math.inf if trial.steps_to_target is None else trial.steps_to_target

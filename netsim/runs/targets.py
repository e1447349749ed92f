"""The target loss of a sweep, and the run that all are compared with."""

from collections.abc import Sequence

import numpy as np

from netsim.algorithms import AllReduceSGD, describe
from netsim.algorithms.description import same_method
from netsim.errors import NetsimError
from netsim.runs.experiment import Experiment
from netsim.runs.training import Run

TARGET = 1.05  # times the best loss of all-reduce


def stated_target(runs: Sequence[Run | Experiment], target: float | None) -> float | None:
    """Return the target that is given, or that the experiments state; None: there is none.

    Raises
    ------
    NetsimError
        The experiments state several, and none is given.
    """
    if target is not None:
        return float(target)
    each = [one.experiment if isinstance(one, Run) else one for one in runs]
    stated = sorted({float(one.target) for one in each if one.target is not None})
    if len(stated) > 1:
        raise NetsimError(
            f"sweep: the experiments have the targets {', '.join(f'{one:g}' for one in stated)}: give all the same, or sweep(target=...)"
        )
    return stated[0] if stated else None


def default_target(runs: Sequence[Run]) -> float:
    """Return 1.05 times the best loss of all-reduce; of the first run where there is no all-reduce."""
    best = runs[baseline_of(runs)].history["loss"].min()
    return float(TARGET * best if best >= 0 else best / TARGET)


def baseline_of(runs: Sequence[Run]) -> int:
    """Return the number of the all-reduce run in full precision; 0 where there is none."""
    plain = describe(AllReduceSGD())
    found = (e for e, run in enumerate(runs) if same_method(describe(run.experiment.algorithm), plain))
    return next(found, 0)


def first_at(losses: np.ndarray, target: float) -> int:
    """Return the number of the first evaluation at or below the target; -1: there is none."""
    at = np.flatnonzero(losses <= target)
    return int(at[0]) if len(at) else -1

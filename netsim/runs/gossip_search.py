"""The consensus step size, and Moniqua's theta, by the shortest gossip that decides.

The rule: all candidates gossip from the same start, each as far as the others. As soon as one has reached the target, the race is decided and the
others stop; a candidate that diverges stops at once. Best is the candidate that reaches the target in the fewest rounds; of those that tie,
the one of lowest error there, then the first. Where nobody reaches it within the budget, the lowest error after it is best.

The rule is exact: it names the candidate that running all of them to the end of the budget would name, because one that has not reached the target in
as many rounds as another needed can only need more. Candidates of one race differ in step size and theta alone, so that they send equally much in a
round, and fewest rounds are fewest bits.
"""

import dataclasses
import math
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from netsim.algorithms import DPSGD
from netsim.algorithms.protocol import Algorithm
from netsim.comm.topology import Topology
from netsim.device import Array
from netsim.errors import NetsimError, check
from netsim.models.draws import generator
from netsim.runs.gossip import Tensors, consensus, finish, gossip
from netsim.runs.training import Run

GAMMA_FROM, GAMMAS = 1e-4, 20  # up to the topology's optimal rate; half as many where theta is searched, too
THETAS = tuple(np.geomspace(0.1, 10, 10).tolist())
GENEROSITY = 2.5  # the budget, in what full precision at its best rate sends until it has surely reached the target
_STAGE, _STRETCH = 32, 1.25  # rounds of the first stage of a race; how much further the next one goes

Progress = Callable[[str, int, int, float | None], None]
"""Called with (what, rounds done, rounds, None)."""


def silent(what: str, done: int, total: int, loss: float | None) -> None:
    """Say nothing."""


@dataclass(frozen=True, eq=False)
class Problem:
    """From where, over what and how far to gossip.

    Attributes
    ----------
    x0
        (n, …): what each worker holds at the start.
    topology
        Who talks to whom.
    target
        Relative error to reach: mean over workers of the squared distance from the average, in units of that of x0.
    budget
        MB (10^6 bytes) that a worker may send, over all its neighbours; None: 2.5 times what full precision sends until it has surely reached the
        target at the topology's optimal rate.
    seed, dtype, device, tensors
        As for :func:`netsim.runs.gossip`.

    Raises
    ------
    NetsimError
        target or budget is not above 0.
    """

    x0: Array = field(repr=False)
    topology: Topology
    target: float = 1e-6
    budget: float | None = None
    seed: int = 0
    dtype: str = "float32"
    device: Any = "auto"
    tensors: Tensors | None = None

    def __post_init__(self) -> None:
        check(0 < self.target < 1, "target", self.target, "above 0 and below 1")
        if self.budget is None:
            apart = np.linalg.eigvalsh(np.eye(self.topology.n) - self.topology.weights)
            rate = (apart[-1] - apart[1]) / (apart[-1] + apart[1])
            rounds = max(4, math.ceil(math.log(self.target) / (2 * math.log(rate)))) if rate > 1e-9 else 4
            object.__setattr__(self, "budget", GENEROSITY * rounds * self._one_round(DPSGD()))
        check(0 < (self.budget or 0) < math.inf, "budget", self.budget, "above 0 and finite, in MB")

    def rounds(self, algorithm: Algorithm) -> int:
        """Return how many rounds of an algorithm the budget allows, by what it sends in its first; at least 1."""
        assert self.budget is not None
        return max(1, int(self.budget / self._one_round(algorithm)))

    def run(
        self, algorithm: Algorithm, until: float | None = None, said: Callable[[int], None] = lambda done: None
    ) -> Run:
        """Gossip to the end of the budget, or until a relative error (None: the target) is reached."""
        return finish(self.start(algorithm, until), said)

    def start(self, algorithm: Algorithm, until: float | None = None) -> Any:
        """Return the gossip of an algorithm, not begun, as :func:`netsim.runs.gossip.gossip` does."""
        until = self.target if until is None else until
        return gossip(self.x0, algorithm, self.topology, self.rounds(algorithm), until=until, **self._settings())

    def _one_round(self, algorithm: Algorithm) -> float:
        """Return the MB that a worker sends in the first round."""
        run = consensus(self.x0, algorithm, self.topology, 1, **self._settings())
        return megabytes(run)[-1]

    def _settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("seed", "dtype", "device", "tensors")}


@dataclass(frozen=True)
class Trial:
    """How far one candidate came.

    Attributes
    ----------
    gamma
        Consensus step size.
    theta
        Moniqua's; None for other methods.
    rounds
        Rounds done: to the target, where it was reached.
    megabytes
        MB (10^6 bytes) that a worker sent until the target was reached; infinite: it was not.
    relative_error
        After those rounds.
    outcome
        "reached"; "diverged"; "behind": stopped, because another had reached the target; "budget": did not reach it.
    """

    gamma: float
    theta: float | None
    rounds: int
    megabytes: float
    relative_error: float
    outcome: str


def megabytes(run: Run) -> np.ndarray:
    """Return the MB (10^6 bytes) that a worker has sent, on average and over all its neighbours, at each row of the history."""
    return run.history["bits"].values.mean(axis=1) / 8e6


def has_step_size(algorithm: Algorithm) -> bool:
    """Return whether an algorithm has a consensus step size, its field ``gamma``."""
    return any(one.name == "gamma" for one in dataclasses.fields(algorithm))  # type: ignore[arg-type]


def candidates(
    algorithm: Any, topology: Topology, gammas: Sequence[float] | None = None, thetas: Sequence[float] | None = None
) -> tuple[Algorithm, ...]:
    """Return an algorithm with every consensus step size, and every theta where it has one.

    Parameters
    ----------
    algorithm
        With any step size.
    topology
        Its optimal gossip rate is the largest default step size.
    gammas
        Step sizes. None: 20 from 1e-4 to the optimal gossip rate, evenly in the logarithm, and 10 where theta is searched as well.
    thetas
        Of Moniqua. None: 10 from 0.1 to 10, evenly in the logarithm.

    Raises
    ------
    NetsimError
        The algorithm has no consensus step size, or thetas are given to one without theta.
    """
    if not has_step_size(algorithm):
        raise NetsimError(f"{algorithm!r} has no consensus step size to search: no field gamma")
    has_theta = any(one.name == "theta" for one in dataclasses.fields(algorithm))
    if thetas is not None and not has_theta:
        raise NetsimError(f"{algorithm!r} has no theta; leave it out")
    if gammas is None:
        gammas = np.geomspace(GAMMA_FROM, topology.optimal_gossip_rate, GAMMAS // 2 if has_theta else GAMMAS).tolist()
    if not has_theta:
        return tuple(replace(algorithm, gamma=gamma) for gamma in gammas)
    return tuple(replace(algorithm, gamma=gamma, theta=theta) for theta in thetas or THETAS for gamma in gammas)


def race(
    problem: Problem,
    algorithms: Sequence[Algorithm],
    stop_early: bool = True,
    executor: Executor | None = None,
    progress: Progress = silent,
    name: str = "",
) -> list[Trial]:
    """Let candidates gossip until it is decided which is best.

    All that have not ended are held in memory at the same time: the models, and what the method holds beside them.

    Parameters
    ----------
    problem
        From where to where.
    algorithms
        The candidates, which send equally much in a round; see :func:`candidates`.
    stop_early
        False: all go on to the target or the end of the budget. The best is the same.
    executor
        Where; None: one after the other here. With threads, pin BLAS to one thread.
    progress
        Called as the race goes on.
    name
        What progress calls it.

    Returns
    -------
    list of Trial
        In the order of the candidates; the same whatever the executor.

    Raises
    ------
    NetsimError
        As :func:`netsim.runs.gossip`.
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


def best(trials: Sequence[Trial]) -> Trial:
    """Return the trial with the fewest rounds to the target; where none reached it, the one of lowest error.

    Raises
    ------
    NetsimError
        All diverged.
    """
    sound = [trial for trial in trials if trial.outcome != "diverged"]
    if not sound:
        raise NetsimError(f"all {len(trials)} candidates diverged; try smaller consensus step sizes")
    reached = [trial for trial in sound if trial.outcome == "reached"]
    return min(reached or sound, key=lambda trial: (trial.rounds if reached else 0, trial.relative_error))


def at_edge(trials: Sequence[Trial]) -> str:
    """Return "" where the best step size, and theta, lie inside the grid, else words that say at which edge."""
    winner = best(trials)
    words = []
    for name in ("gamma", "theta"):
        values = sorted({getattr(trial, name) for trial in trials} - {None})
        if len(values) > 1 and getattr(winner, name) in (values[0], values[-1]):
            words.append(f"the {'smallest' if getattr(winner, name) == values[0] else 'largest'} {name} of the grid")
    return " and ".join(words)


def standard_normal(n: int, shape: Sequence[int], seed: int = 0) -> np.ndarray:
    """Return (n, *shape) float64: standard normal numbers, worker i's from a stream of its own."""
    return np.stack([generator(seed, "consensus start", worker).standard_normal(tuple(shape)) for worker in range(n)])


class _Runner:
    """A gossip under way."""

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
        return Trial(algorithm.gamma, getattr(algorithm, "theta", None), self.done, sent, self.error, outcome)


def _advance(runner: _Runner, to: int) -> None:
    """Let one go on until it has done so many rounds, or ends."""
    while runner.run is None and runner.done < to:
        try:
            runner.done, runner.error = next(runner.going)
        except StopIteration as ended:
            runner.run = ended.value
            runner.done, runner.error = (int(runner.run.trace.rounds), float(runner.run.history["relative_error"][-1]))

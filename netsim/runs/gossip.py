"""Gossip without gradients: how fast an algorithm brings different vectors to their average, and the bits that it sends."""

import dataclasses
import math
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Interval
from array_api_compat import array_namespace

from netsim.algorithms import DPSGD
from netsim.algorithms.description import name_of
from netsim.algorithms.protocol import Algorithm
from netsim.comm.collectives import has_server
from netsim.comm.communicator import Communicator
from netsim.comm.contracts import said
from netsim.comm.recorder import Recorder
from netsim.comm.topology import Topology
from netsim.device import Array, device_namespace, to_host
from netsim.errors import NetsimError, check
from netsim.fields import Device, Seed, check_fields
from netsim.files.schedules import Constant
from netsim.models.draws import generator
from netsim.models.parallel import ONE_BLAS_THREAD
from netsim.runs.contracts import check_state, is_real, parameters
from netsim.runs.experiment import Experiment
from netsim.runs.history import History, provenance
from netsim.runs.training import DIVERGED, Run

Tensors = Mapping[str, tuple[int, ...]]

GAMMA_FROM, GAMMAS = 1e-4, 20  # up to the topology's optimal rate; half as many where theta is searched, too
THETAS = tuple(np.geomspace(0.1, 10, 10).tolist())
GENEROSITY = 2.5  # the budget, relative to what full precision at its best rate sends to reach the target


@dataclass(frozen=True, eq=False)
class Gossip:
    """The task of gossip without gradients: the gradient is zero, the loss is the squared distance from the average of the starts.

    Parameters
    ----------
    tensors
        Ordered {name: shape} of what each worker holds.
    average
        (P,): the average of the starts, on the host in double precision.
    """

    tensors: Tensors
    average: np.ndarray = field(repr=False)

    def initial(self, seed: int) -> Array:
        """Return the consensus, (P,)."""
        return self.average

    def gradient(self, x: Array, step: int) -> tuple[Array, Array]:
        """Return zeros: (n,) and (n, P)."""
        zeros = array_namespace(x).zeros_like(x)
        return zeros[:, 0], zeros

    def evaluate(self, x: Array) -> dict[str, float]:
        """Return the loss of one vector, (P,)."""
        apart = to_host(x) - self.average
        return {"loss": float(apart @ apart)}


def consensus(
    x0: Array,
    algorithm: Algorithm,
    topology: Topology,
    rounds: int,
    seed: int = 0,
    dtype: str = "float64",
    device: Any = "auto",
    evaluate_every: int = 1,
    tensors: Tensors | None = None,
    until: float | None = None,
    record: Sequence[int] = (),
) -> Run:
    """Run an algorithm's gossip from different starts, with gradients of zero that take no time; ``replay(run.trace, network)`` gives the seconds.

    Parameters
    ----------
    x0
        (n, …): what each worker holds at the start; on the host or on the device.
    algorithm
        The method. DCD-PSGD and ECD-PSGD, which start from a common model in training, first send x0 to their neighbours in full
        precision; it is billed in the first round.
    topology
        Of the workers.
    rounds
        At least 1.
    seed
        Fixes the run bit for bit on one device.
    dtype
        "float32" or "float64", of the arithmetic; full precision costs 32 bits a number in both.
    device
        As for :class:`netsim.Experiment`.
    evaluate_every
        Rounds between evaluations; the last is always evaluated.
    tensors
        Ordered {name: shape} of one row of x0, for methods and compressors that work by tensor. None: one tensor of x0's shape, without n.
    until
        Stop after the first evaluated round whose relative error is at or below this; what was done until then is what a longer run does. None:
        go through all rounds.
    record
        Rounds after which all models are stored, for ``Run.trajectory``; 0 is the start.

    Returns
    -------
    Run
        Its ``history`` over ``step``, the rounds done: ``error`` (mean over workers of the squared distance from the average of x0),
        ``relative_error`` (in units of that of x0), ``consensus`` (``error`` from the present average: less, where the mean drifts) and ``bits``
        (step, worker; sent since the start). ``x`` is (n, P). ``diverged_at``: the first evaluated round with an error that is not finite or
        above 10 times the first; the run stops there.

    Raises
    ------
    NetsimError
        x0 does not fit the topology or the tensors, is not finite or has equal rows; a number is out of its range; or the algorithm averages
        updates, by a server or a collective, and no models.
    """
    settings = {"seed": seed, "dtype": dtype, "device": device, "evaluate_every": evaluate_every, "record": record}
    return finish(gossip(x0, algorithm, topology, rounds, tensors, until, **settings))


def gossip(
    x0: Array,
    algorithm: Algorithm,
    topology: Topology,
    rounds: int,
    tensors: Tensors | None = None,
    until: float | None = None,
    **settings: Any,
) -> Generator[tuple[int, float], None, Run]:
    """Run :func:`consensus`, with the same arguments, one evaluated round at a time.

    Yields
    ------
    tuple
        (rounds done, relative error) after every evaluated round but the last.

    Returns
    -------
    Run
        As :func:`consensus`.
    """
    task, start = _task(x0, topology, tensors)
    experiment = Experiment(
        task, algorithm, topology, rounds, Constant(0.0), **{"dtype": "float64", "evaluate_every": 1, **settings}
    )
    xp, dtype, every = device_namespace(experiment.device), experiment.dtype, experiment.evaluate_every or 1
    x, average = (xp.asarray(one.astype(dtype)) for one in (start, task.average))
    recorder, history = Recorder(topology, spoken=False), History(experiment, task)
    comm = Communicator(topology, task.tensors, experiment.seed, xp, dtype, recorder, common_start=False)
    with ONE_BLAS_THREAD, np.errstate(all="ignore"):  # no warnings for diverged models
        first = _mean_square(x - average)
        history.rows.append(_row(0, x, average, first))
        history.keep(0, x)
        state = algorithm.init(x, comm)
        check_state(state, x, algorithm)
    done, diverged_at, ended = 0, None, False
    while not ended:
        with ONE_BLAS_THREAD, np.errstate(all="ignore"):  # no warnings for diverged models
            state = algorithm.step(state, lambda y: task.gradient(y, 0)[1], 0.0, comm)
            check_state(state, x, algorithm, done)
            done += 1
            if done == 1:
                _check_said(algorithm, recorder)
            recorder.end_round()
            history.keep(done, state.x)
            if done % every and done < rounds:
                continue
            row = _row(done, state.x, average, first)
        history.rows.append(row)
        error = row["relative_error"]
        diverged_at = None if error <= DIVERGED else done
        ended = done == rounds or diverged_at is not None or (until is not None and error <= until)
        if not ended:
            yield done, error
    with ONE_BLAS_THREAD:
        about = {**provenance(experiment, xp), **comm.statistics.attributes()}
    trace, x = recorder.trace(done), np.array(to_host(state.x))
    return Run(experiment, history.dataset(trace, about), trace, diverged_at, x, None, recorded=history.recorded)


def finish(going: Generator[tuple[int, float], None, Run], said: Callable[[int], None] = lambda done: None) -> Run:
    """Run a :func:`gossip` to its end; ``said`` is called with the rounds done."""
    with ONE_BLAS_THREAD:
        while True:
            try:
                done, _ = next(going)
            except StopIteration as ended:
                said(ended.value.trace.rounds)
                return ended.value
            said(done)


@dataclass(frozen=True, eq=False)
class Problem:
    """A consensus problem: starts, topology, target and budget.

    Parameters
    ----------
    x0
        (n, …): what each worker holds at the start.
    topology
        Of the workers.
    target
        Relative error to reach: mean over workers of the squared distance from the average, in units of that of x0.
    budget
        MB (10^6 bytes) that a worker may send, over all its neighbours; None: 2.5 times what full precision sends to reach the target at the
        topology's optimal rate.
    seed
        Fixes the starts and the runs bit for bit on one device.
    dtype
        Of the arithmetic; full precision costs 32 bits a number in both.
    device
        "auto" (a GPU where there is one), "cpu" or "cuda".
    tensors
        As for :func:`consensus`.

    Raises
    ------
    NetsimError
        A field is out of its range.
    """

    x0: Array = field(repr=False)
    topology: Topology
    target: Annotated[float, Interval(gt=0, lt=1)] = 1e-6
    budget: Annotated[float, Interval(gt=0, le=1e12)] | None = None
    seed: Seed = 0
    dtype: Literal["float32", "float64"] = "float32"
    device: Device = "auto"
    tensors: Tensors | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        if self.budget is None:
            apart = np.linalg.eigvalsh(np.eye(self.topology.n) - self.topology.weights)
            rate = (apart[-1] - apart[1]) / (apart[-1] + apart[1])
            rounds = max(4, math.ceil(math.log(self.target) / (2 * math.log(rate)))) if rate > 1e-9 else 4
            object.__setattr__(self, "budget", GENEROSITY * rounds * self._one_round(DPSGD()))
        check(0 < (self.budget or 0) < math.inf, "budget", self.budget, "above 0 and finite, in MB")

    def rounds(self, algorithm: Algorithm) -> int:
        """Return the number of rounds of an algorithm within the budget, by the bits of its first round; at least 1."""
        assert self.budget is not None
        return max(1, int(self.budget / self._one_round(algorithm)))

    def run(
        self, algorithm: Algorithm, until: float | None = None, said: Callable[[int], None] = lambda done: None
    ) -> Run:
        """Gossip to the end of the budget, or until a relative error (None: the target) is reached."""
        return finish(self.start(algorithm, until), said)

    def start(self, algorithm: Algorithm, until: float | None = None) -> Any:
        """Return the generator :func:`gossip` of an algorithm."""
        until = self.target if until is None else until
        return gossip(self.x0, algorithm, self.topology, self.rounds(algorithm), until=until, **self._settings())

    def _one_round(self, algorithm: Algorithm) -> float:
        """Return the MB that a worker sends in the first round."""
        run = consensus(self.x0, algorithm, self.topology, 1, **self._settings())
        return megabytes(run)[-1]

    def _settings(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("seed", "dtype", "device", "tensors")}


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
        raise NetsimError(f"{name_of(algorithm)} has no consensus step size to search: no field gamma")
    has_theta = any(one.name == "theta" for one in dataclasses.fields(algorithm))
    if thetas is not None and not has_theta:
        raise NetsimError(f"{name_of(algorithm)} has no theta; leave it out")
    if gammas is None:
        gammas = np.geomspace(GAMMA_FROM, topology.optimal_gossip_rate, GAMMAS // 2 if has_theta else GAMMAS).tolist()
    if not has_theta:
        return tuple(replace(algorithm, gamma=gamma) for gamma in gammas)
    return tuple(replace(algorithm, gamma=gamma, theta=theta) for theta in thetas or THETAS for gamma in gammas)


def standard_normal(n: int, shape: Sequence[int], seed: int = 0) -> np.ndarray:
    """Return (n, *shape) float64: standard normal numbers, worker i's from a stream of its own."""
    return np.stack([generator(seed, "consensus start", worker).standard_normal(tuple(shape)) for worker in range(n)])


def _task(x0: Array, topology: Topology, tensors: Tensors | None) -> tuple[Gossip, np.ndarray]:
    """Return the task, and x0 as (n, P) rows on the host."""
    start = np.asarray(to_host(x0))
    check(start.ndim >= 2, "x0.shape", start.shape, "(n, …), what each worker holds")
    if not is_real(start):
        raise NetsimError(f"x0: got {said(start)}; expected real numbers")
    check(bool(np.isfinite(start).all()), "x0", "(…)", "finite")
    tensors = {"x": start.shape[1:]} if tensors is None else tensors
    if len(start) != topology.n:
        raise NetsimError(
            f"x0 has the shape {start.shape}; {topology.name} needs ({topology.n}, …), what each worker holds"
        )
    rows = start.reshape(topology.n, -1)
    size = parameters(Gossip(tensors, rows), "consensus")
    if rows.shape[1] != size:
        raise NetsimError(f"x0 has {rows.shape[1]} numbers a worker; the tensors {dict(tensors)} need {size}")
    if (rows == rows[:1]).all():
        raise NetsimError("x0: all rows are equal, so there is nothing to agree on; give the workers different ones")
    return Gossip(tensors, start.mean(axis=0, dtype=float).reshape(-1)), rows


def _check_said(algorithm: Algorithm, recorder: Recorder) -> None:
    """Raise for an algorithm that does not gossip, by the operations of its first round."""
    said = {operation.kind for operation in recorder.operations if operation.collective}
    if said:
        how = "a server" if any(map(has_server, said)) else "a collective"
        raise NetsimError(
            f"consensus: {name_of(algorithm)} averages updates by {how}, never models, so it brings no consensus; choose a method that gossips"
        )


def _row(step: int, x: Array, average: Array, first: float) -> dict[str, Any]:
    error = _mean_square(x - average)
    return {
        "step": step,
        "error": error,
        "relative_error": error / first,
        "consensus": _mean_square(x - x.mean(axis=0)),
    }


def _mean_square(apart: Array) -> float:
    """Return the mean over the rows of the squared norm."""
    return float(to_host((apart * apart).sum())) / len(apart)

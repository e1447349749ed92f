"""From a Setup to one labelled Dataset: trainings timed on many networks, or gossip without gradients from many starts."""

import re
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from netsim.clock.network import Network
from netsim.clock.network_checks import check_networks
from netsim.clock.replaying import check_engine
from netsim.errors import NetsimError
from netsim.runs.cases import APART, SUMMED, TIMED, at_condition, combined, network_said
from netsim.runs.checkpoints import Checkpoints
from netsim.runs.descriptions import as_text, described
from netsim.runs.experiment import Experiment
from netsim.runs.gossip import GAMMA_FROM, GAMMAS, Problem, candidates
from netsim.runs.gossiping import Trials, gossiped
from netsim.runs.results import SENT
from netsim.runs.setup import Setup
from netsim.runs.sweeping import timed_on, unique_names
from netsim.runs.targets import default_target, stated_target
from netsim.runs.training import Run, train
from netsim.runs.tuning import Progress, Trial, best, race, silent


def labels(experiments: Sequence[Experiment]) -> list[str]:
    """Return the name of each experiment; those that occur again are numbered, as in a sweep: a, b, a (2)."""
    return unique_names(experiment.name for experiment in experiments)


def samples_per_step(experiments: Sequence[Experiment]) -> dict[str, int]:
    """Return by label the samples that all workers together read per step, for tasks that have a ``batch``."""
    named = zip(labels(experiments), experiments, strict=True)
    return {name: one.task.batch * one.topology.n for name, one in named if hasattr(one.task, "batch")}


def train_all(
    experiments: Sequence[Experiment],
    executor: Executor | None = None,
    progress: Progress = silent,
    checkpoints: Checkpoints | None = None,
) -> list[Run]:
    """Train every experiment once, each under its label.

    Parameters
    ----------
    experiments
        The trainings.
    executor
        Where; None: one after the other here.
    progress
        Called after every step, from the thread that trains.
    checkpoints
        As for :func:`netsim.train`; every experiment has a folder of its own in this one. With them a training that was finished before an
        interruption is not done again.

    Raises
    ------
    NetsimError
        The task does not fit the workers; the line names the experiment.
    """

    return _trained([Training(*each) for each in _named(experiments)], executor, progress, checkpoints)


class Training(NamedTuple):
    """One of the trainings of a Setup.

    Attributes
    ----------
    experiment
        What is trained.
    label
        Its name for progress and errors.
    folder
        Of its checkpoints, below that of all.
    """

    experiment: Experiment
    label: str
    folder: str


def _named(experiments: Sequence[Experiment], where: str = "", folder: str = "") -> list[tuple[Experiment, str, str]]:
    """Return the experiments with their names and folders, to each of which what is said of their case is added."""
    each = enumerate(zip(experiments, labels(experiments), strict=True), 1)
    return [
        (one, f"{label}{where}", f"{number}-{type(one.algorithm).__name__}{folder}") for number, (one, label) in each
    ]


def trainings(setup: Setup) -> list[Training]:
    """Return all trainings of a Setup, case by case (:meth:`netsim.runs.setup.Setup.cases`)."""
    found: list[Training] = []
    for name, (_, seed, experiments) in zip(_topology_of_each_case(setup), setup.cases(), strict=True):
        said = [name] * (len(setup.topologies) > 1) + [f"seed {seed}"] * (len(setup.seeds) > 1)
        folder = "".join(f"_{re.sub('[^A-Za-z0-9]+', '_', one).strip('_')}" for one in said)
        found += [Training(*each) for each in _named(experiments, "".join(f", {one}" for one in said), folder)]
    return found


def _topology_of_each_case(setup: Setup) -> list[str]:
    """Return the name of the topology of each case, those that occur again numbered."""
    names = unique_names(graph.name for graph in setup.topologies or (setup.topology,))
    return [name for name in names for _ in setup.seeds or (0,)]


def _trained(
    every: Sequence[Training], executor: Executor | None, progress: Progress, checkpoints: Checkpoints | None
) -> list[Run]:
    def one(training: Training) -> Run:
        experiment, label, folder = training
        own = checkpoints and replace(checkpoints, folder=checkpoints.folder / folder)
        try:
            run = train(experiment, lambda done, loss: progress(label, done, experiment.steps, loss), own)
        except ValueError as error:
            raise NetsimError(f"{label}: {error}") from None
        if run.diverged_at is not None:
            progress(label, run.diverged_at, run.diverged_at, None)
        return run

    return list((executor.map if executor else map)(one, every))


def run(
    setup: Setup,
    engine: str = "auto",
    executor: Executor | None = None,
    progress: Progress = silent,
    checkpoints: Checkpoints | None = None,
    found: Trials | None = None,
) -> xr.Dataset:
    """Run a Setup: train once and time on all networks, or gossip with every method from every start.

    Parameters
    ----------
    setup
        From :func:`netsim.files.config.load`.
    engine
        Of a training, as for :func:`netsim.runs.sweeping.sweep`.
    executor
        Where to train or gossip; None: one after the other here.
    progress
        Called after every step or round, from the thread that does it; then with ``"networks, fifo"`` and the like.
    checkpoints
        Of trainings, as for :func:`train_all`.
    found
        Of gossip: the trials of :func:`netsim.runs.tuning.search`, whose best step sizes are taken; None: those of the file.

    Returns
    -------
    xarray.Dataset
        Of trainings, what :func:`netsim.runs.sweeping.sweep` returns, with a first dimension ``sharing`` where a network matters, and the named
        networks over ``condition``: ``condition_latency`` (s), ``condition_bandwidth`` (bit/s), ``condition_ours`` (bool), ``condition_source`` (as
        :class:`netsim.runs.setup.Condition`); attribute ``changed`` (what the command line overrode).

        Where a named network is no point of the grid (it has matrices, or other fields than the grid's), all that depends on a network is also
        there over ``condition``, its name after ``condition_``: ``condition_time``, ``condition_time_to_target``, …; ``condition_network`` says
        each in words, ``condition_apart`` which are no points; latency and bandwidth are NaN where they are matrices. Read one with
        :func:`netsim.runs.cases.at_condition`, which copes with both.

        Of several topologies or seeds, with first dimensions ``topology`` (names) and ``seed``: :mod:`netsim.runs.cases`.

        Of gossip alone, dims ``start``, ``experiment`` (the methods' labels), ``round``. Over all three: ``error`` (mean over workers of the squared
        distance from the average of the start), ``relative_error`` and ``megabytes`` (sent by a worker so far), NaN after a run's end. Over start
        and experiment: ``algorithm``, ``description`` ("" where a method does not gossip from a start), ``gamma``, ``theta`` (NaN: none),
        ``rounds_to_target`` (-1: not reached), ``megabytes_to_target`` (infinite: not reached), ``last_error`` (relative), ``diverged_at`` (-1: did
        not), ``published`` (MB to the target, NaN: none). Over experiment: ``searched`` (bool: the step size is of a grid). Over start: ``budget``
        (MB). Attributes: ``target``, ``until``, ``topology``, ``workers``, ``optimal_gossip_rate``, ``left_out``, and what fixed the runs.

        Attributes of both: ``title``, ``preset``, ``config`` (the file's text).

    Raises
    ------
    NetsimError
        As for :func:`train_all` and :func:`netsim.runs.sweeping.sweep`; a step size is still to be searched, or all candidates of a search diverged.
    """
    about = {"title": setup.title, "preset": setup.name, "config": setup.text}
    if setup.experiments:
        return _trained_and_timed(setup, engine, executor, progress, checkpoints).assign_attrs(about)
    return gossiped(setup, found, executor, progress).assign_attrs(about)


# --- trainings -----------------------------------------------------------------------------------------------------------


def _trained_and_timed(
    setup: Setup, engine: str, executor: Executor | None, progress: Progress, checkpoints: Checkpoints | None
) -> xr.Dataset:
    cases = setup.cases()
    check_engine(engine)
    for n in sorted({case.topology.n for case in cases}):
        for grid in setup.grids.values():
            check_networks(grid, n)
        check_networks(list(setup.apart.values()), n)
    stated = stated_target(setup.experiments, setup.target)
    runs = _trained(trainings(setup), executor, progress, checkpoints)
    trained = [runs[at : at + len(setup.experiments)] for at in range(0, len(runs), len(setup.experiments))]
    target = max(map(default_target, trained)) if stated is None else stated
    known: dict[Any, dict] = {}
    names = _topology_of_each_case(setup)

    def timed(at: int, sharing: str, networks: Any, what: str) -> xr.Dataset:
        total = len(cases) * len(setup.experiments) * len(networks)
        before = at * len(setup.experiments) * len(networks)

        def show(_: str, done: int, all_of_case: int) -> None:
            progress(f"{what}, {sharing}", before + done, total, None)

        return timed_on(trained[at], networks, target, engine, show, known.setdefault((what, sharing), {}))

    found = {}
    for at, case in enumerate(cases):
        swept = [timed(at, sharing, grid, "networks") for sharing, grid in setup.grids.items()]
        ds = _with_conditions(_over_sharing(swept, list(setup.grids)), setup)
        if setup.apart:
            each = {s: [replace(one, sharing=s) for one in setup.apart.values()] for s in setup.grids}
            beside = [timed(at, sharing, networks, "named networks") for sharing, networks in each.items()]
            ds = _with_apart(ds, _over_sharing(beside, list(setup.grids)), setup.apart)
        found[names[at], case.seed] = ds
    return combined(found).assign_attrs(changed=setup.changed)


def _over_sharing(swept: list[xr.Dataset], sharing: list[str]) -> xr.Dataset:
    first = swept[0]
    timed = xr.concat([ds[list(TIMED)] for ds in swept], dim="sharing", combine_attrs="override")
    ds = first.drop_vars(TIMED).merge(timed.assign_coords(sharing=sharing), combine_attrs="override")
    totals = {key: sum(one.attrs[key] for one in swept) for key in SUMMED}
    largest = max(one.attrs["largest_difference"] for one in swept)
    kept = {key: value for key, value in first.attrs.items() if key != "sharing"}
    return ds.assign_attrs({**kept, **totals, "largest_difference": largest})


def _with_apart(ds: xr.Dataset, apart: xr.Dataset, networks: Mapping[str, Network]) -> xr.Dataset:
    """Return results with what depends on a network over ``condition`` too: of points of the grid from there, of the others as timed apart."""
    names, each = [str(name) for name in ds["condition"].values], []
    for name in names:
        here = apart.isel(network=list(networks).index(name)) if name in networks else at_condition(ds, name)
        each.append(here[list(TIMED)].drop_vars([key for key in here.coords if key not in here.dims], errors="ignore"))
    timed = xr.concat(each, dim="condition", combine_attrs="override").transpose(
        "sharing", "experiment", "condition", ...
    )
    said = [networks[name].name if name in networks else network_said(ds, name) for name in names]
    matrices = {
        f"condition_{key}": apart[key]
        .rename(network="condition")
        .assign_coords(condition=list(networks))
        .reindex(condition=names)
        for key in ("link_latency", "link_bandwidth")
        if key in apart
    }
    totals = {key: ds.attrs[key] + apart.attrs[key] for key in SUMMED}
    largest = max(ds.attrs["largest_difference"], apart.attrs["largest_difference"])
    return (
        ds.assign({f"{APART}{key}": timed[key].drop_vars("condition", errors="ignore") for key in TIMED})
        .assign(matrices)
        .assign_coords(
            condition_network=("condition", said), condition_apart=("condition", [name in networks for name in names])
        )
        .assign_attrs(**totals, largest_difference=largest)
    )


def _with_conditions(ds: xr.Dataset, setup: Setup) -> xr.Dataset:
    named = setup.conditions
    return ds.assign_coords(
        condition=[one.name for one in named],
        condition_latency=("condition", [one.latency for one in named], {"units": "s"}),
        condition_bandwidth=("condition", [one.bandwidth for one in named], {"units": "bit/s"}),
        condition_ours=("condition", [one.ours for one in named]),
        condition_source=("condition", [one.source for one in named]),
    )


# --- searches of step sizes -----------------------------------------------------------------------------------------------


def sensitivity(
    problem: Problem,
    methods: Mapping[str, Any],
    gammas: Any = None,
    executor: Executor | None = None,
    progress: Progress = silent,
) -> xr.Dataset:
    """Measure the bytes to the target against the consensus step size; every run goes to the target or the end of the budget.

    Parameters
    ----------
    problem
        The consensus problem.
    methods
        {label: algorithm with a step size}; a theta stays as it is.
    gammas
        Step sizes; None: 20 from 1e-4 to the topology's optimal gossip rate, evenly in the logarithm.
    executor, progress
        As for :func:`netsim.runs.tuning.race`.

    Returns
    -------
    xarray.Dataset
        Dims ``experiment`` (the methods' labels), ``gamma``: ``rounds_to_target`` (-1: not reached), ``megabytes_to_target`` (infinite: not
        reached), ``relative_error`` at the end, ``diverged`` (bool). Over experiment: ``algorithm``. Attributes: ``target``, ``budget`` (MB),
        ``topology``, ``workers``, ``optimal_gossip_rate``.
    """
    if gammas is None:
        gammas = np.geomspace(GAMMA_FROM, problem.topology.optimal_gossip_rate, GAMMAS).tolist()

    def raced(label: str, algorithm: Any) -> list[Trial]:
        thetas = [algorithm.theta] if hasattr(algorithm, "theta") else None
        each = candidates(algorithm, problem.topology, list(map(float, gammas)), thetas)
        return race(problem, each, False, executor, progress, label)

    trials = {label: raced(label, algorithm) for label, algorithm in methods.items()}
    said = described(list(methods.values()))
    return _sensitivity(problem, trials).assign(
        algorithm=("experiment", [one["repr"] for one in said]), description=("experiment", as_text(said))
    )


def sensitivity_of(problem: Problem, trials: Mapping[str, list[Trial]]) -> xr.Dataset:
    """Return the Dataset of :func:`sensitivity` from searches that were not stopped early; of several thetas the best one's.

    Parameters
    ----------
    problem
        Of the searches.
    trials
        {label: trials}.
    """
    thetas = {label: best(each).values.get("theta") for label, each in trials.items()}
    kept = {label: [t for t in each if t.values.get("theta") == thetas[label]] for label, each in trials.items()}
    return _sensitivity(problem, kept)


def _sensitivity(problem: Problem, trials: Mapping[str, list[Trial]]) -> xr.Dataset:
    gammas = sorted({trial.values["gamma"] for each in trials.values() for trial in each})
    shape = (len(trials), len(gammas))
    rounds, sent = np.full(shape, -1), np.full(shape, np.inf)
    error, diverged = np.full(shape, np.nan), np.zeros(shape, bool)
    for m, each in enumerate(trials.values()):
        for trial in each:
            at = m, gammas.index(trial.values["gamma"])
            rounds[at] = trial.rounds if trial.outcome == "reached" else -1
            sent[at], error[at], diverged[at] = trial.megabytes, trial.error, trial.outcome == "diverged"
    dims = ("experiment", "gamma")
    return xr.Dataset(
        {
            "rounds_to_target": (dims, rounds),
            "megabytes_to_target": (dims, sent, {"units": SENT}),
            "relative_error": (dims, error),
            "diverged": (dims, diverged),
        },
        {"experiment": list(trials), "gamma": gammas},
        {
            "target": problem.target,
            "budget": problem.budget,
            "topology": problem.topology.name,
            "workers": problem.topology.n,
            "optimal_gossip_rate": problem.topology.optimal_gossip_rate,
        },
    )

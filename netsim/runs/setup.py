"""The contents of a configuration file as plain data: trainings on many networks, or gossip without gradients.

:func:`netsim.files.config.load` makes a :class:`Setup`; :mod:`netsim.runs.tuning` searches its methods' rates and step sizes, and
:mod:`netsim.runs.pipeline` runs it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, NamedTuple

from annotated_types import Len

from netsim.clock.network import Network, NetworkGrid
from netsim.comm.topology import Topology
from netsim.errors import NetsimError
from netsim.fields import BitsPerSecond, Seconds
from netsim.runs.experiment import Experiment
from netsim.runs.gossip import Problem, candidates, has_step_size, standard_normal


class Condition(NamedTuple):
    """A named network: a column of the table.

    Attributes
    ----------
    name
        What the column is called, such as ``"high latency"``.
    latency
        Seconds until a bit that leaves one worker reaches another.
    bandwidth
        Bits per second of every link.
    source
        Whose it is: "paper"; "ours"; or "paper panel": the paper shows it without a number; the number is ours.
    """

    name: Annotated[str, Len(1, 200)]
    latency: Seconds
    bandwidth: BitsPerSecond
    source: Literal["paper", "paper panel", "ours"] = "ours"

    @property
    def ours(self) -> bool:
        """Whether it is not in the paper."""
        return self.source == "ours"


class Case(NamedTuple):
    """What one topology and one seed make of a file's trainings.

    Attributes
    ----------
    topology, seed
        Of all its experiments.
    experiments
        One per method.
    """

    topology: Topology
    seed: int
    experiments: tuple[Experiment, ...]


@dataclass(frozen=True)
class Method:
    """One ``[[algorithm]]`` of a file. All fields but the first two are of gossip only.

    Attributes
    ----------
    label
        Its name.
    algorithm
        The algorithm, with the first step size of its grid.
    gammas, thetas
        The grids to search; of length 1, or None, where there is nothing to search.
    starts
        Names of the starts from which it gossips.
    best
        {start: {"gamma": …, "theta": …}}: best values given in the file.
    published
        {start: MB to the target} of published results.
    """

    label: str
    algorithm: Any
    gammas: tuple[float, ...] | None = None
    thetas: tuple[float, ...] | None = None
    starts: tuple[str, ...] = ()
    best: Mapping[str, Mapping[Any, float]] = field(default_factory=dict)
    published: Mapping[str, float] = field(default_factory=dict)

    def candidates(self, topology: Topology, default: bool = False) -> tuple[Any, ...]:
        """Return the algorithm with every step size, and theta, of its grid; ``default``: of the default grid if it has none of its own."""
        own = candidates(self.algorithm, topology, self.gammas, self.thetas) if self.gammas else (self.algorithm,)
        if len(own) > 1 or not default or not has_step_size(self.algorithm):
            return own
        return candidates(self.algorithm, topology)

    def known(self, start: str) -> Any:
        """Return the algorithm with the best step size that the file gives for a start; None: it has to be searched."""
        if start in self.best:
            return replace(self.algorithm, **self.best[start])
        return self.algorithm if max(len(self.gammas or ()), len(self.thetas or ())) <= 1 else None


@dataclass(frozen=True, eq=False)
class Setup:
    """The contents of a configuration file.

    Attributes
    ----------
    name
        The preset's, or the file's without its ending.
    source
        The file as it was given, for error messages.
    title
        One line.
    topology
        Of the workers; of several the first.
    methods
        In the order of the file.
    target
        Training loss to be reached, or None; of gossip alone the relative error.
    assumptions
        Assumptions, as text.
    text
        The file's text.
    changed
        What overrides the file: "" or, for example, ``"steps = 22, data = mnist"``.
    experiments
        Of a training: one per method, sharing task, topology and seed, of several the first. Empty: gossip.
    grids
        Of a training: the networks, by ``sharing``.
    conditions
        Of a training: the named networks, which are points of the grids, but for those of ``apart``.
    apart
        Of a training: {name of a condition: network} of those that are no points of the grids; their ``sharing`` is that of each grid.
    topologies, seeds
        Of a training: all that it is done for; empty: the experiments' own.
    problems
        Of gossip: {name of a start: problem}, without those left out.
    until
        Of gossip: relative error at which a run ends.
    left_out
        Of gossip: {name of a start: why it is missing, and the remedy}.
    """

    name: str
    source: str
    title: str
    topology: Topology
    methods: tuple[Method, ...]
    target: float | None
    assumptions: Mapping[str, str]
    text: str
    changed: str = ""
    experiments: tuple[Experiment, ...] = ()
    grids: Mapping[str, NetworkGrid] = field(default_factory=dict)
    conditions: tuple[Condition, ...] = ()
    apart: Mapping[str, Network] = field(default_factory=dict)
    topologies: tuple[Topology, ...] = ()
    seeds: tuple[int, ...] = ()
    problems: Mapping[str, Problem] = field(default_factory=dict)
    until: float = 0.0
    left_out: Mapping[str, str] = field(default_factory=dict)

    def cases(self) -> tuple[Case, ...]:
        """Return every topology with every seed, and its trainings: the topologies in turn, the seeds of each one after the other."""
        first = self.experiments[0]
        return tuple(
            Case(graph, seed, tuple(replace(one, topology=graph, seed=seed) for one in self.experiments))
            for graph in self.topologies or (first.topology,)
            for seed in self.seeds or (first.seed,)
        )

    def first_only(self) -> tuple["Setup", str]:
        """Return the Setup of its first topology and seed, and what was left out, in words: "" where there was one of each."""
        words = [
            f"{what} {first}, the first of {len(each)}"
            for what, each, first in (
                ("topology", self.topologies, self.topology.name),
                ("seed", self.seeds, self.seeds[0] if self.seeds else ""),
            )
            if len(each) > 1
        ]
        return replace(self, topologies=(), seeds=()), ", ".join(words)

    def largest(self) -> tuple[Experiment, ...]:
        """Return the trainings of the topology with the most workers, which need the most memory."""
        return max(self.cases(), key=lambda case: case.topology.n).experiments

    def with_tasks_of(self, experiments: Sequence[Experiment]) -> "Setup":
        """Return the Setup with the tasks of other experiments, one per method."""
        pairs = zip(self.experiments, experiments, strict=True)
        return replace(self, experiments=tuple(replace(one, task=other.task) for one, other in pairs))

    def only(self, wanted: str) -> "Setup":
        """Return the Setup with one of its methods.

        Parameters
        ----------
        wanted
            The method's class, label, or number from 1.

        Raises
        ------
        NetsimError
            No method, or more than one, has this name.
        """
        names = [one.label for one in self.methods]
        numbers = [str(number) for number in range(1, len(names) + 1)]
        classes = [type(one.algorithm).__name__ for one in self.methods]
        called = next((each for each in (names, numbers, classes) if wanted in each), [])
        found = [i for i, one in enumerate(called) if one == wanted]
        if len(found) != 1:
            what = "no such algorithm" if not found else "several of this class"
            numbered = "; ".join(f"{number} {name}" for number, name in enumerate(names, 1))
            raise NetsimError(
                f"--algorithm {wanted}: {what} in {self.source}; write a number or a full name: {numbered}"
            )
        at = slice(found[0], found[0] + 1)
        return replace(self, methods=self.methods[at], experiments=self.experiments[at])

    def network(self, latency: float, bandwidth: float, sharing: str) -> Network:
        """Return one network with the other fields from the file; latency in seconds, bandwidth in bit/s."""
        template = next(iter(self.grids.values())).template
        return replace(template, latency=latency, bandwidth=bandwidth, sharing=sharing, name="")

    def pairs(self) -> list[tuple[str, Method]]:
        """Return every pair of a start and a method that gossips from it."""
        return [(start, method) for start in self.problems for method in self.methods if start in method.starts]

    def without_gradients(self) -> "Setup":
        """Return the gossip Setup of a training: its methods with a step size, from standard normal numbers in the shape of its model.

        Raises
        ------
        NetsimError
            None of them has one.
        """
        methods = [one for one in self.methods if has_step_size(one.algorithm)]
        if not methods:
            raise NetsimError(f"{self.source}: none of its methods has a consensus step size: no gamma to search")
        first = self.experiments[0]
        tensors, seed = dict(first.task.tensors), first.seed
        size = sum(math.prod(shape) for shape in tensors.values())
        start = f"standard normal numbers in the shape of the model ({size:,} numbers)"
        x0 = standard_normal(self.topology.n, (size,), seed)
        problem = Problem(x0, self.topology, seed=seed, dtype=first.dtype, device=first.device, tensors=tensors)
        gossiping = tuple(replace(one, starts=(start,)) for one in methods)
        return replace(
            self,
            methods=gossiping,
            experiments=(),
            grids={},
            conditions=(),
            apart={},
            topologies=(),
            seeds=(),
            problems={start: problem},
        )

"""A simulated ring for a project's own tests: simulated seconds to a loss."""

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from netsim import topology as graphs
from netsim.clock.network import Network
from netsim.clock.replaying import replay
from netsim.clock.timeline import Timeline
from netsim.comm.topology import Topology
from netsim.errors import NetsimError, check
from netsim.files.units import bits_per_second, format_seconds, seconds
from netsim.models import SoftmaxRegression
from netsim.models.data.datasets import Dataset
from netsim.runs.experiment import Experiment
from netsim.runs.training import Run, train

CLASSES, FEATURES, IMAGES = 10, 784, 1280


class SimulatedTime(float):
    """Simulated seconds, infinite where the loss was not reached.

    Attributes
    ----------
    said
        Its ``repr``, which names the algorithm, so that a failed assertion shows both sides.
    """

    said: str

    def __new__(cls, value: float, said: str) -> "SimulatedTime":
        """Make a number of seconds that calls itself ``said``."""
        made = super().__new__(cls, value)
        made.said = said
        return made

    def __repr__(self) -> str:
        return self.said

    __str__ = __repr__


@dataclass(frozen=True, eq=False)
class RingRun:
    """One algorithm on the ring.

    Attributes
    ----------
    run
        Its training.
    network
        The network on which it was timed.
    """

    run: Run = field(repr=False)
    network: Network = field(repr=False)

    @cached_property
    def timeline(self) -> Timeline:
        """When every round ended."""
        return replay(self.run.trace, self.network)

    @property
    def name(self) -> str:
        """The algorithm's."""
        return self.run.experiment.name

    def time_to(self, loss: float) -> SimulatedTime:
        """Return the simulated seconds until the averaged model's training loss is at or below ``loss``; infinite if it never is."""
        check(0 < loss < float("inf"), "loss", loss, "a number above 0")
        history = self.run.history
        reached = np.flatnonzero(history.loss.values <= loss)
        if not len(reached):
            lowest, steps = float(np.nanmin(history.loss.values)), int(history.step.values[-1])
            end = (
                f"diverged at step {self.run.diverged_at}"
                if self.run.diverged_at is not None
                else f"after {steps} steps"
            )
            return SimulatedTime(np.inf, f"{self.name}: loss {loss:g} not reached; lowest loss {lowest:.3g}, {end}")
        step = int(history.step.values[reached[0]])
        value = float(self.timeline.round_end[step - 1]) if step else 0.0
        return SimulatedTime(value, f"{self.name}: {format_seconds(value)} to loss {loss:g} (step {step})")

    def __repr__(self) -> str:
        return f"<{self.name} on {self.run.experiment.topology.name}>"


@dataclass(frozen=True, eq=False)
class Ring:
    """Workers that train one task on one network; made by :func:`simulated_ring`.

    Attributes
    ----------
    task, topology, network
        What they train, and on which graph and network.
    lr, steps, seed
        As in :class:`netsim.Experiment`.
    every
        Steps between evaluations.
    """

    task: Any
    topology: Topology
    network: Network
    lr: Any
    steps: int
    seed: int
    every: int

    def __repr__(self) -> str:
        return f"<{self.topology.name}, {self.network.name}>"

    def run(self, algorithm: Any) -> RingRun:
        """Train an algorithm and time it.

        Raises
        ------
        NetsimError
            It is not an algorithm, or a field of the ring does not fit.
        """
        if isinstance(algorithm, type):
            raise NetsimError(f"ring.run: {algorithm.__name__} is a class; write {algorithm.__name__}()")
        experiment = Experiment(
            self.task,
            algorithm,
            self.topology,
            self.steps,
            lr=self.lr,
            seed=self.seed,
            device="cpu",
            evaluate_every=self.every,
        )
        return RingRun(train(experiment), self.network)


def simulated_ring(
    n: int = 8,
    latency: float | str = "1 ms",
    bandwidth: float | str = "1 Gbit/s",
    compute: Any = "10 ms",
    task: Any = None,
    lr: Any = 0.2,
    steps: int = 60,
    evaluate_every: int = 1,
    sharing: str = "fifo",
    seed: int = 0,
    topology: Topology | None = None,
) -> Ring:
    """Return a ring of workers on which to compare algorithms, without a file, a real network or a GPU.

    Parameters
    ----------
    n
        Number of workers.
    latency, bandwidth
        Of every link: strings with units, or seconds and bit/s.
    compute
        Of one gradient: a string, seconds, or a compute model.
    task
        A :class:`netsim.Task`. None: softmax regression on generated data, ten Gaussian classes in 784 dimensions, the same 1,280
        points always, 7,850 parameters, 16 points a worker and step. Its loss starts at 2.3; with the defaults all-reduce and D-PSGD come below 0.3
        after 13 and 14 of the 60 steps.
    lr, steps, evaluate_every, seed
        As in :class:`netsim.Experiment`. A loss counts as reached at the first evaluation at or below it.
    sharing
        How messages share ports: "fifo" or "none".
    topology
        Another graph instead of the ring; n is then ignored.

    Returns
    -------
    Ring
        ``ring.run(algorithm).time_to(loss)`` is a number of simulated seconds, the same on every call.

    Raises
    ------
    NetsimError
        A value is out of its range.
    """
    duration = seconds(compute, "compute") if isinstance(compute, str) else compute
    network = Network(
        seconds(latency, "latency"), bits_per_second(bandwidth, "bandwidth"), compute=duration, sharing=sharing
    )
    graph = graphs.ring(n) if topology is None else topology
    return Ring(generated() if task is None else task, graph, network, lr, steps, seed, evaluate_every)


@lru_cache(maxsize=1)
def generated() -> SoftmaxRegression:
    """Return the task that :func:`simulated_ring` describes."""
    draws = np.random.default_rng(0)
    labels = np.arange(IMAGES, dtype=np.uint8) % CLASSES
    centres = draws.standard_normal((CLASSES, FEATURES), dtype=np.float32)
    points = 0.15 * centres[labels] + draws.standard_normal((IMAGES, FEATURES), dtype=np.float32)
    data = Dataset("ten Gaussian classes", points, labels, points[:CLASSES], labels[:CLASSES], CLASSES)
    return SoftmaxRegression(data)

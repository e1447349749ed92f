"""Dry runs: an algorithm's own code runs on shapes alone; its messages go through the same communicator into a trace.

There is no separate formula for an algorithm's bytes. ``init`` and ``step`` run on arrays without numbers (:mod:`netsim.planning.shape_array`), the
compressors' ``compress`` returns the same bits as in training, and the recorder makes a trace of them, which ``replay`` can time.
So a model of 29 million parameters on 16 workers takes as long as a small one.
"""

from typing import Any, NamedTuple

import numpy as np

from netsim.algorithms.protocol import Algorithm
from netsim.comm.communicator import Communicator
from netsim.comm.recorder import Recorder
from netsim.comm.topology import Topology
from netsim.comm.trace import Trace
from netsim.errors import check
from netsim.planning.shape_array import ShapeArray, ShapeSpace
from netsim.planning.shapes import Tensors, parameters

DRAWN_ROUNDS = (
    4,
    8,
    16,
    32,
)  # of a dry run whose sizes are random: the first of these that is exact enough, or the last
EXACT_ENOUGH = 1e-4  # of the mean: its standard error, less than a table shows
SETTLED = 16  # rounds after which a method that has not become periodic is taken as it is


class Sent(NamedTuple):
    """What a worker sends per step.

    Attributes
    ----------
    bits
        Sum over its messages, mean over workers and rounds. Exact; where sizes are random, an estimate of the expectation.
    standard_error
        Of that estimate; 0 where no size is random.
    trace
        The trace of the dry run.
    """

    bits: float
    standard_error: float
    trace: Trace


def expected_bits(algorithm: Algorithm, tensors: Tensors, topology: Topology, rounds: int = 2, seed: int = 0) -> Sent:
    """Return the expected bits that a worker sends per step, mean over workers and rounds.

    Parameters
    ----------
    algorithm, tensors, topology, seed
        As for :func:`dry_run`.
    rounds
        Period, in rounds, of what the method sends; PowerGossip alternates between left and right, so 2 suffices for all of ours. The mean is
        over the last so many; rounds that begin differently, as DCD-PSGD's, come before. Where sizes are random it is over at most 32 rounds, and
        over fewer if the standard error is then below 1e-4 of the mean: a large model has so many numbers that four rounds tell.

    Raises
    ------
    NetsimError
        As for :func:`dry_run`.
    """
    trace, random = _run(algorithm, tensors, topology, rounds, seed, settle=rounds > 1)
    if not random:
        return Sent(float(trace.bits_per_worker().mean(axis=1)[-rounds:].mean()), 0.0, trace)
    for drawn in DRAWN_ROUNDS:
        trace, _ = _run(algorithm, tensors, topology, max(rounds, drawn), seed)
        means = trace.bits_per_worker().mean(axis=1)[-max(rounds, drawn) :]
        error = float(np.std(means, ddof=1)) / len(means) ** 0.5  # rounds are independent
        if error <= EXACT_ENOUGH * means.mean():
            break
    return Sent(float(means.mean()), error, trace)


def dry_run(algorithm: Algorithm, tensors: Tensors, topology: Topology, rounds: int = 2, seed: int = 0) -> Trace:
    """Return the trace of a training, from shapes alone.

    Parameters
    ----------
    algorithm
        How the workers communicate.
    tensors
        Ordered {name: shape} of one model.
    topology
        Of the workers.
    rounds
        Number of rounds, at least 1.
    seed
        Of random sizes.

    Returns
    -------
    Trace
        The sizes are those of a training in which no two workers' tensors are ever equal and no gradient is zero. So it lacks the first round of
        PowerGossip in a training, in which all models are equal and every edge keeps its vectors. Random sizes are drawn as training would draw them.

    Raises
    ------
    NetsimError
        A number of rounds below 1; the algorithm calls a function whose result's shape is not known here, or the size of a message depends on
        the data.
    """
    return _run(algorithm, tensors, topology, rounds, seed)[0]


def _run(
    algorithm: Algorithm, tensors: Tensors, topology: Topology, rounds: int, seed: int, settle: bool = False
) -> tuple[Trace, bool]:
    """Return the trace, and whether a size was random; with ``settle``, continue until the last two rounds are alike."""
    check(isinstance(rounds, int) and rounds >= 1, "rounds", rounds, "a whole number, at least 1")
    space, recorder = ShapeSpace(seed), Recorder(topology)
    comm = Communicator(topology, tensors, seed, space, "float32", recorder)  # type: ignore[arg-type]

    def gradient(x: Any) -> ShapeArray:
        recorder.record_gradient()
        return space.empty(x.shape, dtype=x.dtype)

    state = algorithm.init(space.empty((topology.n, parameters(tensors)), dtype="float32"), comm)
    said = recorder.program_of
    while len(said) < rounds or (settle and said[-1] != said[-2] and len(said) < SETTLED):
        state = algorithm.step(state, gradient, 0.1, comm)
        recorder.end_round()
    return recorder.trace(len(said)), space.drew

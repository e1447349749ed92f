"""The time of an epoch, from shapes, the network and the time of a gradient."""

from dataclasses import dataclass, replace

import numpy as np

from netsim.algorithms import (
    DCDPSGD,
    DPSGD,
    ECDPSGD,
    AllReduceSGD,
    ChocoSGD,
    DeepSqueeze,
    DoubleSqueeze,
    EdgeGossip,
    Moniqua,
    NaiveCompressedDPSGD,
    ParameterServerSGD,
    PowerGossip,
    PowerSGD,
    RandomMask,
    Sign,
    StochasticQuantizer,
    TopK,
)
from netsim.algorithms.protocol import Algorithm
from netsim.clock.network import Network
from netsim.clock.replaying import replay
from netsim.comm.topology import Topology
from netsim.comm.trace import Trace
from netsim.planning.dry_run import expected_bits
from netsim.planning.shapes import Tensors

ROUNDS = 8  # timed; only the second half counts, after the first rounds, which may differ


def methods(shapes: str = "resnet20") -> tuple[Algorithm, ...]:
    """Return every method of ``algorithms``, with the hyperparameters of the published runs.

    Those of Vogels et al. 2020, Table 1 for ``"lstm650"`` and Table 2 for any other model, as far as they have the method; of Tang et al. 2018, 8
    bits for the quantizers; ours, the rank of PowerSGD, 2, and what EdgeGossip keeps, 1 %.
    """
    language = shapes == "lstm650"
    sign_gamma, top_gamma, gamma = (0.8, 0.01, 1.0) if language else (0.45, 0.0375, 1.308)
    eight, sign, top = StochasticQuantizer(8), Sign(), TopK(0.01)
    return (
        AllReduceSGD(),
        AllReduceSGD(eight),
        ParameterServerSGD(),
        ParameterServerSGD(eight),
        ParameterServerSGD(eight, eight),
        DoubleSqueeze(sign),
        PowerSGD(2),
        DPSGD(gamma=gamma),
        NaiveCompressedDPSGD(eight),
        DCDPSGD(eight),
        ECDPSGD(eight),
        ChocoSGD(sign, sign_gamma, overlap=True),
        ChocoSGD(top, top_gamma, overlap=True),
        DeepSqueeze(sign, 0.01, overlap=True),
        Moniqua(2, 0.25, 0.005, overlap=True),
        EdgeGossip(RandomMask(0.01)),
        *(PowerGossip(iterations=count, gamma=gamma) for count in ((8, 16, 32) if language else (1, 2))),
    )


@dataclass(frozen=True)
class EpochTime:
    """The time and traffic of one method.

    Attributes
    ----------
    algorithm
        The method.
    bits, standard_error
        Bits that a worker sends per step, sum over its messages, mean over workers and rounds; where sizes are random, an estimate of the expectation
        with this standard error, else 0.
    seconds
        Seconds per step, after the first rounds.
    communication
        Share of the step in which the slowest worker is not computing its gradient.
    """

    algorithm: Algorithm
    bits: float
    standard_error: float
    seconds: float
    communication: float


def epoch_time(algorithm: Algorithm, tensors: Tensors, topology: Topology, network: Network) -> EpochTime:
    """Return the time of a method's step, by replaying its dry run.

    Parameters
    ----------
    algorithm
        How the workers communicate.
    tensors
        Ordered {name: shape} of one model.
    topology
        Of the workers.
    network
        The network; its ``compute`` is a number, the seconds of a gradient.
    """
    sent = expected_bits(algorithm, tensors, topology)
    ends = replay(prolonged(sent.trace, ROUNDS), network).round_end
    seconds = float(ends[-1] - ends[ROUNDS // 2 - 1]) / (ROUNDS - ROUNDS // 2)
    computing = float(np.max(network.compute))  # type: ignore[arg-type]
    share = max(0.0, 1 - computing / seconds) if seconds > 0 else 0.0
    return EpochTime(algorithm, sent.bits, sent.standard_error, seconds, share)


def prolonged(trace: Trace, rounds: int) -> Trace:
    """Return a trace prolonged to a number of rounds by repeating its last two."""
    again = np.arange(trace.rounds)[-2:]
    taken = np.concatenate([np.arange(trace.rounds), np.resize(again, max(0, rounds - trace.rounds))])[:rounds]
    program_of, occurrence = trace.program_of[taken], trace.occurrence[taken]
    bits = tuple(
        tuple(sizes if len(sizes) <= 1 else sizes[occurrence[program_of == p]] for sizes in columns)
        for p, columns in enumerate(trace.bits)
    )
    return replace(trace, program_of=program_of, bits=bits)

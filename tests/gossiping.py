"""Trainings and gossip of low-rank methods, every state kept."""

import numpy as np

from netsim import Experiment, train
from netsim.comm.communicator import Communicator
from netsim.comm.recorder import Recorder
from netsim.device import to_host

ROUNDS = 30


def trained(task, algorithm, graph, steps=ROUNDS, **options):
    wanted = {"lr": 0.1, "dtype": "float64", "device": "cpu", "record": range(steps + 1), **options}
    return train(Experiment(task, algorithm, graph, steps, **wanted))


def models(run):
    return np.stack(list(run.trajectory(run.experiment.record).values()))


def gossip(algorithm, graph, x, tensors, rounds, seed=0, xp=np):
    """Return ((rounds + 1, n, P) models, (rounds, n) bits) of gossip alone."""
    recorder = Recorder(graph)
    comm = Communicator(graph, tensors, seed, xp, str(x.dtype), recorder)
    state = algorithm.init(xp.asarray(x), comm)
    found = [x]
    for _ in range(rounds):
        state = algorithm.step(state, lambda y: 0 * y, 0.0, comm)
        recorder.end_round()
        found.append(to_host(state.x))
    return np.stack(found), recorder.trace(rounds).bits_per_worker()

"""Running rounds of a method, with a task and without one."""

import numpy as np

from netsim import Experiment, train
from netsim.comm.communicator import Communicator
from netsim.comm.recorder import Recorder

ROUNDS = 50


def trained(task, algorithm, graph, steps=ROUNDS, **settings):
    return train(
        Experiment(
            task, algorithm, graph, steps, **{"lr": 0.02, "dtype": "float64", "record": range(steps + 1), **settings}
        )
    )


def models(run):
    return np.stack(list(run.trajectory(run.experiment.record).values()))


def states(algorithm, x, graph, rounds, gradient=np.zeros_like, lr=0.0, seed=0):
    """The states before the first round and after each, without a task."""
    return [state for state, _ in observed(algorithm, x, graph, rounds, gradient, lr, seed)]


def observed(algorithm, x, graph, rounds, gradient=np.zeros_like, lr=0.0, seed=0):
    """The states before the first round and after each, without a task, and what was counted so far."""
    recorder = Recorder(graph)
    comm = Communicator(graph, {"x": x.shape[1:]}, seed, np, "float64", recorder)
    state = algorithm.init(x, comm)
    found = [(state, {})]
    for _ in range(rounds):
        state = algorithm.step(state, gradient, lr, comm)
        found.append((state, comm.statistics.attributes()))
        recorder.end_round()
    return found


def name(value):
    return getattr(value, "name", None)


def scattered(n, size, seed=0):
    return np.random.default_rng(seed).standard_normal((n, size)) + 3.0

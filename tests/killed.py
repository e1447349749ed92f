"""A script run by a test: a training that is killed at random moments and resumed, and one that is not.

usage: python killed.py FOLDER KILLS SEED
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

import numpy as np

from netsim import Experiment, topology, train
from netsim.algorithms import ECDPSGD, StochasticQuantizer
from netsim.models import MLP, digits
from netsim.runs.checkpoints import Checkpoints

folder, kills, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
experiment = Experiment(
    MLP(digits(), hidden=(24,), batch=8),
    ECDPSGD(StochasticQuantizer(8)),
    topology.ring(4),
    steps=600,
    lr=0.1,
    momentum=0.9,
    device="cpu",
    evaluate_every=50,
)


def killed_after(seconds: float) -> bool:
    """Train in a child, which finds its own way to where it was, and kill it; whether it was still at work."""
    child = os.fork()
    if child == 0:
        try:
            train(experiment, checkpoints=Checkpoints(folder, every=3, resume=True))
        finally:
            os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    whole = train(experiment)
    chance = random.Random(seed)
    hits = sum(killed_after(chance.uniform(0.01, 0.15)) for _ in range(kills))
    print("killed", hits, "reached", max((int(p.name.split("-")[1]) for p in folder.glob("step-*")), default=0))
    run = train(experiment, checkpoints=Checkpoints(folder, every=50, resume=True))
    assert np.array_equal(run.x, whole.x), "models differ"
    assert run.history.identical(whole.history), "histories differ"
    assert run.trace.fingerprint == whole.trace.fingerprint, "traces differ"
    assert run.remarks == whole.remarks, run.remarks
    print("equal")

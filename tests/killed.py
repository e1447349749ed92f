"""A script run by a test: a training that is killed where it changes a file, or soon after, and resumed, and one that is not.

usage: python killed.py FOLDER KILLS SEED
"""

import os
import random
import sys
from pathlib import Path

import file_changes
import numpy as np

from netsim import Experiment, topology, train
from netsim.algorithms import ECDPSGD, StochasticQuantizer
from netsim.models import MLP, digits
from netsim.runs.checkpoints import Checkpoints

MOST = 40  # changes, in which a training gets a few checkpoints further
folder, kills, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
experiment = Experiment(
    MLP(digits(), hidden=(24,), batch=8),
    ECDPSGD(StochasticQuantizer(8)),
    topology.ring(4),
    steps=300,
    lr=0.1,
    momentum=0.9,
    device="cpu",
    evaluate_every=50,
)


def killed_after(change: int, seconds: float) -> bool:
    """Train in a child, which finds its own way to where it was, and is killed so long after a change; whether it was still at work."""
    child = os.fork()
    if child == 0:
        try:
            file_changes.die_after(change, seconds)
            train(experiment, checkpoints=Checkpoints(folder, every=3, resume=True))
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    whole = train(experiment)
    chance = random.Random(seed)
    file_changes.count()
    hits = sum(
        killed_after(chance.randint(1, MOST), turn % 2 * chance.uniform(0, file_changes.SOON)) for turn in range(kills)
    )
    print("killed", hits, "reached", max((int(p.name.split("-")[1]) for p in folder.glob("step-*")), default=0))
    run = train(experiment, checkpoints=Checkpoints(folder, every=50, resume=True))
    assert np.array_equal(run.x, whole.x), "models differ"
    assert run.history.identical(whole.history), "histories differ"
    assert run.trace.fingerprint == whole.trace.fingerprint, "traces differ"
    assert run.remarks == whole.remarks, run.remarks
    print("equal")

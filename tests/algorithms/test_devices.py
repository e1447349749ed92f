"""The same code on other arrays: the guard array everywhere, CuPy where there is a GPU."""

import numpy as np
import pytest
from guard import allow_sync, guard

from netsim import Experiment, topology, train
from netsim.algorithms import (
    DCDPSGD,
    DPSGD,
    ECDPSGD,
    AllReduceSGD,
    ChocoSGD,
    DeepSqueeze,
    DoubleSqueeze,
    EdgeGossip,
    Identity,
    Moniqua,
    NaiveCompressedDPSGD,
    NearestQuantizer,
    ParameterServerSGD,
    PowerGossip,
    PowerSGD,
    Projection,
    RandomMask,
    RandomSparsifier,
    StochasticQuantizer,
)
from netsim.device import to_host
from netsim.models import MLP, LeastSquares, SoftmaxRegression, digits

pytestmark = pytest.mark.bitwise

COMPRESSORS = [
    Identity(),
    StochasticQuantizer(8),
    StochasticQuantizer(3, scale="minmax"),
    StochasticQuantizer(4, scale="norm"),
    StochasticQuantizer(4, scale=(-1.0, 1.0)),
    StochasticQuantizer(2, levels=(-1.0, -0.1, 0.1, 1.0)),
    StochasticQuantizer(8, unit="model"),
    StochasticQuantizer(8, unit=100),
    StochasticQuantizer(16),
    NearestQuantizer(4),
    RandomSparsifier(0.3),
]
ALGORITHMS = [
    AllReduceSGD(),
    DPSGD(),
    DPSGD(gamma=0.5, overlap=False),
    *[AllReduceSGD(compress) for compress in COMPRESSORS[1:3]],
    *[DCDPSGD(compress) for compress in COMPRESSORS],
    NaiveCompressedDPSGD(COMPRESSORS[1]),
    ECDPSGD(COMPRESSORS[1]),
    ECDPSGD(COMPRESSORS[1], index="listing"),
    ParameterServerSGD(),
    ParameterServerSGD(COMPRESSORS[1], COMPRESSORS[2]),
    DoubleSqueeze(COMPRESSORS[1]),
    *[cls(COMPRESSORS[1], 0.5, overlap) for cls in (ChocoSGD, DeepSqueeze) for overlap in (False, True)],
    Moniqua(2, theta=0.5, gamma=0.5),
    Moniqua(9, theta=0.5, gamma=0.5, overlap=True, shared_noise=False),
    PowerGossip(),
    PowerGossip(rank=2, iterations=2, warm_start=False, apply="last", overlap=False),
    EdgeGossip(Projection(2)),
    EdgeGossip(Projection(1, side="left"), shared=True),
    EdgeGossip(RandomMask(0.3)),
    PowerSGD(1),
    PowerSGD(2, momentum=0.5),
]
TASKS = [
    MLP(digits(), hidden=(8,), batch=4),
    SoftmaxRegression(digits(), batch=4),
    LeastSquares.random(n=4, dimension=5, batch=3),
]


class EvaluatedWithSync:
    """A task whose evaluation may wait for the device, as every evaluation must; its steps may not."""

    def __init__(self, task):
        self.task = task

    def __getattr__(self, name):
        return getattr(self.task, name)

    def bind(self, *args):
        return EvaluatedWithSync(self.task.bind(*args))

    def evaluate(self, x):
        with allow_sync():
            return self.task.evaluate(x)


def run(task, algorithm, device, dtype="float32"):
    return train(
        Experiment(
            EvaluatedWithSync(task),
            algorithm,
            topology.ring(4),
            steps=4,
            lr=0.05,
            momentum=0.9,
            nesterov=True,
            weight_decay=1e-3,
            clip=1.0,
            device=device,
            dtype=dtype,
            evaluate="both",
            evaluate_every=2,
            record=[2],
        )
    )


def same(found, wanted):
    np.testing.assert_array_equal(found.x, wanted.x)
    np.testing.assert_array_equal(found.trajectory([2])[2], wanted.trajectory([2])[2])
    assert found.history.equals(wanted.history)
    for mine, other in zip(found.trace.bits, wanted.trace.bits, strict=True):
        for one, two in zip(mine, other, strict=True):
            np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=repr)
def test_algorithms_on_an_array_that_refuses_numpy(algorithm):
    same(run(TASKS[0], algorithm, guard), run(TASKS[0], algorithm, "cpu"))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("task", TASKS, ids=lambda task: type(task).__name__)
def test_tasks_on_an_array_that_refuses_numpy(task, dtype):
    same(run(task, DPSGD(), guard, dtype), run(task, DPSGD(), "cpu", dtype))


@pytest.mark.parametrize("algorithm", ALGORITHMS, ids=repr)
def test_algorithms_on_a_gpu(cupy, algorithm):
    """Sums run in another order there: close in float64, and as many bits where their number does not depend on the values."""
    found, wanted = run(TASKS[0], algorithm, "cuda", "float64"), run(TASKS[0], algorithm, "cpu", "float64")
    np.testing.assert_allclose(found.x, wanted.x, rtol=0, atol=1e-9)
    np.testing.assert_allclose(found.history.bits, wanted.history.bits, rtol=1e-3)


def test_random_bits_are_the_same_on_a_gpu(cupy):
    from netsim.device import make_key

    wanted = make_key(1, "test", 4, round=7).bits(1000, start=5, draw=2)
    np.testing.assert_array_equal(to_host(make_key(1, "test", 4, round=7, xp=cupy).bits(1000, start=5, draw=2)), wanted)

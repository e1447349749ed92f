"""Kernel launches of a step, counted with the guard array: few, on all workers and all tensors at once."""

import numpy as np
import pytest
from guard import guard
from toys import images_of_noise, text_of_noise

from netsim import topology
from netsim.algorithms import (
    DCDPSGD,
    DPSGD,
    ECDPSGD,
    ChocoSGD,
    Clip,
    DeepSqueeze,
    DoubleSqueeze,
    EdgeGossip,
    LowRank,
    Moniqua,
    NearestQuantizer,
    OneBit,
    PowerGossip,
    PowerSGD,
    Projection,
    RandomK,
    RandomSparsifier,
    Sign,
    StochasticQuantizer,
    TopK,
)
from netsim.comm.communicator import Communicator
from netsim.comm.recorder import Recorder
from netsim.device import make_key
from netsim.models.language import LanguageModel
from netsim.models.resnet import resnet20
from netsim.testing.guard import launches

BY_COMPRESSORS = [
    DCDPSGD(StochasticQuantizer(8)),
    ECDPSGD(StochasticQuantizer(4, scale="minmax")),
    DCDPSGD(StochasticQuantizer(4, scale="norm")),
    DCDPSGD(NearestQuantizer(2)),
    DCDPSGD(RandomSparsifier(0.3)),
    ChocoSGD(Sign(), 0.5),
    ChocoSGD(OneBit(), 0.5),
    ChocoSGD(TopK(0.01), 0.5),
    ChocoSGD(RandomK(0.01), 0.5),
    DeepSqueeze(Sign("rms"), 0.5),
    DeepSqueeze(Clip(10), 0.5),
    Moniqua(2, theta=0.5, gamma=0.5),
]
BY_MATRICES = [
    PowerGossip(),
    PowerGossip(rank=2, warm_start=False),
    EdgeGossip(Projection(1)),
    EdgeGossip(Projection(2, side="left")),
    PowerSGD(1),
    PowerSGD(2),
    ChocoSGD(LowRank(1), 0.5),
]
SHAPES = [(8, 3, 3, 3), (8,), (5, 7), (5,), (6, 8, 3, 3), (6,)]


def in_a_round(algorithm, tensors, n=4):
    """Return what a round of an algorithm launches beside the gradients, when all that is made once has been made."""
    recorder, random = Recorder(topology.ring(n)), np.random.default_rng(0)
    comm = Communicator(topology.ring(n), tensors, 0, guard, "float32", recorder)
    size = sum(int(np.prod(shape)) for shape in tensors.values())
    gradients = [guard.asarray(random.standard_normal((n, size)).astype(np.float32)) for _ in range(4)]

    def gradient(x):
        recorder.record_gradient()
        return gradients.pop()

    state = algorithm.init(guard.asarray(random.standard_normal((n, size)).astype(np.float32)), comm)
    while gradients:
        with launches() as found:
            state = algorithm.step(state, gradient, 0.1, comm)
        recorder.end_round()
    return found


def in_a_gradient(task, n):
    """Return what a gradient of n workers launches."""
    bound = task.bind(n, 0, guard, "float32", make_key)
    x, buffers = guard.asarray(np.tile(task.initial(0), (n, 1)), dtype="float32"), bound.initial_buffers(n)
    bound.gradient(x, 0, buffers)
    with launches() as found:
        bound.gradient(x, 1, buffers)
    return found


@pytest.mark.parametrize("algorithm", [DPSGD(), *BY_COMPRESSORS, *BY_MATRICES], ids=repr)
def test_more_tensors_of_the_same_shapes_are_no_more_launches(algorithm):
    few, many = (
        in_a_round(algorithm, {f"{copy}.{k}": shape for copy in range(copies) for k, shape in enumerate(SHAPES)})
        for copies in (2, 5)
    )
    assert few == many


@pytest.mark.parametrize(
    "algorithm, most",
    [
        *((one, 100) for one in BY_COMPRESSORS),
        (DoubleSqueeze(StochasticQuantizer(2)), 140),
        *((one, 250) for one in BY_MATRICES),
    ],
    ids=repr,
)
def test_a_round_of_resnet_20_is_few_launches(algorithm, most):
    found = in_a_round(algorithm, resnet20(images_of_noise()).tensors)
    assert found.total() <= most, found.most_common()


def test_what_the_readme_and_the_decisions_say():
    task = resnet20(images_of_noise(), batch=4)
    assert in_a_gradient(task, 4).total() == 988
    assert in_a_gradient(LanguageModel(text_of_noise(), width=8, batch=4), 4).total() == 1450
    for algorithm, count in {
        DCDPSGD(StochasticQuantizer(8)): 67,
        ChocoSGD(Sign(), 0.5): 52,
        ChocoSGD(TopK(0.01), 0.5): 45,
        PowerGossip(): 190,
        PowerGossip(iterations=2): 360,
    }.items():
        assert in_a_round(algorithm, task.tensors).total() == count, algorithm


def test_a_gradient_of_resnet_20_is_few_launches_for_all_workers():
    task = resnet20(images_of_noise(), batch=2, augment=True)
    found = in_a_gradient(task, 2)
    assert found == in_a_gradient(task, 5)
    assert found.total() <= 1050, found.most_common()


def test_a_gradient_of_the_lstm_is_few_launches_a_time_for_all_workers():
    def of(layers, window, n=2):
        return in_a_gradient(LanguageModel(text_of_noise(), width=4, layers=layers, batch=2, window=window), n)

    assert of(2, 8) == of(2, 8, n=5)
    assert of(2, 16).total() - of(2, 8).total() <= 2 * 8 * 14
    assert of(3, 30).total() <= 1500

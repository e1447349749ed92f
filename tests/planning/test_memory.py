"""Memory predicted by dry runs, against what the same code allocates."""

import gc
import tracemalloc
from types import SimpleNamespace

import numpy as np
import pytest
from dry_runs import GRAPH, METHODS, STACK, TENSORS, forget_what_is_kept
from guard import allow_sync, guard

from netsim import Experiment, topology, train
from netsim.algorithms import DCDPSGD, DPSGD, ChocoSGD, DoubleSqueeze, PowerGossip, Sign, TopK
from netsim.comm.communicator import Communicator
from netsim.comm.recorder import Recorder
from netsim.models import MLP, digits
from netsim.models.cnn import CNN
from netsim.models.data.dataset import Dataset
from netsim.models.data.wikitext import Corpus
from netsim.models.language import LanguageModel
from netsim.models.layers import array_pool
from netsim.models.resnet import ResNet
from netsim.planning.memory import TaskBytes, memory, memory_of
from netsim.planning.shape_array import ShapeSpace
from netsim.planning.shapes import parameters
from netsim.runs.history import History

pytestmark = pytest.mark.usefixtures("no_streams_kept")


@pytest.mark.parametrize(
    ("compute", "made"),
    [
        (lambda xp, x: x + 1, 4),
        (lambda xp, x: x > 1, 1),
        (lambda xp, x: x.astype("float64"), 8),
        (lambda xp, x: x.copy(), 4),
        (lambda xp, x: x[:, ::2], 0),
        (lambda xp, x: x[None, 3], 0),
        (lambda xp, x: x.T, 0),
        (lambda xp, x: x.swapaxes(0, 1)[::-1].T, 0),
        (lambda xp, x: xp.broadcast_to(x, (9, *x.shape)), 0),
        (lambda xp, x: x.view("int32"), 0),
        (lambda xp, x: x.ravel(), 0),
        (lambda xp, x: x.reshape(20, -1, 10), 0),
        (lambda xp, x: x[:, :50].reshape(len(x), 5, 10), 0),
        (lambda xp, x: x.T.reshape(-1), 4),  # only by a copy
        (lambda xp, x: x[xp.arange(len(x))], 4),
        (lambda xp, x: xp.concat([x, x]), 8),
        (lambda xp, x: xp.multiply(x, 2, out=x), 0),
        (lambda xp, x: xp.matmul(x, x.T, out=x[:, : x.shape[0]]), 0),
        (lambda xp, x: (x - 1).sum(axis=1), 4 / 120),
    ],
)
def test_what_owns_memory(compute, made):
    space = ShapeSpace()
    x = space.empty((100, 120), dtype="float32")
    before = space.live
    result = compute(space, x)
    assert before == 48_000 == x.nbytes
    assert space.live - before == pytest.approx(made * x.size, abs=800)  # indices
    assert (result.base is x) == (made == 0)
    del x
    assert space.live == pytest.approx(result.base.nbytes, abs=800)
    del result
    assert space.live == 0


@pytest.mark.parametrize(
    "multiply, copied",
    [
        (lambda xp, x, y: x @ y, 0),
        (lambda xp, x, y: y[0].T @ x[0].T, 0),  # two dimensions: the library is told to transpose
        (lambda xp, x, y: x.swapaxes(1, 2) @ y[:, :40], 10 * 50 * 40 + 10 * 40 * 60),
        (lambda xp, x, y: xp.matmul(x[:, :, ::2], y[:, ::2][:, :25]), 10 * 40 * 25 + 10 * 25 * 60),
        (lambda xp, x, y: xp.matmul(x, y, out=xp.empty((10, 60, 40)).swapaxes(1, 2)), 10 * 40 * 60),
    ],
)
def test_matrix_products_copy_on_a_device_what_is_not_in_order(multiply, copied):
    tracemalloc.start()
    try:
        x, y = (guard.asarray(np.zeros(shape)) for shape in ((10, 40, 50), (10, 50, 60)))
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        result = multiply(guard, x, y)
        most = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    made = 8 * result.size
    assert most == pytest.approx(made + 8 * copied, abs=4000)
    for copying in (False, True):
        space = ShapeSpace(copying=copying)
        x, y = space.empty((10, 40, 50)), space.empty((10, 50, 60))
        before = space.live
        multiply(space, x, y)
        assert space.peak - before == made + 8 * copied * copying


def test_operators_in_place_take_nothing_and_temporaries_go():
    space = ShapeSpace()
    x = space.ones((50, 40))
    assert (space.live, space.peak) == (16_000, 16_000)
    x += 2
    x[:, :10] *= 3.0
    assert (space.live, space.peak) == (16_000, 16_000)
    y = 2 * x + 1
    assert (space.live, space.peak) == (32_000, 48_000)
    view = x[3:]
    del x
    assert space.live == 32_000
    del view
    assert (space.live, y.nbytes) == (16_000, 16_000)


def peak_of(work):
    """Return the most bytes that were alive at a time in a call."""
    forget_what_is_kept()
    gc.collect()
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def traced(algorithm, xp, evaluate=lambda x: {"loss": 0.0}):
    """Return the bytes that were alive after the third step of a training without a task, and the most of them in it."""
    n, size, recorder = GRAPH.n, parameters(TENSORS), Recorder(GRAPH)
    numbers = np.random.default_rng(0).standard_normal((n, size)).astype(np.float32)
    gc.collect()
    tracemalloc.start()
    try:
        comm = Communicator(GRAPH, TENSORS, 0, xp, "float32", recorder)
        history = History(SimpleNamespace(evaluate="average", task=None), SimpleNamespace(evaluate=evaluate))
        buffer, state = xp.asarray(numbers.copy()), xp.asarray(numbers.copy())

        def gradient(x):
            recorder.record_gradient()
            return buffer

        state = algorithm.init(state, comm)
        for _ in range(3):
            gc.collect()
            tracemalloc.reset_peak()
            after = algorithm.step(state, gradient, 0.01, comm)
            recorder.end_round()
            xp.isfinite(after.x).all()
            with allow_sync():
                history.evaluate(1, after.x, 0.0, 0.01)
            state = after
            del after
        return tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("algorithm", METHODS, ids=repr)
def test_a_dry_run_takes_what_arrays_of_numbers_take(algorithm):
    """On the path of every device but a CPU, within 2 %: Python's own objects are in the one and not in the other.

    NumPy's take makes indices of 8 bytes of those of 4, here one for each number of a model.
    """
    found = memory(algorithm, TENSORS, GRAPH)
    forget_what_is_kept()
    assert (found.models, found.gradient) == (STACK, STACK)
    held, most = traced(algorithm, guard)
    assert 0.98 * found.total < most < 1.02 * found.total + 8 * parameters(TENSORS)
    kept = found.models + found.gradient + found.replicas
    # the mixing matrix, and two rows of a stack: the counters of the streams and the units of all columns
    assert kept < held < kept + 0.4 * STACK


@pytest.mark.parametrize("algorithm", [DPSGD(), ChocoSGD(Sign(), 0.5), PowerGossip()], ids=repr)
def test_an_evaluation_that_takes_much(algorithm):
    """It is the busiest moment; what measures the distance between the models is gone by then."""
    much = 20 * STACK
    found = memory(algorithm, TENSORS, GRAPH, task=TaskBytes(evaluation=much))

    def evaluate(x):
        np.empty(much, np.uint8)
        return {"loss": 0.0}

    forget_what_is_kept()
    _, most = traced(algorithm, guard, evaluate)
    assert most - much == pytest.approx(found.total - much, rel=0.02)


def test_no_copy_of_the_models_is_alive_while_one_is_evaluated():
    x, alive = np.ones((6, 50_000), np.float32), []

    def evaluate(model):
        alive.append(tracemalloc.get_traced_memory()[0])
        return {"loss": 0.0}

    tracemalloc.start()
    History(SimpleNamespace(evaluate="both", task=None), SimpleNamespace(evaluate=evaluate)).evaluate(0, x, 0.0, 0.1)
    tracemalloc.stop()
    assert len(alive) == 7 and max(alive) < 1.5 * x[0].nbytes  # the average is


def test_what_numpys_functions_take_inside_is_not_in_it():
    """Top-k sorts, for which NumPy takes memory: here at most the bytes of as many integers as half of the numbers."""
    algorithm = DCDPSGD(TopK(0.1))
    found, (_, real) = memory(algorithm, TENSORS, GRAPH), traced(algorithm, guard)
    assert found.total < real < found.total + 8 * GRAPH.n * 24_000


@pytest.mark.parametrize("algorithm", METHODS, ids=repr)
def test_on_a_cpu_it_is_a_bound(algorithm):
    """NumPy adds into the memory of a temporary result, so that it needs up to one stack of models less."""
    found, (_, real) = memory(algorithm, TENSORS, GRAPH, in_blocks=True), traced(algorithm, np)
    assert found.total - 1.05 * STACK < real < found.total + 0.05 * STACK


@pytest.mark.parametrize("algorithm", [ChocoSGD(Sign(), 0.5), PowerGossip(), DoubleSqueeze(Sign())], ids=repr)
def test_the_sum_is_what_training_takes(algorithm):
    """With task, momentum, weight decay and clipping: the table's columns against a whole training; NumPy's take as above."""
    task = MLP(digits(), hidden=(300, 200), batch=32)
    experiment = Experiment(
        task,
        algorithm,
        GRAPH,
        4,
        momentum=0.9,
        nesterov=True,
        weight_decay=0.1,
        clip=1.0,
        device=guard,
        evaluate_every=4,
    )
    found = memory_of(experiment)
    with allow_sync():
        train(experiment)  # whatever is imported or cached is
        peak = peak_of(lambda: train(experiment))
    assert found.optimizer == found.models
    assert 0.97 * found.total < peak < 1.03 * found.total + 8 * parameters(task.tensors)


def test_what_a_dense_task_takes():
    task, n = MLP(digits(), hidden=(500, 300), batch=128), 6
    gc.collect()
    tracemalloc.start()
    bound = task.bind(n, 0)
    gradient = bound.gradient(np.full((n, parameters(task.tensors)), 0.01, np.float32), 0)[1]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    data = memory_of(Experiment(task, DPSGD(), topology.ring(n), 1, device="cpu")).data
    assert peak - 2 * gradient.nbytes - data == pytest.approx(bound.activation_bytes(n), rel=0.04)
    assert bound.activation_bytes(2 * n) == 2 * bound.activation_bytes(n)


def test_what_other_tasks_say():
    images = np.zeros((64, 3 * 16 * 16), np.float32)
    labels = np.zeros(64, np.uint8)
    task = ResNet(
        Dataset("blank", images, labels, images[:8], labels[:8], 10, (3, 16, 16)), widths=(4, 8), blocks=1, batch=4
    )
    bound = task.bind(1, 0)
    for on, loaded in (("cpu", images.nbytes + images[:8].nbytes + labels.nbytes + 8), (guard, 0)):
        found = memory_of(Experiment(task, DPSGD(), topology.ring(8), 1, device=on))
        wanted = bound if on == "cpu" else task.bind(8, 0, guard)
        gradients, _, both = wanted.lasting_bytes(8)  # what an evaluation adds to it stays too
        buffers = 2 * bound.initial_buffers(8).nbytes
        assert found.activations == wanted.activation_bytes(8) + both - gradients + buffers
        indices = 8 * len(images)  # of an epoch, every image once
        assert found.data + loaded == 2 * images.nbytes + images[:8].nbytes + 2 * labels.nbytes + 8 + indices


def pictures(side, seed=0):
    """Return a data set of random images; 120 and 75 are no whole number of the parts that are evaluated."""
    random = np.random.default_rng(seed)
    images, labels = random.standard_normal((120, 3 * side**2)).astype(np.float32), np.arange(120, dtype=np.uint8) % 10
    return Dataset("noise", images, labels, images[:75].copy(), labels[:75].copy(), 10, (3, side, side))


NETWORKS = {
    "narrow": ResNet(pictures(32), widths=(8, 16, 32), blocks=1, batch=16),
    "shortcut A": ResNet(pictures(32), widths=(8, 16, 32), blocks=2, shortcut="A", batch=8),
    "wide": ResNet(pictures(8), widths=(32, 128), blocks=1, batch=8),  # kernels take more than images
    "small batch": ResNet(pictures(32), widths=(16, 32), blocks=1, batch=4),  # an evaluation takes more than a gradient
    "the evaluation's batch": ResNet(pictures(32), widths=(16, 32), blocks=1, batch=32),
    "a smaller last one": ResNet(pictures(32), widths=(16, 32), blocks=1, batch=16, partial=True, reshuffle=True),
    "moved": ResNet(pictures(32), widths=(8, 16), blocks=1, batch=16, augment=True),
    "cnn": CNN(pictures(32), batch=16),
    "cnn of one": CNN(pictures(16), channels=(24,), batch=30),
    "cnn in parts": CNN(pictures(32), batch=16, samples=6, partial=True),
    "wide cnn in parts": CNN(pictures(8), channels=(128, 256), batch=2, samples=1),  # a second gradient
}


def on_one_thread(monkeypatch):
    for module in ("parallel", "language", "images"):
        monkeypatch.setattr(f"netsim.models.{module}.threads", lambda: 1)


@pytest.mark.parametrize("network", NETWORKS)
def test_what_images_keep_on_a_cpu(network, monkeypatch):
    """The memory that is kept is foretold array by array: after an epoch, after an evaluation, and after both."""
    on_one_thread(monkeypatch)
    bound, found = NETWORKS[network].bind(3, 0), []
    x, buffers = np.tile(bound.initial(0), (3, 1)), bound.initial_buffers(3)
    for steps, evaluations in ((bound.steps_per_epoch, 0), (0, 1), (bound.steps_per_epoch, 1)):
        array_pool.release_unused()
        for step in range(steps):
            bound.gradient(x, step, buffers)
        for _ in range(evaluations):
            bound.evaluate(x[0], buffers[0])
        found.append(array_pool.unused_bytes())
    for real, said in zip(found, bound.lasting_bytes(3), strict=True):
        assert real - 1e5 < said < 1.1 * real + 1e6  # small arrays are not kept; scratch may take an array's place


@pytest.mark.parametrize(
    "network", ["narrow", "wide", "small batch", "cnn of one", "cnn in parts", "wide cnn in parts"]
)
def test_what_a_network_for_images_takes_on_a_cpu(network, monkeypatch):
    on_one_thread(monkeypatch)
    experiment = Experiment(NETWORKS[network], DPSGD(), topology.ring(3), 4, device="cpu", evaluate_every=2)
    found = memory_of(experiment)
    train(experiment)
    peak = peak_of(lambda: train(experiment)) + array_pool.unused_bytes()  # NumPy's own, and what was mapped
    assert 0.85 * found.total < peak < 1.02 * found.total


@pytest.mark.parametrize(
    "network", ["shortcut A", "wide", "small batch", "cnn", "cnn of one", "cnn in parts", "wide cnn in parts"]
)
def test_what_a_network_for_images_takes_on_another_device_is_bounded(network):
    bound = NETWORKS[network].bind(3, 0, guard)
    x, buffers = (
        guard.asarray(np.tile(NETWORKS[network].initial(0).astype(np.float32), (3, 1))),
        bound.initial_buffers(3),
    )
    with allow_sync():
        bound.gradient(x, 0, buffers)  # what is loaded once is no part of it
        gradient = peak_of(lambda: bound.gradient(x, 1, buffers))
        evaluation = peak_of(lambda: bound.evaluate(x[0], buffers[0]))
    assert bound.lasting_bytes(3) == (0, 0, 0)
    assert gradient < bound.activation_bytes(3) < 1.5 * gradient
    assert evaluation < bound.evaluation_bytes() < 1.6 * evaluation


@pytest.mark.parametrize("several", [False, True], ids=["one thread", "threads"])
@pytest.mark.parametrize("algorithm", [DPSGD(), ChocoSGD(Sign(), 0.5)], ids=repr)
def test_what_a_language_model_takes_on_a_cpu(algorithm, several, monkeypatch):
    """Its scratch stays while the algorithm works and while a model is evaluated. How many threads get work is up to the machine."""
    if not several:
        on_one_thread(monkeypatch)
    train_text, other = np.arange(8_000, dtype=np.int32) % 2000, np.arange(700, dtype=np.int32)
    text = Corpus("numbers", tuple(map(str, range(2000))), train_text, other, other)
    task = LanguageModel(text, width=40, layers=2, batch=32, window=20)
    experiment = Experiment(task, algorithm, GRAPH, 3, clip=0.4, device="cpu", evaluate_every=3)
    found = memory_of(experiment)
    train(experiment)
    peak = peak_of(lambda: train(experiment))
    assert peak < 1.05 * found.total
    assert several or peak > 0.9 * found.total

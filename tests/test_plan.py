"""Memory before a run: what a dry run counts is what the same code takes, and what cannot fit is refused."""

import gc
import json
import tracemalloc
from math import prod
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np
import pytest
from array_api_compat import array_namespace
from guard import allow_sync, guard

from algorithms import (
    DCDPSGD,
    DPSGD,
    ECDPSGD,
    ChocoSGD,
    DeepSqueeze,
    DoubleSqueeze,
    Identity,
    LowRank,
    Moniqua,
    PowerGossip,
    PowerSGD,
    Sign,
    StochasticQuantizer,
    TopK,
)
from algorithms.protocol import Models
from models import MLP, digits
from models.dataset import Dataset
from models.resnet import ResNet
from netsim import Experiment, NetsimError, cli, device, topology, train
from netsim.accounting.memory import Memory, free_bytes, memory, memory_of, needed
from netsim.accounting.shape_array import ShapeSpace
from netsim.accounting.shapes import lstm650, parameters, resnet20
from netsim.accounting.times import methods
from netsim.commands import plan as plan_cli
from netsim.communicator import Communicator, Recorder
from netsim.history import History

GRAPH = topology.ring(6)
TENSORS = {"weight1": (40, 600), "bias1": (40,), "weight2": (60, 400), "bias2": (60,)}
STACK = 4 * GRAPH.n * parameters(TENSORS)  # bytes of all models
METHODS = [*methods(), DCDPSGD(LowRank(2)), ECDPSGD(StochasticQuantizer(4, "minmax")), DPSGD(overlap=False)]


@pytest.fixture(autouse=True)
def no_streams_kept():
    """The counters of random streams are kept from run to run: here nobody has made them before."""
    device._counters.cache_clear()
    device._base_words.cache_clear()


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


def traced(algorithm, xp):
    """Return the bytes that were alive after the third step of a training without a task, and the most of them in it."""
    n, size, recorder = GRAPH.n, parameters(TENSORS), Recorder(GRAPH)
    numbers = np.random.default_rng(0).standard_normal((n, size)).astype(np.float32)
    gc.collect()
    tracemalloc.start()
    try:
        comm = Communicator(GRAPH, TENSORS, 0, xp, "float32", recorder)
        history = History(SimpleNamespace(evaluate="average"), SimpleNamespace(evaluate=lambda x: {"loss": 0.0}))
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
    """On the path of every device but a CPU, within 2 %: Python's own objects are in the one and not in the other."""
    found = memory(algorithm, TENSORS, GRAPH)
    device._counters.cache_clear()
    device._base_words.cache_clear()
    assert (found.models, found.gradient) == (STACK, STACK)
    held, most = traced(algorithm, guard)
    assert most == pytest.approx(found.total, rel=0.02)
    kept = found.models + found.gradient + found.replicas
    assert kept < held < kept + 0.2 * STACK  # the mixing matrix, and the counters of the streams: one row of a stack


def test_what_numpys_functions_take_inside_is_not_in_it():
    """Top-k counts truth values, and NumPy's cumsum first copies them to integers of 8 bytes: here those of a tensor of 24,000."""
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
    """With task, momentum, weight decay and clipping: the table's columns against a whole training."""
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
    device._counters.cache_clear()
    device._base_words.cache_clear()
    gc.collect()
    tracemalloc.start()
    with allow_sync():
        train(experiment)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.optimizer == found.models
    assert peak == pytest.approx(found.total, rel=0.03)


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
        buffers = 2 * bound.initial_buffers(8).nbytes
        wanted = bound if on == "cpu" else task.bind(8, 0, guard)
        assert found.activations == wanted.activation_bytes(8) + buffers
        assert found.data + loaded == 2 * images.nbytes + images[:8].nbytes + 2 * labels.nbytes + 8


def share(algorithm, tensors, graph):
    found = memory(algorithm, tensors, graph)
    return found.by_copies / found.model, found.by_sums / found.model


@pytest.mark.parametrize(
    ("algorithm", "ring", "hub"),
    [
        (DPSGD(), (0, 0), (0, 0)),
        (Moniqua(2, 0.25, 0.005), (0, 0), (0, 0)),
        (DCDPSGD(Sign()), (2, 1), (4, 1)),
        (ECDPSGD(Sign()), (3, 2), (5, 2)),
        (ChocoSGD(Sign(), 0.5), (3, 2), (5, 2)),
        (DeepSqueeze(Sign(), 0.5), (1, 1), (1, 1)),
        (DoubleSqueeze(Sign()), (1, 1), (1, 1)),
    ],
    ids=repr,
)
def test_models_that_a_deployed_worker_holds(algorithm, ring, hub):
    """Beside its own; neighbours' replicas one each, or their sum. On the star it is the worker in the middle."""
    assert share(algorithm, TENSORS, GRAPH) == ring
    assert share(algorithm, TENSORS, topology.star(5)) == hub


@pytest.mark.parametrize(
    ("tensors", "graph", "percent"), [(resnet20(), topology.ring(8), 4.26), (lstm650(), topology.ring(16), 0.307)]
)
def test_powergossip_holds_a_vector_per_matrix_and_neighbour(tensors, graph, percent):
    """As long as a row or a column is, whichever is longer, because they take turns; and the side."""
    sizes = [(shape[0], prod(shape[1:])) for shape in tensors.values() if len(shape) > 1]
    found = memory(PowerGossip(), tensors, graph)
    assert found.by_copies == found.by_sums == 2 * sum(4 * max(size) + 1 for size in sizes)
    assert 100 * found.by_copies / found.model == pytest.approx(percent, rel=2e-3)
    assert found.by_copies < memory(DeepSqueeze(Sign(), 0.5), tensors, graph).by_copies
    assert found.by_copies < memory(ChocoSGD(Sign(), 0.5), tensors, graph).by_sums


def test_powersgd_holds_its_momentum_where_it_has_one():
    factors = 4 * 2 * (600 + 400)
    found = [memory(PowerSGD(2, momentum), TENSORS, GRAPH) for momentum in (0.0, 0.9)]
    assert [one.by_copies for one in found] == [one.model * (1 + k) + factors for k, one in enumerate(found)]


@pytest.mark.parametrize("algorithm", METHODS, ids=repr)
def test_holders_name_fields_of_the_state(algorithm):
    space = ShapeSpace()
    comm = Communicator(GRAPH, TENSORS, 0, space, "float32", Recorder(GRAPH))
    state = algorithm.init(space.empty((GRAPH.n, parameters(TENSORS)), dtype="float32"), comm)
    assert set(getattr(algorithm, "holders", {})) <= set(state._fields)


class Strange:
    def init(self, x, comm):
        return Models(x)

    def step(self, state, gradient, lr, comm):
        raise KeyError("what shapes have not")


class Undeclared:
    """Keeps its models under two names, a copy of them, and three numbers that belong to no worker."""

    def init(self, x, comm):
        return KeptTwice(x, {"same": x, "copy": x.copy()}, array_namespace(x).zeros(3, dtype=x.dtype))

    def step(self, state, gradient, lr, comm):
        x = state.x - lr * gradient(state.x)
        return state._replace(x=x, kept={"same": x, "copy": x.copy()})


class KeptTwice(NamedTuple):
    x: Any
    kept: Any
    numbers: Any


def test_without_declaration_a_worker_holds_its_own_row():
    found = memory(Undeclared(), TENSORS, GRAPH)
    assert found.replicas == STACK + 12
    assert found.by_copies == found.by_sums == found.model + 12


def test_what_cannot_be_run_on_shapes_says_so():
    with pytest.raises(NetsimError, match="cannot be run on shapes: KeyError"):
        memory(Strange(), TENSORS, GRAPH)


def test_trainings_at_a_time():
    found = [Memory(DPSGD(), 10, 0, 0, 0, None, None, working, 0, 0, 1) for working in (5, 50, 20)]
    assert needed(found, 1, on_cpu=False) == 60
    assert needed(found, 2, on_cpu=False) == 90 and needed(found, 9, on_cpu=True) == 105
    assert needed(found, 2, on_cpu=True) == 100  # the models of the one that is done stay


def test_free_memory(monkeypatch):
    free = free_bytes(np)
    assert free is None or free > 1e6
    assert free_bytes(guard) is None
    pool = SimpleNamespace(free_bytes=lambda: 5)
    runtime = SimpleNamespace(memGetInfo=lambda: (100, 200))
    assert (
        free_bytes(SimpleNamespace(cuda=SimpleNamespace(runtime=runtime), get_default_memory_pool=lambda: pool)) == 105
    )
    monkeypatch.setattr("netsim.accounting.memory.Path", lambda name: SimpleNamespace(read_text=missing))
    assert free_bytes(np) is None


def missing(encoding):
    raise FileNotFoundError


@pytest.fixture
def netsim(capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


def test_plan_of_a_preset(netsim):
    code, said, complaint = netsim("plan", "tang2018", "--jobs", 2, "--device", "cpu", "--json")
    told = json.loads(said)
    assert (code, complaint, told["parameters"], told["workers"]) == (0, "", 272_095, 8)
    for row in told["methods"]:
        assert row["models"] == row["gradient"] == 4 * 8 * 272_095
        assert row["total"] == sum(row[name] for name in plan_cli.COLUMNS)
    totals = sorted(row["total"] for row in told["methods"])
    assert told["needed"] == sum(totals[-2:]) + 3 * 4 * 8 * 272_095
    code, said, _ = netsim("plan", "tang2018", "--jobs", 2, "--device", "cpu")
    assert code == 0 and "2 at a time, the largest, need" in said and "free on cpu" in said
    assert "a copy per neighbour" in said and "their weighted sum" in said


def test_plan_of_shapes(netsim):
    code, said, _ = netsim("plan", "--shapes", "resnet20", "--workers", 8, "--device", "cpu")
    assert code == 0 and "4.26 %" in said and "shapes are no task" in said
    code, said, _ = netsim("plan", "--shapes", "resnet20", "--device", "cpu", "--json")
    told = json.loads(said)
    assert told["needed"] == max(row["total"] for row in told["methods"]) and told["methods"][0]["data"] is None


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "name a preset or a file, or give --shapes"),
        (("tang2018", "--shapes", "resnet20"), "name a preset or a file, or give --shapes"),
        (("tang2018", "--workers", "4"), "--workers = 4: must be left out"),
        (("--shapes", "resnet18"), "--shapes resnet18: no model of this name"),
        (("nowhere.toml",), "nowhere.toml: no such file"),
        (("tang2018-mnist",), "--data PATH"),
        (("tang2018", "--device", "tpu"), 'write "auto", "cpu" or "cuda"'),
    ],
)
def test_mistakes_are_one_line(netsim, arguments, complaint):
    code, said, line = netsim("plan", *arguments)
    assert (code, said) == (2, "") and complaint in line and line.count("\n") == 1


def free(monkeypatch, size):
    monkeypatch.setattr(plan_cli, "free_bytes", lambda xp: size)


@pytest.mark.parametrize(
    "arguments",
    [
        ("sweep", "tang2018", "--device", "cpu", "--jobs", 2),
        ("run", "tang2018", "--device", "cpu", "--algorithm", 4, "--latency", "1 ms", "--bandwidth", "1 Gbit/s"),
    ],
    ids=lambda words: words[0],
)
def test_what_cannot_fit_is_refused_with_the_table(netsim, monkeypatch, tmp_path, arguments):
    monkeypatch.chdir(tmp_path)
    free(monkeypatch, 40_000_000)
    code, said, complaint = netsim(*arguments)
    assert (code, said) == (2, "") and not list(tmp_path.iterdir())
    first, *table, last = complaint.strip().splitlines()
    assert first.startswith("netsim: ") and first.endswith("and cpu has 40 MB free:")
    assert "DCDPSGD(StochasticQuantizer(8))" in complaint and "working" in table[1]
    assert last == "what helps: fewer workers, a smaller batch"


def test_fewer_at_a_time_may_fit(monkeypatch):
    task = MLP(digits(), hidden=(20,), batch=4)
    experiments = [Experiment(task, DPSGD(), GRAPH, 1, dtype="float64", device="cpu")] * 4
    one = memory_of(experiments[0])
    free(monkeypatch, 2 * one.total + 2 * one.models)
    plan_cli.check_fits(experiments, 2)
    with pytest.raises(
        plan_cli.CannotFit, match=r'^4 trainings at a time need(.|\n)*helps: --jobs 2 \((.|\n)*dtype = "float32"$'
    ):
        plan_cli.check_fits(experiments, 4)
    free(monkeypatch, 0)
    with pytest.raises(plan_cli.CannotFit, match=r"^4 trainings(.|\n)*what helps: fewer workers"):
        plan_cli.check_fits(experiments, 9)


def test_nothing_is_refused_on_what_is_not_known(monkeypatch):
    task = MLP(digits(), hidden=(20,), batch=4)
    experiment = Experiment(task, DCDPSGD(Identity()), GRAPH, 1, device="cpu")
    free(monkeypatch, None)
    plan_cli.check_fits([experiment], 1)
    free(monkeypatch, 1)
    plan_cli.check_fits([Experiment(task, Strange(), GRAPH, 1, device="cpu")], 1)
    with pytest.raises(plan_cli.CannotFit):
        plan_cli.check_fits([experiment], 1)

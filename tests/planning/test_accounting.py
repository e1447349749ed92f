"""Bytes and times from shapes, against the published tables and real trainings."""

import json
import re
from math import prod
from pathlib import Path

import numpy as np
import pytest

from netsim import Experiment, NetsimError, Network, algorithms, replay, topology, train
from netsim.algorithms import (
    DCDPSGD,
    DPSGD,
    Clip,
    EdgeGossip,
    Identity,
    LowRank,
    NearestQuantizer,
    OneBit,
    PowerGossip,
    Projection,
    RandomK,
    RandomSparsifier,
    Sign,
    StochasticQuantizer,
    TopK,
)
from netsim.commands import app as cli
from netsim.models.data.datasets import digits
from netsim.models.mlp import MLP
from netsim.papers.published_bytes import TABLES, compare
from netsim.planning.dry_run import dry_run, expected_bits
from netsim.planning.shape_array import ShapeSpace
from netsim.planning.shapes import lstm650, parameters, resnet20
from netsim.planning.times import ROUNDS, epoch_time, methods, prolonged

BITS_PER_STEP = {  # of a worker, over both neighbours
    "powergossip-table1": {
        "all-reduce": 1_736_959_680,
        "D-PSGD": 1_852_756_416,
        "PowerGossip, 8 iterations": 15_394_880,
        "PowerGossip, 16 iterations": 27_943_744,
        "PowerGossip, 32 iterations": 53_041_472,
        "CHOCO sign+norm": 57_899_534,
        "CHOCO top-1%": 55_582_464,
    },
    "powergossip-table2": {
        "all-reduce": 15_258_880,
        "D-PSGD": 17_438_336,
        "CHOCO top-1%": 527_232,
        "CHOCO sign+norm": 549_108,
        "Moniqua, 2 bits": 1_089_896,
        "DeepSqueeze sign+norm": 549_108,
        "PowerGossip, 1 iteration": 310_560,
        "PowerGossip, 2 iterations": 520_128,
    },
}
PUBLISHED = {
    "powergossip-table1": ("15 GB", "127 MB", "230 MB", "437 MB", "483 MB", "464 MB"),
    "powergossip-table2": ("102 MB", "3.1 MB", "3.2 MB", "6.4 MB", "3.2 MB", "1.8 MB", "3 MB"),
}
COMPRESSORS = (
    Identity(),
    StochasticQuantizer(4, "norm"),
    StochasticQuantizer(4, "minmax", unit="model"),
    StochasticQuantizer(4, (-1.0, 1.0)),
    StochasticQuantizer(2, levels=(-1.0, 0.0, 1.0)),
    NearestQuantizer(4, unit=100),
    Sign("rms", unit="model"),
    OneBit(),
    Clip(12),
    TopK(0.05, profile="int64-index"),
    TopK(0.05, unit="model"),
    RandomK(0.05, unbiased=True),
    RandomK(0.05, profile="int64-index", unit=50),
    LowRank(2, iterations=1),
)
TASK = MLP(digits(), hidden=(12,), batch=4)
GRAPH = topology.ring(5)
STEPS = 5
NETWORK = Network(1e-3, 1e6, compute=0.01)


def trained(algorithm, graph=GRAPH, steps=STEPS):
    return train(Experiment(TASK, algorithm, graph, steps, lr=0.05, evaluate_every=steps))


@pytest.fixture(scope="module")
def tables():
    return {name: compare(table()) for name, table in TABLES.items()}


def test_shapes():
    assert parameters(resnet20()) == 272_474 and parameters(lstm650()) == 28_949_319
    assert resnet20()["layer2.0.shortcut.conv.weight"] == (32, 16, 1, 1)
    assert sum(len(shape) == 4 for shape in resnet20().values()) == 21


@pytest.mark.parametrize(("name", "label"), [(name, label) for name, rows in BITS_PER_STEP.items() for label in rows])
def test_published_rows(tables, name, label):
    (row,) = (row for row in tables[name] if row["row"] == label)
    assert row["bits_per_step"] == BITS_PER_STEP[name][label]
    if label == "all-reduce":
        assert row["published"] is None and row["published_factor"] is None
    else:
        assert abs(row["difference_percent"]) < 1.5


@pytest.mark.parametrize("name", TABLES)
def test_published_numbers_are_the_papers(tables, name):
    published = [f"{row['published']:g} {row['unit']}" for row in tables[name] if row["published"] is not None]
    assert tuple(published) == PUBLISHED[name]
    assert [row["row"] for row in tables[name]] == list(BITS_PER_STEP[name])


def test_powergossip_by_hand(tables):
    """One vector of every matrix an iteration, a column's or a row's in turn; tensors of one dimension once."""
    sizes = [(shape[0], prod(shape[1:])) for shape in resnet20().values() if len(shape) > 1]
    vectors = sum(rows + columns for rows, columns in sizes)
    others = sum(shape[0] for shape in resnet20().values() if len(shape) == 1)
    found = {row["row"]: row for row in tables["powergossip-table2"]}
    assert found["PowerGossip, 2 iterations"]["bits_per_step"] == 2 * 32 * (vectors + others)
    assert found["PowerGossip, 1 iteration"]["bits_per_step"] == 32 * (vectors + 2 * others)
    assert found["all-reduce"]["share_of_model"] == pytest.approx(2 * 7 / 8, rel=1e-4)
    assert found["Moniqua, 2 bits"]["share_of_model"] == 1 / 16 and found["Moniqua, 2 bits"]["factor"] == 16


def test_every_method_is_timed():
    named = {found for found in vars(algorithms).values() if isinstance(found, type) and hasattr(found, "step")}
    named -= {algorithms.Algorithm}
    assert {type(method) for method in methods()} == named == {type(method) for method in methods("lstm650")}


@pytest.mark.parametrize(
    "algorithm",
    [
        *(method for method in methods() if not isinstance(method, PowerGossip)),
        *map(DCDPSGD, COMPRESSORS),
        EdgeGossip(Projection(2, "left"), overlap=False),
    ],
    ids=repr,
)
def test_dry_runs_say_what_training_says(algorithm):
    """Not only the bits: the whole trace, so that all times are the same too."""
    assert dry_run(algorithm, TASK.tensors, GRAPH, STEPS).fingerprint == trained(algorithm).trace.fingerprint


@pytest.mark.parametrize(
    "algorithm",
    [
        PowerGossip(),
        PowerGossip(iterations=2),
        PowerGossip(rank=3, iterations=3, overlap=False),
        PowerGossip(warm_start=False, apply="last"),
    ],
    ids=repr,
)
@pytest.mark.parametrize("graph", [GRAPH, topology.star(4)], ids=lambda graph: graph.name)
@pytest.mark.bitwise
def test_powergossip_but_for_the_round_of_equal_models(algorithm, graph):
    """In its first round all models are equal, so that no edge changes its side in the first iteration; after it they alternate."""
    real = trained(algorithm, graph, STEPS).trace
    dry = dry_run(algorithm, TASK.tensors, graph, STEPS)
    later = real.bits_per_worker()[1:]
    if algorithm.iterations == 1:
        np.testing.assert_array_equal(later, dry.bits_per_worker()[:-1])
    assert expected_bits(algorithm, TASK.tensors, graph).bits == pytest.approx(later[:4].mean(), rel=1e-12)
    assert set(dry.programs) == set(real.programs)


@pytest.mark.parametrize("unit", ["model", "tensor", 7])
@pytest.mark.parametrize("probability", [0.03, 0.25, 0.9])
def test_random_sizes_give_the_expectation(unit, probability):
    algorithm = DCDPSGD(RandomSparsifier(probability, unit=unit))
    sent = expected_bits(algorithm, TASK.tensors, GRAPH)
    means = trained(algorithm, steps=150).trace.bits_per_worker().mean(axis=1)
    real, its_error = means.mean(), means.std(ddof=1) / len(means) ** 0.5
    assert 0 < sent.standard_error < 0.02 * sent.bits
    assert abs(sent.bits - real) < 4 * (sent.standard_error**2 + its_error**2) ** 0.5
    assert expected_bits(algorithm, TASK.tensors, GRAPH)[:2] == sent[:2]
    assert expected_bits(DCDPSGD(TopK(0.1)), TASK.tensors, GRAPH).standard_error == 0


@pytest.mark.parametrize("unit", ["tensor", 512])
def test_a_few_rounds_tell_of_random_sizes_of_a_large_model(unit):
    sent = expected_bits(DCDPSGD(RandomSparsifier(0.25, unit=unit)), dict(lstm650()), GRAPH)
    assert sent.trace.rounds <= 8 and 0 < sent.standard_error <= 1e-4 * sent.bits


def test_sizes_that_depend_on_the_data_are_not_guessed():
    class Loud:
        def compress(self, x, key, tensors):
            bits = (x > 0.5).sum(axis=1)
            return algorithms.compression.message.Message(x, bits, {}, tensors)

    with pytest.raises(NetsimError, match="depends on them"):
        dry_run(DCDPSGD(Loud()), TASK.tensors, GRAPH)


def test_unknown_functions_name_themselves():
    class Odd:
        def compress(self, x, key, tensors):
            return x.__array_namespace__().unwrap(x)

    with pytest.raises(NetsimError, match=r"unwrap\(\)"):
        dry_run(DCDPSGD(Odd()), TASK.tensors, GRAPH)


@pytest.mark.parametrize("algorithm", methods(), ids=repr)
def test_prolonged_traces_are_those_of_long_dry_runs(algorithm):
    trace = expected_bits(algorithm, TASK.tensors, GRAPH).trace
    assert prolonged(trace, ROUNDS).fingerprint == dry_run(algorithm, TASK.tensors, GRAPH, ROUNDS).fingerprint


@pytest.mark.parametrize("algorithm", [DPSGD(), DCDPSGD(Sign()), algorithms.AllReduceSGD()], ids=repr)
def test_epoch_times_are_those_of_training(algorithm):
    ends = replay(trained(algorithm, steps=ROUNDS).trace, NETWORK).round_end
    found = epoch_time(algorithm, TASK.tensors, GRAPH, NETWORK)
    assert found.seconds == pytest.approx(ends[-1] - ends[-2], rel=1e-9)


@pytest.mark.parametrize("graph", [topology.ring(8), topology.exponential(8)], ids=lambda one: one.name)
@pytest.mark.parametrize(
    "network", [Network(0.02, 1e7, compute=0.05), Network(1e-4, 1e9, compute=0.05)], ids=["slow", "fast"]
)
def test_eight_rounds_tell_what_sixty_do(graph, network):
    for algorithm in methods():
        trace = prolonged(expected_bits(algorithm, TASK.tensors, graph).trace, 60)
        ends = replay(trace, network).round_end
        found = epoch_time(algorithm, TASK.tensors, graph, network)
        assert found.seconds == pytest.approx((ends[-1] - ends[-21]) / 20, rel=1e-9), algorithm


def test_dpsgd_in_closed_form():
    """On a ring, max(compute, latency + 2 bits / bandwidth) with ports, and one message's time without."""
    bits = 32 * 272_474
    for sharing, messages in (("fifo", 2), ("none", 1)):
        network = Network(0.02, 1e8, compute=0.05, sharing=sharing)
        found = epoch_time(DPSGD(), resnet20(), topology.ring(8), network)
        assert found.seconds == pytest.approx(0.02 + messages * bits / 1e8, rel=1e-9)
        assert found.communication == pytest.approx(1 - 0.05 / found.seconds)


A, B = np.ones((4, 1, 6), np.float32), np.ones((4, 6, 3), np.float32)
SQUARE = np.ones((3, 5), np.float32)
PLACES = np.array([[0, 2], [1, 1], [2, 0]])


@pytest.mark.parametrize(
    "compute",
    [
        lambda xp, x: x + 1,
        lambda xp, x: 2.0 / x,
        lambda xp, x: xp.float64(2) * x,
        lambda xp, x: x[:, None, :] * x[None],
        lambda xp, x: -abs(x) >= x,
        lambda xp, x: xp.where(x > 1, x, 0),
        lambda xp, x: xp.clip(x, 0, 1).astype(xp.uint8),
        lambda xp, x: x.view(xp.int32) & 255,
        lambda xp, x: x.astype(xp.float64).view(xp.uint32),
        lambda xp, x: x.sum(axis=-1, keepdims=True),
        lambda xp, x: xp.mean(x),
        lambda xp, x: xp.argmax(x, axis=0),
        lambda xp, x: xp.count_nonzero(x, axis=1),
        lambda xp, x: (x != 0).any(axis=(0, 1)),
        lambda xp, x: x.T @ x,
        lambda xp, x: x.reshape(-1, 1),
        lambda xp, x: x.reshape(5, 3).transpose(1, 0),
        lambda xp, x: xp.swapaxes(x[None], 0, 2),
        lambda xp, x: xp.concat([x, x[:, :2]], axis=1),
        lambda xp, x: xp.stack([x, x], axis=-1),
        lambda xp, x: x[1:, ::2],
        lambda xp, x: x[..., -1],
        lambda xp, x: x[xp.arange(2)],
        lambda xp, x: x[xp.arange(3)[:, None], xp.asarray(PLACES)],
        lambda xp, x: x[None, xp.arange(2), :, None],
        lambda xp, x: x[xp.arange(2), None, 1:],
        lambda xp, x: xp.take_along_axis(x, xp.argpartition(x, 1, axis=1)[:, :2], axis=1),
        lambda xp, x: xp.partition(x, 2, axis=-1)[..., 2:],
        lambda xp, x: xp.searchsorted(xp.cumsum(x), xp.arange(1, 4)),
        lambda xp, x: xp.take(x[0], x.astype(xp.int64)),
        lambda xp, x: xp.vdot(x, x),
        lambda xp, x: xp.linalg.qr(x)[0],
        lambda xp, x: xp.linalg.qr(x)[1],
        lambda xp, x: xp.broadcast_to(x, (2, 3, 5)),
        lambda xp, x: xp.zeros_like(x[:1]),
        lambda xp, x: xp.full((2, 3), 7, dtype=xp.int64) // 2,
    ],
)
def test_shapes_and_dtypes_are_numpys(compute):
    wanted = np.asarray(compute(np, SQUARE.copy()))
    space = ShapeSpace()
    found = compute(space, space.asarray(SQUARE))
    assert (found.shape, found.dtype) == (wanted.shape, wanted.dtype)


def test_algorithms_do_not_know_of_dry_runs():
    for path in (Path(__file__).parents[2] / "algorithms").rglob("*.py"):
        text = path.read_text().lower()
        assert not any(word in text for word in ("dry run", "dry_run", "shapearray", "shape_array")), path


def test_random_truth_values_that_are_taken_out_are_drawn():
    space = ShapeSpace()
    words = space.arange(10_000, dtype=space.uint32)
    kept = space.less_equal(words, 2**30 - 1)
    chosen = space.take(kept, space.arange(0, 8000, 2))
    assert chosen.shape == (4000,)
    assert chosen.dtype == bool
    assert abs(chosen.get().mean() - 0.25) < 0.04
    assert space.drew
    with pytest.raises(NetsimError):
        kept.get()


def test_what_is_kept_and_what_is_not():
    space = ShapeSpace()
    counts, models = space.zeros((3,), dtype=space.int64), space.asarray(SQUARE)
    counts += space.arange(3) * 2
    np.testing.assert_array_equal(counts.get(), [0, 2, 4])
    view = counts[1:]
    view += 5
    np.testing.assert_array_equal(counts.get(), [0, 7, 9])
    view += space.count_nonzero(models, axis=1)[1:]  # nobody knows
    with pytest.raises(NetsimError):
        counts.get()
    with pytest.raises(NetsimError):
        float(models.sum())
    with pytest.raises(ValueError, match="shape"):
        models[:, :2] = models
    with pytest.raises(NetsimError, match="mask"):
        models[models > 1]


@pytest.fixture
def netsim(capsys):
    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


@pytest.mark.parametrize("name", TABLES)
def test_bytes_command(netsim, name):
    code, said, complaint = netsim("bytes", name, "--json")
    told = json.loads(said)
    assert (code, complaint) == (0, "")
    assert {row["row"]: row["bits_per_step"] for row in told["rows"]} == BITS_PER_STEP[name]
    code, said, _ = netsim("bytes", name)
    assert code == 0 and "convention: " in said
    assert all(f"{row['difference_percent']:+.2f} %" in said for row in told["rows"][1:])


def test_time_command(netsim, tmp_path):
    file = tmp_path / "shapes.json"
    file.write_text('{"weight": [20, 30], "bias": [20]}')
    options = ("--shapes", file, "--workers", 4, "--topology", "complete", "--latency", "2 ms", "--compute", "1 ms")
    code, said, complaint = netsim("time", *options, "--bandwidth", "1 Mbit/s", "--sharing", "none", "--json")
    told = json.loads(said)
    assert (code, complaint, told["parameters"], told["steps_per_epoch"]) == (0, "", 620, None)
    dpsgd = next(row for row in told["methods"] if row["algorithm"].startswith("DPSGD"))
    assert dpsgd["bits"] == 3 * 32 * 620
    assert dpsgd["seconds"] == pytest.approx(0.002 + 32 * 620 / 1e6) and dpsgd["seconds_per_epoch"] is None
    code, said, _ = netsim("time", *options, "--steps-per-epoch", 10)
    assert code == 0 and "s per epoch" in said and "10 steps an epoch" in said


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("bytes", "powergossip-table3"), "powergossip-table3: no table of this name; did you mean"),
        (("time", "--shapes", "resnet18"), "--shapes resnet18: no model of this name"),
        (("time", "--shapes", "nowhere.json"), "nowhere.json: no such file"),
        (("time", "--topology", "rin"), '--topology rin: no topology of this name; did you mean "ring"'),
        (("time", "--latency", "fast"), "--latency"),
        (("time", "--sharing", "some"), "sharing"),
        (("time", "--workers", "1"), "--workers"),
    ],
)
def test_mistakes_are_one_line(netsim, arguments, complaint):
    code, said, line = netsim(*arguments)
    assert (code, said) == (2, "") and complaint in line and line.count("\n") == 1


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[[3, 4]]", "must be an object"),
        ("{}", "must be an object"),
        ("{", "no JSON"),
        ('{"a": [3], "a": [4]}', "a: is there twice"),
        ('{"a": [3], "b": [0, 2]}', r"b = \[0, 2\]: a shape is a list of whole numbers"),
        ('{"a": 3}', "a = 3"),
        ('{"a": {"b": [3]}}', r'a = {"b": \[3\]}'),
        ('{"a": [2.5]}', r"a = \[2.5\]"),
        ('{"a": [true]}', r"a = \[true\]"),
    ],
)
def test_mistakes_in_a_file_name_it_and_the_key(netsim, tmp_path, text, complaint):
    file = tmp_path / "mine.json"
    file.write_text(text)
    code, said, line = netsim("time", "--shapes", file)
    assert (code, said) == (2, "") and str(file) in line and re.search(complaint, line) and line.count("\n") == 1

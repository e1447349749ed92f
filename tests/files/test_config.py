"""Configuration files: loading, and error messages."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
from small_file import MISTAKES, SMALL, write

from netsim import NetsimError
from netsim.algorithms import DCDPSGD, DPSGD, ECDPSGD, AllReduceSGD, StochasticQuantizer
from netsim.clock.compute import LogNormal
from netsim.files import config, sources
from netsim.files.schedules import InverseSqrt

DATA = Path(os.environ.get("NETSIM_DATA", Path(__file__).parents[2].parent / "shared" / "data"))


def test_a_file_becomes_experiments_and_networks(tmp_path: Path) -> None:
    setup = config.load(write(tmp_path))
    all_reduce, dcd = setup.experiments
    assert (setup.name, setup.title, setup.target) == ("my", "small", 0.5)
    assert (all_reduce.algorithm, all_reduce.lr) == (AllReduceSGD(), 0.2)
    assert (dcd.algorithm, dcd.lr) == (DCDPSGD(StochasticQuantizer(8)), 0.1)
    assert all_reduce.task is dcd.task and all_reduce.task.hidden == (16,)
    assert (dcd.topology.name, dcd.steps, dcd.target) == ("ring(4)", 22, 0.5)
    assert list(setup.grids) == ["fifo", "none"]
    for sharing, grid in setup.grids.items():
        assert grid.latency == pytest.approx((1e-4, 10**-2.5, 0.02, 0.1))
        assert (len(grid), grid.template.sharing, grid.template.compute) == (4 * 4, sharing, 0.05)
    assert setup.conditions == (("slow", 0.02, 5e6, "paper"), ("fast", 1e-4, 1e9, "ours"))


def test_options_replace_what_the_file_says(tmp_path: Path) -> None:
    setup = config.load(write(tmp_path), steps=7, device="cpu")
    assert {(one.steps, one.device) for one in setup.experiments} == {(7, "cpu")}


def test_what_else_a_file_may_say(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        ("steps = 22", 'steps = 22\nlr = { kind = "inverse-sqrt", peak = 0.2, scale = 10 }\nmomentum = 0.5'),
        (
            'compute = "50 ms"',
            'compute = { kind = "lognormal", mean = "50 ms", cv = 0.1 }\nsharing = ["none"]\nduplex = "half"',
        ),
        ('latency = { from = "0.1 ms", to = "100 ms", points = 3 }', 'latency = ["1 ms", 0.02]'),
        (
            'bandwidth = { from = "1 Mbit/s", to = "1 Gbit/s", points = 3 }',
            'bandwidth = "5 Mbit/s"\negress = "1 Gbit/s"\ncodec = ["1 ns", "2 ns"]',
        ),
        (
            '[[algorithm]]\nname = "AllReduceSGD"',
            '[[algorithm]]\nname = "ECDPSGD"\ncompress = "Identity"\nindex = "listing"',
        ),
    )
    setup = config.load(path)
    ecd, dcd = setup.experiments
    assert repr(ecd.algorithm) == "ECDPSGD(Identity(), index='listing')" and isinstance(ecd.algorithm, ECDPSGD)
    assert dcd.lr == InverseSqrt(0.2, 10) and dcd.momentum == 0.5
    network = setup.grids["none"].template
    assert setup.grids["none"].latency == (1e-4, 1e-3, 0.02)  # 0.1 ms is a condition's
    assert (network.duplex, network.egress, network.codec) == ("half", 1e9, (1e-9, 2e-9))
    assert network.compute == LogNormal(0.05, 0.1)


def test_a_file_without_conditions_names_the_corners_of_its_grid(tmp_path: Path) -> None:
    path = tmp_path / "my.toml"
    path.write_text(SMALL[: SMALL.index("[[condition]]")])
    setup = config.load(path)
    assert {(c.latency, c.bandwidth) for c in setup.conditions} == {(1e-4, 1e9), (0.1, 1e9), (1e-4, 1e6), (0.1, 1e6)}
    assert all(c.ours for c in setup.conditions)


@pytest.mark.parametrize(
    ("keys", "name", "n"),
    [
        ('kind = "torus"\nrows = 2\ncols = 3', "torus(2, 3)", 6),
        ('kind = "hypercube"\ndim = 2', "hypercube(2)", 4),
        ('kind = "exponential"\nn = 5', "exponential(5)", 5),
        ('kind = "complete"\nn = 3', "complete(3)", 3),
        ('kind = "star"\nn = 3\nweights = "max_degree"', "star(3, max_degree)", 3),
        ('kind = "random_regular"\nn = 6\ndegree = 3\nseed = 1', "random_regular(6, 3, seed=1)", 6),
        ('kind = "matrix"\nweights_matrix = [[0.5, 0.5], [0.5, 0.5]]', "weights(2)", 2),
        ('kind = "matrix"\nweights_matrix = "w.csv"', "weights(3)", 3),
        ('kind = "matrix"\nweights_matrix = "w.npy"', "weights(3)", 3),
    ],
)
def test_every_topology(tmp_path: Path, keys: str, name: str, n: int) -> None:
    matrix = np.full((3, 3), 0.25) + np.eye(3) / 4
    np.save(tmp_path / "w.npy", matrix)
    np.savetxt(tmp_path / "w.csv", matrix, delimiter=",")
    topology = config.load(write(tmp_path, ('kind = "ring"\nn = 4', keys))).experiments[0].topology
    assert (topology.name, topology.n) == (name, n)


@pytest.mark.parametrize(("change", "said"), MISTAKES, ids=[change[1][:40] or change[0] for change, _ in MISTAKES])
def test_a_mistake_is_one_line_that_names_file_key_and_remedy(
    tmp_path: Path, change: tuple[str, str], said: list[str]
) -> None:
    path = write(tmp_path, change)
    with pytest.raises(NetsimError) as caught:
        config.load(path)
    line = str(caught.value)
    assert "\n" not in line and line.startswith(f"{path}: ")
    assert "Value error" not in line
    for words in said:
        assert words in line


def test_a_file_that_is_not_there_names_the_nearest_preset(tmp_path: Path) -> None:
    with pytest.raises(NetsimError, match=r'tang201: no such file.*did you mean "tang2018"'):
        config.load("tang201")
    with pytest.raises(NetsimError, match="cannot be read"):
        config.load(tmp_path)


def test_a_truncated_data_file_is_named(tmp_path: Path) -> None:
    source = DATA / "mnist"
    if not source.is_dir():
        pytest.skip(f"no data in {DATA}; set NETSIM_DATA")
    for file in source.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes()[: 1000 if "train-images" in file.name else None])
    with pytest.raises(NetsimError, match=r"--data: .*train-images-idx3-ubyte.gz: truncated"):
        config.load("tang2018-mnist", data=tmp_path)


REAL_MODELS = {
    "resnet20-cifar10": (8, 14700, 49),
    "resnet20-cifar10-short": (8, 112, 16),
    "tang2018-resnet20": (9, 39000, 390),
    "tang2018-resnet20-short": (9, 155, 31),
    "tang2018-resnet20-16": (6, 39000, 390),
    "tang2018-resnet20-16-short": (6, 155, 31),
    "deepsqueeze-resnet20": (4, 39000, 390),
    "deepsqueeze-resnet20-short": (4, 155, 31),
    "doublesqueeze-resnet18": (5, 39000, 390),
    "doublesqueeze-resnet18-short": (5, 45, 15),
    "lstm-wikitext2-short": (8, 210, 42),
    "lstm-wikitext2": (8, 6300, 70),
}


@pytest.mark.parametrize("name", REAL_MODELS)
def test_presets_of_the_real_models_load(name: str, unpacked_data: Path) -> None:
    if name == "lstm-wikitext2":
        pytest.importorskip("spacy")
    setup = config.load(name, data=unpacked_data)
    rows, steps, per_epoch = REAL_MODELS[name]
    assert (len(setup.experiments), setup.experiments[0].steps) == (rows, steps)
    assert setup.experiments[0].task.bind(setup.experiments[0].topology.n, 0).steps_per_epoch == per_epoch
    assert setup.assumptions.get("steps per epoch", f"{per_epoch},").startswith(f"{per_epoch},")
    assert all(re.search(r"\((ours|paper)\b|as the program", said) for said in setup.assumptions.values())


def test_the_preset_of_the_first_steps_loads() -> None:
    """It is of no paper: all its networks and its compute time are ours, and it says so."""
    setup = config.load("quickstart")
    assert len(setup.experiments) == 4 and all(condition.ours for condition in setup.conditions)
    assert {"learning_rate", "compute"} <= set(setup.assumptions)
    for grid in setup.grids.values():
        assert all(c.latency in grid.latency and c.bandwidth in grid.bandwidth for c in setup.conditions)


OF_PAPERS = sorted(set(sources.presets()) - {*REAL_MODELS, "powergossip-consensus", "quickstart"})


@pytest.mark.parametrize("name", OF_PAPERS)
def test_every_preset_loads(name: str) -> None:
    data = DATA if name.endswith(("mnist", "cifar10")) else None
    if data is not None and not data.is_dir():
        pytest.skip(f"no data in {DATA}; set NETSIM_DATA")
    setup = config.load(name, data=data)
    size = sum(int(np.prod(shape)) for shape in setup.experiments[0].task.tensors.values())
    assert 260_000 < size < 280_000  # messages as large as ResNet-20's
    for grid in setup.grids.values():
        assert all(c.latency in grid.latency and c.bandwidth in grid.bandwidth for c in setup.conditions)
        assert len(grid) == 400
    assert {c.name: c.source for c in setup.conditions} == {
        "best": "paper",
        "high latency": "paper panel",  # shown, without a number
        "low bandwidth": "paper",
        "both": "ours",
    }
    assert [c.ours for c in setup.conditions] == [False, False, False, True]
    assert {"compute", "batch", "steps per epoch", "high latency"} <= set(setup.assumptions)
    assert all(re.search(r"\((ours|paper)\b", said) for said in setup.assumptions.values())
    bound = setup.experiments[0].task.bind(setup.experiments[0].topology.n, 0)
    assert setup.assumptions["steps per epoch"].startswith(f"{bound.steps_per_epoch},")


def test_the_main_preset_holds_what_the_paper_compares() -> None:
    q = StochasticQuantizer(8)
    algorithms = [one.algorithm for one in config.load("tang2018").experiments]
    assert algorithms == [AllReduceSGD(), AllReduceSGD(q), DPSGD(), DCDPSGD(q), ECDPSGD(q)]

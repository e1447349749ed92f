"""``"module:Name"`` in a file: a user's algorithm, compressor and task."""

import sys
from functools import partial
from pathlib import Path

import pytest
import small_file

from netsim.commands import app as cli
from netsim.errors import NetsimError
from netsim.files import config
from netsim.files.modules import user_object
from netsim.runs import results

MODULE = '''
from dataclasses import dataclass
from typing import Any, ClassVar

import networkx as nx
import numpy as np

from netsim.algorithms import Identity, StochasticQuantizer
from netsim.algorithms.protocol import Models
from netsim.models import digits


class PlainSGD:
    """A class without annotations: its keys are the parameters of __init__."""

    def __init__(self, compress, gamma=1.0):
        self.compress, self.gamma = compress, gamma

    def __repr__(self):
        return f"PlainSGD({self.compress!r}, {self.gamma!r})"

    def init(self, x, comm):
        return Models(x)

    def step(self, state, gradient, lr, comm):
        said = comm.send(self.compress, state.x)
        x = state.x + self.gamma * (comm.mix(said) - said)
        return Models(x - lr * gradient(state.x))


@dataclass(frozen=True)
class Coarse:
    """A compressor of fields."""

    bits: int = 2

    def compress(self, x, key, tensors):
        return StochasticQuantizer(self.bits).compress(x, key, tensors)

    def encode(self, message):
        return StochasticQuantizer(self.bits).encode(message)

    def decode(self, wire):
        return StochasticQuantizer(self.bits).decode(wire)


@dataclass(frozen=True)
class Valley:
    """A quadratic with a minimum of each worker's own."""

    size: int = 6
    apart: float = 1.0

    @property
    def tensors(self):
        return {"x": (self.size,)}

    def initial(self, seed):
        return np.ones(self.size)

    def gradient(self, x, step):
        bottoms = self.apart * np.linspace(-1, 1, len(x))[:, None]
        return ((x - bottoms) ** 2).sum(axis=1) / 2, x - bottoms

    def evaluate(self, x):
        return {"loss": float((np.asarray(x) ** 2).sum() / 2)}


class Learns:
    """A task that is given the data of the section."""

    def __init__(self, data, batch: int = 4):
        self.data, self.batch, self.tensors = data, batch, {"x": (3,)}

    def initial(self, seed):
        return np.zeros(3)

    def gradient(self, x, step):
        return x[:, 0], x

    def evaluate(self, x):
        return {"loss": 1.0}


made = Identity()
number = 3


class Steady:
    def __init__(self, seconds: float):
        self.seconds = seconds

    def draw(self, rounds, n):
        return np.full((rounds, n), self.seconds)


def path_graph(n: int):
    return nx.path_graph(n)


def averaging(n: int = 3):
    return np.full((n, n), 1 / n)


def directed():
    return nx.DiGraph([(0, 1)])


def broken():
    return lambda step: 1 / step


def falling(peak: float):
    return lambda step: peak / (1 + step)


def ten_digits(train: int = 64):
    whole = digits()
    return whole._replace(name="mine", train_x=whole.train_x[:train], train_y=whole.train_y[:train])


def fails(size: int = 2):
    raise RuntimeError("on purpose")


class Late(PlainSGD):
    def step(self, state, gradient, lr, comm):
        raise OSError("no such disk")
'''
ALGORITHM = 'name = "AllReduceSGD"\nlr = 0.2'
COMPRESS = '{ name = "StochasticQuantizer", bits = 8 }'


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Write the user's module and a file beside it; the current folder is another one."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "my_methods.py").write_text(MODULE)
    return partial(small_file.write, tmp_path)


def test_a_users_algorithm_compressor_and_task_are_swept(write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write(
        (ALGORITHM, 'name = "my_methods:PlainSGD"\ncompress = { name = "my_methods:Coarse", bits = 3 }\ngamma = 0.5'),
        (COMPRESS, '{ name = "my_methods:Coarse", bits = 8 }'),
        ("hidden = [16]", 'model = "my_methods:Valley"\nsize = 5\napart = 0.5'),
    )
    with pytest.raises(SystemExit) as ended:
        cli.main(["sweep", str(path), "--out", str(path.parent / "out"), "--json"])
    said = capsys.readouterr()
    assert not ended.value.code, said.err
    ds = results.load(path.parent / "out" / "results.nc")
    assert ds["experiment"].values.tolist() == ["PlainSGD(Coarse(bits=3), 0.5)", "DCDPSGD(Coarse(bits=8))"]
    assert ds.attrs["task"] == "Valley(size=5, apart=0.5)"
    sent = ds["bits"].isel(step=-1).values  # 3 bits a number to two neighbours, and a scale of 32
    assert sent[0] == 22 * 2 * (5 * 3 + 32)
    assert (ds["loss"].isel(step=-1) < 0.05).all() and (ds["loss"].isel(step=0) == 2.5).all()


def test_an_error_in_a_users_step_is_one_line(write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write((ALGORITHM, 'name = "my_methods:Late"\ncompress = "my_methods:made"'))
    with pytest.raises(SystemExit) as ended:
        cli.main(["sweep", str(path), "--out", str(path.parent / "out"), "--jobs", "1"])
    last = capsys.readouterr().err.splitlines()[-1]
    line = MODULE[: MODULE.index("no such disk")].count("\n") + 1
    assert ended.value.code == 2
    assert last == f"netsim: Late.step: failed in round 0 (my_methods.py, line {line}): OSError: no such disk"


def test_a_module_beside_the_file_comes_before_one_in_the_current_folder(write) -> None:
    for folder, size in ((Path.cwd(), 1), (Path.cwd().parent, 2)):
        (folder / "my_place.py").write_text(
            f"from netsim.algorithms import DPSGD\ndef made():\n    return DPSGD(0.{size})\n"
        )
    path = write((ALGORITHM, 'name = "my_place:made"'))
    assert repr(config.load(path).methods[0].algorithm) == "DPSGD(gamma=0.2)"
    (Path.cwd().parent / "my_place.py").unlink()
    assert repr(config.load(path).methods[0].algorithm) == "DPSGD(gamma=0.1)"


def test_a_module_is_looked_for_beside_the_base_that_names_it(write, tmp_path: Path) -> None:
    write((ALGORITHM, 'name = "my_methods:PlainSGD"\ncompress = "my_methods:made"'))
    (tmp_path / "above").mkdir()
    over = tmp_path / "above" / "over.toml"
    over.write_text('base = "../my.toml"\n[training]\nsteps = 3\n')
    setup = config.load(over)
    assert setup.methods[0].label == "PlainSGD(Identity(), 1.0)" and setup.experiments[0].steps == 3


def test_a_task_with_a_parameter_data_is_given_them(write) -> None:
    setup = config.load(write(("hidden = [16]", 'model = "my_methods:Learns"\ntrain = 100\nbatch = 5')))
    task = setup.experiments[0].task
    assert len(task.data.train_y) == 100 and task.batch == 5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ((ALGORITHM, 'name = "my_method:PlainSGD"'), ["algorithm[1].name: my_method: no such module here (", "or installed"]),
        ((ALGORITHM, 'name = "my_methods:PlanSGD"'), ["algorithm[1].name", "has no PlanSGD", 'did you mean "PlainSGD"?']),
        ((ALGORITHM, 'name = "my_methods:"'), ["algorithm[1].name: my_methods:: write MODULE:NAME"]),
        ((ALGORITHM, 'name = "my_methods.py:PlainSGD"'), ["write the module, not its file, such as my_methods:PlainSGD"]),
        ((ALGORITHM, 'name = "my_broken:X"'), ["algorithm[1].name: my_broken: cannot be imported: SyntaxError"]),
        ((ALGORITHM, 'name = "my_needy:X"'), ["my_needy: cannot be imported: No module named 'not_installed'"]),
        ((ALGORITHM, 'name = "my_methods:Coarse"'), ['algorithm[1].name = "my_methods:Coarse": not an algorithm: it has no init']),
        ((ALGORITHM, 'name = "my_methods:number"'), ["not an algorithm: it has no init; name a class with init, step"]),
        ((ALGORITHM, 'name = "my_methods:PlainSGD"'), ["algorithm[1]: PlainSGD also needs compress"]),
        (
            (ALGORITHM, 'name = "my_methods:PlainSGD"\ncompress = "Sign"\ngama = 1'),
            ["algorithm[1].gama: unknown key of PlainSGD", 'did you mean "gamma"?'],
        ),
        ((COMPRESS, '{ name = "my_methods:Coarse", bit = 3 }'), ["algorithm[2].compress.bit: unknown key of Coarse"]),
        ((COMPRESS, '{ name = "my_methods:Coarse", bits = "3" }'), ['algorithm[2].compress.bits = "3": must be a whole number']),
        ((COMPRESS, '{ name = "my_methods:Valley" }'), ["algorithm[2].compress.name", "not a compressor: it has no compress"]),
        ((COMPRESS, '{ name = "my_methods:made", bits = 3 }'), ["algorithm[2].compress.bits: my_methods:made is not a class"]),
        (("hidden = [16]", 'model = "my_methods:Vally"'), ["task.model: my_methods:Vally: my_methods has no Vally", "Valley"]),
        (("hidden = [16]", 'model = "my_methods:Valley"\nhidden = [16]'), ["task.hidden: unknown key of Valley"]),
        (("hidden = [16]", 'model = "my_methods:Valley"\ndata = "mnist"'), ["task.data: unknown key of Valley"]),
        (("hidden = [16]", 'model = "my_methods:Coarse"'), ['task.model = "my_methods:Coarse": not a task: it has no initial']),
        (("hidden = [16]", 'model = "my_methods:fails"'), ["task: fails cannot be made: RuntimeError: on purpose"]),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_with_file_key_and_remedy(write, change: tuple[str, str], said: list[str]) -> None:
    path = write(change)
    (path.parent / "my_broken.py").write_text("def\n")
    (path.parent / "my_needy.py").write_text("import not_installed\n")
    with pytest.raises(NetsimError) as caught:
        config.load(path)
    line = str(caught.value)
    assert line.startswith(f"{path}: ") and "\n" not in line
    for words in said:
        assert words in line


def test_the_name_of_a_loaded_module_is_not_taken(write, tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("x = 1\n")
    with pytest.raises(NetsimError, match=r"json: .*json.py has the name of a module that Python has loaded already"):
        user_object("json:x", [tmp_path])


RING = 'kind = "ring"\nn = 4'


@pytest.mark.parametrize(
    ("said", "name", "n"),
    [
        ('kind = "my_methods:path_graph"\nn = 5', "path_graph(5)", 5),
        ('kind = "my_methods:path_graph"\nn = 5\nweights = "max_degree"', "path_graph(5, max_degree)", 5),
        ('kind = "my_methods:averaging"', "weights(3)", 3),
        ('kind = "netsim.comm.topology:ring"\nn = 3\nweights = "uniform"', "ring(3, uniform)", 3),
    ],
)
def test_a_users_topology(write, said: str, name: str, n: int) -> None:
    graph = config.load(write((RING, said))).topology
    assert (graph.name, graph.n) == (name, n)


def test_a_users_compute_model_schedule_and_data(write) -> None:
    setup = config.load(
        write(
            ('compute = "50 ms"', 'compute = { kind = "my_methods:Steady", seconds = "20 ms" }'),
            ("steps = 22", 'steps = 22\nlr = { kind = "my_methods:falling", peak = 0.3 }'),
            ("hidden = [16]", 'hidden = [16]\ndata = "my_methods:ten_digits"\ntrain = 80'),
        )
    )
    assert setup.grids["fifo"].template.compute.draw(2, 3).tolist() == [[0.02] * 3] * 2
    assert setup.experiments[1].lr(2) == pytest.approx(0.1) and setup.experiments[0].lr == 0.2
    assert setup.experiments[0].task.data.name == "mine" and len(setup.experiments[0].task.data.train_y) == 80


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ((RING, 'kind = "my_methods:path_grph"'), ["topology.kind: ", 'did you mean "path_graph"?']),
        ((RING, 'kind = "my_methods:path_graph"\nm = 5'), ["topology.m: unknown key of path_graph"]),
        ((RING, 'kind = "my_methods:directed"'), ["topology", "a topology is a simple undirected graph"]),
        ((RING, 'kind = "my_methods:averaging"\nweights = "uniform"'), ["topology.weights: ", "returns no graph"]),
        ((RING, 'kind = "my_methods:number"\nn = 3'), ["topology.n: ", "is not a function but an object"]),
        (('compute = "50 ms"', 'compute = { kind = "my_methods:Coarse" }'), ["network.compute", "has no draw"]),
        (('compute = "50 ms"', 'compute = { kind = "my_methods:Steady" }'), ["network.compute", "also needs seconds"]),
        (("steps = 22", 'steps = 22\nlr = { kind = "my_methods:Valley" }'), ["training.lr", "schedule"]),
        (("steps = 22", 'steps = 22\nlr = { kind = "my_methods:broken" }'), ["lr", "for step 0: ZeroDivisionError"]),
        (("hidden = [16]", 'hidden = [16]\ndata = "my_methods:averaging"'), ["task.data", "it has no name"]),
        (("hidden = [16]", 'hidden = [16]\ndata = "my_methods:no"'), ["task.data: ", "my_methods has no no"]),
    ],
)
def test_what_is_wrong_with_a_users_topology_times_rate_or_data(
    write, change: tuple[str, str], words: list[str]
) -> None:
    path = write(change)
    with pytest.raises(NetsimError) as caught:
        config.load(path)
    line = str(caught.value)
    assert "\n" not in line and line.startswith(f"{path}: ")
    for one in words:
        assert one in line

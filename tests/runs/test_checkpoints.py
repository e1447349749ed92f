"""A training that was interrupted or killed, or whose checkpoint is damaged, resumes to the results of an uninterrupted one, bit for bit."""

import sys
import zipfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import forks
import numpy as np
import pytest
from guard import allow_sync, guard
from quadratic import Quadratic

from netsim import Experiment, NetsimError, topology, train
from netsim.algorithms import (
    DCDPSGD,
    DPSGD,
    ECDPSGD,
    AllReduceSGD,
    ChocoSGD,
    DeepSqueeze,
    DoubleSqueeze,
    EdgeGossip,
    Moniqua,
    NaiveCompressedDPSGD,
    ParameterServerSGD,
    PowerGossip,
    PowerSGD,
    RandomMask,
    RandomSparsifier,
    Sign,
    StochasticQuantizer,
    TopK,
)
from netsim.models import CNN, MLP, digits
from netsim.runs import resume, storage
from netsim.runs.checkpoints import Checkpoints, checkpoints_in, read_newest, write_checkpoint
from netsim.runs.resume import folder_name, origin_of

pytestmark = pytest.mark.bitwise

STEPS = 9
METHODS = [
    AllReduceSGD(),
    AllReduceSGD(RandomSparsifier(0.5)),
    DPSGD(),
    NaiveCompressedDPSGD(StochasticQuantizer(8)),
    DCDPSGD(StochasticQuantizer(8)),
    ECDPSGD(StochasticQuantizer(8)),
    ParameterServerSGD(),
    DoubleSqueeze(Sign()),
    ChocoSGD(TopK(0.1), 0.1, overlap=True),
    DeepSqueeze(Sign(), 0.1),
    Moniqua(8, 2.0, 0.5),
    PowerGossip(iterations=2),
    EdgeGossip(RandomMask(0.2)),
    PowerSGD(2),
]


class Interrupted(BaseException):
    """As a signal would."""


def experiment(algorithm=DCDPSGD(StochasticQuantizer(8)), **changes) -> Experiment:  # noqa: B008
    task = Quadratic(4, alike=2)
    options = {"lr": 0.1, "momentum": 0.9, "device": "cpu", "evaluate_every": 2, "record": (3, 7), **changes}
    return Experiment(task, algorithm, topology.ring(4), STEPS, **options)


def interrupted(one: Experiment, at: int, checkpoints: Checkpoints) -> None:
    def stop(done: int, loss: float) -> None:
        if done == at:
            raise Interrupted

    with pytest.raises(Interrupted):
        train(one, stop, checkpoints)


def same(run, whole) -> None:
    np.testing.assert_array_equal(run.x, whole.x)
    assert run.history.identical(whole.history)
    assert run.trace.fingerprint == whole.trace.fingerprint
    assert (run.diverged_at, run.remarks) == (whole.diverged_at, whole.remarks)
    assert run.recorded.keys() == whole.recorded.keys()
    for step, x in whole.recorded.items():
        np.testing.assert_array_equal(run.recorded[step], x)


@pytest.mark.parametrize("algorithm", METHODS, ids=repr)
def test_an_interrupted_training_goes_on(algorithm, tmp_path):
    one = experiment(algorithm)
    whole = train(one)
    for at in (1, 4, STEPS):
        interrupted(one, at, Checkpoints(tmp_path / str(at), every=100))
        same(train(one, checkpoints=Checkpoints(tmp_path / str(at), every=2, resume=True)), whole)


def test_killed_wherever_files_change(tmp_path):
    """Twenty-five kills, wherever the training is: computing, writing, renaming."""
    code, out, err = forks.script(Path(__file__).parents[1] / "killed.py", tmp_path / "run", 25, 7)
    assert code == 0, err
    first, last = out.splitlines()
    assert last == "equal"
    killed, reached = int(first.split()[1]), int(first.split()[3])
    assert killed >= 20, first
    assert reached > 0, "no child got as far as a checkpoint"


def test_a_diverged_training_stays_as_it_was(tmp_path):
    one = experiment(DPSGD(), lr=50.0)
    whole = train(one)
    assert whole.diverged_at is not None
    train(one, checkpoints=Checkpoints(tmp_path))
    same(train(one, checkpoints=Checkpoints(tmp_path, resume=True)), whole)


def test_an_error_in_a_step_keeps_the_steps_before(tmp_path):
    class Failing(Quadratic):
        def gradient(self, x, step):
            if step == 5 and gone:
                raise OSError("disk of the data is gone")
            return super().gradient(x, step)

    gone = True
    one = replace(experiment(), task=Failing(4, alike=2))
    with pytest.raises(OSError, match="gone"):
        train(one, checkpoints=Checkpoints(tmp_path, every=100))
    assert [path.name.split("-")[1] for path in checkpoints_in(tmp_path)] == ["000000005"]
    gone = False
    same(train(one, checkpoints=Checkpoints(tmp_path, resume=True)), train(one))


@pytest.mark.parametrize("damage", ["flipped", "cut", "emptied"])
def test_a_damaged_checkpoint_is_left_for_the_one_before_it(damage, tmp_path):
    one = experiment()
    whole = train(one)
    interrupted(one, 5, Checkpoints(tmp_path, every=2))
    newest, before = checkpoints_in(tmp_path)
    assert [path.name.split("-")[1] for path in (newest, before)] == ["000000005", "000000004"]
    harm(newest, damage)
    run = train(one, checkpoints=Checkpoints(tmp_path, resume=True))
    assert len(run.remarks) == 1 + len(whole.remarks)
    assert str(newest) in run.remarks[0] and "damaged" in run.remarks[0]
    same(replace(run, remarks=whole.remarks), whole)


def harm(path: Path, damage: str) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes({"flipped": data, "cut": data[:-100], "emptied": b""}[damage])


def test_where_all_are_damaged_it_begins_anew_and_says_so(tmp_path):
    one = experiment()
    interrupted(one, 5, Checkpoints(tmp_path, every=2))
    for path in checkpoints_in(tmp_path):
        harm(path, "flipped")
    run = train(one, checkpoints=Checkpoints(tmp_path, resume=True))
    assert [("damaged" in line) for line in run.remarks] == [True, True, *[False] * (len(run.remarks) - 2)]
    assert run.history.identical(train(one).history)


def test_without_resume_what_is_there_is_removed(tmp_path):
    interrupted(experiment(), 5, Checkpoints(tmp_path, every=2))
    same(train(experiment(seed=1), checkpoints=Checkpoints(tmp_path)), train(experiment(seed=1)))
    assert len(checkpoints_in(tmp_path)) == 1


@pytest.mark.parametrize(
    "change, named",
    [
        ({"seed": 1}, "seed was 0 and is 1"),
        ({"lr": 0.2}, "learning rate was 0.1 at first"),
        ({"lr": lambda step: 0.1 / (1 + step)}, "learning rate"),
        ({"algorithm": DCDPSGD(StochasticQuantizer(4))}, "algorithm was DCDPSGD"),
        ({"topology": topology.complete(4)}, "topology was ring"),
        ({"task": Quadratic(4)}, "task was quadratic:Quadratic"),
        ({"momentum": 0.5}, "momentum was 0.9 and is 0.5"),
    ],
)
def test_a_checkpoint_of_another_experiment_is_refused(change, named, tmp_path):
    one = experiment()
    interrupted(one, 5, Checkpoints(tmp_path))
    other = replace(one, **change)
    with pytest.raises(NetsimError, match=named):
        train(other, checkpoints=Checkpoints(tmp_path, resume=True))


RATES = np.linspace(0.2, 0.1, 5000)


def almost(step: int) -> float:
    """RATES, but for one step of 5,000, which a sample of a thousand passes over."""
    return float(RATES[step]) if step != 2503 else 0.3


class Holding(Quadratic):
    """A user's task of a plain class, whose long array a repr would elide."""

    def __init__(self, data, **more):
        super().__init__(4)
        self._data = data
        self.__dict__.update(more)

    def __repr__(self):
        return "Holding()"


@dataclass(frozen=True, eq=False, repr=False)
class Scaled:
    """A user's algorithm with a long array."""

    scales: np.ndarray

    def init(self, x, comm):
        return Known(x, None)

    def step(self, state, gradient, lr, comm):
        return state._replace(a=state.a - lr * gradient(state.a))


def changed(data: np.ndarray) -> np.ndarray:
    return np.where(np.arange(len(data)) == len(data) // 2, -1.0, data)


@pytest.mark.parametrize(
    ("one", "other", "named"),
    [
        ({"task": Holding(RATES)}, {"task": Holding(changed(RATES))}, "task was"),
        ({"algorithm": Scaled(RATES)}, {"algorithm": Scaled(changed(RATES))}, "algorithm was"),
        ({"steps": 5000, "lr": lambda step: float(RATES[step])}, {"steps": 5000, "lr": almost}, "learning rate was"),
        ({"record": range(3)}, {"record": [0, 1]}, "record was"),
    ],
)
def test_experiments_are_told_apart_by_all_that_they_hold(one, other, named):
    same, this, that = (origin_of(replace(experiment(), **fields), np) for fields in (one, one, other))
    assert same.experiment == this.experiment and not this.obstacle
    differ = [what for what, said in this.experiment.items() if that.experiment[what] != said]
    assert differ == [named.removesuffix(" was")]


def test_what_cannot_be_told_from_another_is_refused_on_resuming(tmp_path):
    one = replace(experiment(), task=Holding(RATES, rule=lambda x: x))
    with pytest.raises(Interrupted):
        train(one, lambda done, loss: (_ for _ in ()).throw(Interrupted), Checkpoints(tmp_path, every=2))
    with pytest.raises(NetsimError, match=r"cannot resume: task.rule: a lambda .* or begin anew") as caught:
        train(one, checkpoints=Checkpoints(tmp_path, resume=True))
    assert "\n" not in str(caught.value) and checkpoints_in(tmp_path)
    run = train(one, checkpoints=Checkpoints(tmp_path))
    assert run.remarks[0].startswith("note: this training cannot be resumed: task.rule: a lambda")
    assert "cannot be resumed" not in str(train(one).remarks)


def test_every_experiment_has_a_folder_of_its_own():
    one = experiment()
    names = [folder_name(each) for each in (one, experiment(), experiment(seed=1), replace(one, task=Quadratic(4)))]
    assert names[0] == names[1] and len(set(names)) == 3 and names[0].startswith("DCDPSGD-")
    assert folder_name(of_images("cpu")) == folder_name(of_images("cpu", chunk=2))


# --- what lies among the checkpoints -------------------------------------------------------------------------------------


def test_what_only_has_a_checkpoints_name_is_passed_over(tmp_path):
    one = experiment()
    interrupted(one, 5, Checkpoints(tmp_path / "run", every=2))
    whole, name = train(one), "step-00000000{}-" + "0" * 64 + ".npz"
    (tmp_path / "run" / name.format(8)).mkdir()
    (tmp_path / "run" / name.format(7)).symlink_to(tmp_path / "gone")
    (tmp_path / "elsewhere").write_text("x")
    (tmp_path / "run" / name.format(6)).symlink_to(tmp_path / "elsewhere")
    (tmp_path / "run" / "step-000000009.npz").write_text("half")
    (tmp_path / "run" / ".writing").mkdir()
    (tmp_path / "run" / ".writing" / "half").write_text("half")
    (tmp_path / "run" / ".writing" / "lock").touch()  # as a killed process leaves it
    run = train(one, checkpoints=Checkpoints(tmp_path / "run", every=2, resume=True))
    assert [line.rpartition(":")[2] for line in run.remarks[:3]] == [
        " not a checkpoint, but a folder or a link; left alone"
    ] * 3
    same(replace(run, remarks=whole.remarks), whole)
    assert len(checkpoints_in(tmp_path / "run")) == 2 and (tmp_path / "elsewhere").read_text() == "x"
    assert not (tmp_path / "run" / ".writing").exists()


@pytest.mark.parametrize("again", [True, False])
def test_nothing_is_written_or_removed_where_a_link_leads(again, tmp_path):
    """The oldest of what has a checkpoint's name there would be removed by the third checkpoint."""
    mine = tmp_path / "mine"
    mine.mkdir()
    for step in range(1, 5):
        (mine / f"step-{step:09d}-{'a' * 64}.npz").write_text("mine")
    (tmp_path / "1-DPSGD").symlink_to(mine)
    before = sorted(mine.iterdir())
    with pytest.raises(NetsimError, match="1-DPSGD: is a link; checkpoints belong in a folder"):
        train(experiment(), checkpoints=Checkpoints(tmp_path / "1-DPSGD", every=1, resume=again))
    assert sorted(mine.iterdir()) == before


@pytest.mark.parametrize("forged", ["no archive", "cut", "no layout", "object array", "huge"])
def test_a_forged_name_is_left_for_the_checkpoint_before_it(forged, tmp_path):
    one = experiment()
    interrupted(one, 5, Checkpoints(tmp_path, every=2))
    data, aside = checkpoints_in(tmp_path)[0].read_bytes(), tmp_path / "aside.npz"
    if forged == "object array":
        np.savez(aside, layout=np.array([{}], object))
    elif forged == "no layout":
        np.savez(aside, other=np.zeros(3))
    elif forged == "huge":
        with zipfile.ZipFile(aside, "w") as archive:
            header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (%d,), }" % 10**15
            archive.writestr("layout.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    else:
        aside.write_bytes(b"PK no archive" if forged == "no archive" else data[: len(data) // 2])
    aside.rename(tmp_path / f"step-000000008-{digest(aside)}.npz")
    whole = train(one)
    run = train(one, checkpoints=Checkpoints(tmp_path, every=2, resume=True))
    assert "step-000000008" in run.remarks[0] and "damaged" in run.remarks[0] and "\n" not in run.remarks[0]
    same(replace(run, remarks=whole.remarks), whole)


def test_five_hundred_damages_of_a_checkpoint_are_found(tmp_path, monkeypatch):
    path = write_checkpoint(tmp_path, 1, {"x": np.arange(500.0), "n": Known(1, "é")})
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    monkeypatch.setattr(np, "load", lambda *_, **__: pytest.fail("opened"))
    for number in range(500):
        data, at = bytearray(whole), int(rng.integers(len(whole)))
        if number % 4 == 0:
            data = data[:at]
        elif number % 4 == 1:
            data[at:at] = bytes(3)
        else:
            data[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        said: list[str] = []
        assert read_newest(tmp_path, np, said.append) is None
        assert len(said) == 1 and "its bytes are not those that were written" in said[0]


def test_a_full_disk_is_one_line_that_names_the_folder(tmp_path, monkeypatch):
    kept = write_checkpoint(tmp_path, 1, {"x": 1})

    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(storage, "sync", full)
    with pytest.raises(NetsimError, match=r"a checkpoint cannot be written \(No space left on device\)") as caught:
        write_checkpoint(tmp_path, 2, {"x": 2})
    assert str(tmp_path) in str(caught.value) and list(tmp_path.iterdir()) == [kept]


class Pair(NamedTuple):
    x: object
    more: object


class Triple(NamedTuple):
    x: object
    more: object
    most: object


@dataclass(frozen=True)
class Alone:
    """Everybody's own SGD, with a state whose second part has one form or another."""

    def init(self, x, comm):
        return Pair(x, self.more(x))

    def step(self, state, gradient, lr, comm):
        return state._replace(x=state.x - lr * gradient(state.x))

    @staticmethod
    def more(x):
        return x[0]


@pytest.mark.parametrize("form", [lambda x: (x[0], x[1]), lambda x: [x[0]], lambda x: Known(1, x)])
def test_a_state_of_another_form_is_refused(form, tmp_path, monkeypatch):
    """As where a newer version of an algorithm holds one array in place of several."""
    kept = Checkpoints(tmp_path, every=2, resume=True)
    interrupted(experiment(Alone()), 5, kept)
    monkeypatch.setattr(Alone, "more", staticmethod(form))
    with pytest.raises(NetsimError, match="another form"):
        train(experiment(Alone()), checkpoints=kept)
    monkeypatch.setattr(Alone, "more", staticmethod(lambda x: None))  # perhaps only not there yet
    train(experiment(Alone()), checkpoints=kept)


def test_a_state_with_other_fields_is_refused(tmp_path, monkeypatch):
    interrupted(experiment(Alone()), 5, Checkpoints(tmp_path, every=2))
    monkeypatch.setattr(sys.modules[__name__], "Pair", Triple)
    monkeypatch.setattr(Alone, "init", lambda self, x, comm: Triple(x, x, x))
    with pytest.raises(NetsimError, match="had 2 fields and has 3 now"):
        train(experiment(Alone()), checkpoints=Checkpoints(tmp_path, resume=True))


@pytest.mark.parametrize(("what", "value"), [("numpy", "0.1"), ("blas", "openblas Elsewhere")])
def test_another_machine_is_said(tmp_path, monkeypatch, what, value):
    one = experiment()
    interrupted(one, 5, Checkpoints(tmp_path))
    recorded = resume.provenance
    monkeypatch.setattr(resume, "provenance", lambda *where: {**recorded(*where), what: value})
    run = train(one, checkpoints=Checkpoints(tmp_path, resume=True))
    assert f"resumed with {what} {value}" in run.remarks[0] and "not bit-identical" in run.remarks[0]


def of_images(device, **fields):
    return Experiment(CNN(digits(80), batch=4, channels=(2,), **fields), DPSGD(), topology.ring(3), 4, device=device)


def test_another_chunk_is_the_same_training(tmp_path):
    interrupted(of_images("cpu"), 2, Checkpoints(tmp_path))
    run = train(of_images("cpu", chunk=2), checkpoints=Checkpoints(tmp_path, resume=True))
    whole = train(of_images("cpu"))
    np.testing.assert_array_equal(run.x, whole.x)
    assert run.history.equals(whole.history)
    assert not run.remarks


def test_another_chunk_is_said_where_it_may_change_the_rounding(tmp_path):
    with allow_sync():
        interrupted(of_images(guard), 2, Checkpoints(tmp_path))
        run = train(of_images(guard, chunk=2), checkpoints=Checkpoints(tmp_path, resume=True))
        np.testing.assert_allclose(run.x, train(of_images(guard)).x, rtol=1e-5, atol=1e-7)
    assert run.remarks[0].startswith("note: resumed with chunk 2 from a checkpoint with None: not bit-identical")


def test_buffers_and_draws_go_on(tmp_path):
    one = Experiment(MLP(digits(), hidden=(5,), batch=4), DPSGD(), topology.ring(3), STEPS, device="cpu")
    one = replace(one, task=Buffered(one.task))
    whole = train(one)
    interrupted(one, 4, Checkpoints(tmp_path))
    same(train(one, checkpoints=Checkpoints(tmp_path, resume=True)), whole)


@dataclass(frozen=True)
class Buffered:
    """A task that scales its gradient by how often it was asked, which it keeps in a buffer."""

    task: MLP

    @property
    def tensors(self):
        return self.task.tensors

    def initial(self, seed):
        return self.task.initial(seed)

    def initial_buffers(self, n):
        return np.zeros((n, 1))

    def gradient(self, x, step, buffers):
        loss, grad = self.task.gradient(x, step)
        return loss, grad / (1 + buffers), buffers + 1

    def evaluate(self, x, buffers):
        return {**self.task.evaluate(x), "asked": float(buffers[0])}


def test_buffers_are_averaged_with_the_models():
    one = Experiment(
        Buffered(MLP(digits(), hidden=(5,), batch=4)),
        DPSGD(),
        topology.ring(3),
        4,
        device="cpu",
        evaluate="both",
        evaluate_every=2,
    )
    history = train(one).history
    assert history["asked"].values.tolist() == [0, 2, 4]
    assert history["each_asked"].values.tolist() == [[0] * 3, [2] * 3, [4] * 3]


class Known(NamedTuple):
    a: object
    b: object


def test_trees(tmp_path):
    tree = {
        "x": [1, 2.5, float("nan"), None, True, "é"],
        3: (np.arange(4), np.float32(0.1)),
        "n": Known((), Known(np.eye(2), np.int64(7))),
    }
    write_checkpoint(tmp_path, 1, tree)
    back = read_newest(tmp_path, np, pytest.fail)
    assert repr(back) == repr(tree) and isinstance(back["n"].b, Known)
    assert back[3][1].dtype == np.float32


def test_what_was_on_a_device_comes_back_to_it(tmp_path):
    xp = guard
    write_checkpoint(tmp_path, 1, (xp.asarray(np.arange(3.0)), np.arange(2)))
    device, host = read_newest(tmp_path, xp, pytest.fail)
    assert isinstance(device, type(xp.zeros(1))) and isinstance(host, np.ndarray)


def test_what_cannot_be_held_is_named(tmp_path):
    with pytest.raises(NetsimError, match="cannot hold a set"):
        write_checkpoint(tmp_path, 1, {"x": {1, 2}})
    assert checkpoints_in(tmp_path) == [] and list(tmp_path.iterdir()) == []


def test_nothing_is_imported_or_unpickled_for_a_file(tmp_path):
    write_checkpoint(tmp_path, 1, Known(1, 2))
    (path,) = checkpoints_in(tmp_path)
    with np.load(path) as archive:
        layout = archive["layout"].tobytes().decode()
    for module, name in (("subprocess", "Popen"), ("antigravity", "fly"), ("os", "stat_result")):
        path.unlink(missing_ok=True)
        np.savez(
            tmp_path / "aside.npz",
            layout=np.frombuffer(layout.replace(__name__, module).replace('"Known"', f'"{name}"').encode(), np.uint8),
        )
        path = (tmp_path / "aside.npz").rename(tmp_path / f"step-000000001-{digest(tmp_path / 'aside.npz')}.npz")
        with pytest.raises(NetsimError, match="not defined here"):
            read_newest(tmp_path, np, pytest.fail)
        assert "antigravity" not in sys.modules


def digest(path: Path) -> str:
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_must_be_a_number_of_steps(tmp_path):
    with pytest.raises(NetsimError, match="every = 0"):
        Checkpoints(tmp_path, every=0)

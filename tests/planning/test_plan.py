"""``netsim plan``, and the error for trainings that cannot fit."""

import json

import numpy as np
import pytest
from dry_runs import GRAPH, Strange
from guard import guard

from netsim import Experiment, topology
from netsim.algorithms import DCDPSGD, DPSGD, Identity
from netsim.commands import app as cli
from netsim.commands import plan as plan_command
from netsim.models import CNN, MLP, Dataset, ResNet, digits
from netsim.planning import fitting
from netsim.planning.memory import Memory, memory_of, needed
from netsim.runs import training
from netsim.runs.training import bound_task

pytestmark = pytest.mark.usefixtures("no_streams_kept")


def test_trainings_at_a_time():
    found = [Memory(DPSGD(), 10, 0, 0, 0, None, None, working, 0, 0, 1) for working in (5, 50, 20)]
    assert needed(found, 1, kept=False) == 60
    assert needed(found, 2, kept=False) == 90 and needed(found, 9, kept=True) == 105
    assert needed(found, 2, kept=True) == 100  # the models of the one that is done stay


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
        assert row["total"] == sum(row[name] for name in fitting.COLUMNS)
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
    for module in (fitting, plan_command):
        monkeypatch.setattr(module, "available_bytes", lambda xp: size)


@pytest.mark.parametrize(
    "arguments",
    [
        ("sweep", "tang2018", "--device", "cpu", "--jobs", 2),
        ("run", "tang2018", "--device", "cpu", "--algorithm", 4, "--latency", "1 ms", "--bandwidth", "1 Gbit/s"),
        ("tune", "tang2018", "--device", "cpu", "--jobs", 2),
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
    fitting.fitted(experiments, 2)
    with pytest.raises(
        fitting.CannotFit, match=r'^4 trainings at a time need(.|\n)*helps: --jobs 2 \((.|\n)*dtype = "float32"$'
    ):
        fitting.fitted(experiments, 4)
    free(monkeypatch, 0)
    with pytest.raises(fitting.CannotFit, match=r"^4 trainings(.|\n)*what helps: fewer workers"):
        fitting.fitted(experiments, 9)


def test_a_search_trains_each_with_several_rates_and_keeps_no_models(monkeypatch):
    task = MLP(digits(), hidden=(20,), batch=4)
    experiment = Experiment(task, DPSGD(), GRAPH, 1, device="cpu")
    one = memory_of(experiment).total
    free(monkeypatch, 3 * one)
    fitting.fitted([experiment], 9, rates=3)
    with pytest.raises(fitting.CannotFit, match=r"^5 trainings at a time need(.|\n)*helps: --jobs 3 \("):
        fitting.fitted([experiment], 9, rates=5)


def test_nothing_is_refused_on_what_is_not_known(monkeypatch):
    task = MLP(digits(), hidden=(20,), batch=4)
    experiment = Experiment(task, DCDPSGD(Identity()), GRAPH, 1, device="cpu")
    free(monkeypatch, None)
    fitting.fitted([experiment], 1)
    free(monkeypatch, 1)
    fitting.fitted([Experiment(task, Strange(), GRAPH, 1, device="cpu")], 1)
    with pytest.raises(fitting.CannotFit):
        fitting.fitted([experiment], 1)


BATCH = 2000  # more than what is evaluated at once


def on_guard(chunk=None, n=8, **fields):
    """Two trainings of a network whose activations are most of its memory, where NumPy is refused."""
    x, y = np.zeros((8 * BATCH, 64), np.float32), np.zeros(8 * BATCH, np.uint8)
    task = CNN(Dataset("blank", x, y, x[:9], y[:9], 2), batch=BATCH, chunk=chunk, **fields)
    return [Experiment(task, method, topology.ring(n), 2, device=guard) for method in (DPSGD(), DCDPSGD(Identity()))]


def need(chunk, jobs=2, **fields):
    return needed([memory_of(one) for one in on_guard(chunk, **fields)], jobs, kept=False)


def test_fewer_workers_make_a_smaller_sum():
    sums = [need(chunk) for chunk in (None, 8, 4, 2, 1)]
    assert sums[0] == sums[1] and sums[1:] == sorted(set(sums), reverse=True)


@pytest.mark.parametrize("at_once", [4, 2, 1])
def test_a_chunk_is_chosen_that_fits(monkeypatch, at_once):
    free(monkeypatch, need(at_once))
    said = []
    first, second = fitting.fitted(on_guard(), 2, say=said.append)
    assert first.task.chunk == at_once and first.task is second.task
    assert first.task.batch == BATCH and second.algorithm == DCDPSGD(Identity())
    assert said == [f"activations of 8 workers at once would not fit: computed {at_once} at a time"]


def test_what_fits_is_left_as_it_is(monkeypatch):
    experiments, said = on_guard(), []
    for size in (need(None), None):
        free(monkeypatch, size)
        assert fitting.fitted(experiments, 2, say=said.append) == tuple(experiments)
    free(monkeypatch, need(None, 1))
    assert fitting.fitted(experiments, 1, say=said.append) == tuple(experiments)
    assert said == []


def test_not_even_one_worker_fits(monkeypatch):
    free(monkeypatch, need(1) - 1)
    with pytest.raises(
        fitting.CannotFit,
        match=r"even with the activations of one worker at a time, (.|\n)*helps: --jobs 1 \(.*\), fewer workers, a smaller batch",
    ) as refused:
        fitting.fitted(on_guard(), 2)
    assert "chunk" not in str(refused.value)


def test_what_a_user_chose_is_kept(monkeypatch):
    free(monkeypatch, need(2) - 1)
    with pytest.raises(fitting.CannotFit, match="a smaller chunk, or none, so that one is chosen, samples"):
        fitting.fitted(on_guard(2), 2)
    free(monkeypatch, need(1) - 1)
    with pytest.raises(fitting.CannotFit) as refused:
        fitting.fitted(on_guard(1), 2)
    assert "chunk" not in str(refused.value)


def test_only_what_a_task_can_do_is_advised(monkeypatch):
    free(monkeypatch, 1)
    data = on_guard()[0].task.data
    parts = "samples, so that fewer of a minibatch are computed at a time"
    for task, advised in (
        (CNN(data), True),
        (CNN(data, samples=1), False),
        (ResNet(data, widths=(2,), blocks=1), False),
    ):
        for device in ("cpu", guard):
            with pytest.raises(fitting.CannotFit, match="what helps: fewer workers, a smaller batch") as refused:
                fitting.fitted([Experiment(task, DPSGD(), GRAPH, 1, device=device)], 1)
            assert (parts in str(refused.value)) == advised and "chunk" not in str(refused.value)


def test_a_task_without_chunk_is_advised_none(monkeypatch):
    free(monkeypatch, 1)
    task = MLP(digits(), hidden=(20,), batch=4)
    with pytest.raises(fitting.CannotFit, match=r"what helps: fewer workers, a smaller batch$"):
        fitting.fitted([Experiment(task, DPSGD(), GRAPH, 1, device=guard)], 1)


FILE = """
[task]
model = "cnn"
data = "digits"
batch = 170
[topology]
kind = "ring"
n = 8
[training]
steps = 2
[[algorithm]]
name = "DPSGD"
[network]
latency = "1 ms"
bandwidth = "1 Gbit/s"
compute = "1 ms"
"""


@pytest.fixture
def planned_elsewhere(monkeypatch):
    """Memory is planned as for another device, and the training is on the CPU."""
    monkeypatch.setattr("netsim.planning.memory.device_namespace", lambda device: guard)
    for module in (fitting, plan_command):
        monkeypatch.setattr(module, "device_namespace", lambda device: guard)


@pytest.mark.usefixtures("planned_elsewhere")
@pytest.mark.parametrize("command", ["run", "sweep", "tune"])
def test_a_run_goes_on_with_the_chunk(netsim, monkeypatch, tmp_path, command):
    (tmp_path / "cnn.toml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    free(monkeypatch, 10**9)
    all_at_once = json.loads(netsim("plan", "cnn.toml", "--jobs", 1, "--json")[1])["needed"]
    free(monkeypatch, all_at_once - 1)
    tasks = []
    monkeypatch.setattr(training, "bound_task", lambda one, xp: tasks.append(one.task) or bound_task(one, xp))
    point = ("--algorithm", 1, "--latency", "1 ms", "--bandwidth", "1 Gbit/s")
    code, _, said = netsim(command, "cnn.toml", "--device", "cpu", *(point if command == "run" else ("--jobs", 1)))
    assert code == 0 and "activations of 8 workers at once would not fit: computed 4 at a time\n" in said
    assert tasks and {task.chunk for task in tasks} == {4}


@pytest.mark.usefixtures("planned_elsewhere")
def test_the_plan_shows_the_chunk(netsim, monkeypatch, tmp_path):
    (tmp_path / "cnn.toml").write_text(FILE)
    asked = ("plan", tmp_path / "cnn.toml", "--jobs", 1)
    free(monkeypatch, 10**9)
    told = json.loads(netsim(*asked, "--json")[1])
    assert told["chunk"] is None and "would not fit" not in netsim(*asked)[1]
    free(monkeypatch, told["needed"] - 1)
    fewer = json.loads(netsim(*asked, "--json")[1])
    assert fewer["chunk"] == 4 and fewer["methods"][0]["activations"] < told["methods"][0]["activations"]
    assert "activations of 8 workers at once would not fit: computed 4 at a time" in netsim(*asked)[1]
    free(monkeypatch, 1)
    assert "would not fit: nor would those of one at a time" in netsim(*asked)[1]

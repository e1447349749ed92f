"""``netsim plan``, and the refusal of what cannot fit."""

import json

import pytest
from dry_runs import GRAPH, Strange

from algorithms import DCDPSGD, DPSGD, Identity
from models import MLP, digits
from netsim import Experiment, cli
from netsim.accounting.memory import Memory, memory_of, needed
from netsim.commands import plan as plan_cli

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
    plan_cli.check_fits(experiments, 2)
    with pytest.raises(
        plan_cli.CannotFit, match=r'^4 trainings at a time need(.|\n)*helps: --jobs 2 \((.|\n)*dtype = "float32"$'
    ):
        plan_cli.check_fits(experiments, 4)
    free(monkeypatch, 0)
    with pytest.raises(plan_cli.CannotFit, match=r"^4 trainings(.|\n)*what helps: fewer workers"):
        plan_cli.check_fits(experiments, 9)


def test_a_search_trains_each_with_several_rates_and_keeps_no_models(monkeypatch):
    task = MLP(digits(), hidden=(20,), batch=4)
    experiment = Experiment(task, DPSGD(), GRAPH, 1, device="cpu")
    one = memory_of(experiment).total
    free(monkeypatch, 3 * one)
    plan_cli.check_fits([experiment], 9, rates=3)
    with pytest.raises(plan_cli.CannotFit, match=r"^5 trainings at a time need(.|\n)*helps: --jobs 3 \("):
        plan_cli.check_fits([experiment], 9, rates=5)


def test_nothing_is_refused_on_what_is_not_known(monkeypatch):
    task = MLP(digits(), hidden=(20,), batch=4)
    experiment = Experiment(task, DCDPSGD(Identity()), GRAPH, 1, device="cpu")
    free(monkeypatch, None)
    plan_cli.check_fits([experiment], 1)
    free(monkeypatch, 1)
    plan_cli.check_fits([Experiment(task, Strange(), GRAPH, 1, device="cpu")], 1)
    with pytest.raises(plan_cli.CannotFit):
        plan_cli.check_fits([experiment], 1)

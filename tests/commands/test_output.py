"""What the commands print: names as they stand, whole lines, JSON with the keys that the help names, help of 80 columns."""

import io
import json
import re
import shlex
import subprocess
import sys
import threading
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_file import write

from netsim import topology
from netsim.algorithms import DPSGD
from netsim.clock.network import Network
from netsim.commands import app as cli
from netsim.commands import bytes as bytes_command
from netsim.commands import consensus, plan, presets, reference, run, streams, sweep, tables, time, tune
from netsim.files import config, sources
from netsim.papers import published_bytes
from netsim.planning.memory import memory
from netsim.planning.times import epoch_time
from netsim.runs import pipeline
from netsim.runs.tuning import Trial

NASTY = st.sampled_from(
    [
        "[/b]",
        "a [ours]",
        "[bold]x",
        "[/]",
        "[link=http://x]y[/link]",
        ":smile:",
        "\x1b[2J",
        "a\tb\rc",
        "\\[x]",
        "{0} %s",
        "\udce9",
        "[on red]",
        "née 网络",
    ]
) | st.text(min_size=1, max_size=12)
TENSORS = {"w": (4, 3), "b": (4,)}
GOSSIP = """
title = "small"
[gossip]
target = 0.05
[topology]
kind = "ring"
n = 4
[[start]]
name = "noise"
kind = "normal"
shape = [4, 4]
budget = 0.003
[[algorithm]]
name = "ChocoSGD"
compress = { name = "TopK", ratio = 0.25 }
gamma = 0.2
"""


class Named:
    """A method whose repr is anybody's."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    """The results of a small sweep."""
    folder = tmp_path_factory.mktemp("trained")
    return pipeline.run(config.load(write(folder, ("steps = 22", "steps = 3"))))


@pytest.fixture(scope="module")
def gossiped(tmp_path_factory: pytest.TempPathFactory) -> tuple[xr.Dataset, config.Setup]:
    """The results of gossip alone, and its Setup."""
    path = tmp_path_factory.mktemp("gossiped") / "mine.toml"
    path.write_text(GOSSIP)
    setup = config.load(path)
    return pipeline.run(setup), setup


@pytest.fixture
def netsim(capsys: pytest.CaptureFixture[str]):
    """Run a command here; return (exit code, stdout, stderr)."""

    def call(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return call


def printed(monkeypatch: pytest.MonkeyPatch, show, *arguments) -> str:
    """Return what a function prints on stdout, on a wide page."""
    with monkeypatch.context() as patch:
        stdout = io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True)
        patch.setattr(sys, "stdout", stdout)
        patch.setattr(tables, "ELSEWHERE", 2000)
        show(*arguments)
        return stdout.buffer.getvalue().decode()  # type: ignore[attr-defined]


MANY = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@MANY
@given(NASTY)
def test_names_in_results_of_trainings_are_printed_as_they_stand(trained, monkeypatch, name: str) -> None:
    shown = streams.printable(name).strip()
    experiments = [f"{name}1", f"{name}2"]
    ds = trained.assign_coords(experiment=experiments, condition=[f"{name}3", f"{name}4"])
    said = printed(monkeypatch, sweep.show, ds.assign_attrs(title=name), dict.fromkeys(experiments, "a theory"))
    lines = {line.strip() for line in name.split("\n")}
    assert shown in said and all(streams.printable(line).strip() in said for line in lines) and "\x1b" not in said
    summary = {
        "algorithm": name, "topology": name, "network": name, "sharing": "fifo", "numbers": ["loss"],
        "history": [{"step": 1, "time": 0.5, "loss": 1.0}],
        "bits_per_worker": 8.0, "rounds": 1, "overlap": True, "seconds": 1.0, "messages": 2, "engine": name, "learning_rate": name, "target": None,
        "status": "reached", "compression_error": 0.5, "theorem1_bound": 1.0, "remark_bound": 1.0, "violations": 3, "remarks": [name],
    }  # fmt: skip
    assert printed(monkeypatch, run._show, summary, name).count(shown) >= 4


@MANY
@given(NASTY)
def test_names_in_results_of_gossip_are_printed_as_they_stand(gossiped, monkeypatch, name: str) -> None:
    ds, setup = gossiped
    shown = streams.printable(name).strip()
    named = ds.assign_coords(start=[f"{name}1"], experiment=[f"{name}2"])
    said = printed(monkeypatch, consensus._show, named, replace(setup, title=name, left_out={name: name}), name)
    assert shown in said and "\x1b" not in said
    trials = [Trial({"gamma": 0.5}, "reached", 3, 0.1, 0.2)]
    said = printed(monkeypatch, tune._show, {name: setup.problems["noise"]}, {name: {name: trials}}, name)
    assert said.count(shown) >= 3
    rates = {name: [Trial({"lr": 0.5}, "budget", 3, 0.1)]}
    assert streams.printable(name.split("\n")[0]).strip() in tables.as_text(tune._rate_table(rates, {name: None}), 2000)


@MANY
@given(NASTY)
def test_names_of_methods_and_tables_are_printed_as_they_stand(monkeypatch, name: str) -> None:
    shown, graph = streams.printable(name).strip(), topology.ring(4)
    found = [replace(memory(DPSGD(), TENSORS, graph), algorithm=Named(name))]
    planned = plan._Planned(True, TENSORS, graph, "float32", np, found, 1, None, None, 1)
    assert printed(monkeypatch, plan._show, planned, name).count(streams.printable(name.split("\n")[0]).strip()) >= 2
    times = [replace(epoch_time(DPSGD(), TENSORS, graph, Network(0.001, 1e9, compute=0.05)), algorithm=Named(name))]
    assert shown in printed(monkeypatch, time._show, name, times, 5)
    with monkeypatch.context() as patch:
        patch.setattr(sources, "presets", lambda: {name: name})
        assert printed(monkeypatch, presets.command).count(shown) >= 1
        table = SimpleNamespace(title=name, tensors=TENSORS, topology=graph, steps=name, steps_per_epoch=3)
        row = {
            "row": name,
            "computed": 1.0,
            "unit": "MB",
            "published": None,
            "difference_percent": None,
            "factor": 1.0,
            "published_factor": None,
            "share_of_model": 0.1,
        }
        patch.setattr(published_bytes, "TABLES", {"t": lambda: table})
        patch.setattr(published_bytes, "compare", lambda _: [row])
        assert (
            printed(monkeypatch, bytes_command.command, "t").count(streams.printable(name.split("\n")[0]).strip()) >= 2
        )


def test_theory_and_whose_a_number_is_are_printed_only_where_they_apply(trained, monkeypatch) -> None:
    theories = dict.fromkeys(trained["experiment"].values, "")
    mine = trained.assign_coords(condition_source=("condition", ["ours", "ours"]))
    said = printed(monkeypatch, sweep.show, mine, theories)
    assert "Theorem" not in said and "Tang" not in said and "(ours)" not in said
    said = printed(
        monkeypatch, sweep.show, trained, {**theories, "DCDPSGD(StochasticQuantizer(8))": "Tang et al. 2018"}
    )
    assert "Tang et al. 2018 for DCD-PSGD: alpha <" in said and "fast (ours)" in said
    nothing = mine.assign(compression_error=("experiment", [0.0, 0.0]))
    assert "compression error" not in printed(monkeypatch, sweep.show, nothing, theories)


def test_a_gradient_that_takes_no_time_is_said_aloud(trained, monkeypatch) -> None:
    theories = dict.fromkeys(trained["experiment"].values, "")
    assert "compute 50 ms a gradient" in printed(monkeypatch, sweep.show, trained, theories)
    free = trained.assign_attrs(compute="0.0")
    assert "gradients take no time: communication only" in printed(monkeypatch, sweep.show, free, theories)
    drawn = trained.assign_attrs(compute="LogNormal(…)", compute_words="log-normal, mean 10 ms, cv 0.5")
    assert "compute log-normal, mean 10 ms, cv 0.5;" in printed(monkeypatch, sweep.show, drawn, theories)


def test_results_of_several_topologies_and_seeds_are_printed_for_each_topology(tmp_path, monkeypatch) -> None:
    setup = config.load(write(tmp_path, ("steps = 22", "steps = 3")))
    setup = replace(setup, topologies=(topology.ring(4), topology.complete(4)), seeds=(0, 1))
    said = printed(monkeypatch, sweep.show, pipeline.run(setup), {})
    assert "ring(4), medians of 2 seeds, 3 steps" in said and "complete(4), medians of 2 seeds, 3 steps" in said
    assert said.count("s per epoch") == 4


# --- stderr ----------------------------------------------------------------------------------------------------------


class Interleaving(io.StringIO):
    """A stream at which another thread may write between any two calls."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def write(self, text: str) -> int:
        self.pieces.append(text)
        return len(text)


def test_a_line_is_one_write_under_a_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Interleaving()
    monkeypatch.setattr(sys, "stderr", stream)
    threads = [threading.Thread(target=lambda: [streams.say("one whole line") for _ in range(50)]) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert stream.pieces == ["one whole line\n"] * 200


def test_a_reader_that_goes_ends_the_command_quietly() -> None:
    command = [
        sys.executable,
        "-c",
        "import sys; sys.stdin.read(1); from netsim.commands.app import main; main(['presets'])",
    ]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.close()
        child.stdout = None
        _, said = child.communicate(b"x", timeout=60)
    assert (child.returncode, said) == (cli.UNREAD, b"")


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("NO_COLOR", "1")
    said = printed(monkeypatch, tables.heading, "title") + printed(
        monkeypatch, tables.print_table, tables.TextTable(["a"], [["b"]])
    )
    assert not re.search(r"\x1b\[[0-9;]*[34][0-9]", said)


# --- JSON and help ---------------------------------------------------------------------------------------------------


JSON = {
    "sweep": ("FILE", "--steps", 3, "--out", "OUT"),
    "run": ("FILE", "--algorithm", 1, "--latency", "0", "--bandwidth", "inf", "--steps", 3),
    "presets": ("tang2018",),
    "tune": ("FILE", "--algorithm", 1, "--steps", 2),
    "consensus": ("GOSSIP", "--out", "OUT"),
    "bytes": ("powergossip-table2",),
    "time": ("--shapes", "SHAPES"),
    "check": ("netsim.algorithms:Identity",),
    "plan": ("--shapes", "SHAPES"),
}
NOT_ALWAYS = {"presets", "topologies", "seeds", "runs", "starts"}


@pytest.mark.parametrize("name", JSON)
def test_json_is_all_of_stdout_and_has_the_keys_that_the_help_names(netsim, tmp_path, monkeypatch, name: str) -> None:
    monkeypatch.setattr("netsim.commands.drawn.draw", lambda ds, folder: folder.mkdir())
    (tmp_path / "gossip.toml").write_text(GOSSIP)
    (tmp_path / "shapes.json").write_text(json.dumps(TENSORS))
    places = {
        "FILE": write(tmp_path),
        "GOSSIP": tmp_path / "gossip.toml",
        "SHAPES": tmp_path / "shapes.json",
        "OUT": tmp_path / "out",
    }
    monkeypatch.chdir(tmp_path)
    code, out, _ = netsim(name, *(places.get(str(word), word) for word in JSON[name]), "--json")
    named = {key for keys in import_module(f"netsim.commands.{name}").KEYS for key in keys.split(", ")}
    held = set(json.loads(out))
    assert code == 0 and held <= named and named - held <= NOT_ALWAYS


def test_presets_are_listed_as_json(netsim) -> None:
    _, out, _ = netsim("presets", "--json")
    said = json.loads(out)["presets"]
    assert [one["name"] for one in said] == list(sources.presets())
    assert {one["name"]: one["commands"] for one in said}["powergossip-consensus"] == ["consensus", "tune"]


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_help_has_examples_and_fits_into_80_columns(netsim, name: str) -> None:
    code, out, err = netsim(name, "--help")
    assert code == 0 and not err and "Examples:\n    netsim" in out
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize("name", cli.COMMANDS)
def test_examples_are_commands_that_can_be_called(name: str) -> None:
    for example in import_module(f"netsim.commands.{name}").EXAMPLES:
        program, command, *words = shlex.split(example.partition(" > ")[0])
        assert (program, command) == ("netsim", name)
        cli.imported(name).make_context(name, words).close()


def test_every_command_and_option_is_in_the_reference(netsim) -> None:
    text = reference.reference()
    for name in cli.COMMANDS:
        own = text.split(f"## netsim {name}\n")[1].split("\n## ")[0]
        _, out, _ = netsim(name, "--help")
        for option in re.findall(r"^  (--[a-z-]+)", out, re.MULTILINE):
            assert option == "--help" or f"`{option}" in own
        assert own.strip().startswith(cli.COMMANDS[name])
    assert text.count("\n## netsim ") == len(cli.COMMANDS) and "`--version`" in text


def test_the_version_is_that_of_the_distribution(netsim) -> None:
    assert re.fullmatch(r"netsim \d+\.\d+\.\d+\S*\n", netsim("--version")[1])


def test_the_shell_is_offered_presets_and_files(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("tango.toml").touch()
    environment = {"_NETSIM_COMPLETE": "complete_bash", "COMP_WORDS": "netsim sweep tang", "COMP_CWORD": "2"}
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    code = "from netsim.commands.app import main; main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert {"tang2018", "tang2018-16", "tango.toml"} <= set(done.stdout.split()), done


# --- what is said instead of the file --------------------------------------------------------------------------------


def test_seed_and_grid_of_the_command_line_replace_those_of_the_file(netsim, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("netsim.commands.drawn.draw", lambda ds, folder: folder.mkdir())
    grid = ("--latency", "1 ms .. 4 ms x 3", "--bandwidth", "1 Mbit/s, inf")
    code, out, _ = netsim("sweep", write(tmp_path), "--steps", 3, "--seed", 7, *grid, "--out", tmp_path / "out")
    ds = xr.load_dataset(tmp_path / "out" / "results.nc", engine="h5netcdf")
    assert code == 0 and ds["latency"].values.tolist() == pytest.approx([0.001, 0.002, 0.004])
    assert ds["bandwidth"].values.tolist() == [1e6, float("inf")] and ds.attrs["seed"] == 7
    assert "seed = 7, latency = 1 ms .. 4 ms x 3, bandwidth = 1 Mbit/s and inf bit/s" in out
    assert "slow" not in ds["condition"].values


def test_the_seed_decides_what_is_drawn(netsim, tmp_path) -> None:
    words = ("run", write(tmp_path), "--algorithm", 1, "--latency", "0", "--bandwidth", "inf", "--steps", 3, "--json")
    first, other, same = (
        json.loads(netsim(*words, *seed)[1])["history"] for seed in ((), ("--seed", 1), ("--seed", 0))
    )
    assert first == same != other


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sweep", "FILE", "--engine", "recurrence"], "'recurrence' is not one of 'auto', 'simpy', 'compiled'"),
        (["sweep", "FILE", "--jobs", "0"], "--jobs"),
        (["sweep", "FILE", "--checkpoint-every", "0"], "--checkpoint-every"),
        (["sweep", "FILE", "--seed", "-1"], "--seed"),
        (["sweep", "FILE", "--latency", "20"], "write --latency '20 ms'"),
        (["sweep", "FILE", "--bandwidth", "5"], "write --bandwidth '5 Mbit/s'"),
        (["sweep", "FILE", "--out", "FILE"], "is a file; name a folder"),
        (["run", "FILE", "--algorithm", "Nobody", "--latency", "0", "--bandwidth", "inf"], "no such algorithm"),
        (["tune", "FILE", "--algorithm", "Nobody"], "no such algorithm"),
        (["time", "--compute", "50"], "write --compute '50 ms'"),
        (["sweep"], "(see netsim sweep --help)"),
    ],
)
def test_what_would_be_refused_is_refused_before_any_training(
    netsim, tmp_path, monkeypatch, arguments, said: str
) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("it trained")

    monkeypatch.setattr(pipeline, "train", never)
    path = write(tmp_path)
    code, out, err = netsim(*(path if word == "FILE" else word for word in arguments))
    assert (code, out, err.count("\n")) == (2, "", 1) and said in err

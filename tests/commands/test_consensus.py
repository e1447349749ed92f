"""netsim consensus, and netsim tune by gossip: stdout, stderr, files and error messages."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from small_file import write as write_training

from netsim import NetsimError
from netsim.commands import app as cli
from netsim.files import config, sources
from netsim.plots.consensus import figure1
from netsim.plots.style import Plot
from netsim.runs import pipeline, results
from netsim.runs.tuning import best, search

PRESET = "powergossip-consensus"
SMALL = """
title = "small"
[gossip]
target = 0.05
until = 0.01
[topology]
kind = "ring"
n = 4
[[start]]
name = "noise"
kind = "normal"
shape = [4, 4]
budget = 0.003
[[start]]
name = "faces"
kind = "faces"
budget = 0.1
[[algorithm]]
label = "full"
name = "DPSGD"
gamma = "optimal"
published = { noise = 0.001 }
[[algorithm]]
name = "ChocoSGD"
starts = ["noise"]
compress = { name = "TopK", ratio = 0.25 }
gamma = { from = 0.01, to = 1.0, points = 3 }
[[algorithm]]
name = "Moniqua"
starts = ["noise"]
bits = 8
gamma = [0.1, 1.0]
theta = [1.0, 8.0]
best = { noise = { gamma = 1.0, theta = 8.0 } }
"""


def write(folder, *changes):
    """Write SMALL with some text replaced, each of which must occur."""
    text = SMALL
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = folder / "mine.toml"
    path.write_text(text)
    return path


def files_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def drawn_again(netsim, file):
    """Return what ``netsim plot`` makes of a file, by name."""
    code, out, err = netsim("plot", file, "--out", file.parent / "again")
    assert (code, err) == (0, "drawing the figures\n") and "again (PNG and SVG)" in out.replace("\n", "")
    return files_in(file.parent / "again")


@pytest.fixture
def netsim(capsys):
    """Run a command here; return (exit code, stdout, stderr)."""

    def run(*arguments):
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


def test_a_figure_that_fails_does_not_lose_the_results(netsim, tmp_path, monkeypatch):
    def fails(*_):
        raise NetsimError("consensus.png: the disk is full")

    monkeypatch.setattr("netsim.commands.drawn.draw", fails)
    code, _, err = netsim("consensus", write(tmp_path), "--out", tmp_path / "out", "--jobs", 1)
    assert code == 2 and "but a figure failed" in err and "the disk is full" in err.splitlines()[-1]
    assert results.read(tmp_path / "out" / "results.nc").attrs["title"] == "small"


def test_too_little_memory_is_one_line(netsim, tmp_path, monkeypatch):
    def needs_more(*_, **__):
        raise MemoryError("Unable to allocate 37.3 GiB")

    monkeypatch.setattr(config, "load", needs_more)
    code, out, err = netsim("consensus", write(tmp_path))
    assert (code, out) == (2, "") and err.startswith("netsim: not enough memory (Unable to allocate 37.3 GiB); ")
    assert err.count("\n") == 1


# --- netsim consensus ------------------------------------------------------------------------------------------------


def test_consensus_writes_everything_and_says_what_is_left_out(netsim, tmp_path):
    code, out, err = netsim("consensus", write(tmp_path), "--out", tmp_path / "out", "--jobs", 1)
    assert code == 0
    for words in ("small", "full", "ChocoSGD(TopK(0.25))", "Moniqua(8)", "0.001", "searched: netsim tune"):
        assert words in out
    for text in (out, err):
        assert "faces: left out: the Olivetti faces come from files: add --data PATH" in text
    files = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"mine.toml", "out/results.nc", "out/figures/consensus.png", "out/figures/consensus.svg"}
    ds = xr.load_dataset(tmp_path / "out" / "results.nc", engine="h5netcdf")
    assert ds.attrs["title"] == "small" and ds.attrs["left_out"].startswith("faces")
    assert ds.attrs["config"] == SMALL
    assert drawn_again(netsim, tmp_path / "out" / "results.nc") == files_in(tmp_path / "out" / "figures")


def test_json_is_all_of_stdout(netsim, tmp_path):
    code, out, _ = netsim("consensus", write(tmp_path), "--out", tmp_path / "out", "--json")
    said = json.loads(out)
    assert code == 0 and said["out"] == str(tmp_path / "out") and list(said["left_out"]) == ["faces"]
    full, choco, moniqua = said["table"]
    assert full["method"] == "full" and full["status"] == "reached" and not full["searched"]
    assert full["megabytes"] == pytest.approx(full["rounds"] * 2 * 16 * 4 / 1e6)
    assert full["difference"] == pytest.approx(100 * (full["megabytes"] / 0.001 - 1))
    assert choco["searched"] and choco["gamma"] in (0.01, 0.1, 1.0)
    assert (moniqua["gamma"], moniqua["theta"]) == (1.0, 8.0) and moniqua["published"] is None


def test_the_table_is_what_the_curves_say(tmp_path):
    setup = config.load(write(tmp_path))
    found = search(setup)
    assert list(found) == [("noise", "ChocoSGD(TopK(0.25))")]  # Moniqua's are in the file
    ds = pipeline.run(setup, found=found)
    for row in results.table(ds):
        sent, error = results.curve(ds, "noise", row["method"])
        assert len(sent) == len(error) and sent[0] == 0 and error[0] == 1 and (np.diff(sent) > 0).all()
        assert sent[-1] <= 0.003 * (1 + 1e-9)
        at = results.megabytes_to(ds, "noise", row["method"], 0.05)
        assert at == (row["megabytes"] if row["status"] == "reached" else np.inf)
        if row["status"] == "reached":
            assert error[row["rounds"]] <= 0.05 < error[row["rounds"] - 1]
            assert sent[row["rounds"]] == row["megabytes"]
    winner = best(found["noise", "ChocoSGD(TopK(0.25))"])
    assert ds["gamma"].sel(start="noise", experiment="ChocoSGD(TopK(0.25))") == winner.values["gamma"]
    assert isinstance(figure1(ds), Plot)
    again = search(setup, known=True)
    assert len(again) == 2 and again["noise", "ChocoSGD(TopK(0.25))"] == found["noise", "ChocoSGD(TopK(0.25))"]
    with pytest.raises(NetsimError, match="its step size is a grid; search it, or write best"):
        pipeline.run(setup)


def test_with_the_faces(netsim, tmp_path, data_folder):
    if not (data_folder / "olivetti").is_dir():
        pytest.skip(f"no faces in {data_folder}/olivetti (set NETSIM_DATA)")
    setup = config.load(write(tmp_path), data=data_folder)
    assert list(setup.problems) == ["noise", "faces"] and not setup.left_out
    assert setup.problems["faces"].x0.shape == (4, 64, 64)
    code, out, _ = netsim("consensus", setup.source, "--data", data_folder, "--out", tmp_path / "out", "--json")
    assert code == 0 and [row["start"] for row in json.loads(out)["table"]] == ["noise"] * 3 + ["faces"]
    by_path = write(tmp_path, ('kind = "faces"', f'kind = "faces"\npath = "{data_folder}"'))
    np.testing.assert_array_equal(config.load(by_path).problems["faces"].x0, setup.problems["faces"].x0)


MISTAKES = [
    (("target = 0.05", "target = 2.0"), ["gossip.target = 2.0: must be a number above 0 and below 1"]),
    (("target = 0.05", "tarket = 0.05"), ["gossip.tarket: unknown key", 'did you mean "target"?']),
    (("[gossip]", '[gossip]\ndevice = "gpu"'), ["gossip.device = 'gpu'", '"cuda"']),
    (('kind = "ring"', 'kind = "rink"'), ["topology.kind", 'did you mean "ring"?']),
    (('name = "faces"', 'name = "noise"'), ['start[2].name = "noise": occurs twice']),
    (("shape = [4, 4]", ""), ["start[1].shape: missing"]),
    (('kind = "faces"', 'kind = "faces"\nshape = [3]'), ['start[2].shape: not a key of kind = "faces"']),
    (('kind = "faces"', 'kind = "cats"'), ['start[2].kind = "cats"', '"normal"']),
    (('name = "DPSGD"', 'name = "DPSDG"'), ['algorithm[1].name = "DPSDG"', 'did you mean "DPSGD"?']),
    (('gamma = "optimal"', 'gamma = "best"'), ['algorithm[1].gamma = "best"', '"optimal"']),
    (("to = 1.0, points", "too = 1.0, points"), ["algorithm[2].gamma.too: unknown key"]),
    (("gamma = [0.1, 1.0]", "gamma = [0.1, -1.0]"), ["algorithm[3].gamma[2] = -1.0: must be a number above 0"]),
    (("bits = 8\n", ""), ["algorithm[3]: Moniqua also needs bits"]),
    (("theta = [1.0, 8.0]", "theta = [1.0, 8.0]\nmomentum = 0.9"), ["algorithm[3].momentum: unknown key of Moniqua"]),
    (("published = { noise", "published = { nose"), ['algorithm[1].published: no start is called "nose"']),
    (('starts = ["noise"]', 'starts = ["nose"]'), ['algorithm[2].starts: no start is called "nose"']),
    (("best = { noise = { gamma", "best = { noise = { rate"), ["algorithm[3].best"]),
    (('label = "full"', "label = 3"), ["algorithm[1].label = 3: must be text", 'write it in quotes: "3"']),
    (("[[start]]", "[[sart]]"), ["sart: unknown key"]),
    (("budget = 0.003", "budget = -1.0"), ["start[1].budget = -1.0"]),
    (('title = "small"', "title ="), ["not valid TOML"]),
]


@pytest.mark.parametrize(("change", "said"), MISTAKES, ids=[change[1][:40] or change[0] for change, _ in MISTAKES])
def test_a_mistake_in_the_file_is_one_line_and_writes_nothing(netsim, tmp_path, change, said):
    path = write(tmp_path, change)
    code, out, err = netsim("consensus", path, "--out", tmp_path / "out")
    assert (code, out, err.count("\n")) == (2, "", 1), err
    assert str(path) in err and all(words in err for words in said), err
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["sweep", PRESET], "is for netsim consensus"),
        (
            ["run", PRESET, "--algorithm", "1", "--latency", "1 ms", "--bandwidth", "1 Mbit/s"],
            "is for netsim consensus",
        ),
        (["consensus", "tang2018"], "is for netsim sweep, run and tune"),
        (["consensus", "powergosip-consensus"], 'did you mean "powergossip-consensus"?'),
        (["consensus", PRESET, "--data", "gone"], "--data: gone: does not exist"),
        (["consensus", PRESET, "--out", "FILE"], "is a file; name a folder"),
        (["consensus", PRESET, "--device", "gpu"], "gossip.device"),
        (["tune", PRESET, "--algorithm", "AllReduceSGD"], "no such algorithm"),
        (["tune", PRESET, "--algorithm", "PowerGossip"], "no step size to search"),
        (["tune", PRESET, "--steps", "3"], "--steps: not with --gamma"),
        (["tune", PRESET, "--algorithm", "ChocoSGD"], "several of this class"),
        (["tune", "tang2018", "--gamma", "--algorithm", "1"], "none of its methods has a consensus step size"),
        (["tune", "tang2018", "--out", "somewhere"], "--out: only with --gamma"),
    ],
)
def test_a_mistake_in_a_command_is_one_line(netsim, tmp_path, monkeypatch, arguments, said):
    monkeypatch.chdir(tmp_path)
    Path("FILE").write_text("mine")
    code, out, err = netsim(*arguments)
    lines = [line for line in err.splitlines() if not line.startswith("faces: left out")]
    assert (code, out, len(lines)) == (2, "", 1) and said in err, err
    assert [path.name for path in tmp_path.iterdir()] == ["FILE"]


# --- netsim tune -----------------------------------------------------------------------------------------------------


def test_tune_searches_a_file_of_gossip(netsim, tmp_path):
    path = write(tmp_path)
    code, out, _ = netsim("tune", path, "--jobs", 1)
    assert code == 0 and "rounds to the target" in out and "theta 8" in out
    assert "noise, Moniqua(8): { gamma = " in out and f"found by: netsim tune {path}" in out.replace("\n", " ")
    code, out, _ = netsim("tune", path, "--json")
    said = json.loads(out)
    assert code == 0 and list(said["starts"]) == ["noise"]
    methods = said["starts"]["noise"]["algorithms"]
    assert list(methods) == ["ChocoSGD(TopK(0.25))", "Moniqua(8)"]
    assert len(methods["Moniqua(8)"]["trials"]) == 4
    found = search(config.load(path))
    winner = best(found["noise", "ChocoSGD(TopK(0.25))"])
    assert methods["ChocoSGD(TopK(0.25))"]["best"]["gamma"] == winner.values["gamma"]


def test_tune_draws_the_sensitivity_of_every_method(netsim, tmp_path):
    code, out, _ = netsim("tune", write(tmp_path), "--algorithm", "full", "--out", tmp_path / "out")
    assert code == 0 and "found by:" in out
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        f"sensitivity.{kind}" for kind in ("nc", "png", "svg")
    }
    ds = xr.load_dataset(tmp_path / "out" / "sensitivity.nc", engine="h5netcdf")
    assert ds["experiment"].values.tolist() == ["full"] and ds.sizes["gamma"] == 20
    sent = ds["megabytes_to_target"].sel(experiment="full").values
    assert sent[-1] == sent.min() and np.isinf(sent[0])
    written = files_in(tmp_path / "out")
    del written["sensitivity.nc"]
    assert drawn_again(netsim, tmp_path / "out" / "sensitivity.nc") == written


def test_tune_takes_the_tensors_of_a_training(netsim, tmp_path):
    path = write_training(tmp_path, ("hidden = [16]", "hidden = [2]"), ('name = "AllReduceSGD"', 'name = "DPSGD"'))
    code, out, _ = netsim("tune", path, "--gamma", "--jobs", 1)
    assert code == 0 and "standard normal numbers in the shape of the model (160 numbers)" in out
    assert "DPSGD(): { gamma = " in out and "largest gamma of the grid" in out
    assert f"found by: netsim tune {path} --gamma" in out.replace("\n", " ")


# --- the preset ------------------------------------------------------------------------------------------------------


def test_the_preset_is_listed_and_its_step_sizes_are_on_its_grids(netsim):
    code, out, _ = netsim("presets")
    assert code == 0 and PRESET in out
    code, out, _ = netsim("presets", PRESET)
    assert code == 0 and "found by: netsim tune powergossip-consensus" in out
    setup = config.load(PRESET)
    assert list(setup.problems) == ["noise"] and list(setup.left_out) == ["faces"]
    assert setup.problems["noise"].x0.shape == (8, 100, 100)
    table = tomllib.loads((sources.PRESETS / f"{PRESET}.toml").read_text())
    for method, section in zip(setup.methods, table["algorithm"], strict=True):
        searched = "points" in section["gamma"]
        assert set(method.best) == (set(method.starts) if searched else set())
        for found in method.best.values():
            for name, grid in (("gamma", method.gammas), ("theta", method.thetas)):
                assert name not in found or found[name] in grid
    assert all("(ours" in said or "(paper" in said for said in setup.assumptions.values())

"""The command line: stdout, stderr, files and error messages."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import forks
import pytest
from small_file import MISTAKES, write

from netsim.commands import app as cli
from netsim.commands import publishing
from netsim.files import sources
from netsim.runs import results
from netsim.runs.tuning import GRID

BUNDLED = Path(sources.PRESETS) / "tang2018.toml"


@pytest.fixture
def netsim(capsys: pytest.CaptureFixture[str]):
    """Run a command here; return (exit code, stdout, stderr)."""

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


def everything_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sweep, made by a process of its own."""
    folder = tmp_path_factory.mktemp("swept")
    command = [sys.executable, "-m", "netsim", "sweep", str(write(folder)), "--out", str(folder / "out"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    (folder / "stdout").write_text(done.stdout)
    (folder / "stderr").write_text(done.stderr)
    return folder


def test_sweep_writes_results_and_figures(swept: Path) -> None:
    ds = results.load(swept / "out" / "results.nc")
    assert ds.sizes["experiment"] == 2 and ds.attrs["title"] == "small"
    figures = {path.name for path in (swept / "out" / "figures").iterdir()}
    assert {"winner-map.png", "winner-map.svg"} <= figures
    assert not [path for path in swept.iterdir() if path.name.startswith(".")]


def test_json_is_all_of_stdout(swept: Path) -> None:
    said = json.loads((swept / "stdout").read_text())
    assert said["out"] == str(swept / "out") and len(said["table"]) == 2 * 2 * 2
    assert {"seconds_per_epoch", "seconds_to_target", "speedup", "status"} <= set(said["table"][0])


def test_without_a_terminal_progress_is_lines_on_stderr(swept: Path) -> None:
    lines = (swept / "stderr").read_text().splitlines()
    assert any(line.startswith("AllReduceSGD(): 22/22, loss ") for line in lines)
    assert any(line.startswith("networks, fifo: 32/32") for line in lines)
    assert not any("\x1b" in line for line in lines)


def test_sweep_prints_the_table_and_what_timed_it(netsim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "netsim.commands.drawn.draw", lambda ds, folder: folder.mkdir()
    )  # figures are drawn elsewhere, and take long
    wild = '\n[[algorithm]]\nname = "DPSGD"\nlr = 1e6\n[network]'
    path = write(tmp_path, ("[network]", wild), ("target = 0.5", "target = 1e-9"))
    code, out, _ = netsim("sweep", path, "--out", tmp_path / "out", "--engine", "simpy", "--jobs", 2)
    assert code == 0
    for words in ("AllReduceSGD()", "slow", "fast (ours)", "5 Mbit/s", "not reached", "diverged @ ", "s per epoch"):
        assert words in out
    assert "timed: 0 compiled, 96 by SimPy, largest difference 0 s" in out
    assert "lr 0.2; no overlap" in out and "messages travel while a gradient is computed" in out
    assert "target: training loss 1e-09" in out and str(tmp_path / "out" / "results.nc") in out.replace("\n", "")


def test_run_tells_of_one_algorithm_on_one_network(netsim, tmp_path: Path) -> None:
    path = write(tmp_path)
    where = ("--latency", "20 ms", "--bandwidth", "5 Mbit/s")
    code, out, _ = netsim("run", path, "--algorithm", "DCDPSGD", *where, "--sharing", "none", "--out", tmp_path / "out")
    assert code == 0
    for words in (
        "DCDPSGD(StochasticQuantizer(8)) on ring(4), 20 ms, 5 Mbit/s, sharing = none",
        "accuracy",
        "compression error: max",
    ):
        assert words in out
    assert "time" in results.xr.load_dataset(tmp_path / "out" / "run.nc")
    code, out, err = netsim("plot", tmp_path / "out" / "run.nc")
    assert (code, out, err.count("\n")) == (2, "", 1) and not (tmp_path / "out" / "figures").exists()
    assert "run.nc: one training on one network, which netsim run wrote: there is no figure of that; draw" in err
    code, out, _ = netsim("run", path, "--algorithm", 1, *where, "--json")
    said = json.loads(out)
    assert (code, said["algorithm"], said["engine"], said["compression_error"]) == (
        0,
        "AllReduceSGD()",
        "compiled",
        None,
    )
    for wanted, words in (("DPSGDD", "no such algorithm"), ("3", "no such algorithm")):
        code, out, err = netsim("run", path, "--algorithm", wanted, *where)
        assert code == 2 and words in err and "2 DCDPSGD(StochasticQuantizer(8))" in err


def test_presets_are_listed_and_printed(netsim) -> None:
    code, out, _ = netsim("presets")
    assert code == 0 and all(name in out for name in sources.presets())
    code, out, _ = netsim("presets", "tang2018")
    assert code == 0 and BUNDLED.read_text() in out
    assert "  compute: 50 ms" in out and "(paper)" in out and "(ours" in out
    assert netsim("presets", "tang2019")[::2] == (
        2,
        'netsim: tang2019: no preset of this name; did you mean "tang2018"?\n',
    )


def test_plot_draws_the_same_figures_again(netsim, swept: Path, tmp_path: Path) -> None:
    code, out, _ = netsim("plot", swept / "out" / "results.nc", "--out", tmp_path / "again")
    assert code == 0 and str(tmp_path / "again") in out.replace("\n", "")
    assert {p.name for p in (tmp_path / "again").iterdir()} == {p.name for p in (swept / "out" / "figures").iterdir()}
    code, _, _ = netsim(
        "plot", swept / "out" / "results.nc", "--target", 2.2, "--format", "svg", "--out", tmp_path / "for 2.2"
    )
    names = [sorted(p.name for p in (tmp_path / folder).glob("*.svg")) for folder in ("again", "for 2.2")]
    assert code == 0 and names[0] == names[1]
    assert "target loss 2.2" in (tmp_path / "for 2.2" / "winner-map.svg").read_text()


def test_tune_prints_the_grid_and_the_rates(netsim, tmp_path: Path) -> None:
    path = write(tmp_path)
    code, out, _ = netsim("tune", path, "--algorithm", "AllReduceSGD", "--steps", 4)
    assert code == 0 and "grid: 0.05, 0.1, 0.2, 0.4, 0.8, extended" in out and "AllReduceSGD(): lr = " in out
    assert f"found by: netsim tune {path} --algorithm AllReduceSGD --steps 4" in out
    code, out, _ = netsim("tune", path, "--steps", 4, "--json")
    said = json.loads(out)
    assert code == 0 and said["grid"] == list(GRID) and len(said["algorithms"]) == 2


@pytest.mark.parametrize(("change", "said"), MISTAKES, ids=[change[1][:40] or change[0] for change, _ in MISTAKES])
def test_a_mistake_in_the_file_is_one_line_and_writes_nothing(
    netsim, tmp_path: Path, change: tuple[str, str], said: list[str]
) -> None:
    path = write(tmp_path, change)
    code, out, err = netsim("sweep", path, "--out", tmp_path / "out")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert str(path) in err and all(words in err for words in said)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["swep"], "No such command 'swep'. Did you mean 'sweep'?"),
        (["sweep"], "Missing argument"),
        (["sweep", "tang2018", "--egine", "simpy"], "--egine"),
        (["sweep", "tang2018", "--engine", "simp"], "--engine"),
        (["sweep", "tang2018", "--steps", "0"], "--steps"),
        (["sweep", "gone.toml"], "gone.toml: no such file"),
        (["sweep", "tang2018", "--data", "gone"], "--data: gone: does not exist"),
        (["sweep", "tang2018-mnist"], "add --data PATH"),
        (["sweep", "tang2018-cifar10", "--data", "gone"], "--data: gone: does not exist"),
        (["sweep", "tang2018", "--out", "FILE"], "is a file; name a folder"),
        (
            ["run", "tang2018", "--algorithm", "DPSGD", "--latency", "20 m", "--bandwidth", "1 Mbit/s"],
            'unknown unit "m"',
        ),
        (
            ["run", "tang2018", "--algorithm", "DPSGD", "--latency", "1 s", "--bandwidth", "10 mbs"],
            '--bandwidth = "10 mbs"',
        ),
        (
            ["run", "tang2018", "--algorithm", "AllReduceSGD", "--latency", "1 s", "--bandwidth", "1 bit/s"],
            "several of this class",
        ),
        (["plot", "gone.nc"], "gone.nc: no such file"),
        (["plot", "FILE"], "not a whole netCDF file"),
    ],
)
def test_a_mistake_in_a_command_is_one_line(
    netsim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("FILE").write_text("mine")
    code, out, err = netsim(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1) and said in err
    assert everything_in(tmp_path) == {"FILE": b"mine"}


def test_help_is_the_answer_to_nothing(netsim) -> None:
    code, out, _ = netsim()
    assert code == 0 and all(command in out for command in ("sweep", "run", "presets", "plot", "tune"))


def test_an_interrupt_stops_soon_and_leaves_nothing_but_checkpoints(tmp_path: Path) -> None:
    path = write(tmp_path)
    words = ["sweep", str(path), "--out", str(tmp_path / "out"), "--steps", "1000000"]
    child = forks.fork(lambda: cli.main(words))
    forks.read_until(child.stderr, "AllReduceSGD(): ")
    os.kill(child.pid, signal.SIGINT)
    code, out, err = forks.ended(child)
    assert (code, out) == (130, "") and err.endswith("sweep and run go on from their checkpoints with --resume\n")
    assert "Traceback" not in err
    assert all(one.suffix == ".npz" for one in (tmp_path / "out").rglob("*") if one.is_file())


def test_a_new_sweep_replaces_the_old_one_at_the_end(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    (folder / "figures").mkdir(parents=True)
    for old in ("results.nc", "figures/old.png", "mine.txt"):
        (folder / old).write_text("old")
    before = everything_in(folder)

    def fails(fresh: Path) -> None:
        (fresh / "results.nc").write_text("half")
        raise RuntimeError("in between")

    with pytest.raises(RuntimeError), publishing.claimed(folder) as claim:
        publishing.publish(claim, fails)
    assert everything_in(folder) == before and list(tmp_path.iterdir()) == [folder]

    def works(fresh: Path) -> None:
        (fresh / "figures").mkdir()
        (fresh / "figures" / "new.png").write_text("new")
        (fresh / "results.nc").write_text("new")

    with publishing.claimed(folder) as claim:
        publishing.publish(claim, works, force=True)
    assert everything_in(folder) == {
        "results.nc": b"new",
        "figures/new.png": b"new",
        "figures/old.png": b"old",
        "mine.txt": b"old",
    }
    assert list(tmp_path.iterdir()) == [folder]

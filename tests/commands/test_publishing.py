"""A command's folder: only netsim's own files are replaced or removed, one command at a time works in it, and it is tested before the work."""

import os
import signal
import time
from pathlib import Path

import forks
import numpy as np
import pytest
from small_file import write

from netsim import NetsimError
from netsim.commands import app as cli
from netsim.commands import publishing
from netsim.commands.publishing import claimed, publish, remove_stale
from netsim.runs.checkpoints import checkpoints_in, clear_all, remains, write_checkpoint

NETWORK = ("--latency", "1 ms", "--bandwidth", "1 Mbit/s")


@pytest.fixture
def netsim(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """Run a command here, without drawing; return (exit code, stdout, stderr)."""

    def drawn(ds: object, folder: Path) -> None:
        folder.mkdir()
        (folder / "winner-map.png").write_text("drawn")

    monkeypatch.setattr("netsim.commands.drawn.draw", drawn)

    def run(*arguments: object) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            cli.main([str(argument) for argument in arguments])
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


def everything_in(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


# --- what is replaced and removed ----------------------------------------------------------------------------------------


def test_a_users_own_figures_stay_and_stale_ones_go(netsim, tmp_path: Path) -> None:
    figures = tmp_path / "out" / "figures"
    (figures / "drafts").mkdir(parents=True)
    for name in ("architecture.pdf", "winner-map.png", "naive.svg", "naive-annotated.svg", "drafts/loss.png"):
        (figures / name).write_text("mine")
    assert netsim("sweep", write(tmp_path), "--out", tmp_path / "out")[0] == 0
    assert everything_in(tmp_path / "out") == {
        *("results.nc", "figures", "figures/winner-map.png"),
        *("figures/architecture.pdf", "figures/naive-annotated.svg", "figures/drafts", "figures/drafts/loss.png"),
    }
    assert (figures / "winner-map.png").read_text() == "drawn"
    assert (figures / "architecture.pdf").read_text() == "mine"


def test_stale_figures_behind_a_link_stay(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "loss.png").write_text("mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "figures").symlink_to(tmp_path / "mine")
    with claimed(tmp_path / "out") as claim:
        remove_stale(claim, ["loss"], [])
    assert (tmp_path / "mine" / "loss.png").exists()


def test_a_folder_in_place_of_a_figure_is_found_before_the_work(netsim, tmp_path: Path) -> None:
    (tmp_path / "out" / "figures" / "loss.png").mkdir(parents=True)
    code, said, err = netsim("sweep", write(tmp_path), "--out", tmp_path / "out")
    assert (code, said, err.count("\n")) == (2, "", 1) and "figures/loss.png in it is a folder; move it away" in err
    assert everything_in(tmp_path / "out") == {"figures", "figures/loss.png"}


def test_figures_that_cannot_be_written_are_found_before_the_work(netsim, tmp_path: Path) -> None:
    """As where another system's folder is mounted there, which nobody may write to; a file in place of the lock's folder is as good."""
    (tmp_path / "out" / "figures").mkdir(parents=True)
    (tmp_path / "out" / "figures" / ".netsim").write_text("mine")
    code, said, err = netsim("sweep", write(tmp_path), "--out", tmp_path / "out")
    assert (code, said, err.count("\n")) == (2, "", 1) and "figures/.netsim" in err
    assert everything_in(tmp_path / "out") == {"figures", "figures/.netsim"}


def test_results_of_other_contents_are_kept(netsim, tmp_path: Path) -> None:
    """The same command again replaces nothing; another one keeps the results of before, unless it is forced."""
    path, out = write(tmp_path), tmp_path / "out"
    assert netsim("sweep", path, "--out", out, "--steps", 3)[0] == 0
    first = (out / "results.nc").read_bytes()
    code, _, err = netsim("sweep", path, "--out", out, "--steps", 3)
    assert code == 0 and "kept" not in err and (out / "results.nc").read_bytes() == first
    assert everything_in(out) == {"results.nc", "figures", "figures/winner-map.png"}
    code, _, err = netsim("sweep", path, "--out", out, "--steps", 2)
    assert code == 0 and f"{out / 'results.nc'}: kept what was there as results-1.nc" in err
    assert (out / "results-1.nc").read_bytes() == first and (out / "results.nc").read_bytes() != first
    code, _, err = netsim("sweep", path, "--out", out, "--steps", 4, "--force")
    assert code == 0 and "kept" not in err and not (out / "results-2.nc").exists()
    assert (out / "results-1.nc").read_bytes() == first


def test_run_writes_beside_figures(netsim, tmp_path: Path) -> None:
    path, out = write(tmp_path), tmp_path / "out"
    (out / "figures").mkdir(parents=True)
    (out / "figures" / "mine.png").write_text("mine")
    for steps in (3, 2):
        assert netsim("run", path, "--algorithm", 1, *NETWORK, "--steps", steps, "--out", out)[0] == 0
    assert everything_in(out) == {"figures", "figures/mine.png", "run.nc", "run-1.nc"}


# --- the folder is tested before the work --------------------------------------------------------------------------------


def test_what_is_written_lies_inside_the_folder_and_nothing_remains(tmp_path: Path) -> None:
    """So that a folder that is a mount point, or whose parent cannot be written, is as good as any."""
    (tmp_path / "parent").mkdir()

    def look(fresh: Path) -> None:
        assert fresh.is_relative_to(tmp_path / "parent" / "out") and everything_in(tmp_path) >= {"parent/out/.netsim"}
        assert [path.name for path in (tmp_path / "parent").iterdir()] == ["out"]
        (fresh / "results.nc").write_text("new")

    with claimed(tmp_path / "parent" / "out") as claim:
        publish(claim, look)
    assert everything_in(tmp_path) == {"parent", "parent/out", "parent/out/results.nc"}
    with claimed(tmp_path / "a" / "b" / "c"):
        pass
    assert everything_in(tmp_path) == {"parent", "parent/out", "parent/out/results.nc"}


@pytest.mark.parametrize("command", ["sweep", "run", "plot", "consensus", "tune"])
def test_a_folder_that_cannot_be_written_is_found_before_any_work(
    netsim, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    """Root may write everywhere, so the folder is made by a system that refuses."""
    from test_consensus import write as write_gossip

    path = write_gossip(tmp_path) if command in ("consensus", "tune") else write(tmp_path)
    if command == "plot":
        assert netsim("sweep", path, "--out", tmp_path / "before", "--steps", 2)[0] == 0
        path = tmp_path / "before" / "results.nc"
    more = {"run": ("--algorithm", 1, *NETWORK)}.get(command, ())
    before, mkdir = everything_in(tmp_path), Path.mkdir

    def refused(self: Path, *how: object, **options: object) -> None:
        if "out" in self.parts:
            raise OSError(30, "Read-only file system", str(self))
        mkdir(self, *how, **options)

    monkeypatch.setattr(Path, "mkdir", refused)
    for module in ("netsim.runs.pipeline.train", "netsim.runs.tuning.race", "netsim.plots.drawing.figures"):
        monkeypatch.setattr(module, lambda *_, **__: pytest.fail("worked"))
    code, out, err = netsim(command, path, *more, "--out", tmp_path / "out")
    lines = [line for line in err.splitlines() if "left out" not in line]
    assert (code, out, len(lines)) == (2, "", 1), err
    assert f"--out {tmp_path / 'out'}: cannot be written: Read-only file system" in lines[0]
    assert everything_in(tmp_path) == before


def test_what_stands_in_the_way_is_found_before_any_work(netsim, tmp_path: Path) -> None:
    path = write(tmp_path)
    for name, make in {"results.nc": Path.mkdir, "figures": Path.touch, ".netsim": Path.touch}.items():
        out = tmp_path / f"out-{name}"
        out.mkdir()
        make(out / name)
        code, said, err = netsim("sweep", path, "--out", out)
        assert (code, said, err.count("\n")) == (2, "", 1) and name in err and "another folder" in err, err
        assert everything_in(out) == {name}


# --- one command at a time -----------------------------------------------------------------------------------------------


def hold(out: Path) -> None:
    """In a child: claim a folder, and begin to write there."""
    with claimed(out) as claim:
        (claim.aside / "half").mkdir()
        print("claimed", flush=True)
        time.sleep(60)


def test_a_second_command_is_refused_and_a_killed_one_is_not_in_the_way(netsim, tmp_path: Path) -> None:
    path, out = write(tmp_path), tmp_path / "out"
    first = forks.fork(lambda: hold(out))
    assert first.stdout.readline() == "claimed\n"
    for command in (("sweep", path), ("run", path, "--algorithm", 1, *NETWORK)):
        code, said, err = netsim(*command, "--out", out)
        assert (code, said, err.count("\n")) == (2, "", 1)
        assert f"--out {out}: another netsim command is at work there; wait" in err
    assert everything_in(out) == {".netsim", ".netsim/lock", ".netsim/half"}
    os.kill(first.pid, signal.SIGKILL)
    forks.ended(first)
    assert everything_in(out) == {".netsim", ".netsim/lock", ".netsim/half"}
    assert netsim("sweep", path, "--out", out, "--steps", 2)[0] == 0
    assert everything_in(out) == {"results.nc", "figures", "figures/winner-map.png"}


def test_two_runs_of_different_methods_go_on_beside_each_other(netsim, tmp_path: Path, monkeypatch) -> None:
    """Without --out they write nothing that both write: each has a folder of its own for its checkpoints."""
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path)
    words = ["run", str(path), "--algorithm", "1", *NETWORK, "--steps", "1000000"]
    first = forks.fork(lambda: cli.main(words))
    assert first.stderr.readline().startswith("AllReduceSGD()")
    assert netsim("run", path, "--algorithm", 2, *NETWORK, "--steps", 3)[0] == 0
    code, _, err = netsim(*words)
    assert code == 2 and "checkpoints in results" in err and "another netsim command is at work there; wait" in err
    os.kill(first.pid, signal.SIGINT)
    forks.ended(first)
    assert remains(tmp_path / "results" / "my" / "checkpoints-run")


# --- checkpoints ---------------------------------------------------------------------------------------------------------


def stopped_sweep(folder: Path) -> Path:
    """A folder as an interrupted sweep leaves it."""
    return write_checkpoint(folder / "checkpoints" / "1-AllReduceSGD", 5, {"x": np.arange(3)})


def test_only_checkpoints_of_netsims_own_are_cleared(tmp_path: Path) -> None:
    own = stopped_sweep(tmp_path)
    checkpoints, elsewhere = tmp_path / "checkpoints", tmp_path / "elsewhere" / "1-Mine"
    mine = stopped_sweep(tmp_path / "else")
    elsewhere.mkdir(parents=True)
    for folder in (checkpoints / "mine", checkpoints / "1-AllReduceSGD" / "mine", elsewhere):
        folder.mkdir(exist_ok=True)
        (folder / own.name).write_text("mine")
    (checkpoints / "2-DPSGD").symlink_to(elsewhere)
    for name in ("step-5-mine.npz", "step-000000005.npz", own.name.upper(), "notes.txt"):
        (own.parent / name).write_text("mine")
    (checkpoints / "empty").mkdir()
    clear_all(checkpoints)
    assert not own.exists() and everything_in(own.parent) == {
        *("step-5-mine.npz", "step-000000005.npz", own.name.upper(), "notes.txt"),
        *("mine", f"mine/{own.name}"),
    }
    assert (elsewhere / own.name).exists() and (checkpoints / "mine" / own.name).exists()
    assert (checkpoints / "empty").is_dir() and mine.exists()
    (tmp_path / "link").symlink_to(mine.parents[1])
    clear_all(tmp_path / "link")
    assert mine.exists()


def test_checkpoints_are_dropped_only_if_told_to(netsim, tmp_path: Path) -> None:
    path, out = write(tmp_path), tmp_path / "out"
    kept = stopped_sweep(out)
    code, said, err = netsim("sweep", path, "--out", out, "--steps", 2)
    assert (code, said, err.count("\n")) == (2, "", 1)
    assert all(word in err for word in (str(out / "checkpoints"), "--resume", "--force", "--out")) and kept.exists()
    assert netsim("sweep", path, "--out", out, "--steps", 2, "--force")[0] == 0 and not kept.exists()
    code, _, err = netsim("sweep", path, "--out", out, "--steps", 2, "--resume")
    assert code == 0 and f"--resume: no checkpoints in {out / 'checkpoints'}; beginning with the first step" in err


def test_a_link_in_place_of_the_checkpoints_is_refused(netsim, tmp_path: Path) -> None:
    path, out = write(tmp_path), tmp_path / "out"
    mine = stopped_sweep(tmp_path / "mine")
    out.mkdir()
    (out / "checkpoints").symlink_to(mine.parents[1])
    code, said, err = netsim("sweep", path, "--out", out, "--force")
    assert (code, said, err.count("\n")) == (2, "", 1) and "checkpoints: is a link or a file" in err
    assert checkpoints_in(mine.parent) == [mine]


def test_a_run_leaves_the_checkpoints_of_another_alone(netsim, tmp_path: Path, monkeypatch) -> None:
    """B, run while A of the same file is interrupted, drops nothing of A, and A goes on where it was."""
    monkeypatch.chdir(tmp_path)
    path, folder = write(tmp_path), tmp_path / "results" / "my" / "checkpoints-run"
    command = ("run", path, *NETWORK, "--algorithm")
    with monkeypatch.context() as patch:
        patch.setattr("netsim.commands.run.replay", lambda *_: (_ for _ in ()).throw(NetsimError("interrupted")))
        assert netsim(*command, 1)[0] == 2
    (kept,) = [path for path in folder.rglob("step-*")]
    assert netsim(*command, 2)[0] == 0 and list(folder.rglob("step-*")) == [kept]
    code, _, err = netsim(*command, 1)
    assert code == 2 and "--resume" in err and kept.exists()
    code, _, err = netsim(*command, 1, "--steps", 9, "--resume")
    assert code == 0 and "--resume: no checkpoints in" in err and kept.exists()
    assert netsim(*command, 1, "--resume")[0] == 0 and not (tmp_path / "results").exists()


def test_a_claim_is_not_in_the_way_of_an_error(tmp_path: Path) -> None:
    def fails(fresh: Path) -> None:
        raise NetsimError(f"{fresh / 'results.nc'}: cannot be written (No space left on device)")

    with pytest.raises(NetsimError) as caught, publishing.claimed(tmp_path / "out") as claim:
        publish(claim, fails)
    assert str(caught.value) == f"{tmp_path / 'out' / 'results.nc'}: cannot be written (No space left on device)"
    assert not (tmp_path / "out").exists()

"""Commands that were stopped or killed resume from their checkpoints."""

import os
import signal
import sys
from contextlib import chdir
from functools import partial
from pathlib import Path
from typing import Any
from unittest import mock

import forks
import pytest
from fuzzing.files import called as call

from netsim.commands import app, drawn

pytestmark = pytest.mark.bitwise

STEPS = 500
SETTINGS = f"""
[task]
model = "mlp"
data = "digits"
hidden = [32]
batch = 8
[training]
steps = {STEPS}
lr = 0.1
momentum = 0.5
evaluate_every = 100
target = 0.2
[topology]
kind = "ring"
n = 4
[[algorithm]]
name = "DPSGD"
[[algorithm]]
name = "AllReduceSGD"
[network]
latency = ["1 ms", "10 ms"]
bandwidth = ["10 Mbit/s"]
compute = "1 ms"
"""


NETWORK = {"sweep": [], "run": ["--algorithm", "DPSGD", "--latency", "1 ms", "--bandwidth", "10 Mbit/s"]}


def called(folder: Path, *words: str) -> None:
    """In a child: a command in a folder, which draws nothing."""
    drawn.draw = lambda ds, figures: figures.mkdir()
    with chdir(folder):
        Path("small.toml").write_text(SETTINGS)
        app.main([*words])


def stopped_by(how: int, folder: Path, *words: str) -> None:
    """In a child: a command that gets a signal as soon as it has written a checkpoint and is about to write another."""
    written: list[Path] = []

    def hook(event: str, paths: tuple[Any, ...]) -> None:
        if event == "os.rename" and Path(paths[1]).name.startswith("step-"):
            written.append(paths[1])
            if len(written) == 2:
                os.kill(os.getpid(), how)

    sys.addaudithook(hook)
    called(folder, *words)


def words_of(command: str) -> list[str]:
    return [command, "small.toml", "--json", "--checkpoint-every", "40", *NETWORK[command]]


@pytest.fixture(scope="module", params=NETWORK)
def left_alone(request, tmp_path_factory):
    """A command, and what it prints when nobody stops it; called here, so that children have loaded what it takes."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "small.toml").write_text(SETTINGS)
    with chdir(folder), mock.patch.object(drawn, "draw", lambda ds, figures: figures.mkdir()):
        code, out, err = call([*words_of(request.param), "--out", "whole"])
    assert code == 0, err
    return request.param, out


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_command_that_was_stopped_goes_on(left_alone, how, tmp_path):
    """A signal once there is a checkpoint; the second call prints what a call that was left alone prints."""
    command, whole = left_alone
    words = [*words_of(command), "--out", "halted"]
    code, _, said = forks.done(partial(stopped_by, how, tmp_path, *words))
    assert code == 130 and "--resume" in said, said
    steps = [int(path.name.split("-")[1]) for path in (tmp_path / "halted").rglob("step-*")]
    assert steps and max(steps) < STEPS
    code, resumed, said = forks.done(partial(called, tmp_path, *words, "--resume"))
    assert code == 0, said
    assert resumed.replace("halted", "whole") == whole
    assert not list(tmp_path.rglob("*checkpoints*"))


def test_a_run_without_a_folder_leaves_nothing_behind(tmp_path):
    words = ["run", "small.toml", "--algorithm", "1", "--latency", "1 ms", "--bandwidth", "1 Mbit/s", "--steps", "9"]
    (tmp_path / "small.toml").write_text(SETTINGS)
    with chdir(tmp_path):
        code, _, err = call(words)
    assert code == 0, err
    assert [path.name for path in tmp_path.iterdir()] == ["small.toml"]

"""Commands that were stopped or killed resume from their checkpoints."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from interrupts import heed_interrupts

pytestmark = pytest.mark.bitwise

SETTINGS = """
[task]
model = "mlp"
data = "digits"
hidden = [32]
batch = 8
[training]
steps = 500
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


def netsim(folder: Path, *words: str) -> list[str]:
    (folder / "small.toml").write_text(SETTINGS)
    return [sys.executable, "-m", "netsim", *words]


SUBPROCESS = {"text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "preexec_fn": heed_interrupts}
NETWORK = {"sweep": [], "run": ["--algorithm", "DPSGD", "--latency", "1 ms", "--bandwidth", "10 Mbit/s"]}


def words_of(folder: Path, command: str) -> list[str]:
    return netsim(folder, command, "small.toml", "--json", "--checkpoint-every", "40", *NETWORK[command])


@pytest.fixture(scope="module", params=NETWORK)
def left_alone(request, tmp_path_factory):
    """A command, and what it prints when nobody stops it."""
    folder = tmp_path_factory.mktemp("whole")
    words = [*words_of(folder, request.param), "--out", "whole"]
    return request.param, subprocess.run(words, check=True, cwd=folder, **SUBPROCESS).stdout


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_command_that_was_stopped_goes_on(left_alone, how, tmp_path):
    """A signal once the first checkpoint is there; the second call prints what a call that was left alone prints."""
    command, whole = left_alone
    words, settings = words_of(tmp_path, command), {"cwd": tmp_path, **SUBPROCESS}
    stopped = subprocess.Popen([*words, "--out", "halted"], **settings)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "halted").rglob("step-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    stopped.send_signal(how)
    _, said = stopped.communicate(timeout=60)
    assert stopped.returncode == 130 and "--resume" in said, said
    steps = [int(path.name.split("-")[1]) for path in (tmp_path / "halted").rglob("step-*")]
    assert steps and max(steps) < 500
    resumed = subprocess.run([*words, "--out", "halted", "--resume"], check=True, **settings).stdout
    assert resumed.replace("halted", "whole") == whole
    assert not list(tmp_path.rglob("*checkpoints*"))


def test_a_run_without_a_folder_leaves_nothing_behind(tmp_path):
    words = netsim(
        tmp_path,
        "run",
        "small.toml",
        "--algorithm",
        "1",
        "--latency",
        "1 ms",
        "--bandwidth",
        "1 Mbit/s",
        "--steps",
        "9",
    )
    subprocess.run(words, cwd=tmp_path, check=True, capture_output=True)
    assert [path.name for path in tmp_path.iterdir()] == ["small.toml"]

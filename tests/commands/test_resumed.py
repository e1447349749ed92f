"""Commands that were stopped or killed go on from their checkpoints."""

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


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
@pytest.mark.parametrize("command", ["sweep", "run"])
def test_a_command_that_was_stopped_goes_on(command, how, tmp_path):
    """A signal once the first checkpoint is there; the second call prints what a call that was left alone prints."""
    network = ["--algorithm", "DPSGD", "--latency", "1 ms", "--bandwidth", "10 Mbit/s"] if command == "run" else []
    words = netsim(tmp_path, command, "small.toml", "--json", "--checkpoint-every", "40", *network)
    settings = {"cwd": tmp_path, "text": True, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    settings["preexec_fn"] = heed_interrupts
    whole = subprocess.run([*words, "--out", "whole"], check=True, **settings).stdout
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

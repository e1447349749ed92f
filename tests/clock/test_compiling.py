"""The compiled engine is compiled once a machine, says so, and does without a place to keep it."""

import os
import subprocess
import sys

SCRIPT = """
from netsim import Network, Trace, replay
trace = Trace.from_programs([[("send", 1, 1000, 0)], [("recv", 0, 0)]])
print(replay(trace, Network(0.25, 1000.0, sharing="none")).finish[0].tolist())
"""
SAID = "netsim: compiling the clock for sharing = none; once, some seconds"


def run(cache) -> tuple[str, str]:
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "HOME": str(cache)}
    done = subprocess.run([sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip(), done.stderr.strip()


def test_it_is_said_once_and_kept(tmp_path):
    assert run(tmp_path) == ("[0.0, 1.25]", SAID)
    assert run(tmp_path) == ("[0.0, 1.25]", "")


def test_without_a_place_to_keep_it_every_process_compiles(tmp_path):
    (tmp_path / "file").touch()
    assert run(tmp_path / "file") == ("[0.0, 1.25]", SAID)

"""The compiled engine is compiled once a machine, and says so; ``test_a_new_fabric.py`` has no place to keep it."""

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

"""Commands that are killed at any instant: what was there stays whole, and the next command leaves nothing of them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.bitwise
ROOT = Path(__file__).parents[2]


def test_killed_at_random_moments(tmp_path: Path) -> None:
    """Six kills (SIGKILL) of a sweep and of plot, wherever they are: training, timing, drawing, writing, putting files in their places."""
    path = os.pathsep.join([str(ROOT), str(ROOT / "tests")])
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": path}
    words = [sys.executable, ROOT / "tests" / "killed_sweep.py", tmp_path, "3", "11"]
    said = subprocess.run(words, capture_output=True, text=True, env=environment, check=False)
    assert said.returncode == 0, said.stderr[-3000:]
    killed = int(said.stdout.splitlines()[-1].removeprefix("killed "))
    assert killed >= 3

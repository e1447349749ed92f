"""Commands that are killed at any instant: what was there stays whole, and the next command leaves nothing of them."""

from pathlib import Path

import forks
import pytest

pytestmark = pytest.mark.bitwise
SCRIPT = Path(__file__).parents[1] / "killed_sweep.py"


def test_killed_wherever_files_change(tmp_path: Path) -> None:
    """Six kills of a sweep and of plot, wherever they are: training, timing, drawing, writing, putting files in their places."""
    code, out, err = forks.script(SCRIPT, tmp_path, 3, 11)
    assert code == 0, err[-3000:]
    killed = int(out.splitlines()[-1].removeprefix("killed "))
    assert killed >= 3

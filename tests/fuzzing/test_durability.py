"""Two sweeps into one folder, and a full disk, a few times; the campaign does it often, with mount points, read-only folders and kills."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_nothing_is_lost_and_nothing_left_behind(tmp_path):
    words = [
        sys.executable,
        ROOT / "tests" / "fuzzing" / "durability.py",
        tmp_path,
        "2",
        "5",
        "two_at_once",
        "full_disk",
    ]
    done = subprocess.run(
        words, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False
    )
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) == 2 and [one for one in found if one["wrong"]] == []

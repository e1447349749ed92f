"""Two sweeps into one folder, and a full disk; the campaign does it often, with mount points, read-only folders and kills."""

import json
from pathlib import Path

import forks

SCRIPT = Path(__file__).with_name("durability.py")
CHECKS = ("two_at_once", "full_disk")


def test_nothing_is_lost_and_nothing_left_behind(tmp_path):
    code, out, err = forks.script(SCRIPT, tmp_path, 1, 5, *CHECKS)
    assert code == 0, err
    found = [json.loads(line) for line in out.splitlines()]
    assert [(one["check"], one["wrong"]) for one in found] == [(name, "") for name in CHECKS]

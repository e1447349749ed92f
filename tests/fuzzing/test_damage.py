"""Damaged results, checkpoints and data: none is used silently, none takes long, each is told in one line that names the file."""

import pytest
from fuzzing.damage import Case, intact, judge, kinds

EACH = 25


@pytest.mark.parametrize("kind", kinds())
def test_damage_is_told(kind, tmp_path):
    found = {}
    for seed in range(EACH):
        (folder := tmp_path / str(seed)).mkdir()
        found[seed] = judge(Case(kind, seed), folder)
    assert {seed: wrong for seed, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize("kind", kinds())
def test_what_is_not_damaged_is_read(kind):
    assert len(intact(kind)[0]) > 0

"""Three hundred files with a value that nobody would write: one line with file, key and remedy, or results that make sense."""

import string

import pytest
from fuzzing.bases import bases, keys
from fuzzing.files import NASTY, Case, as_toml, cases, judge, text
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from netsim.files import config

SYSTEMATIC, AT_ONCE, DRAWN = 240, 12, 60
CASES = cases(SYSTEMATIC, seed=1)


@pytest.mark.parametrize("start", range(0, SYSTEMATIC, AT_ONCE))
def test_a_value_that_nobody_would_write(start, tmp_path):
    found = {}
    for number, case in enumerate(CASES[start : start + AT_ONCE]):
        (folder := tmp_path / str(number)).mkdir()
        found[str(case)] = judge(case, folder)
    assert {case: wrong for case, wrong in found.items() if wrong} == {}


letters = st.text(string.printable + "äß\u2028", max_size=12)
plain = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(),
    st.dates(),
    letters,
    st.sampled_from(["1 ms", "1 Mbit/s", "ring", "Sign"]),
)
values = st.recursive(
    plain,
    lambda below: st.one_of(st.lists(below, max_size=3), st.dictionaries(letters, below, max_size=3)),
    max_leaves=6,
)
places = st.sampled_from([(base, path) for base, table in bases().items() for path in keys(table)])


@settings(
    max_examples=DRAWN, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(place=places, value=values)
def test_any_value_at_all(place, value, tmp_path_factory):
    raw = as_toml(value)
    assert judge(Case(*place, raw), tmp_path_factory.mktemp("drawn")) == ""


@pytest.mark.parametrize("base", bases())
def test_the_files_are_right_as_they_are(base, tmp_path):
    (tmp_path / "base.toml").write_text(text(Case(base, ("title",), '"a title"')))
    config.load(tmp_path / "base.toml")


def test_no_value_twice():
    assert len(set(NASTY)) == len(NASTY) and len(set(CASES)) == SYSTEMATIC

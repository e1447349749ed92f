"""Concurrent sweeps in one process: Python's switch interval is short until the last is done, then what it was."""

import sys

import pytest

from netsim.clock.replaying import _workers


@pytest.mark.parametrize("leaves", ["first", "second"])
def test_two_at_a_time_leave_the_switch_interval_as_it_was(leaves):
    before = sys.getswitchinterval()
    first, second = _workers("compiled", 2), _workers("compiled", 2)
    first.__enter__()
    second.__enter__()
    short = sys.getswitchinterval()
    earlier, later = (first, second) if leaves == "first" else (second, first)
    earlier.__exit__(None, None, None)
    assert sys.getswitchinterval() == short < before
    later.__exit__(None, None, None)
    assert sys.getswitchinterval() == before

"""Times, bandwidths and grids of networks on the command line."""

import math

import pytest

from netsim import NetsimError
from netsim.commands.quantities import asked_bandwidth, asked_seconds, bandwidths, latencies


def test_quantities_have_units() -> None:
    assert asked_seconds("20 ms", "--latency") == 0.02 and asked_seconds("1.5s", "--latency") == 1.5
    assert asked_bandwidth("5 Mbit/s", "--bandwidth") == 5e6 and asked_bandwidth("1 MB/s", "--bandwidth") == 8e6


def test_zero_and_infinity_need_none() -> None:
    assert asked_seconds("0", "--latency") == 0 and asked_bandwidth("inf", "--bandwidth") == math.inf


@pytest.mark.parametrize(
    ("parse", "text", "remedy"),
    [
        (asked_seconds, "20", "write --latency '20 ms'"),
        (asked_seconds, "1e-3", "write --latency '1e-3 ms'"),
        (asked_seconds, "inf", "finite"),
        (asked_seconds, "nan", "without a unit"),
        (asked_seconds, "-1 ms", "not negative"),
        (asked_seconds, "5 Mbit/s", "unknown unit"),
        (asked_seconds, "", "not a number with a unit"),
        (asked_bandwidth, "5", "write --latency '5 Mbit/s'"),
        (asked_bandwidth, "0", "positive"),
        (asked_bandwidth, "0 bit/s", "positive"),
        (latencies, "1 ms, 5", "write --latency '5 ms'"),
        (latencies, "1 ms,", "a list with a hole"),
        (latencies, "1 ms .. 5 ms", "needs the number of its points"),
        (latencies, "1 ms .. 5 ms x 1", "from 2 to"),
        (latencies, "1 ms .. 5 ms x 10000000000", "from 2 to"),
        (latencies, "5 ms .. 1 ms x 3", "to a larger one"),
        (latencies, "0 .. 1 ms x 3", "above 0"),
        (bandwidths, "1 Mbit/s .. inf x 3", "above 0"),
    ],
)
def test_anything_else_is_one_line_with_the_remedy(parse, text: str, remedy: str) -> None:
    with pytest.raises(NetsimError) as refused:
        parse(text, "--latency")
    said = str(refused.value)
    assert said.startswith("--latency") and remedy in said and "\n" not in said


def test_a_grid_is_one_value_a_list_or_a_range() -> None:
    assert latencies(None) is None and latencies("20 ms") == [0.02] and latencies("1 ms, 5 ms") == [0.001, 0.005]
    assert latencies("1 ms .. 20 ms x 5") == {"from": 0.001, "to": 0.02, "points": 5} == latencies("1ms..20ms×5")
    assert bandwidths("1 Mbit/s, inf") == [1e6, math.inf]

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsim.errors import NetsimError
from netsim.files import units


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.13 ms", 0.00013),
        ("20ms", 0.02),
        ("1.5 s", 1.5),
        ("3 us", 3e-6),
        ("3 \u00b5s", 3e-6),
        ("3 \u03bcs", 3e-6),
        (" 7 ns ", 7e-9),
        ("2 min", 120.0),
        ("1 h", 3600.0),
        ("1e-3 s", 0.001),
        (".5 s", 0.5),
        ("0.02", 0.02),
        (0.02, 0.02),
        (0, 0.0),
    ],
)
def test_seconds(text, value):
    assert units.seconds(text) == value and isinstance(units.seconds(text), float)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.4 Gbit/s", 1.4e9),
        ("5 Mbit/s", 5e6),
        ("100 kbit/s", 1e5),
        ("1e6 bit/s", 1e6),
        ("10Gbps", 1e10),
        ("10 Mbps", 1e7),
        ("3 Mb/s", 3e6),
        ("1 MB/s", 8e6),
        ("2 B/s", 16.0),
        ("1 Tbit/s", 1e12),
        ("1e6", 1e6),
        (math.inf, math.inf),
        (5_000_000, 5e6),
    ],
)
def test_bits_per_second(text, value):
    assert units.bits_per_second(text) == value and isinstance(units.bits_per_second(text), float)


def test_the_line_names_the_key_and_what_would_be_right():
    with pytest.raises(NetsimError) as error:
        units.bits_per_second("10 mbs", field="bandwidth")
    assert str(error.value) == 'bandwidth = "10 mbs": unknown unit "mbs"; write for example "10 Mbit/s"'
    with pytest.raises(NetsimError) as error:
        units.seconds("20 msec", field="network.latency")
    assert str(error.value) == 'network.latency = "20 msec": unknown unit "msec"; write for example "20 ms"'


@pytest.mark.parametrize(
    "value", ["-1 ms", -0.1, math.nan, math.inf, "ms", "", "1 2 ms", "1e999 s", None, True, [1], "20 MS"]
)
def test_bad_times(value):
    with pytest.raises(NetsimError, match=r"^latency = "):
        units.seconds(value, "latency")


@pytest.mark.parametrize("value", [0, "0 Mbit/s", -5, math.nan, "fast", "10 Mbit", "10 mbit/s", None, False, {"a": 1}])
def test_bad_bandwidths(value):
    with pytest.raises(NetsimError, match=r"^bandwidth = "):
        units.bits_per_second(value)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.02, "20 ms"),
        (0.00013, "0.13 ms"),
        (5e-5, "50 µs"),
        (3e-9, "3 ns"),
        (0.9999, "1 s"),
        (0.09999, "100 ms"),
        (1234.0, "1234 s"),
        (999.9, "1000 s"),
        (0, "0 s"),
        (math.inf, "inf s"),
    ],
)
def test_format_seconds(value, text):
    assert units.format_seconds(value) == text


def test_format_bandwidth_and_bytes():
    assert [units.format_bandwidth(x) for x in (1.4e9, 5e6, 999_999, 12, math.inf)] == [
        "1.4 Gbit/s",
        "5 Mbit/s",
        "1 Mbit/s",
        "12 bit/s",
        "inf bit/s",
    ]
    assert [units.format_bytes(x) for x in (3.1e6, 1_080_000, 17, 0, 2.5e15)] == [
        "3.1 MB",
        "1.08 MB",
        "17 B",
        "0 B",
        "2500 TB",
    ]


@given(st.floats(1e-9, 1e6), st.floats(1.0, 1e15))
@settings(deadline=None)
def test_labels_can_be_read_back(time, bandwidth):
    assert units.seconds(units.format_seconds(time)) == pytest.approx(time, rel=5.1e-3)
    assert units.bits_per_second(units.format_bandwidth(bandwidth)) == pytest.approx(bandwidth, rel=5.1e-3)

"""Tables at any width, and what titles and names may hold without changing what is printed."""

import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from rich.progress import Progress

from netsim.commands import tables
from netsim.commands.console import _columns
from netsim.commands.streams import printable

SWEEP = tables.TextTable(
    ["algorithm", "", *(f"{name}\n20 ms\n5 Mbit/s" for name in ("high latency", "low bandwidth (ours)", "both"))],
    [
        (name, "s per epoch\ns to target\nspeed-up", *(f"1.2{n}\n345.6{n}\n7.8{n}x" for n in range(3)))
        for name in ("AllReduceSGD()", "AllReduceSGD(compress=StochasticQuantizer(8, unit='bucket'))")
    ],
    left=2,
    ruled=True,
)
FLAT = tables.TextTable(
    ["sent per worker and epoch", "computed", "published", "of a model,\nper step"],
    [("All-reduce", "1,234 MB", "–", "100 %"), ("PowerGossip, rank 16", "5 MB", "6 MB", "3 %")],
)


@pytest.mark.parametrize("table", [SWEEP, FLAT])
@pytest.mark.parametrize("columns", [40, 70, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal(table: tables.TextTable, columns: int) -> None:
    assert max(map(len, tables.as_text(table, columns).split("\n"))) <= columns


@pytest.mark.parametrize("columns", [40, 70, 80, 100, 200])
def test_a_label_stands_on_the_line_of_its_values(columns: int) -> None:
    found = tables.as_text(SWEEP, columns).split("\n")
    for label, value in (("s per epoch", "1.2"), ("s to target", "345.6"), ("speed-up", "7.8")):
        own = [line for line in found if label in line]
        drawn = "│" in own[0]
        assert len(own) == (2 if drawn else 6)
        assert all(re.search(rf"{label}\W+{value}", line) for line in own)
        assert all(line.count(value) == (3 if drawn else 1) for line in own)


def test_wide_terminals_get_a_drawn_table_and_narrow_ones_a_line_for_each_value() -> None:
    assert "│" in tables.as_text(SWEEP, 200) and "│" in tables.as_text(SWEEP, 100)
    narrow = tables.as_text(SWEEP, 40).split("\n")
    assert "│" not in "".join(narrow) and narrow[:3] == [
        "AllReduceSGD()",
        "  high latency, 20 ms, 5 Mbit/s",
        "    s per epoch: 1.20",
    ]
    assert tables.as_text(FLAT, 40).split("\n")[:2] == ["All-reduce", "  computed: 1,234 MB"]


@pytest.mark.parametrize("columns", [70, 80, 100, 200])
def test_how_far_a_training_is_and_how_long_it_takes_are_never_cut(columns: int) -> None:
    stream = io.StringIO()
    with Progress(*_columns(columns), console=Console(file=stream, width=columns), auto_refresh=False) as bars:
        bars.add_task(
            "AllReduceSGD(compress=StochasticQuantizer(8)), ring(16), seed 1",
            total=50000,
            completed=12000,
            note="loss 0.956, 2.48e+04 samples/s",
        )
        bars.add_task("all", total=12, completed=3, note="about 59 min 59 s left in all")
    said = stream.getvalue()
    for words in ("12000/50000", "loss 0.956, 2.48e+04 samples/s", "3/12", "about 59 min 59 s left in all"):
        assert words in said
    assert max(map(len, said.split("\n"))) <= columns


def test_what_a_column_of_labels_does_not_name_is_printed_too() -> None:
    table = tables.TextTable(["a", "", "c" * 70], [("x", "one\ntwo", "1\n2\ndiverged @ 9")])
    assert tables.as_text(table, 80).split("\n")[2:] == ["    one: 1", "    two: 2", "    diverged @ 9"]


NASTY = st.one_of(
    st.sampled_from(
        [
            "[/b]",
            "[bold]",
            "[ours]",
            "[/]",
            "[link=x]y",
            ":smile:",
            "\x1b[2J",
            "a\tb",
            "\\[x]",
            "{0}",
            "%s",
            "\ud800",
            "[red]x[/red]",
        ]
    ),
    st.text(max_size=30),
)


@given(NASTY)
def test_names_are_printed_as_they_stand(name: str) -> None:
    row = tables.as_text(tables.TextTable(["name", "value"], [(name, "1")]), 500)
    for line in name.split("\n"):
        assert printable(line).strip() in row or not line.strip()
    assert not set(row) & set(map(chr, [*range(10), *range(11, 32), 127]))


@given(NASTY)
def test_what_is_printable_steers_no_terminal(text: str) -> None:
    shown = printable(text)
    assert printable(shown) == shown and "\x1b" not in shown and "\n" not in shown
    shown.encode("utf-8")
    assert shown == text or any(not c.isprintable() for c in text)

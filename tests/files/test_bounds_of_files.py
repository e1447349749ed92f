"""Files beyond all bounds: what the parser of Python refuses, nesting, words that fill lines, more workers than one waits for; one line each."""

import pytest
from small_file import write

from netsim import NetsimError
from netsim.files import config
from netsim.files.toml import DEEPEST


def deep(levels: int) -> str:
    return "[" * levels + "]" * levels


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"[task]\nhidden = {deep(DEEPEST + 1)}", "task.hidden: nested too deep; write at most"),
        (f"[task]\nhidden = {deep(900)}", "line 2: nested too deep; write at most"),
        (f"[task]\nhidden = [{'1' * 5000}]", "line 2: a number of thousands of digits; write fewer"),
    ],
)
def test_it_is_said_where(text, said, tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(NetsimError) as error:
        config.load(file)
    assert str(error.value).startswith(f"{file}: {said}")


def test_lists_in_place_of_a_rate_are_told(tmp_path):

    with pytest.raises(NetsimError, match=r"algorithm\[1\]\.lr = \[\[0, 1\]\]: must be"):
        config.load(write(tmp_path, ("lr = 0.2", "lr = [[0, 1]]")))


def test_a_word_that_fills_lines_is_shortened(tmp_path):

    with pytest.raises(NetsimError) as error:
        config.load(write(tmp_path, ("bits = 8", f'bits = 8, unit = "{"x" * 10000}"')))
    assert "algorithm[2].compress.unit = " in str(error.value) and len(str(error.value)) < 500


def test_more_workers_than_one_waits_for_are_told(tmp_path):
    with pytest.raises(NetsimError, match=r"topology\.n = 5000: must be a whole number from \d+ to 4,096"):
        config.load(write(tmp_path, ("n = 4", "n = 5000")))

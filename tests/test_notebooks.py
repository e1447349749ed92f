"""The notebooks run from top to bottom, with the output that is committed."""

import copy
import os
import re
import sys
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook, new_output

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
sys.path.insert(0, str(ROOT))

NUMBER = re.compile(r"(?:(?<![\w)])[-+])?\d+(?:,\d{3})*(?:\.\d+)?(?:[eE][-+]?\d+)?")
MASKED = re.compile(
    r"0x[0-9a-f]{6,}|(?<![\w.])/[\w.-]+(?:/[\w.-]+)+|\b\d+\.\d+\.\d+\b|<\w+ size [^>]*>"
)  # addresses, paths, versions, sizes of figures
CLOSE = 0.02  # relative: BLAS libraries round differently


def said(cell):
    """Return the text that a cell printed and showed, masked, as words with # for every number, and the numbers."""
    printed = "".join(
        output.text for output in cell.outputs if output.output_type == "stream" and output.name == "stdout"
    )
    shown = [output.data.get("text/plain", "") for output in cell.outputs if "data" in output]
    text = MASKED.sub("…", "\n".join([printed, *shown]))
    return NUMBER.sub("#", text).split(), NUMBER.findall(text)


def close(one, other):
    """Return whether two numbers, as they are written, agree to 2 %, or to one unit of the last decimal of either."""
    a, b = (float(number.replace(",", "")) for number in (one, other))
    decimals = [re.search(r"\.(\d+)$", number) for number in (one, other)]
    unit = max((10.0 ** -len(found[1]) for found in decimals if found), default=0.0)
    return abs(a - b) <= max(CLOSE * max(abs(a), abs(b)), 1.001 * unit)


def differences(committed, fresh):
    """Return a line for every cell whose text is another; in those tagged "varies", whose results differ between machines, the words count."""
    lines = []
    for i, (old, new) in enumerate(zip(committed.cells, fresh.cells, strict=True)):
        if old.cell_type != "code":
            continue
        (old_words, old_numbers), (new_words, new_numbers) = said(old), said(new)
        pairs = list(zip(old_words, new_words, strict=False))
        if old_words != new_words:
            first = next((pair for pair in pairs if pair[0] != pair[1]), (len(old_words), len(new_words)))
            lines.append(f"cell {i}: committed {first[0]!r}, now {first[1]!r}")
        elif "varies" not in old.metadata.get("tags", ()):
            far = [pair for pair in zip(old_numbers, new_numbers, strict=True) if not close(*pair)]
            lines += [f"cell {i}: committed {far[0][0]}, now {far[0][1]}, and {len(far) - 1} more"] if far else []
    return lines


def test_there_are_notebooks():
    assert NOTEBOOKS


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_with_outputs(path):
    """Every code cell was executed, in order, without an error."""
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert not any(output.output_type == "error" for output in outputs)
    assert any("image/png" in output.get("data", {}) for output in outputs)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_runs_from_top_to_bottom(path):
    """Executed afresh, without an error, to the text that is committed; where that shows data files, only if they are there."""
    from notebooks.execute import execute

    committed, fresh = nbformat.read(path, as_version=4), execute(path)
    code = [cell for cell in fresh.cells if cell.cell_type == "code"]
    assert not any(output.output_type == "error" for cell in code for output in cell.outputs)
    if any("NETSIM_DATA" in cell.source for cell in code) and "NETSIM_DATA" not in os.environ:
        pytest.skip("it runs; its text is compared only where NETSIM_DATA names the folder of the data files")
    assert differences(committed, fresh) == []


@pytest.mark.parametrize(
    ("old", "new", "differ"),
    [
        ("loss 0.500 after 12 steps", "loss  0.508\nafter 12 steps", None),
        ("loss 0.500 after 12 steps", "loss 0.520 after 12 steps", "numbers"),
        ("loss 0.500 after 12 steps", "loss 0.500 after 13 steps", "numbers"),
        ("11,173,962 numbers, 1e-6", "11,173,961 numbers, 1e-06", None),
        ("slope 1.00 ± 0.00", "slope 0.99 ± 0.01", None),
        ("slope 1.00 ± 0.00", "slope -1.00 ± 0.00", "numbers"),
        ("-0.96, +0.0001", "-0.97, -0.0000", None),
        ("0 of 15 differ", "1 of 15 differ", "numbers"),
        ("holds", "fails", "words"),
        ("not reached", "not reached 3", "words"),
        (
            "<Plot at 0x7f00aa00bb00> in /tmp/a/b.nc by 1.26.4",
            "<Plot at 0x7f11aa22bb33> in /home/c.d/b.nc by 2.3.0",
            None,
        ),
    ],
)
@pytest.mark.parametrize("printed", [False, True])
def test_what_is_another_text(old, new, differ, printed):
    def notebook(text):
        output = new_output("stream", text=text) if printed else new_output("display_data", {"text/plain": text})
        return new_notebook(cells=[new_code_cell(outputs=[output])])

    committed = notebook(old)
    assert bool(differences(committed, notebook(new))) == (differ is not None)
    varies = copy.deepcopy(committed)
    varies.cells[0].metadata["tags"] = ["varies"]
    assert bool(differences(varies, notebook(new))) == (differ == "words")

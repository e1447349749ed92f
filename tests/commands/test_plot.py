"""``netsim plot``: widths, formats, topologies, targets, and what it says."""

from pathlib import Path

import pytest
from small_file import write

from netsim.commands import app as cli
from netsim.commands import plot
from netsim.files import config
from netsim.runs import pipeline, results


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of a small sweep, whose names look like markup, mathematics and folders."""
    folder = tmp_path_factory.mktemp("results")
    source = write(
        folder, ('"small"', '"[b]small[/b] [/b] $x$"'), ('"slow"', '"[/b] $y_1$ [ours]"'), ("steps = 22", "steps = 4")
    )
    setup = config.load(source)
    results.save(pipeline.run(setup), folder / "results.nc")
    return folder / "results.nc"


def netsim(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Run a command here; return (exit code, stdout, stderr)."""
    with pytest.raises(SystemExit) as ended:
        cli.main([str(argument) for argument in arguments])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


@pytest.mark.filterwarnings("error")
def test_a_width_and_formats(capsys, file: Path, tmp_path: Path) -> None:
    folder = tmp_path / "[b]figures[/b]"
    code, out, err = netsim(
        capsys, "plot", file, "--out", folder, "--width", "column", "--format", "pdf,svg", "--target", -5
    )
    assert code == 0 and "figures[/b] (PDF and SVG)" in out.replace("\n", "") and "warning" not in err
    assert {path.name for path in folder.iterdir()} == {
        f"{stem}.{one}" for stem in ("loss", "epoch-time", "winner-map") for one in ("pdf", "svg")
    }
    assert "figure naive not drawn: " in err and "figure bits not drawn: " in err
    assert "no method reaches the target loss -5 on any network; the lowest loss is" in err
    drawn = (folder / "winner-map.svg").read_text()
    assert 'width="252pt"' in drawn
    assert "[/b] $y_1$ [ours]" in drawn


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--width", "page", "column (3.5 inches)"),
        ("--width", "nan", "column (3.5 inches)"),
        ("--format", "jpg", "png, svg, pdf"),
        ("--topology", "torus", "ring(4)"),
        ("--target", "nan", "target"),
        ("--target", "inf", "target"),
    ],
)
def test_what_it_cannot_do_it_says_in_one_line(
    capsys, file: Path, tmp_path: Path, option: str, value: str, said: str
) -> None:
    code, out, err = netsim(capsys, "plot", file, "--out", tmp_path / "out", option, value)
    assert (code, out, err.count("\n")) == (2, "", 1) and said in err
    assert not (tmp_path / "out").exists()


def test_a_stop_leaves_nothing(capsys, file: Path, tmp_path: Path, monkeypatch) -> None:
    def stopped(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(plot, "draw", stopped)
    assert netsim(capsys, "plot", file, "--out", tmp_path / "out")[0] == 130
    assert not list(tmp_path.iterdir())

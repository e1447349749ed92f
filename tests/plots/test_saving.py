"""Saving figures: whole, the same bytes again, text as text."""

import xml.etree.ElementTree as ET

import pytest

from netsim import plots
from netsim.errors import NetsimError
from tests.plots.synthetic import results

pytestmark = pytest.mark.filterwarnings("error")


def test_save_writes_the_same_bytes_again(tmp_path) -> None:
    ds = results()
    written = [
        plots.save(plots.winner_maps(ds), tmp_path / folder / "map.v1", ("png", "svg", "pdf")) for folder in "ab"
    ]
    assert [path.name for path in written[0]] == ["map.v1.png", "map.v1.svg", "map.v1.pdf"]
    for one, other in zip(*written, strict=True):
        assert one.read_bytes() == other.read_bytes()
    ET.parse(written[0][1])
    assert written[0][0].read_bytes().startswith(b"\x89PNG")
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["map.v1.pdf", "map.v1.png", "map.v1.svg"]


def test_save_leaves_nothing_half_written(tmp_path, monkeypatch) -> None:
    figure = plots.loss_against_epochs(results())
    old = plots.save(figure, tmp_path / "loss")
    before = [path.read_bytes() for path in old]

    def full_disk(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("netsim.runs.storage.sync", full_disk)
    with pytest.raises(NetsimError, match="No space left"):
        plots.save(plots.loss_against_time(results(), "best"), tmp_path / "loss")
    assert [path.read_bytes() for path in old] == before
    assert len(list(tmp_path.iterdir())) == 2


def test_text_is_text(tmp_path) -> None:
    svg, pdf = plots.save(plots.loss_against_epochs(results()), tmp_path / "loss", ("svg", "pdf"))
    texts = [one.text for one in ET.parse(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert "training loss" in texts and "target" in texts and "All-reduce, 32 bits (after the gradient)" in texts
    held = pdf.read_bytes()
    assert held.startswith(b"%PDF") and b"/FontFile2" in held and b"/Type3" not in held


@pytest.mark.parametrize("formats", ["", "jpg", "png,exe", ","])
def test_a_format_that_is_not_known_is_refused(formats: str) -> None:
    with pytest.raises(NetsimError, match="png, svg, pdf"):
        plots.saving.formats_of(formats)

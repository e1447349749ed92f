"""The reference of the file, and the commented files of ``netsim init``."""

import dataclasses
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from netsim import algorithms
from netsim.commands.app import app
from netsim.files import config, sources
from netsim.files.calls import named_classes
from netsim.files.reference import reference, template
from netsim.files.schema import FILES, read_sections

EXAMPLES = sorted((Path(__file__).parents[2] / "docs" / "examples").glob("*.toml"))


@pytest.mark.parametrize("name", [*sources.presets(), *EXAMPLES], ids=lambda name: Path(name).stem)
def test_a_template_says_the_same(name, monkeypatch):
    """Every section and every key, read, is what the preset says; uncommented defaults would change nothing."""
    table = sources.read(name).table
    folders = [Path(name).parent] if isinstance(name, Path) else []
    written = tomllib.loads(template(name))
    kind = config.kind_of(table)
    assert read_sections(written, kind, folders) == read_sections(table, kind, folders)


def test_defaults_behind_a_hash_are_the_defaults(tmp_path):
    """With every commented default written out, the file makes the same methods, task, trainings and networks."""
    text = template("quickstart")
    said = [
        line.removeprefix("# ") if line.startswith("# ") and _is_key(line[2:]) else line for line in text.split("\n")
    ]
    assert len([line for line in said if line not in text.split("\n")]) >= 15
    (tmp_path / "all.toml").write_text("\n".join(said))
    mine, preset = config.load(tmp_path / "all.toml"), config.load("quickstart")
    assert mine.methods == preset.methods
    for one, other in zip(mine.experiments, preset.experiments, strict=True):
        assert identity_of(one) == identity_of(other)
    assert repr(mine.grids["fifo"].template.__dict__) == repr(preset.grids["fifo"].template.__dict__)


def identity_of(experiment):
    return [getattr(experiment, field.name) for field in dataclasses.fields(experiment) if field.name != "task"] + [
        repr(experiment.task)
    ]


def _is_key(line: str) -> bool:
    try:
        return len(tomllib.loads(line)) == 1
    except tomllib.TOMLDecodeError:
        return False


def test_every_key_is_explained_where_it_stands():
    text = template("tang2018")
    for section in FILES["training"].values():
        for name, one in section.fields.items():
            assert f"{name} =" in text, name
            assert one.words, name


def test_the_reference_has_every_section_key_and_class():
    text = reference()
    for sections in FILES.values():
        for name, section in sections.items():
            assert (f"`[[{name}]]`" if section.several else f"`[{name}]`") in text
            assert all(f"| `{key}` |" in text for key in section.fields)
    for kind in ("algorithm", "compressor"):
        for name in named_classes(kind):
            assert f'### `name = "{name}"`' in text and hasattr(algorithms, name)
    assert "None" not in text and ":class:" not in text and "0x" not in text


def test_init_lists_and_writes(tmp_path):
    listed = CliRunner().invoke(app, ["init"])
    assert listed.exit_code == 0 and all(name in listed.output for name in sources.presets())
    written = CliRunner().invoke(app, ["init", "quickstart"])
    assert written.exit_code == 0
    path = tmp_path / "mine.toml"
    path.write_text(written.output)
    mine, preset = config.load(path), config.load("quickstart")
    assert [one.label for one in mine.methods] == [one.label for one in preset.methods]
    assert mine.grids["fifo"].latency == preset.grids["fifo"].latency and mine.conditions == preset.conditions


def test_init_of_what_is_not_there(capsys):
    from netsim.errors import NetsimError

    with pytest.raises(NetsimError, match="no preset of this name"):
        template("no-such-preset")


def test_a_models_defaults_are_those_of_its_name_in_a_file():
    """resnet18 is made by the class that makes resnet20, with other defaults."""
    text = reference().split('`model = "resnet18"`')[1].split("###")[0]
    assert "`[64, 128, 256, 512]`" in text and "| `2` |" in text
    written = template("doublesqueeze-resnet18")
    assert "# widths = [64, 128, 256, 512]" in written and "# blocks = 2" in written

"""Every block of README and of the documents' guides runs as it is printed."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from netsim.commands.app import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
GUIDES = sorted([*ROOT.glob("docs/start/*.md"), *ROOT.glob("docs/guide/*.md"), *ROOT.glob("docs/concepts/*.md")])


def blocks(text, language):
    """Return the code blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


def commands(text):
    """Return what a shell block runs, line by line, without comments."""
    return [line.split("#")[0].strip() for block in blocks(text, "sh") for line in block.splitlines() if line.strip()]


def run(line):
    """Run one line of a shell block that calls netsim; ``>`` writes a file."""
    words, _, target = line.partition(">")
    done = CliRunner().invoke(app, shlex.split(words)[1:])
    assert done.exit_code == 0, f"{line}: {done.output}"
    if target:
        Path(target.strip()).write_text(done.stdout)


def test_the_commands_of_the_readme(tmp_path, monkeypatch):
    """In order, in an empty folder; then the file that is built on a preset."""
    monkeypatch.chdir(tmp_path)
    ran = [line for line in commands(README) if line.startswith("netsim ")]
    assert len(ran) == 4
    for line in ran:
        run(line)
    assert (tmp_path / "results" / "quickstart" / "results.nc").is_file()
    (block,) = blocks(README, "toml")
    Path("torus.toml").write_text(block)
    run("netsim sweep torus.toml --steps 12")


def test_the_other_lines_of_its_shell_blocks():
    """Making an environment and installing into it; ``tests/test_install.py`` installs without an index."""
    others = [line for line in commands(README) if not line.startswith("netsim ")]
    assert others == ["python -m venv ~/venvs/netsim", "source ~/venvs/netsim/bin/activate", "pip install ."]


def test_the_python_of_the_readme(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (block,) = blocks(README, "python")
    names = {}
    exec(block, names)
    assert names["results"].sizes["experiment"] == 3
    assert (tmp_path / "map.png").stat().st_size > 10_000


def test_make_targets_and_links():
    makefile = (ROOT / "Makefile").read_text()
    for text in (README, *(path.read_text() for path in GUIDES)):
        for target in re.findall(r"(?:^    |`)make (\w+)", text, re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for link in re.findall(r"\]\(([^)#]+)", README):
        assert (ROOT / link).exists(), link


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.stem)
def test_the_blocks_of_the_guides(path):
    """TOML is valid TOML; Python compiles; every command of netsim exists."""
    text = path.read_text()
    for block in blocks(text, "toml"):
        tomllib.loads(block)
    for block in blocks(text, "python"):
        compile(block, str(path), "exec")
    for command in re.findall(r"`netsim (\w+)[ `]", text):
        assert CliRunner().invoke(app, [command, "--help"]).exit_code == 0, command


@pytest.mark.bitwise
def test_a_new_algorithm_as_it_is_shown():
    (example,) = [block for block in blocks((ROOT / "docs/guide/method.md").read_text(), "python")]
    names = {}
    exec(example, names)
    from netsim import Experiment, topology, train
    from netsim.algorithms import NaiveCompressedDPSGD, StochasticQuantizer
    from netsim.models import LeastSquares

    task = LeastSquares.random(n=4, dimension=3)
    mine, ours = (
        train(Experiment(task, method(StochasticQuantizer(4)), topology.ring(4), 10)).x
        for method in (names["MyGossip"], NaiveCompressedDPSGD)
    )
    assert (mine == ours).all()

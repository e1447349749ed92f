"""A file built on another one: ``base = ...``."""

import tomllib
from pathlib import Path

import pytest

from netsim.algorithms import DPSGD, AllReduceSGD
from netsim.errors import NetsimError
from netsim.files import config, sources
from netsim.models.data.datasets import digits, load


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_what_is_not_written_comes_from_the_base(tmp_path: Path) -> None:
    path = written(tmp_path, "mine.toml", 'base = "tang2018"\n[training]\nsteps = 7\n[task]\nbatch = 4\n')
    mine, theirs = config.load(path), config.load("tang2018")
    assert [one.name for one in mine.experiments] == [one.name for one in theirs.experiments]
    assert {one.steps for one in mine.experiments} == {7} and mine.target == theirs.target
    assert (mine.experiments[0].task.batch, mine.experiments[0].task.hidden) == (4, (485, 485))
    assert {key: len(grid) for key, grid in mine.grids.items()} == {"fifo": 400, "none": 400}
    assert mine.conditions == theirs.conditions
    assert mine.name == "mine"


def test_lists_and_tables_of_another_kind_replace_the_base(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        "mine.toml",
        'base = "tang2018"\n[task]\nmodel = "softmax"\n[topology]\nkind = "torus"\nrows = 3\ncols = 3\n'
        '[[algorithm]]\nname = "DPSGD"\n[[condition]]\nname = "mine"\nlatency = "3 ms"\nbandwidth = "1 Mbit/s"\n',
    )
    setup = config.load(path)
    assert [one.algorithm for one in setup.experiments] == [DPSGD()]
    assert setup.experiments[0].topology.n == 9  # no n = 8 of the base's ring
    assert not hasattr(setup.experiments[0].task, "hidden")
    assert [one.name for one in setup.conditions] == ["mine"]


def test_bases_of_bases_are_found_beside_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    written(tmp_path / "below", "first.toml", 'base = "tang2018"\n[training]\nsteps = 5\nseed = 3\n')
    written(tmp_path / "below", "second.toml", 'base = "first.toml"\n[training]\nsteps = 6\n')
    path = written(
        tmp_path, "third.toml", 'base = "below/second.toml"\n[[algorithm]]\nname = "AllReduceSGD"\nlr = 0.5\n'
    )
    setup = config.load(path)
    assert [(one.steps, one.seed, one.lr, one.algorithm) for one in setup.experiments] == [(6, 3, 0.5, AllReduceSGD())]


def test_the_text_that_results_keep_is_the_whole(tmp_path: Path) -> None:
    path = written(tmp_path, "mine.toml", 'base = "tang2018"\n[training]\nsteps = 7\n')
    text = config.load(path).text
    alone = written(tmp_path, "alone.toml", text)
    assert "base" not in tomllib.loads(text)
    assert sources.read(alone)[2] == sources.read(path)[2]
    written(tmp_path, "same.toml", 'base = "tang2018"\n')
    same, theirs = sources.read(tmp_path / "same.toml")[2], sources.read("tang2018")[2]
    assert (same["title"], same["assumptions"]) == (theirs["title"], theirs["assumptions"])


def test_the_words_of_a_base_are_not_said_of_other_workers(tmp_path: Path) -> None:
    """The base says "8 workers", in its title and its assumptions."""
    text = 'base = "tang2018"\n[topology]\nn = 16\n[training]\nsteps = 660\n[task]\nbatch = 8\n'
    setup = config.load(written(tmp_path, "mine.toml", text))
    said = "tang2018 with topology, training, task of its own"
    assert setup.title == f"mine: {said}" and setup.topology.n == 16
    assert setup.assumptions == {"base": f"{said}; what tang2018 assumes of these need not hold here"}
    own = config.load(written(tmp_path, "own.toml", f'title = "sixteen"\n{text}[assumptions]\nbatch = "8 (mine)"\n'))
    assert (own.title, own.assumptions) == ("sixteen", {"batch": "8 (mine)"})
    above = config.load(written(tmp_path, "above.toml", 'base = "own.toml"\n[training]\nseed = 3\n'))
    assert above.title == "above: own with training of its own" and set(above.assumptions) == {"base"}
    below = config.load(written(tmp_path, "below.toml", 'base = "mine.toml"\ntitle = "renamed"\n'))
    assert below.title == "renamed" and below.assumptions == setup.assumptions


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("base = 3\n", r"mine.toml: base = 3: write a preset's name or a file's path"),
        ('base = "tang201"\n', r'mine.toml: base: tang201: no such file.*did you mean "tang2018"'),
        ('base = "other.toml"\n', r"mine.toml: base: .*other.toml: no such file"),
        ('base = "mine.toml"\n', r'mine.toml: base = "mine.toml": leads back to mine.toml'),
        ('base = "below/../mine.toml"\n', r'mine.toml: base = "below/../mine.toml": leads back to mine.toml'),
        ('base = "tang2018"\n[training]\nstep = 3\n', r'training.step: unknown key; did you mean "steps"'),
    ],
)
def test_what_is_wrong_with_a_base_is_said(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "below").mkdir()
    with pytest.raises(NetsimError, match=said):
        config.load(written(tmp_path, "mine.toml", text))


def test_so_many_test_images_are_kept(tmp_path: Path) -> None:
    whole, few = digits(), load("digits", train=100, test=50)
    assert (len(few.train_y), len(few.test_y), few.name) == (100, 50, "digits[100; 50 test]")
    assert (few.test_x == whole.test_x[:50]).all() and (few.test_y == whole.test_y[:50]).all()
    assert load("digits", test=50).name == "digits[50 test]" and load("digits", test=297).name == "digits"
    for wrong in (0, 298):
        with pytest.raises(ValueError, match=f"test = {wrong}: write a number of test examples from 1 to 297"):
            load("digits", test=wrong)
    path = written(tmp_path, "mine.toml", 'base = "tang2018"\n[task]\ntest = 298\n')
    with pytest.raises(NetsimError, match=r"mine.toml: task.test = 298: write a number"):
        config.load(path)

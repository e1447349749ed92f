"""Installation: the contents of a wheel, and that a user's own models.py and algorithms/ do not conflict with ours.

The environments are new ones without pip: netsim's wheel is unpacked into them, and what netsim needs comes from the environment that runs the suite.
Nothing is downloaded.
"""

import os
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
SOURCES = ("netsim", "algorithms", "models")
BUILT_FROM = (*SOURCES, "pyproject.toml", "README.md", "LICENSE", "pytest_netsim.py")
# What pip calls, in a process of its own, to build a wheel or an editable one.
BUILD = "import sys; from setuptools import build_meta; print(getattr(build_meta, sys.argv[1])(sys.argv[2]))"
USES = """
import netsim
from netsim.algorithms import DPSGD
from netsim.models import MLP

assert DPSGD.__module__.startswith("netsim.algorithms.") and MLP.__module__.startswith("netsim.models.")
print("home", netsim.__file__)
print("version", netsim.__version__)
"""
TRAP = """
from pathlib import Path

Path({sprung!r}).touch()
raise RuntimeError("a file of the user's was imported in place of netsim's")
"""


def run(python, *words, cwd):
    """Return what a command printed that has no variable of Python's or pytest's in its environment."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "PYTEST"))}
    done = subprocess.run([python, *map(str, words)], cwd=cwd, env=clean, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def built(hook, folder):
    """Return the file that a hook of setuptools builds of a copy of the sources, for building leaves traces beside them."""
    source = folder / "source"
    source.mkdir()
    for name in BUILT_FROM:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
            )
        else:
            shutil.copy(ROOT / name, source)
    build = subprocess.run(
        [sys.executable, "-c", BUILD, hook, str(folder)], cwd=source, capture_output=True, text=True, timeout=300
    )
    assert build.returncode == 0, build.stdout + build.stderr
    return folder / build.stdout.splitlines()[-1]


def environment(wheel, folder):
    """Return the interpreter of an environment that holds this wheel, beside the libraries that this one has."""
    venv.create(folder / "environment", symlinks=os.name != "nt", with_pip=False)
    python = folder / "environment" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    (ours,) = [Path(line) for line in run(python, "-c", WHERE, cwd=folder).splitlines()]
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(ours)
    shared = {str(Path(path)) for path in sys.path if Path(path).name in ("site-packages", "dist-packages")}
    (ours / "shared.pth").write_text(
        "\n".join(sorted(shared))
    )  # a .pth file there, such as an editable netsim's, is not read
    return python


WHERE = "import sysconfig; print(sysconfig.get_path('purelib'))"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory):
    return built("build_wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory):
    """The interpreter of an environment with netsim's wheel."""
    return environment(wheel, tmp_path_factory.mktemp("installed"))


@pytest.fixture(scope="session")
def editable(tmp_path_factory):
    """The interpreter of an environment with an editable netsim, as ``pip install --editable .`` makes it."""
    folder = tmp_path_factory.mktemp("editable")
    return environment(built("build_editable", folder), folder)


@pytest.fixture
def trapped(tmp_path):
    """A user's folder with a models.py and a package algorithms; importing one of them raises, and leaves a file besides."""
    folder = tmp_path / "work"
    (folder / "algorithms").mkdir(parents=True)
    trap = TRAP.format(sprung=str(tmp_path / "sprung"))
    (folder / "models.py").write_text(trap)
    (folder / "algorithms" / "__init__.py").write_text(trap)
    yield folder
    assert not (tmp_path / "sprung").exists(), "a file of the user's was imported"


def test_the_traps_are_traps(trapped, tmp_path, installed):
    for name in ("models", "algorithms"):
        with pytest.raises(AssertionError, match="in place of netsim's"):
            run(installed, "-c", f"import {name}", cwd=trapped)
        (tmp_path / "sprung").unlink()


def test_a_script(trapped, installed, editable):
    (trapped / "script.py").write_text(USES)
    for python in (installed, editable):
        said = dict(line.split(" ", 1) for line in run(python, "script.py", cwd=trapped).splitlines())
        assert said["version"] == VERSION
        assert Path(said["home"]).is_relative_to(python.parents[2]), said  # not another netsim than this one


PLUGIN_USES = """
from netsim.algorithms import AllReduceSGD


def test_mine(simulated_ring):
    ring = simulated_ring(n=4)
    assert ring.run(AllReduceSGD()).time_to(2.0) > 0
"""


def test_pytest_and_its_fixture(trapped, installed):
    (trapped / "test_mine.py").write_text(USES + PLUGIN_USES)
    assert "1 passed" in run(installed, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir=.", cwd=trapped)


NOTEBOOK = """
import sys
import nbformat
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook

notebook = new_notebook(cells=[new_code_cell(open("cell.py").read())])
NotebookClient(notebook, kernel_name="python3", timeout=120, resources={"metadata": {"path": sys.argv[1]}}).execute()
print("".join(output.text for output in notebook.cells[0].outputs))
"""


def test_a_notebook_cell(trapped, installed, tmp_path):
    (tmp_path / "cell.py").write_text(USES)
    (tmp_path / "execute.py").write_text(NOTEBOOK)
    said = run(installed, "execute.py", trapped, cwd=tmp_path)
    assert f"home {installed.parents[2]}" in said and f"version {VERSION}" in said


def test_commands(trapped, installed):
    (trapped / "mine.py").write_text("from netsim.algorithms import DPSGD\n\nmine = DPSGD()\n")
    assert "tang2018" in run(installed, "-m", "netsim", "presets", cwd=trapped)
    assert "title = " in run(installed, "-m", "netsim", "presets", "tang2018", cwd=trapped)
    assert "mean" in run(installed, "-m", "netsim", "check", "mine:mine", cwd=trapped)


def test_the_demo_from_outside_the_repository(trapped, installed):
    """What ``make demo`` runs, with fewer steps, from the wheel."""
    said = run(installed, "-m", "netsim", "sweep", "tang2018", "--steps", 3, cwd=trapped)
    assert "timed: 4000 compiled" in said and "wrote results" in said
    figures = {path.name for path in (trapped / "results" / "tang2018" / "figures").iterdir()}
    assert {"winner-map.png", "winner-map.svg", "loss.png"} <= figures


def test_the_generic_names_stay_free(installed, editable, tmp_path):
    """Who has no models.py and asks for one is not handed ours."""
    find = "from importlib.util import find_spec; import netsim; print(find_spec('algorithms'), find_spec('models'))"
    for python in (installed, editable):
        assert run(python, "-c", find, cwd=tmp_path) == "None None\n"


def test_what_the_wheel_holds(wheel):
    """Every source and preset as a real file under netsim/, the plugin, and no other top-level package."""
    with zipfile.ZipFile(wheel) as packed:
        files = {entry.filename: packed.read(entry) for entry in packed.infolist()}
        links = [entry.filename for entry in packed.infolist() if entry.external_attr >> 28 == 0o12]
    assert {name.split("/")[0] for name in files} == {
        "netsim",
        "pytest_netsim.py",
        f"netsim_training-{VERSION}.dist-info",
    }
    assert links == []
    expected = {"pytest_netsim.py": ROOT / "pytest_netsim.py"}
    for path in (
        path for folder in SOURCES for path in (ROOT / folder).rglob("*") if path.suffix in (".py", ".toml", ".typed")
    ):
        name = path.relative_to(ROOT).as_posix()
        expected[name if name.startswith("netsim/") else f"netsim/{name}"] = path
    assert {name for name in files if ".dist-info/" not in name} == set(expected)
    assert all(files[name] == path.read_bytes() for name, path in expected.items())
    assert any(name.startswith("netsim/algorithms/compression/") for name in files)
    assert any(name.startswith("netsim/files/presets/") for name in files)
    entry_points = files[f"netsim_training-{VERSION}.dist-info/entry_points.txt"].decode()
    assert "netsim = netsim.commands.app:main" in entry_points and "pytest_netsim = pytest_netsim" in entry_points

"""The layout: the folders, which modules may import which, and no import cycles."""

import ast
import tomllib
from functools import cache
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).parents[1]
NETSIM = ROOT / "netsim"

# A file may import what stands in its own floor and in those below it.
FLOORS = (
    {
        "errors",
        "fields",
        "device",
        "algorithms",
        "models",
        "files.units",
        "files.schedules",
        "version",
    },  # ground: these import nothing of what is above
    {"comm"},
    {"clock"},
    {"runs"},
    {"planning"},
    {"files"},
    {"plots"},
    {"papers", "testing"},
    {"commands"},
    {"__main__"},
)
GROUND_ALONE = {"algorithms": {"algorithms"}, "models": {"models"}}  # and these not even each other
ONLY_IN = {"simpy": "clock", "numba": "clock", "cupy": "device"}


def module_of(path: Path) -> str:
    """Return the dotted name below netsim: ``runs.training``, ``algorithms.choco``."""
    below = path.relative_to(NETSIM) if path.is_relative_to(NETSIM) else path.relative_to(ROOT)
    return ".".join(below.with_suffix("").parts).removesuffix(".__init__")


def sources() -> dict[str, Path]:
    found = [path for folder in ("netsim", "algorithms", "models") for path in sorted((ROOT / folder).rglob("*.py"))]
    return {module_of(path): path for path in found if path.parts[len(ROOT.parts) :][:2] not in LINKS}


LINKS = {("netsim", "algorithms"), ("netsim", "models")}
SOURCES = sources()


@cache
def named(path: Path) -> set[str]:
    """Return the dotted names of all that a file imports, wherever in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the table"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@cache
def imported(path: Path) -> set[str]:
    """Return what a file imports: modules of netsim by their name below it, others by their first word."""
    return set(map(_known, named(path)))


def _known(name: str) -> str:
    if name.split(".")[0] != "netsim":
        return name.split(".")[0]
    words = name.split(".")[1:]
    while words and ".".join(words) not in SOURCES:
        words.pop()
    return ".".join(words) or "netsim"


def floor(module: str) -> int:
    for number, names in enumerate(FLOORS):
        if module in names or (module.split(".")[0] in names and not any(module in below for below in FLOORS[:number])):
            return number
    raise AssertionError(f"{module}: in no floor")


def of_netsim(path: Path) -> set[str]:
    return {name for name in imported(path) if name in SOURCES}


def test_nothing_is_imported_from_a_floor_above():
    for module, path in SOURCES.items():
        if module not in ("__init__", ""):
            up = {name for name in of_netsim(path) if floor(name) > floor(module)}
            assert not up, f"{module} imports {up}"


@pytest.mark.parametrize("folder", GROUND_ALONE)
def test_algorithms_and_models_stand_alone(folder):
    for module, path in SOURCES.items():
        if module.split(".")[0] == folder:
            assert {name.split(".")[0] for name in of_netsim(path)} <= GROUND_ALONE[folder], module
            assert not imported(path) & {"simpy", "netsim"}, module


def test_no_circles():
    """Neither between files, imports inside functions included, nor between folders above the ground floor."""
    files = nx.DiGraph((module, name) for module, path in SOURCES.items() for name in of_netsim(path) if name != module)
    assert list(nx.simple_cycles(files)) == []
    folders = nx.DiGraph(
        (module.split(".")[0], name.split(".")[0])
        for module, path in SOURCES.items()
        for name in of_netsim(path)
        if floor(name) and module
    )
    folders.remove_edges_from(list(nx.selfloop_edges(folders)))
    assert list(nx.simple_cycles(folders)) == []


def test_a_library_is_imported_in_one_place():
    for module, path in SOURCES.items():
        for library, place in ONLY_IN.items():
            assert library not in imported(path) or module.split(".")[0] == place, f"{module} imports {library}"


def test_the_top_level_folders_are_never_imported_by_their_own_names():
    """A second copy would be loaded, and a user's own models.py would be taken for ours."""
    everywhere = [*ROOT.glob("netsim/**/*.py"), *ROOT.glob("algorithms/**/*.py"), *ROOT.glob("models/**/*.py")]
    everywhere += [*ROOT.glob("tests/**/*.py"), *ROOT.glob("benchmarks/**/*.py"), *ROOT.glob("notebooks/*.py")]
    for path in everywhere:
        assert not {name.split(".")[0] for name in named(path)} & {"algorithms", "models"}, path
    for path in [*ROOT.glob("notebooks/*.ipynb"), *ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        text = path.read_text()
        assert not any(f"{verb} {name}" in text for verb in ("from", "import") for name in ("algorithms", "models")), (
            path
        )


def test_packages_are_all_installed():
    """The list of packages is written out, as two of them lie at the top level: it holds every folder with Python in it."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    folders = {path.parent for path in SOURCES.values()}
    held = {
        ".".join(("netsim", *folder.relative_to(NETSIM if folder.is_relative_to(NETSIM) else ROOT).parts))
        for folder in folders
    }
    assert sorted(declared) == sorted(held)


def test_no_folder_beside_the_fixed_ones():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages == {"algorithms", "models", "netsim"}


def test_the_folders_of_the_tests_mirror_the_code():
    ours = {path.name for path in NETSIM.iterdir() if path.is_dir() and path.name != "__pycache__"}
    tests = {path.parent.name for path in (ROOT / "tests").glob("*/test_*.py")}
    assert tests <= ours | {"fuzzing"}


def test_no_host_clock_is_read():
    """Simulated seconds never come from the machine's clock."""
    for module, path in SOURCES.items():
        if module.split(".")[0] != "commands":  # progress bars
            assert not imported(path) & {"time", "timeit", "datetime"}, module


def test_tests_of_equal_bits_are_marked():
    """A test whose name or docstring speaks of equal bits has the mark ``bitwise``, and so runs under several BLAS kernels."""
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        tree = ast.parse(path.read_text())
        if "pytestmark = pytest.mark.bitwise" in path.read_text():
            continue
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                says = "bit for bit" in f"{node.name.replace('_', ' ')} {ast.get_docstring(node)}"
                marked = any(ast.unparse(mark) == "pytest.mark.bitwise" for mark in node.decorator_list)
                assert marked or not says, f"{path}: {node.name}"


def test_functions_can_be_read_at_one_sitting():
    long = {
        f"{module}.{node.name}": node.end_lineno - node.lineno + 1
        for module, path in SOURCES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno - node.lineno + 1 >= 60
    }
    assert not long

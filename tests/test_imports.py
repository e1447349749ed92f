"""The table of who may import whom, held against the imports."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FORBIDDEN = {"algorithms": {"netsim", "models", "simpy"}, "models": {"netsim", "algorithms", "simpy"}}
OF_THE_CLOCK = {ROOT / "netsim" / "clock.py"}
MAKES_KEYS = ROOT / "netsim" / "device.py"


def imported(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the table"
            names.add((node.module or "").split(".")[0])
    return names


def sources(folder: str) -> list[Path]:
    found = sorted((ROOT / folder).rglob("*.py"))
    assert found
    return found


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_layers(folder):
    for path in sources(folder):
        assert not imported(path) & FORBIDDEN[folder], path


def test_only_the_clock_imports_simpy():
    assert {path for path in sources("netsim") if "simpy" in imported(path)} == OF_THE_CLOCK


def test_cupy_is_imported_in_one_place():
    for folder in ("netsim", "algorithms", "models"):
        for path in sources(folder):
            assert "cupy" not in imported(path) or path == MAKES_KEYS, path


def test_no_folder_beside_the_fixed_ones():
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert packages == {"algorithms", "models", "netsim"}


def test_no_host_clock_is_read():
    """Simulated seconds never come from the machine's clock."""
    for folder in ("algorithms", "models"):
        for path in sources(folder):
            assert not imported(path) & {"time", "timeit", "datetime"}, path
    for path in sources("netsim"):
        if path.name not in ("cli.py", "console.py"):  # progress bars
            assert not imported(path) & {"time", "timeit", "datetime"}, path

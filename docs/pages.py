"""Pages of the documents that are made from the code: the command line, the file, the modules, the notebooks."""

import importlib
import re
import shutil
from pathlib import Path

import netsim
from netsim import algorithms, models, papers, plots, testing
from netsim.commands import reference as commands
from netsim.files import reference as files

ROOT = Path(__file__).parents[1]
NOTEBOOKS = ROOT / "notebooks"
METHODS = ROOT / "docs" / "methods"
FIRST = ("quickstart", "write-your-own-method", "my-model")
FILE = """\
Every key of every section, as the code declares it. `netsim init PRESET > mine.toml` writes the same into a file of your own, as comments.
"""
PUBLIC = {
    "netsim": netsim,
    "netsim.algorithms": algorithms,
    "netsim.models": models,
    "netsim.plots": plots,
    "netsim.testing": testing,
    "netsim.papers": papers,
}
"""Packages whose exported names have a page of their own; the modules' pages leave them out."""


def write(folder: Path) -> None:
    """Write all generated pages into a folder."""
    folder.mkdir()
    (folder / "commands.md").write_text(f"# The command line\n\n{commands.reference()}")
    (folder / "file.md").write_text(f"# The file\n\n{FILE}\n\n{files.reference()}")
    _write_public(folder / "public")
    _write_modules(folder / "modules")
    _copy_notebooks(folder / "notebooks")


HOMES = {
    f"{found.__module__}.{name}": f"{package}.{name}"
    for package, module in PUBLIC.items()
    for name in module.__all__
    if hasattr(found := getattr(module, name), "__qualname__")
}
"""{where a name is defined: where it is imported from}."""


def modules() -> list[str]:
    """Return the dotted names of all modules of netsim."""
    folders = {"netsim": ROOT / "netsim", "netsim.algorithms": ROOT / "algorithms", "netsim.models": ROOT / "models"}
    found = set()
    for package, folder in folders.items():
        for path in folder.rglob("*.py"):
            below = path.relative_to(folder).with_suffix("").parts
            if package == "netsim" and below[0] in ("algorithms", "models"):
                continue  # links to the folders at the top level
            found.add(".".join((package, *below)).removesuffix(".__init__"))
    return sorted(found - {"netsim.__main__"})


def _elsewhere(name: str) -> list[str]:
    """Return what a module's page leaves out: what is imported there, and what a public page shows."""
    module = importlib.import_module(name)
    named = getattr(module, "__all__", vars(module))
    homes = {one: getattr(getattr(module, one), "__module__", name) for one in named}
    return sorted(one for one, home in homes.items() if one[0] != "_" and (home != name or f"{name}.{one}" in HOMES))


def _shown_elsewhere() -> set[str]:
    """Return the names that the methods' pages show."""
    texts = [path.read_text() for path in METHODS.glob("*.md")]
    return {name for text in texts for name in re.findall(r"autoclass:: netsim\.algorithms\.(\w+)", text)}


def _write_public(folder: Path) -> None:
    """Write a page for each public package: what it exports, but what the methods' pages show."""
    folder.mkdir()
    for package in PUBLIC:
        left_out = _shown_elsewhere() if package == "netsim.algorithms" else {"plots", "topology"}
        more = (
            "The methods and compressors themselves: {doc}`/methods/index`.\n\n"
            if package == "netsim.algorithms"
            else ""
        )
        (folder / f"{package}.md").write_text(
            f"# {package}\n\n{more}```{{eval-rst}}\n.. automodule:: {package}\n   :imported-members:\n"
            f"   :exclude-members: {', '.join(sorted(left_out))}\n```\n"
        )


def _write_modules(folder: Path) -> None:
    folder.mkdir()
    names = [name for name in modules() if name not in PUBLIC and name not in HOMES.values()]
    for name in names:
        left_out = [*_elsewhere(name), "set"]  # matplotlib gives every Artist a set
        options = f"   :exclude-members: {', '.join(left_out)}\n"
        (folder / f"{name}.md").write_text(f"# {name}\n\n```{{eval-rst}}\n.. automodule:: {name}\n{options}```\n")
    listed = "\n".join(names)
    (folder / "index.md").write_text(
        f"# All modules\n\nWhat stands where, for those who read or change netsim itself.\n\n```{{toctree}}\n:maxdepth: 1\n\n{listed}\n```\n"
    )


def _copy_notebooks(folder: Path) -> None:
    folder.mkdir()
    for path in sorted(NOTEBOOKS.glob("*.ipynb")):
        shutil.copy(path, folder / path.name)
    first = [name for name in FIRST if (folder / f"{name}.ipynb").exists()]
    others = sorted({path.stem for path in folder.glob("*.ipynb")} - set(first))
    toctree = "\n".join([*first, *others])
    (folder / "index.md").write_text(
        "# Notebooks\n\nCommitted with their outputs, executed by the tests. The first three are to start from; the others reproduce papers.\n\n"
        f"```{{toctree}}\n:maxdepth: 1\n\n{toctree}\n```\n"
    )

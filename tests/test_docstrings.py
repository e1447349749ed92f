"""Class docstrings: what a caller passes in is under Parameters, what is read from an object under Attributes."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CLASSES = [
    pytest.param(node, id=f"{path.relative_to(ROOT)}:{node.name}")
    for folder in ("algorithms", "models", "netsim")
    for path in sorted((ROOT / folder).rglob("*.py"))
    for node in ast.walk(ast.parse(path.read_text()))
    if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
]


def sections(node):
    text = ast.get_docstring(node) or ""
    return [name for name in ("Parameters", "Attributes") if f"\n{name}\n----------\n" in text]


def has_fields(node):
    """Whether anything of it is declared as a field, or passed to its constructor."""
    fields = [
        one for one in node.body if isinstance(one, ast.AnnAssign) and "ClassVar" not in ast.unparse(one.annotation)
    ]
    makers = [one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"]
    return bool(fields or any(len(one.args.args + one.args.kwonlyargs) > 1 for one in makers))


# dataclasses that functions of netsim return, which users read and do not make
RETURNED = set(
    [
        "EpochTime",
        "Finding",
        "Key",
        "Memory",
        "Method",
        "NetworkGrid",
        "Report",
        "Ring",
        "RingRun",
        "Row",
        "Run",
        "Setup",
        "Table",
        "Timeline",
        "Timelines",
        "Topology",
        "Trace",
        "Trial",
    ]
)


@pytest.mark.parametrize("node", CLASSES)
def test_a_class_has_parameters_or_attributes_and_never_both(node):
    """A dataclass that users make: Parameters. One that is returned, a NamedTuple, a protocol: Attributes. Others have one of the two."""
    bases, found = {ast.unparse(base) for base in node.bases}, sections(node)
    if node.name in RETURNED:
        wanted = [["Attributes"]]
    elif any("dataclass" in ast.unparse(one) for one in node.decorator_list):
        wanted = [["Parameters"]]
    elif {"NamedTuple", "Protocol"} & bases:
        wanted = [["Attributes"]]
    else:
        wanted = [["Parameters"], ["Attributes"], *([] if has_fields(node) else [[]])]
    assert found in (wanted if has_fields(node) or wanted[1:] else [[]])

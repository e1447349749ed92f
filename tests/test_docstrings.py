"""Class docstrings of the algorithms and the models: what is passed in is under Parameters, what is read from an object under Attributes."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CLASSES = [
    pytest.param(node, id=f"{path.relative_to(ROOT)}:{node.name}")
    for folder in ("algorithms", "models")
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


@pytest.mark.parametrize("node", CLASSES)
def test_a_class_has_parameters_or_attributes_and_never_both(node):
    """Dataclasses are made by users: Parameters. NamedTuples and protocols are handed out: Attributes. Others choose one."""
    bases, found = [ast.unparse(base) for base in node.bases], sections(node)
    if any("dataclass" in ast.unparse(one) for one in node.decorator_list):
        wanted = [["Parameters"]]
    elif {"NamedTuple", "Protocol"} & set(bases):
        wanted = [["Attributes"]]
    else:
        wanted = [["Parameters"], ["Attributes"]]
    assert found in (wanted if has_fields(node) else [[]])

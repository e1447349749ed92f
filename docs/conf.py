"""Sphinx: the documents of netsim. ``make docs`` builds them strictly; everything that the code knows is read from the code."""

import re
import shutil
from pathlib import Path

from sphinx.ext import napoleon

import netsim
from docs import pages

HERE = Path(__file__).parent
ROOT = HERE.parent

project = "netsim"
author = "the netsim developers"
copyright = "the netsim developers, Apache-2.0"
release = version = netsim.__version__

extensions = [
    "myst_nb",
    "sphinx_design",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
    "sphinx-mathjax-offline",  # the mathematics is readable without a network, too
]
exclude_patterns = ["_build", "_generated/README.md"]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}
myst_enable_extensions = ["dollarmath", "deflist", "colon_fence"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # the notebooks are committed with their outputs; the tests execute them
suppress_warnings = ["mystnb.unknown_mime_type"]

html_theme = "pydata_sphinx_theme"
html_title = f"netsim {release}"
html_static_path: list[str] = []
html_theme_options = {
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "navbar_align": "left",
}
html_sidebars = {"index": []}

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_default_options = {"members": True}
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_param = False  # as a list: "a, b" are two parameters, no type and a name
napoleon_custom_sections = [("Attributes", "params_style")]
napoleon_use_rtype = False
napoleon_preprocess_types = False

nitpicky = True
# Names of other projects: the documents are built without a network, so nothing is looked up there.
nitpick_ignore_regex = [
    (
        r"py:.*",
        r"(np|numpy|xr|xarray|pd|nx|networkx|matplotlib|plt|cupy|simpy|numba|pydantic|typer|click|rich|concurrent|collections|pathlib|types|typing|annotated_types|pytest|pydantic_core|enum|_thread|_local)\..*",
    ),
    (r"py:.*", r"[\d.e-]+"),  # bounds of ranges in signatures
    (r"py:.*", r"netsim\.commands\.options\..*"),  # annotated types, which typer reads
    (
        r"py:.*",
        r"(tuple\[.*|dict\[.*|FieldInfo|NoneType|Ge|Gt|Le|Lt|Interval|Annotated|Callable|Mapping|Sequence|Iterable|Iterator|Literal|Figure|Axes|ModuleType|Executor|Real|TypeVar|Protocol|NamedTuple|Generator|ArrayLike|optional)",
    ),
]


_napoleon = napoleon._process_docstring
_BARS = re.compile(r"``.*?``|(?<!\\)\||(?<=[(, ])\*(?=\w+[),])")


def _numpy_sections(app, what, name, obj, options, lines) -> None:
    """Read |x| and f(*x) as they are meant in a docstring, and leave properties alone.

    Docstrings here use no substitutions. Napoleon takes what stands before a colon in a property's first line for a type.
    """
    in_math = False
    for at, line in enumerate(lines):
        in_math = ".. math::" in line or (in_math and (not line.strip() or line.startswith("    ")))
        if not in_math:
            lines[at] = _BARS.sub(lambda one: one[0] if len(one[0]) > 1 else "\\" + one[0], line)
    if what not in ("property", "attribute", "data"):
        _napoleon(app, what, name, obj, options, lines)


napoleon._process_docstring = _numpy_sections


def setup(app) -> None:
    """Write the pages that are made from the code, before Sphinx looks for its sources."""
    generated = HERE / "_generated"
    shutil.rmtree(generated, ignore_errors=True)
    pages.write(generated)
    app.connect("missing-reference", _by_public_name)
    app.connect("autodoc-process-signature", _plain_signature)


def _plain_signature(app, what, name, obj, options, signature, returned):
    """Return a signature with the types alone: ranges and units are in the fields' own words."""
    return signature and _without_ranges(signature), returned and _without_ranges(returned)


def _without_ranges(text: str) -> str:
    """Return Annotated[X, …] as X."""
    while found := re.search(r"~?(?:[\w.]+\.)?Annotated\[", text):
        depth, ends = 0, []
        for at in range(found.end(), len(text)):
            depth += (text[at] in "[({") - (text[at] in "])}")
            if depth < 0 or (depth == 0 and text[at] == ","):
                ends.append(at)
            if depth < 0:
                break
        else:
            return text
        text = text[: found.start()] + text[found.end() : ends[0]] + text[ends[-1] + 1 :]
    return text


def _by_public_name(app, env, node, contnode):
    """Resolve a name by where users import it from; an attribute that has no entry of its own by its class or module."""
    if node.get("refdomain") != "py":
        return None
    domain, target, module = env.domains["py"], node["reftarget"], node.get("py:module") or ""
    for name in (target, f"{module}.{target}"):
        head, _, member = name.rpartition(".")
        for known in (pages.HOMES.get(name), f"{pages.HOMES.get(head)}.{member}", name, pages.HOMES.get(head), head):
            if known in domain.objects:
                return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", known, node, contnode)
    found = [known for known in domain.objects if known.endswith(f".{target}")]
    if found:
        return domain.resolve_xref(env, node["refdoc"], app.builder, "obj", found[0], node, contnode)
    return None

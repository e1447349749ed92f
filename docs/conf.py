"""Sphinx: the documents of netsim. ``make docs`` builds them strictly; everything that the code knows is read from the code."""

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
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.mathjax",
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
autodoc_default_options = {"members": True, "show-inheritance": False}
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_param = False  # as a list: "a, b" are two parameters, no type and a name
napoleon_custom_sections = [("Attributes", "params_style")]
napoleon_use_rtype = False
napoleon_preprocess_types = False

nitpicky = True
# Names of other projects: the documents are built without a network, so nothing is looked up there.
nitpick_ignore_regex = [
    (r"py:.*", r"(np|numpy|xr|xarray|pd|nx|networkx|matplotlib|plt|cupy|simpy|numba|pydantic|typer|click|rich|concurrent|collections|pathlib|types|typing|annotated_types|pytest)\..*"),
    (r"py:.*", r"(Path|Any|Callable|Mapping|Sequence|Iterable|Iterator|Literal|Figure|Axes|ModuleType|Executor|Real|TypeVar|Protocol|NamedTuple|Generator|ArrayLike|optional)"),
]


_napoleon = napoleon._process_docstring


def _numpy_sections(app, what, name, obj, options, lines) -> None:
    """Leave properties alone: napoleon takes what stands before a colon in their first line for a type."""
    if what not in ("property", "attribute", "data"):
        _napoleon(app, what, name, obj, options, lines)


napoleon._process_docstring = _numpy_sections


def setup(app) -> None:
    """Write the pages that are made from the code, before Sphinx looks for its sources."""
    generated = HERE / "_generated"
    shutil.rmtree(generated, ignore_errors=True)
    pages.write(generated)
    app.connect("missing-reference", _by_public_name)


def _by_public_name(app, env, node, contnode):
    """Resolve the name of a module's function that is documented where users import it from."""
    if node.get("refdomain") != "py":
        return None
    target = node["reftarget"]
    for name in (target, f"{node.get('py:module')}.{target}"):
        head, _, member = name.rpartition(".")
        for known, rest in ((name, ""), (head, f".{member}")):
            if known in pages.HOMES:
                public = pages.HOMES[known] + rest
                domain = env.domains["py"]
                return domain.resolve_xref(env, node["refdoc"], app.builder, node["reftype"], public, node, contnode)
    return None

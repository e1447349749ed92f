"""Saving figures: PNG, SVG and PDF, each whole or not at all."""

import io
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from netsim.errors import NetsimError
from netsim.runs.storage import write_whole

DEFAULT = ("png", "svg")
_OPTIONS: dict[str, dict[str, Any]] = {
    "png": {"dpi": 200},
    "svg": {"metadata": {"Date": None}},
    "pdf": {"metadata": {"CreationDate": None}},
}  # without dates the same figure gives the same bytes
_SETTINGS: Any = {"svg.hashsalt": "netsim", "svg.fonttype": "none", "pdf.fonttype": 42}  # text stays text
_ONE = threading.Lock()  # these settings can only be set globally


def formats_of(text: str) -> tuple[str, ...]:
    """Return the formats of text such as ``"png,pdf"``, in its order.

    Raises
    ------
    NetsimError
        There is none, or one is not known.
    """
    found = tuple(dict.fromkeys(one.strip().lower() for one in text.split(",") if one.strip()))
    if not found or any(one not in _OPTIONS for one in found):
        raise NetsimError(f"format = {text!r}: write one or several of {', '.join(_OPTIONS)}, such as png,pdf")
    return found


def save(figure: Figure, path_stem: str | Path, formats: Sequence[str] = DEFAULT) -> tuple[Path, ...]:
    """Write a figure in several formats, each whole or not at all; the same figure gives the same bytes.

    Parameters
    ----------
    figure
        What to write.
    path_stem
        The files' path without ``.png`` and the like; folders are made.
    formats
        Of "png" (200 dpi), "svg" (with its text as text), "pdf" (with TrueType fonts).

    Returns
    -------
    tuple of Path
        The files, in the order of the formats.

    Raises
    ------
    NetsimError
        The files cannot be written, or a format is not known.
    """
    stem, wanted = Path(path_stem), formats_of(",".join(formats))
    drawn: list[bytes] = []
    for one in wanted:
        held = io.BytesIO()
        with _ONE, mpl.rc_context(_SETTINGS):
            figure.savefig(held, format=one, **_OPTIONS[one])
        drawn.append(held.getvalue())
    files = zip(wanted, drawn, strict=True)
    return tuple(write_whole(stem.with_name(f"{stem.name}.{one}"), data) for one, data in files)

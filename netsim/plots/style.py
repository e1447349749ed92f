"""How figures look: what an algorithm is called, its colour, marker and line, the frame around the data, and the files written."""

import ast
import io
import os
import re
import tempfile
import threading
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.colors import to_hex, to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from netsim.errors import NetsimError
from netsim.files.units import format_seconds

COLUMN, PAGE = 3.3, 7.0  # inches: one column of a paper, and both
TEXT, SMALL = 8.0, 7.0  # points
MUTED = "#555555"
FULL_PRECISION = 32  # bits a number, as full precision is billed

# the name, then a colour in full precision and one compressed, then a marker; from dark to light, so that grey tells them apart too
_FAMILIES = {
    "AllReduceSGD": ("All-reduce", "#1a1a1a", "#5b2c86", "o"),
    "DPSGD": ("D-PSGD", "#2f80c0", "#2f80c0", "s"),
    "NaiveCompressedDPSGD": ("Naive D-PSGD", "#e0695f", "#e0695f", "X"),
    "DCDPSGD": ("DCD-PSGD", "#f28e2b", "#f28e2b", "^"),
    "ECDPSGD": ("ECD-PSGD", "#98d98a", "#98d98a", "D"),
    "DPSGD, gradient first": ("D-PSGD", "#9dd0f5", "#9dd0f5", "s"),
    "ParameterServerSGD": ("Server SGD", "#7f7f7f", "#8c564b", "v"),
    "EC-SGD": ("EC-SGD", "#d4a017", "#d4a017", "P"),  # DoubleSqueeze whose server replies in full precision
    "DoubleSqueeze": ("DoubleSqueeze", "#d6409f", "#d6409f", "*"),
    "ChocoSGD": ("CHOCO-SGD", "#17becf", "#17becf", "p"),
    "DeepSqueeze": ("DeepSqueeze", "#3f51b5", "#3f51b5", "h"),
}
_OTHERS = (("#8c564b", "v"), ("#17becf", "P"), ("#bcbd22", "<"), ("#e377c2", ">"), ("#7f7f7f", "h"), ("#4e5b9b", "p"))
_KNOWN = {
    "PowerGossip": ("#b5123b", "P"),
    "Moniqua": ("#e377c2", ">"),
}  # of those without a family, the ones that meet in a figure
_BY_EXCHANGES = (
    "#b5123b",
    "#e4687f",
    "#7d0b27",
    "#f2919f",
    "#c2185b",
    "#4a0414",
)  # PowerGossip with 1, 2, 4, … of them
_GOSSIP_RATE = ("ChocoSGD", "DeepSqueeze")  # their second field
_ORDINAL = re.compile(r" \((\d+)\)$")
_SVG = threading.Lock()  # the salt of a file's identifiers can only be set for the whole process


class Plot(Figure):
    """A figure that a notebook shows by itself, without pyplot and its list of open figures."""

    def _repr_png_(self) -> bytes:
        out = io.BytesIO()
        self.savefig(out, format="png", dpi=150)
        return out.getvalue()


class Style(NamedTuple):
    """How one algorithm is drawn in every figure.

    Attributes
    ----------
    colour
        Of line, marker and map; the family's, darker below 8 bits.
    marker
        The family's.
    line
        matplotlib's line style: solid in full precision, dashed when compressed, dotted below 8 bits, sparsely below 4, dash-dotted for variants.
    face
        Of the marker: white below 8 bits, black below 4, grey for 1.
    """

    colour: str
    marker: str
    line: Any
    face: str


class _Name(NamedTuple):
    family: str
    bits: int | None  # None: compressed by something that has no fixed bits
    words: tuple[str, ...]  # what the label says after the family
    variant: bool  # anything but the family and its compressor's bits


def label(name: str) -> str:
    """Return what a legend calls an algorithm: ``DCDPSGD(StochasticQuantizer(8))`` -> ``"DCD-PSGD, 8 bits"``.

    Parameters
    ----------
    name
        The algorithm's ``repr``, as on a results Dataset's ``experiment``. Other names than those of this project's algorithms come back as they are.
    """
    parsed = _parse(name)
    if parsed is not None:
        return ", ".join((_FAMILIES[parsed.family][0], *parsed.words))
    if family(name) != "PowerGossip" or "rank" in name or "apply" in name:
        return name
    count, rate = _exchanges(name), re.search(r"gamma=([\d.]+)", name)
    words = ["PowerGossip", f"{count} iteration{'s' * (count > 1)}", *([f"gamma {rate[1]}"] if rate else [])]
    return ", ".join([*words, *(["random projections"] if "warm_start=False" in name else [])])


def _exchanges(name: str) -> int:
    """Return how many exchanges a round has by a method's name."""
    found = re.search(r"iterations=(\d+)", name)
    return int(found[1]) if found else 1


def bits(name: str) -> int | None:
    """Return the bits of a number that an algorithm sends: 32 in full precision; None where that is not one number or not known."""
    parsed = _parse(name)
    return None if parsed is None else parsed.bits


def family(name: str) -> str:
    """Return the name of an algorithm's class: ``DCDPSGD(StochasticQuantizer(8))`` -> ``"DCDPSGD"``."""
    return name.split("(")[0].strip()


def style(name: str) -> Style:
    """Return how an algorithm is drawn: by its name alone, so that it looks the same in every figure."""
    parsed = _parse(name)
    if parsed is None:
        other = _OTHERS[zlib.crc32(family(name).encode()) % len(_OTHERS)]
        colour, marker = _KNOWN.get(family(name), other)
        repeats = _exchanges(name).bit_length() - 1  # the more exchanges, the more dots between two dashes
        if family(name) == "PowerGossip":
            colour = _BY_EXCHANGES[min(repeats, len(_BY_EXCHANGES) - 1)]
        random = "warm_start=False" in name
        return Style(colour, marker, (0, (6, 1) + (1, 1) * (1 + repeats)), "white" if random else colour)
    _, full, compressed, marker = _FAMILIES[parsed.family]
    shift = 2 * list(_FAMILIES).index(parsed.family)  # dashes of lines that coincide fall into each other's gaps
    colour = full if parsed.bits == FULL_PRECISION else compressed
    few, fewest = (parsed.bits is not None and parsed.bits < limit for limit in (8, 4))
    if few:
        red, green, blue = to_rgb(colour)
        colour = to_hex((0.62 * red, 0.62 * green, 0.62 * blue))
    if parsed.variant:
        line: Any = (shift, (6, 1.5, 1, 1.5))
    elif parsed.bits == FULL_PRECISION:
        line = "-"
    else:
        line = (shift / 2, (1, 2.6 if fewest else 1.2)) if few else (shift, (4, 4))
    face = "#bbbbbb" if parsed.bits == 1 else "black" if fewest else "white" if few else colour
    return Style(colour, marker, line, face)


def legend_label(ds: xr.Dataset, name: str) -> str:
    """Return the label of an experiment, with what overlaps and whether it diverged: ``"D-PSGD, 32 bits (overlaps)"``."""
    one = ds.sel(experiment=name)
    words = label(name)
    if "overlap" in ds:
        words += " (overlaps)" if bool(one["overlap"]) else " (after the gradient)"
    at = int(one["diverged_at"]) if "diverged_at" in ds else -1
    return words if at < 0 else f"{words}, diverged @ {at}"


def circumstances(ds: xr.Dataset, timed: bool = True) -> str:
    """Return the line that stands on every figure: target, workers and, where it shows times, compute time and how ports are shared."""
    words = [f"target loss {ds.attrs['target']:.3g}"] if "target" in ds.attrs else []
    if "workers" in ds and len(np.unique(ds["workers"])) == 1:
        words.append(f"{int(ds['workers'].values.flat[0])} workers")
    compute = str(ds.attrs.get("compute", ""))
    if timed and compute:
        words.append(f"compute {_seconds(compute)}")
    if timed and ("sharing" in ds.coords or "sharing" in ds.attrs):
        words.append(f"sharing {sharing_of(ds)}")
    return ", ".join(words)


def sharing_of(ds: xr.Dataset) -> str:
    """Return how ports are shared in a Dataset of one sharing."""
    return str(ds["sharing"].values) if "sharing" in ds.coords else str(ds.attrs.get("sharing", "fifo"))


def choose(ds: xr.Dataset, sharing: str | None) -> xr.Dataset:
    """Return the part of a Dataset for one sharing, its grid ascending.

    Parameters
    ----------
    ds
        Of :func:`netsim.runs.sweeping`, or of the command line with its dimension ``sharing``.
    sharing
        "fifo", "none", …; None: "fifo" where there is a choice, else what there is.

    Raises
    ------
    NetsimError
        The Dataset holds another.
    """
    held = [str(one) for one in np.atleast_1d(ds["sharing"].values)] if "sharing" in ds.coords else [sharing_of(ds)]
    wanted = sharing or ("fifo" if "fifo" in held else held[0])
    if wanted not in held:
        raise NetsimError(f"sharing = {wanted!r}: these results hold {', '.join(map(repr, held))}")
    one = ds.sel(sharing=wanted) if "sharing" in ds.dims else ds
    return one.sortby([dim for dim in ("latency", "bandwidth") if dim in one.dims])


def frame(ax: Axes, xlabel: str, ylabel: str, title: str = "") -> None:
    """Label and dress a panel; its words are sized for a column of a paper."""
    ax.set_xlabel(xlabel, fontsize=TEXT)
    ax.set_ylabel(ylabel, fontsize=TEXT)
    ax.set_title(title, fontsize=TEXT, loc="left")
    ax.tick_params(which="both", labelsize=SMALL, width=0.6)
    for spine in ax.spines.values():
        spine.set_linewidth(0.6)


def plain_log(ax: Axes, which: str) -> None:
    """Make the axis "x" or "y" logarithmic, with plain numbers for ticks: 0.1, 1, 10, …, 10,000; 2 and 5 too where it spans little."""
    if which == "x":
        ax.set_xscale("log")
    else:
        ax.set_yscale("log")
    axis = getattr(ax, f"{which}axis")
    low, high = axis.get_view_interval()
    axis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 300 * low else (1,), numticks=20))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axis.set_minor_formatter(NullFormatter())


def place_legend(figure: Figure, handles: Iterable[Any], title: str, columns: int, ax: Axes | None = None) -> None:
    """Put the legend below a figure, where it covers nothing; with ``ax``, into that empty panel. Its words are wrapped to fit."""
    handles = list(handles)
    width = 36 if ax is not None else 54
    for handle in handles:
        handle.set_label("\n".join(wrapped(line, width) for line in handle.get_label().splitlines()))
    room = 36 if ax is not None else width * columns
    title = "\n".join(wrapped(line, room) for line in title.splitlines())
    options: dict[str, Any] = {
        "fontsize": SMALL,
        "title_fontsize": SMALL,
        "frameon": False,
        "handlelength": 2.8 if ax is None else 2.3,
    }
    if ax is None:
        legend = figure.legend(
            handles=handles, loc="outside lower center", ncols=columns, title=title, columnspacing=1.2, **options
        )
    else:
        ax.set_axis_off()
        legend = ax.legend(
            handles=handles,
            loc="center left",
            bbox_to_anchor=(-0.06 if columns > 2 else 0.06, 0.5),
            borderaxespad=0,
            title=title,
            labelspacing=0.8,
            **options,
        )
        legend.set_in_layout(False)  # it may be a little wider than the panel
    legend.set_alignment("left")


def wrapped(text: str, width: int) -> str:
    """Return the text with new lines after commas where it would be wider than so many characters."""
    lines = [""]
    for part in text.split(", "):
        longer = f"{lines[-1]}, {part}" if lines[-1] else part
        if len(longer) <= width or not lines[-1]:
            lines[-1] = longer
        else:
            lines[-1] += ","
            lines.append(part)
    return "\n".join(lines)


def save(figure: Figure, path_stem: str | Path) -> tuple[Path, Path]:
    """Write a figure as PNG (200 dpi) and SVG, each whole or not at all; the same figure gives the same bytes.

    Parameters
    ----------
    figure
        What to write.
    path_stem
        The files' path without ``.png`` and ``.svg``; folders are made.

    Returns
    -------
    tuple of Path
        The PNG and the SVG.

    Raises
    ------
    NetsimError
        The files cannot be written.
    """
    stem = Path(path_stem)
    png, svg = (stem.with_name(stem.name + suffix) for suffix in (".png", ".svg"))
    try:
        stem.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{stem.name}.", dir=stem.parent) as aside:
            figure.savefig(Path(aside) / png.name, dpi=200)
            with _SVG, mpl.rc_context({"svg.hashsalt": "netsim"}):
                figure.savefig(Path(aside) / svg.name, metadata={"Date": None})
            for path in (png, svg):
                os.replace(Path(aside) / path.name, path)
    except OSError as error:
        raise NetsimError(f"{stem}: figures cannot be written ({error.strerror or error})") from None
    return png, svg


def _parse(name: str) -> _Name | None:
    """Take an algorithm's repr apart; None where it is not one of ours."""
    ordinal = _ORDINAL.search(name)
    try:
        call = ast.parse(name[: ordinal.start()] if ordinal else name, mode="eval").body
    except SyntaxError:
        return None
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id in _FAMILIES):
        return None
    named = {str(word.arg): word.value for word in call.keywords}
    given = [*call.args[:1], *([named.pop("compress")] if "compress" in named else [])]
    sent, how = (FULL_PRECISION, (f"{FULL_PRECISION} bits",)) if not given else _compression(given[0])
    kind, reply = call.func.id, named.pop("server_compress", None)
    if kind == "DoubleSqueeze" and reply is not None and ast.unparse(reply) == "Identity()":
        kind, reply = "EC-SGD", None
    if kind == "DPSGD" and "overlap" in named and ast.unparse(named["overlap"]) == "False":
        kind = "DPSGD, gradient first"
    words = [*how, *(f"gamma {ast.unparse(gamma)}" for gamma in call.args[1:2] if kind in _GOSSIP_RATE)]
    if reply is not None:
        back = _compression(reply)[1]
        words.append("both ways" if back == how else f"reply {' '.join(back)}")
    words += [_hyperparameter(name, value) for name, value in named.items()]
    if ordinal:
        words.append(f"run {ordinal[1]}")
    return _Name(kind, sent, tuple(words), len(words) > 1)


def _compression(node: ast.expr) -> tuple[int | None, tuple[str, ...]]:
    """Return a compressor's bits, where it has any, and its words."""
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        return None, (ast.unparse(node),)
    kind, values = node.func.id, [one.value for one in node.args if isinstance(one, ast.Constant)]
    more = tuple(_hyperparameter(str(word.arg), word.value) for word in node.keywords)
    match kind, values:
        case "Identity", []:
            return FULL_PRECISION, (f"{FULL_PRECISION} bits", "identity", *more)
        case "StochasticQuantizer", [int(count)]:
            return count, (_bits(count), *more)
        case "NearestQuantizer", [int(count)]:
            return count, (_bits(count), "to nearest", *more)
        case "RandomSparsifier", [int() | float() as probability]:
            return None, (f"{100 * probability:g} % kept", *more)
        case "TopK", [int() | float() as ratio]:
            return None, (f"top {100 * ratio:g} %", *more)
        case "Sign", []:
            return 1, ("sign", *more)
    return None, (ast.unparse(node),)


def _bits(count: int) -> str:
    return "1 bit" if count == 1 else f"{count} bits"


def _hyperparameter(name: str, node: ast.expr) -> str:
    value = ast.unparse(node).strip("'\"")
    return "gradient first" if (name, value) == ("overlap", "False") else f"{name} {value}"


def _seconds(compute: str) -> str:
    """Return a compute time, or the repr of a compute model, as words."""
    try:
        return format_seconds(float(compute))
    except ValueError:
        return compute

"""Labels of methods in legends, and their colours, markers and line styles, from their descriptions: the same in every figure."""

import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import xarray as xr
from matplotlib.colors import to_hex, to_rgb

from netsim.algorithms import describe
from netsim.algorithms.description import FULL_PRECISION
from netsim.runs.descriptions import descriptions

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
}  # hyperparameters that labels leave out
_BY_EXCHANGES = (
    "#b5123b",
    "#e4687f",
    "#7d0b27",
    "#f2919f",
    "#c2185b",
    "#4a0414",
)  # PowerGossip with 1, 2, 4, … of them


class Style(NamedTuple):
    """The style of one method in every figure.

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


class _Words(NamedTuple):
    """The parts of the label of a method of one of our families."""

    family: str  # a key of _FAMILIES
    bits: int | None
    words: tuple[str, ...]  # what follows the family's name in the label

    @property
    def variant(self) -> bool:
        """Whether there is more than the family and the compressor."""
        return len(self.words) > 1


def label(method: Any) -> str:
    """Return a method's label in legends: ``DCDPSGD(StochasticQuantizer(8))`` -> ``"DCD-PSGD, 8 bits"``.

    Parameters
    ----------
    method
        An algorithm, or its description (:func:`netsim.algorithms.describe`). The label of one outside this project is its
        ``repr``. A string is returned as it is.
    """
    if isinstance(method, str):
        return method
    said = _described(method)
    known = _words(said)
    if known is not None:
        return ", ".join((_FAMILIES[known.family][0], *known.words))
    if said["family"] == "PowerGossip" and set(said["stated"]) <= {"iterations", "gamma", "warm_start"}:
        count = said["iterations"]
        words = ["PowerGossip", f"{count} iteration{'s' * (count > 1)}"]
        words += [f"gamma {said['gamma']}"] if "gamma" in said["stated"] else []
        words += [] if said["warm_start"] else ["random projections"]
        return ", ".join([*words, *_run(said)])
    return f"{said['repr']} ({said['run']})" if "run" in said else str(said["repr"])


def labels(ds: xr.Dataset) -> dict[str, str]:
    """Return the label of every experiment of results, by its name."""
    return {name: label(said) for name, said in descriptions(ds).items()}


def legend_label(ds: xr.Dataset, name: str) -> str:
    """Return the label of an experiment, with overlap and divergence: ``"D-PSGD, 32 bits (overlaps)"``."""
    one = ds.sel(experiment=name)
    words = labels(ds)[name]
    if "overlap" in ds:
        words += " (overlaps)" if bool(one["overlap"]) else " (after the gradient)"
    at = int(one["diverged_at"]) if "diverged_at" in ds else -1
    return words if at < 0 else f"{words}, diverged @ {at}"


def style(method: Any) -> Style:
    """Return the style of a method.

    Parameters
    ----------
    method
        An algorithm, or its description.
    """
    said = _described(method)
    known = _words(said)
    if known is None:
        return _other_style(said)
    _, full, compressed, marker = _FAMILIES[known.family]
    shift = 2 * list(_FAMILIES).index(known.family)  # dashes of coinciding lines fill each other's gaps
    colour = full if known.bits == FULL_PRECISION else compressed
    few, fewest = (known.bits is not None and known.bits < limit for limit in (8, 4))
    if few:
        red, green, blue = to_rgb(colour)
        colour = to_hex((0.62 * red, 0.62 * green, 0.62 * blue))
    if known.variant:
        line: Any = (shift, (6, 1.5, 1, 1.5))
    elif known.bits == FULL_PRECISION:
        line = "-"
    else:
        line = (shift / 2, (1, 2.6 if fewest else 1.2)) if few else (shift, (4, 4))
    face = "#bbbbbb" if known.bits == 1 else "black" if fewest else "white" if few else colour
    return Style(colour, marker, line, face)


def styles(ds: xr.Dataset) -> dict[str, Style]:
    """Return the style of every experiment of results, by its name."""
    return {name: style(said) for name, said in descriptions(ds).items()}


def _other_style(said: Mapping[str, Any]) -> Style:
    """Return the style of a method without a family of ours: the colour is its class's; of a user's class the marker is the settings' own."""
    family, users = str(said["family"]), "class" in said
    colour, marker = _OTHERS[_hash(str(said.get("class", family))) % len(_OTHERS)]
    if users:
        marker = _OTHERS[_hash(str(said["repr"])) % len(_OTHERS)][1]
    else:
        colour, marker = _KNOWN.get(family, (colour, marker))
    count = said.get("iterations", 1)
    repeats = (
        count.bit_length() - 1 if isinstance(count, int) and count > 0 else 0
    )  # more exchanges, more dots between two dashes
    if family == "PowerGossip" and not users:
        colour = _BY_EXCHANGES[min(repeats, len(_BY_EXCHANGES) - 1)]
    face = "white" if said.get("warm_start") is False else colour
    return Style(colour, marker, (0, (6, 1) + (1, 1) * (1 + repeats)), face)


def _hash(text: str) -> int:
    return zlib.crc32(text.encode())  # Python's own differs from process to process


def _described(method: Any) -> Mapping[str, Any]:
    return method if isinstance(method, Mapping) else describe(method)


def _words(said: Mapping[str, Any]) -> _Words | None:
    """Return the label's parts of a method of ours; None for another family or a user's class."""
    kind = said["family"]
    if kind not in _FAMILIES or "class" in said or "repr" not in said:
        return None
    compress, reply = said.get("compress"), said.get("server_compress")
    how = (f"{FULL_PRECISION} bits",) if compress is None else _compression(compress)
    if kind == "DoubleSqueeze" and reply is not None and reply["repr"] == "Identity()":
        kind, reply = "EC-SGD", None
    if kind == "DPSGD" and said.get("overlap") is False:
        kind = "DPSGD, gradient first"
    words = list(how)
    if reply is not None:
        back = _compression(reply)
        words.append("both ways" if back == how else f"reply {' '.join(back)}")
    words += _settings(said, "compress", "server_compress")
    return _Words(kind, said["bits"], (*words, *_run(said)))


def _compression(said: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the label of a compressor's description."""
    match said["family"]:
        case _ if "class" in said:
            pass
        case "Identity":
            return (f"{FULL_PRECISION} bits", "identity", *_settings(said))
        case "StochasticQuantizer":
            return (_bits(said["bits"]), *_settings(said, "bits"))
        case "NearestQuantizer":
            return (_bits(said["bits"]), "to nearest", *_settings(said, "bits"))
        case "RandomSparsifier":
            return (f"{100 * said['probability']:g} % kept", *_settings(said, "probability"))
        case "TopK":
            return (f"top {100 * said['ratio']:g} %", *_settings(said, "ratio"))
        case "Sign":
            return ("sign", *_settings(said))
    return (str(said["repr"]),)


def _settings(said: Mapping[str, Any], *without: str) -> list[str]:
    """Return the label of the hyperparameters that a method states, except some."""
    return [_setting(name, said[name]) for name in said["stated"] if name not in without]


def _setting(name: str, value: Any) -> str:
    return "gradient first" if (name, value) == ("overlap", False) else f"{name} {_value(value)}"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(value.get("repr", dict(value)))
    return f"({', '.join(map(_value, value))})" if isinstance(value, list) else str(value)


def _bits(count: int) -> str:
    return "1 bit" if count == 1 else f"{count} bits"


def _run(said: Mapping[str, Any]) -> list[str]:
    return [f"run {said['run']}"] if "run" in said else []

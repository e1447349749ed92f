"""Colours, markers and line styles of methods, from their descriptions: the same in every figure of one file of results.

Colours differ in lightness before they differ in hue, so that they are told apart in grey and by the colour-blind; where two methods of a map are
still alike, the second is textured, and no two curves share marker, filling and dashes.
"""

import itertools
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from matplotlib.colors import to_hex, to_rgb

from netsim.algorithms.description import FULL_PRECISION
from netsim.plots.methods import described_as, words_of
from netsim.runs.descriptions import descriptions

# a colour in full precision and one compressed, then a marker
_FAMILIES = {
    "AllReduceSGD": ("#1a1a1a", "#653a94", "o"),
    "DPSGD": ("#2f80c0", "#2f80c0", "s"),
    "NaiveCompressedDPSGD": ("#e0695f", "#e0695f", "X"),
    "DCDPSGD": ("#f28e2b", "#f28e2b", "^"),
    "ECDPSGD": ("#98d98a", "#98d98a", "D"),
    "DPSGD, gradient first": ("#9dd0f5", "#9dd0f5", "s"),
    "ParameterServerSGD": ("#7f7f7f", "#8c564b", "v"),
    "EC-SGD": ("#d4a017", "#d4a017", "P"),
    "DoubleSqueeze": ("#d6409f", "#d6409f", "*"),
    "ChocoSGD": ("#17becf", "#17becf", "p"),
    "DeepSqueeze": ("#3f51b5", "#3f51b5", "h"),
}
_OTHERS = (("#8c564b", "v"), ("#17becf", "P"), ("#bcbd22", "<"), ("#e377c2", ">"), ("#7f7f7f", "h"), ("#4e5b9b", "p"))
_KNOWN = {"PowerGossip": ("#b5123b", "P"), "Moniqua": ("#e377c2", ">")}
_BY_EXCHANGES = (
    "#b5123b",
    "#e4687f",
    "#7d0b27",
    "#f2919f",
    "#c2185b",
    "#4a0414",
)  # PowerGossip with 1, 2, 4, … of them

_MARKERS = "os^DvP<>Xph*d8H"
DASHES: tuple[tuple[float, ...], ...] = (
    (),  # solid
    (4, 4),
    (1, 1.2),
    (6, 1.5, 1, 1.5),
    (8, 2),
    (6, 1.5, 1, 1.5, 1, 1.5),
    (1, 2.6),
)
_FACES = ("white", "black", "#bbbbbb")
_SHADES = (0.0, 0.42, -0.35, 0.65, -0.6)  # towards white, or black
_APART = 12.0  # CIE lightness, of 0 to 100: less is alike in grey
_UNLIKE = 0.10  # distance in RGB of two colours, each component of 0 to 1: less is one colour
TEXTURES = ("", "....", "||||", "----", "oo", "xxxx", "++", "\\\\\\\\", "**", "OO")


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
        Of the marker: white below 8 bits, black below 4, grey for 1; of variants any of them.
    """

    colour: str
    marker: str
    line: Any
    face: str


def style(method: Any) -> Style:
    """Return the style of a method by itself.

    Parameters
    ----------
    method
        An algorithm, or its description.
    """
    said = described_as(method)
    words = words_of(said)
    if words.family is None:
        return _other_style(said)
    full, compressed, marker = _FAMILIES[words.family]
    shift = 2 * list(_FAMILIES).index(words.family)  # dashes of curves that nearly coincide fill each other's gaps
    colour = full if words.bits == FULL_PRECISION else compressed
    few, fewest = (words.bits is not None and words.bits < limit for limit in (8, 4))
    if few:
        red, green, blue = to_rgb(colour)
        colour = to_hex((0.62 * red, 0.62 * green, 0.62 * blue))
    if words.variant:
        line: Any = (shift, (6, 1.5, 1, 1.5))
    elif words.bits == FULL_PRECISION:
        line = "-"
    else:
        line = (shift / 2, (1, 2.6 if fewest else 1.2)) if few else (shift, (4, 4))
    face = "#bbbbbb" if words.bits == 1 else "black" if fewest else "white" if few else colour
    return Style(colour, marker, line, face)


def styles(ds: xr.Dataset) -> dict[str, Style]:
    """Return the style of every experiment of results, by its name: no two have one colour, nor one marker, filling and dashes.

    Each is that of :func:`style`, but where an earlier experiment has it: then a shade of the family's colour, another filling, other dashes.
    """
    if "looks" in ds.attrs:
        return {name: ds.attrs["looks"][name] for name in map(str, np.atleast_1d(ds["experiment"].values))}
    found: dict[str, Style] = {}
    for name, said in descriptions(ds).items():
        own = style(said)
        colours = [one.colour for one in found.values()]
        marks = {_marks(one) for one in found.values()}
        colour = next((one for one in _shades(own.colour) if _unlike(one, colours)), own.colour)
        filled = own._replace(colour=colour, face=colour if own.face == own.colour else own.face)
        found[name] = next((one for one in _variants(filled) if _marks(one) not in marks), filled)
    return found


def dashes(line: Any) -> tuple[float, ...]:
    """Return the dashes of a line style, without their shift; none: solid."""
    return () if isinstance(line, str) else tuple(line[1])


def lightness(colour: str) -> float:
    """Return the CIE lightness of a colour: 0 (black) to 100 (white)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    luminance = float(np.dot(linear, (0.2126, 0.7152, 0.0722)))
    return 116 * luminance ** (1 / 3) - 16 if luminance > 0.008856 else 903.3 * luminance


def textures(colours: Mapping[int, str]) -> dict[int, str]:
    """Return a hatch for each colour of a map: none where its lightness tells it from those before it, else one that they do not have.

    Parameters
    ----------
    colours
        Of the areas, by any key.
    """
    found: dict[int, str] = {}
    for key, colour in colours.items():
        alike = [found[other] for other in found if abs(lightness(colours[other]) - lightness(colour)) < _APART]
        found[key] = next((one for one in TEXTURES if one not in alike), TEXTURES[len(alike) % len(TEXTURES)])
    return found


def _marks(one: Style) -> tuple[str, str, tuple[float, ...]]:
    """Return what tells a curve in grey: marker, filling (the colour itself is one), dashes."""
    return one.marker, "" if one.face == one.colour else one.face, dashes(one.line)


def _shades(colour: str) -> Iterator[str]:
    """Yield a colour, then its shades, then the other families' colours with theirs."""
    for base in (colour, *(own for own, _ in _OTHERS)):
        for share in _SHADES:
            towards = 1.0 if share > 0 else 0.0
            red, green, blue = (c + abs(share) * (towards - c) for c in to_rgb(base))
            yield to_hex((red, green, blue))


def _unlike(colour: str, others: list[str]) -> bool:
    return all(np.linalg.norm(np.subtract(to_rgb(colour), to_rgb(other))) >= _UNLIKE for other in others)


def _variants(own: Style) -> Iterator[Style]:
    """Yield a style, then others of its family: fillings first, then dashes, then markers."""
    shift = 0.0 if isinstance(own.line, str) else own.line[0]
    markers = [own.marker, *(one for one in _MARKERS if one != own.marker)]
    lines = [own.line, *((shift, one) if one else "-" for one in DASHES if one != dashes(own.line))]
    faces = [own.face, *(one for one in (own.colour, *_FACES) if one != own.face)]
    for marker, line, face in itertools.product(markers, lines, faces):
        yield own._replace(marker=marker, line=line, face=face)


def _other_style(said: Mapping[str, Any]) -> Style:
    """Return the style of a method without a family of ours: the colour is its class's; of a user's class the marker is the settings' own."""
    family, users = str(said["family"]), "class" in said
    colour, marker = _OTHERS[_hash(str(said.get("class", family))) % len(_OTHERS)]
    if users:
        marker = _OTHERS[_hash(str(said["repr"])) % len(_OTHERS)][1]
    else:
        colour, marker = _KNOWN.get(family, (colour, marker))
    count = said.get("iterations", 1)
    whole = isinstance(count, int) and count > 0
    repeats = min(count.bit_length() - 1, 8) if whole else 0  # more exchanges, more dots between two dashes
    if family == "PowerGossip" and not users:
        colour = _BY_EXCHANGES[min(repeats, len(_BY_EXCHANGES) - 1)]
    face = "white" if said.get("warm_start") is False else colour
    return Style(colour, marker, (0, (6, 1) + (1, 1) * (1 + repeats)), face)


def _hash(text: str) -> int:
    return zlib.crc32(text.encode(errors="replace"))  # Python's own differs from process to process

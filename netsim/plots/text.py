"""Text in figures: as it is written, no wider than its room, and in a font that has its characters."""

import re
import unicodedata
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import Tick
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.patheffects import Stroke
from matplotlib.text import Text
from matplotlib.textpath import text_to_path

NO_BREAK = "\u00a0"  # a space at which no line ends
_CAPITALS = "(?<=[a-z0-9])(?=[A-Z])"
LONGEST = 300  # characters of one name; what follows is cut
_MORE_FONTS = (
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "Source Han Sans",
    "WenQuanYi Zen Hei",
    "Droid Sans Fallback",
    "Arial Unicode MS",
    "PingFang SC",
    "Hiragino Sans",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "Noto Sans Arabic",
    "Noto Sans Devanagari",
    "Noto Emoji",
    "Unifont",
)  # tried in this order, where installed, for characters that the figures' own font lacks


def clean(text: str) -> str:
    """Return a name as one line that can be drawn: control characters are spaces, lone surrogates are marked, and its length is bounded."""
    kinds = ((character, unicodedata.category(character)) for character in text[: LONGEST + 1])
    line = "".join(" " if kind == "Cc" else "\ufffd" if kind == "Cs" else character for character, kind in kinds)
    line = " ".join(line.split())  # of no-break spaces too
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


@cache
def width_of(text: str, points: float, bold: bool = False) -> float:
    """Return the width in inches of one line of text."""
    known = "".join(character if _has(_own_font(), character) else "W" for character in text)
    properties = FontProperties(size=points, weight="bold" if bold else "normal")
    return text_to_path.get_text_width_height_descent(known, properties, False)[0] / 72


def fitted(text: str, inches: float, points: float, lines: int = 3, bold: bool = False) -> str:
    """Return text in lines that are no wider than their room; each of its own lines becomes at most so many.

    It is broken after commas; a part that is too wide, between words; a word that is too wide, before its capitals,
    or else anywhere. What is left over is "…".

    Parameters
    ----------
    text
        One or several lines.
    inches
        Width of the room.
    points
        Size of the type.
    lines
        The most lines for each line of the text.
    bold
        Whether the type is bold.
    """

    def fits(line: str) -> bool:
        return width_of(line, points, bold) <= inches

    out: list[str] = []
    for paragraph in text.split("\n"):
        broken = _broken(paragraph, [", ", " ", _CAPITALS, ""], fits)
        if len(broken) > lines:
            last = broken[lines - 1]
            while last and not fits(f"{last}…"):
                last = last[:-1]
            broken = [*broken[: lines - 1], f"{last.rstrip(' ,')}…"]
        out += broken
    return "\n".join(out)


def _broken(text: str, separators: list[str], fits: Any) -> list[str]:
    """Return lines of text that fit, broken at the first separator where that is enough, at the others where it is not."""
    if fits(text) or not separators or len(text) < 2:
        return [text]
    at, *finer = separators
    lines, parts = [""], list(text) if at == "" else re.split(at, text) if at == _CAPITALS else text.split(at)
    between = "" if at == _CAPITALS else at
    for part in parts:
        longer = f"{lines[-1]}{between}{part}" if lines[-1] else part
        if fits(longer):
            lines[-1] = longer
            continue
        if lines[-1]:
            lines[-1] += between.rstrip()
        first, *rest = _broken(part, finer, fits)
        lines = [*lines, first, *rest] if lines[-1] else [*lines[:-1], first, *rest]
    return lines


def as_written(artist: Artist) -> None:
    """Have an artist's texts drawn as they are written: no ``$`` starts mathematics, and further fonts serve characters that the own one lacks."""
    own = _own_font()
    for text in _texts(artist):
        text.set_parse_math(False)
        if any(not _has(own, character) for character in text.get_text()):
            text.set_fontfamily([*_own_families(), *_installed()])


def _texts(artist: Artist) -> list[Any]:
    """Return an artist's texts but the labels of ticks, which matplotlib may write as mathematics."""
    found: list[Any] = artist.findobj(lambda one: isinstance(one, Tick | Text))
    labels = {id(label) for tick in found if isinstance(tick, Tick) for label in (tick.label1, tick.label2)}
    return [text for text in found if isinstance(text, Text) and id(text) not in labels]


def not_shown(artist: Artist) -> str:
    """Return the characters of an artist's texts that no font at hand has, each once, in their order of code points."""
    fonts = (_own_font(), *(findfont(FontProperties(family=name)) for name in _installed()))
    held = {character for text in _texts(artist) for character in text.get_text()}
    return "".join(sorted(one for one in held if not any(_has(font, one) for font in fonts)))


class Outlined(Text):
    """Text with a white outline, which is a path; the text over it stays text in SVG and PDF.

    Attributes
    ----------
    outline
        Width of the outline in points.
    """

    outline = 2.0

    def draw(self, renderer: Any) -> None:
        """Draw the outline, then the text."""
        self.set_path_effects([Stroke(linewidth=self.outline, foreground="white")])
        super().draw(renderer)
        self.set_path_effects([])
        super().draw(renderer)


def write(ax: Axes, x: float, y: float, words: str, **options: Any) -> None:
    """Write outlined text in a panel, whose layout it does not change.

    Parameters
    ----------
    ax
        The panel.
    x, y
        In the coordinates of ``transform``; shares of the axes if it is not given.
    words
        The text.
    options
        Of matplotlib's Text.
    """
    text = Outlined(x, y, words, **{"transform": ax.transAxes, "clip_on": False, **options})
    text.set_in_layout(False)
    ax.add_artist(text)


@contextmanager
def any_glyph() -> Iterator[None]:
    """Have matplotlib not warn of characters that no font has: :func:`not_shown` names them."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from")
        yield


def _own_font() -> str:
    return findfont(FontProperties())


def _own_families() -> list[str]:
    return list(FontProperties().get_family())


def _has(font: str, character: str) -> bool:
    return character == "\n" or ord(character) in _characters(font)


@cache
def _characters(font: str) -> frozenset[int]:
    return frozenset(get_font(font).get_charmap())


@cache
def _installed() -> tuple[str, ...]:
    names = {font.name for font in fontManager.ttflist}
    return tuple(name for name in _MORE_FONTS if name in names)

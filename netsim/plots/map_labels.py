"""Names on a map: of its regions, each inside its own, and of its marked networks, beside their points or by numbers."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from netsim.plots.style import SMALL
from netsim.plots.text import fitted, width_of, write

_RASTER = 60  # points, each way, where a region's name can be
_LINE = 1.25 * SMALL / 72  # inches of a line of text
_GAP = 0.09  # inches between a point and its name
_LONGEST = 0.45  # of the map's width: a longer name is replaced by a number


class Box(NamedTuple):
    """A rectangle, in shares of the axes.

    Attributes
    ----------
    left, right
        Of the width.
    low, high
        Of the height.
    """

    left: float
    right: float
    low: float
    high: float

    def meets(self, other: "Box") -> bool:
        """Return whether two rectangles have points in common."""
        apart = self.left >= other.right or other.left >= self.right or self.low >= other.high or other.low >= self.high
        return not apart

    @property
    def inside(self) -> bool:
        """Whether it is within the axes."""
        return self.left >= 0 and self.right <= 1 and self.low >= 0 and self.high <= 1


class Mark(NamedTuple):
    """A point with a name.

    Attributes
    ----------
    u, v
        Shares of the width and of the height of the axes.
    name
        One line.
    """

    u: float
    v: float
    name: str


def mark(ax: Axes, marks: list[Mark], who: np.ndarray, size: tuple[float, float]) -> tuple[list[Box], list[Any]]:
    """Mark points, with their names beside them, or numbered where names are long or would meet.

    Parameters
    ----------
    ax
        Its limits are set.
    marks
        Points.
    who
        As for :func:`name_regions`: a name is within one region where it can be.
    size
        Inches of the axes, each way.

    Returns
    -------
    tuple
        The boxes that points and names cover; the legend's entries of numbered points.
    """
    points = [_around(one, size) for one in marks]
    boxes = (
        _placed(marks, points, who, size) if all(width_of(m.name, SMALL) <= _LONGEST * size[0] for m in marks) else None
    )
    numbered = boxes is None
    style: dict[str, Any] = {"marker": "o", "color": "white", "markeredgecolor": "black"}
    for number, one in enumerate(marks, 1):
        ax.plot(one.u, one.v, ms=8.5 if numbered else 4.5, transform=ax.transAxes, zorder=4, clip_on=False, **style)
        if numbered:
            text = ax.text(one.u, one.v, str(number), transform=ax.transAxes, ha="center", va="center_baseline")
            text.set(fontsize=SMALL, zorder=5, in_layout=False)
    if boxes is None:
        keys = [Line2D([], [], ls="", ms=6, label=f"{n}: {one.name}", **style) for n, one in enumerate(marks, 1)]
        return [_around(one, size, 0.1) for one in marks], keys
    for box, one in zip(boxes, marks, strict=True):
        _write(ax, (box.left + box.right) / 2, (box.low + box.high) / 2, one.name)
    return [*points, *boxes], []


def _placed(marks: list[Mark], points: list[Box], who: np.ndarray, size: tuple[float, float]) -> list[Box] | None:
    """Return a box for each name that meets neither another nor a point; None: there are none."""
    taken: list[Box] = []
    for number, one in enumerate(marks):
        others = [*taken, *points[:number], *points[number + 1 :]]
        free = [box for box in _beside(one, size) if box.inside and not any(box.meets(other) for other in others)]
        if not free:
            return None
        taken.append(min(free, key=lambda box: len(np.unique(who[_cells(box, who.shape)]))))  # the first of the least
    return taken


def _around(one: Mark, size: tuple[float, float], radius: float = 0.05) -> Box:
    wide, high = radius / size[0], radius / size[1]
    return Box(one.u - wide, one.u + wide, one.v - high, one.v + high)


def _beside(one: Mark, size: tuple[float, float]) -> Iterator[Box]:
    """Yield the boxes of a name to the side of its point that is nearer to the middle, then above and below it."""
    wide, high = width_of(one.name, SMALL) / size[0], _LINE / size[1]
    gap, lift = _GAP / size[0], _GAP / size[1]
    right = one.u + gap, one.u + gap + wide
    left = one.u - gap - wide, one.u - gap
    low = min(max(one.v - high / 2, 0.01), 0.99 - high)
    for start, end in (left, right) if one.u > 0.7 else (right, left):
        yield Box(start, end, low, low + high)
    start = min(max(one.u - wide / 2, 0.01), 0.99 - wide)
    for low in (one.v + lift, one.v - lift - high):
        yield Box(start, start + wide, low, low + high)


def name_regions(
    ax: Axes, who: np.ndarray, names: Mapping[int, list[str]], taken: list[Box], size: tuple[float, float]
) -> None:
    """Write the name of every region inside it, where it has the most room about it; not where it has none.

    Parameters
    ----------
    ax
        The map.
    who
        Over a raster of (height, width) points at equal distances: the number of the region that a point is in.
    names
        Lines of the name of every region; where all have no room, the first one alone may, unless another name begins with it.
    taken
        What else is on the map.
    size
        Inches of the axes, each way.
    """
    free = np.ones(who.shape, bool)
    for box in taken:
        free[_cells(box, who.shape)] = False
    for number, lines in names.items():
        alone = sum(other[:1] == lines[:1] for other in names.values()) == 1
        for some in (lines, lines[:1]) if alone else (lines,):
            wide = max(width_of(line, SMALL, bold=True) for line in some) + 0.06
            high = _LINE * len(some) + 0.04
            at = _roomiest((who == number) & free, wide / size[0], high / size[1])
            if at is not None:
                _write(ax, *at, "\n".join(some), weight="bold")
                break


def _cells(box: Box, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the part of a raster that a box covers."""
    rows, columns = shape
    low, left = int(max(box.low, 0) * rows), int(max(box.left, 0) * columns)
    return slice(low, int(box.high * rows) + 1), slice(left, int(box.right * columns) + 1)


def _roomiest(own: np.ndarray, wide: float, high: float) -> tuple[float, float] | None:
    """Return the middle of the box of this size, or a larger one of its form, that lies within a region."""
    rows, columns = own.shape
    total = np.pad(own.astype(int).cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    best = None
    for scale in np.geomspace(1.0, 6.0, 12):
        h, w = int(np.ceil(high * scale * rows)), int(np.ceil(wide * scale * columns))
        if h > rows or w > columns:
            break
        full = total[h:, w:] - total[:-h, w:] - total[h:, :-w] + total[:-h, :-w] == h * w
        found = np.argwhere(full)
        if not len(found):
            break
        low, left = found[np.abs(found - found.mean(axis=0)).sum(axis=1).argmin()]
        best = float((left + w / 2) / columns), float((low + h / 2) / rows)
    return best


def _write(ax: Axes, u: float, v: float, words: str, **more: Any) -> None:
    write(ax, u, v, words, ha="center", va="center", fontsize=SMALL, zorder=5, **more)


def raster(
    edges: tuple[np.ndarray, np.ndarray], first: np.ndarray, limits: tuple[tuple[float, float], tuple[float, float]]
) -> np.ndarray:
    """Return whose region every point of a raster is in, over (height, width) evenly on logarithmic axes.

    Parameters
    ----------
    edges
        Of the cells, along the width and the height.
    first
        (height, width) of cells: whose they are.
    limits
        First and last value of the axes, along the width and the height.
    """
    at = (np.arange(_RASTER) + 0.5) / _RASTER
    cells = []
    for edge, (low, high) in zip(edges, limits, strict=True):
        where = np.exp(np.log(low) + at * (np.log(high) - np.log(low)))
        cells.append(np.clip(np.searchsorted(edge, where) - 1, 0, len(edge) - 2))
    return first[np.ix_(cells[1], cells[0])]


def short_names(called: Mapping[int, str], size: tuple[float, float]) -> dict[int, list[str]]:
    """Return lines of names for regions: as many of a label's parts as tell it from the others', two at least.

    Parameters
    ----------
    called
        The labels of those that have a region.
    size
        Inches of the axes, each way.
    """
    parts = {number: label.split(", ") for number, label in called.items()}
    found = {}
    for number, own in parts.items():
        rest = [other for key, other in parts.items() if key != number]
        count = next((n for n in range(2, len(own)) if own[:n] not in [other[:n] for other in rest]), len(own))
        found[number] = fitted("\n".join(own[:count]), 0.6 * size[0], SMALL, lines=2, bold=True).split("\n")
    return found

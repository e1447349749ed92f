"""Matrices in configuration files: written out, or in a .csv or .npy file beside."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from netsim.algorithms.ranges import fits, fits_each, kinds
from netsim.algorithms.ranges import said as in_words
from netsim.errors import NetsimError, as_written
from netsim.errors import hint as suggestion

ENDINGS = (".csv", ".npy")
LARGEST = 256 * 2**20  # bytes of a file
MOST_FACTORS = 1000  # of a scale
_KEYS = ("file", "rows", "unit", "scale")


class PerLink(NamedTuple):
    """Per-link values of a file, before they are read.

    Attributes
    ----------
    given
        Rows, or the name of a file.
    unit
        Of plain numbers; "": seconds or bit/s.
    scale
        Factors; the whole matrix times each of them is a point.
    """

    given: Any
    unit: str = ""
    scale: tuple[float, ...] = (1.0,)


def per_link(value: Any) -> PerLink | None:
    """Return per-link values if that is what a key says: rows, the name of a file, or a table with ``rows`` or ``file``; else None.

    Raises
    ------
    NetsimError
        A table with unknown keys or a wrong scale.
    """
    if _is_rows(value):
        return PerLink(value)
    if isinstance(value, str) and value.lower().endswith(ENDINGS):
        return PerLink(value)
    if not isinstance(value, Mapping) or not {"file", "rows"} & value.keys():
        return None
    for unknown in [key for key in value if key not in _KEYS]:
        raise NetsimError(f".{unknown}: unknown key; {suggestion(unknown, _KEYS)}")
    if {"file", "rows"} <= value.keys():
        raise NetsimError(".rows: beside a file; leave one of them out")
    if "rows" in value and not _is_rows(value["rows"]):
        raise NetsimError(f".rows = {as_written(value['rows'])}: write a list of rows, each a list of numbers")
    if "file" in value and not isinstance(value["file"], str):
        raise NetsimError(f'.file = {as_written(value["file"])}: write a path in quotes, such as "ping.csv"')
    unit, scale = value.get("unit", ""), value.get("scale", 1.0)
    factors = scale if isinstance(scale, list) else [scale]
    if not isinstance(unit, str):
        raise NetsimError(f'.unit = {as_written(unit)}: write a unit in quotes, such as "ms"')
    right = all(isinstance(one, int | float) and not isinstance(one, bool) and 0 < one <= 1e9 for one in factors)
    if not right or not 0 < len(factors) == len(set(factors)) <= MOST_FACTORS:
        raise NetsimError(
            f".scale = {as_written(scale)}: write a number above 0, or a list of different ones, at most {MOST_FACTORS:,}"
        )
    return PerLink(value.get("file", value.get("rows")), unit, tuple(map(float, factors)))


def _is_rows(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, list) for row in value)


def read_links(
    said: PerLink, hint: Any, same: float, folder: Path, field: str, check_rows: Callable[[int], None]
) -> list[np.ndarray]:
    """Return the matrices, one for each factor of the scale.

    Parameters
    ----------
    said
        What the file says.
    hint
        Of a number: :data:`netsim.fields.Seconds` or :data:`netsim.fields.BitsPerSecond`.
    same
        What stands on the diagonal, which means nothing.
    folder
        Of the configuration file.
    field
        Name of the key, for errors.
    check_rows
        Called with the number of rows before they are read: raises where it does not fit the workers.

    Raises
    ------
    NetsimError
        There is no such file, it holds no square matrix, or a cell is out of range.
    """
    cells = said.given if isinstance(said.given, list) else read_matrix(folder / said.given, field).tolist()
    check_rows(len(cells))
    for at, row in enumerate(cells, 1):
        if len(row) != len(cells):
            raise NetsimError(
                f"{field}: row {at} of {len(cells)} has {len(row)} numbers; write a row and a column for every worker"
            )
    read = kinds(hint)[0].mark("read")
    matrix = np.full((len(cells), len(cells)), same)
    for i, row in enumerate(cells):
        for j, cell in enumerate(row):
            if i != j:
                plain = isinstance(cell, int | float) and not isinstance(cell, bool)
                if plain and not said.unit:
                    matrix[i, j] = cell
                else:
                    written = f"{cell!r} {said.unit}" if plain and np.isfinite(cell) else cell
                    matrix[i, j] = read(written, f"{field}: row {i + 1}, column {j + 1}")
    points = [factor * matrix if factor != 1 else matrix for factor in said.scale]
    for factor, point in zip(said.scale, points, strict=True):
        _check_range(point, hint, field, cells, factor)
    return points


def _check_range(point: np.ndarray, hint: Any, field: str, cells: list[list[Any]], factor: float) -> None:
    between = ~np.eye(len(point), dtype=bool)
    if fits_each(point[between], hint):
        return
    i, j = next((i, j) for i, j in np.argwhere(between).tolist() if not fits(float(point[i, j]), hint))
    times = f" times {factor:g}" if factor != 1 else ""
    raise NetsimError(
        f"{field}: row {i + 1}, column {j + 1} = {as_written(cells[i][j])}{times}: must be {in_words(hint, file=True)}"
    )


def read_matrix(path: Path, field: str) -> np.ndarray:
    """Return the numbers of a .csv file (separated by commas, no heading) or of a .npy file, (rows, columns).

    Parameters
    ----------
    path
        Of the file.
    field
        Name of the key, for errors.

    Raises
    ------
    NetsimError
        There is no such file, it is too large, or no matrix of numbers.
    """
    right = "expected n rows of n numbers, separated by commas, or a .npy file"
    try:
        if not path.is_file():
            what = "is no regular file" if path.exists() else "no such file"
            raise NetsimError(f"{field}: {path}: not a matrix ({what}); {right}")
        if path.stat().st_size > LARGEST:
            raise NetsimError(f"{field}: {path}: larger than {LARGEST // 2**20} MiB; {right}")
        if path.suffix.lower() == ".npy":
            with path.open("rb") as file:
                if file.read(6) != b"\x93NUMPY":
                    raise ValueError("not in NumPy's format")
            matrix = np.array(np.load(path, mmap_mode="r", allow_pickle=False))
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # an empty file, which is refused below
                matrix = np.loadtxt(path, delimiter=",", ndmin=2)
    except NetsimError:
        raise
    except (OSError, ValueError, EOFError, MemoryError, OverflowError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise NetsimError(f"{field}: {path}: not a matrix ({said}); {right}") from None
    if matrix.ndim != 2 or matrix.dtype.kind not in "iuf" or not matrix.size:
        raise NetsimError(f"{field}: {path}: not a matrix (shape {matrix.shape} of {matrix.dtype}); {right}")
    return matrix.astype(float)

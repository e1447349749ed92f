"""Matrices in configuration files: written out, or in a .csv or .npy file beside."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from netsim.errors import NetsimError, hint

ENDINGS = (".csv", ".npy")
LARGEST = 256 * 2**20  # bytes of a file
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
    if isinstance(value, list) and value and all(isinstance(row, list) for row in value):
        return PerLink(value)
    if isinstance(value, str) and value.lower().endswith(ENDINGS):
        return PerLink(value)
    if not isinstance(value, Mapping) or not {"file", "rows"} & value.keys():
        return None
    for unknown in [key for key in value if key not in _KEYS]:
        raise NetsimError(f".{unknown}: unknown key; {hint(unknown, _KEYS)}")
    if {"file", "rows"} <= value.keys():
        raise NetsimError(".rows: beside a file; leave one of them out")
    unit, scale = value.get("unit", ""), value.get("scale", 1.0)
    factors = scale if isinstance(scale, list) else [scale]
    numbers = [
        one for one in factors if isinstance(one, int | float) and not isinstance(one, bool) and 0 < one < np.inf
    ]
    if not isinstance(unit, str):
        raise NetsimError(f'.unit = {json.dumps(unit, default=str)}: write a unit in quotes, such as "ms"')
    if not factors or len(numbers) < len(factors) or len(set(numbers)) < len(factors):
        raise NetsimError(
            f".scale = {json.dumps(scale, default=str)}: write a number above 0, or a list of different ones"
        )
    return PerLink(value.get("file", value.get("rows")), unit, tuple(map(float, numbers)))


def read_links(
    said: PerLink, parse: Callable[[Any, str], float], same: float, folder: Path, field: str
) -> list[np.ndarray]:
    """Return the matrices, one for each factor of the scale.

    Parameters
    ----------
    said
        What the file says.
    parse
        Reads a cell, and is given the name of it for errors: of :mod:`netsim.files.units`.
    same
        What stands on the diagonal, which means nothing.
    folder
        Of the configuration file.
    field
        Name of the key, for errors.

    Raises
    ------
    NetsimError
        There is no such file, it holds no square matrix, or a cell is out of range.
    """
    cells = said.given if isinstance(said.given, list) else read_matrix(folder / str(said.given), field).tolist()
    if any(len(row) != len(cells) for row in cells):
        wrong = next(i for i, row in enumerate(cells) if len(row) != len(cells))
        raise NetsimError(
            f"{field}: row {wrong + 1} of {len(cells)} has {len(cells[wrong])} numbers; write a row and a column for every worker"
        )
    matrix = np.full((len(cells), len(cells)), same)
    for i, row in enumerate(cells):
        for j, cell in enumerate(row):
            if i != j:
                plain = said.unit and not isinstance(cell, str)
                matrix[i, j] = parse(
                    f"{cell!r} {said.unit}" if plain else cell, f"{field}: row {i + 1}, column {j + 1}"
                )
    return [factor * matrix if factor != 1 else matrix for factor in said.scale]


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
            matrix = np.loadtxt(path, delimiter=",", ndmin=2)
    except NetsimError:
        raise
    except (OSError, ValueError, EOFError, MemoryError, OverflowError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise NetsimError(f"{field}: {path}: not a matrix ({said}); {right}") from None
    if matrix.ndim != 2 or matrix.dtype.kind not in "iuf" or not matrix.size:
        raise NetsimError(f"{field}: {path}: not a matrix (shape {matrix.shape} of {matrix.dtype}); {right}")
    return matrix.astype(float)

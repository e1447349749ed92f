"""Reading a TOML file, and what no field of one may hold: texts that cannot be printed, numbers that no machine has, nests without end."""

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from netsim.errors import NetsimError, as_written

LARGEST = 4 * 2**20  # bytes of a file
DEEPEST = 20  # tables and lists in one another
_DEEP = r"([\[{][^\[{]*){50}"  # on one line, where Python's parser gives up
_NESTED = f"nested too deep; write at most {DEEPEST} tables and lists within one another"
_WHOLE = 10**30  # TOML has none beyond 2^63, which most fields say by themselves


def read_toml(path: Path) -> tuple[str, dict[str, Any]]:
    """Return a file's text and its fields.

    Parameters
    ----------
    path
        Of the file. A byte-order mark, which some editors write, is passed over.

    Raises
    ------
    OSError
        It cannot be opened.
    NetsimError
        It is no regular file, larger than 4 MiB, no text in UTF-8 or not valid TOML, or holds what no field may hold; the line says what and where.
    """
    try:
        if not path.is_file() and path.exists():
            raise NetsimError("cannot be read (no regular file); write a TOML file")
        if path.is_file() and path.stat().st_size > LARGEST:
            raise NetsimError(
                f"larger than {LARGEST // 2**20} MiB; write a TOML file, and matrices to files of their own"
            )
        text = path.read_text("utf-8-sig")
        table = tomllib.loads(text)
    except UnicodeDecodeError:
        raise NetsimError("not a text file in UTF-8; write a TOML file") from None
    except tomllib.TOMLDecodeError as error:
        raise NetsimError(f"not valid TOML: {error}") from None
    except RecursionError:
        raise NetsimError(f"{_line(text, _DEEP)}: {_NESTED}") from None
    except NetsimError:
        raise
    except ValueError as error:  # a whole number of too many digits; a NUL in the path
        if "digits" not in str(error):
            raise NetsimError(f"cannot be read ({error}); write a TOML file") from None
        raise NetsimError(f"{_line(text, r'[0-9_]{4000}')}: a number of thousands of digits; write fewer") from None
    _check(table, ())
    return text, table


def _check(value: Any, path: tuple[str, ...]) -> None:
    """Raise for what no field may hold."""
    key = ".".join(path).replace(".[", "[")
    if isinstance(value, dict | list) and len(path) >= DEEPEST:
        raise NetsimError(f"{'.'.join(part for part in path if part[0] != '[')}: {_NESTED}")
    if isinstance(value, str):
        _check_text(value, key)
    elif isinstance(value, int) and abs(value) > _WHOLE:
        raise NetsimError(f"{key} = {as_written(value)}: no field takes whole numbers beyond 1e30; write a smaller one")
    for part, one in _inside(value):
        _check_text(part, f"{key}.{as_written(part)}" if key else as_written(part))
        _check(one, (*path, part))


def _inside(value: Any) -> Iterable[tuple[str, Any]]:
    if isinstance(value, dict):
        return value.items()
    return ((f"[{at}]", one) for at, one in enumerate(value, 1)) if isinstance(value, list) else ()


def _check_text(text: str, key: str) -> None:
    wrong = next((one for one in text if (ord(one) < 32 and one not in "\t\n\r") or ord(one) == 127), None)
    if wrong is not None:
        raise NetsimError(f"{key}: a text with the control character {as_written(wrong)}; leave it out")


def _line(text: str, pattern: str) -> str:
    """Return the number of the first line in which a pattern is found, in words."""
    found = (number for number, line in enumerate(text.splitlines(), 1) if re.search(pattern, line))
    return f"line {next(found, 1)}"

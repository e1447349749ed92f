"""What reaches the terminal: every character goes through :func:`put` (stdout, results) or :func:`say` (stderr, remarks).

Titles, names and error texts are anybody's: they are printed as they stand, never read as markup, and what would steer a terminal is shown, not sent.
"""

import os
import sys
import threading
import unicodedata
from contextlib import suppress
from typing import TextIO

_LOCK = threading.Lock()


def printable(text: str) -> str:
    r"""Return a text with its control characters, a new line included, and lone surrogates written out, such as ``\x1b``."""
    return "".join(c if unicodedata.category(c) not in ("Cc", "Cs") else repr(c)[1:-1] for c in str(text))


def put(text: str) -> None:
    """Print lines, which are printable already, on stdout in one write."""
    _write(sys.stdout, text)


def say(line: str) -> None:
    """Print a line on stderr, whole: lines of threads do not run into each other."""
    _write(sys.stderr, printable(line))


def say_lines(text: str) -> None:
    """Print a text of several lines, a table between them, on stderr."""
    _write(sys.stderr, "\n".join(map(printable, text.split("\n"))))


def _write(stream: TextIO, text: str) -> None:
    with _LOCK:
        stream.write(f"{text}\n")
        stream.flush()


def take_any_character() -> None:
    """Let stdout write what its encoding lacks as an escape, as stderr does."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")


def close_quietly() -> None:
    """Send what is still to be written to nowhere: the reader of stdout, such as ``head``, has gone."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

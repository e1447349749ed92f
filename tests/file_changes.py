"""Ends a process where it changes files, or soon after: what a kill leaves behind depends on nothing else."""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

SOON = 0.01  # seconds
_EVENTS = ("os.rename", "os.remove", "os.mkdir", "os.rmdir")  # what Python tells an audit hook, before it is done

seen: list[str] = []
"""The changes of this process since it was cleared."""
_fates: dict[int, Callable[[], object]] = {}  # what is done before so many changes


def count() -> None:
    """Count from now on what opens a file to write, renames or removes one, and what makes or removes a folder."""
    sys.addaudithook(_heed)


def die_after(number: int, seconds: float) -> None:
    """Let this process, which counts, end before a change, the number-th from now on, or so many seconds later."""
    seen.clear()
    _fates[number] = (lambda: signal.setitimer(signal.ITIMER_REAL, seconds)) if seconds else _die


def _heed(event: str, words: tuple[Any, ...]) -> None:
    if event in _EVENTS or (event == "open" and words[2] & os.O_CREAT):
        seen.append(event)
        if (act := _fates.get(len(seen))) is not None:
            act()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)  # SIGALRM of the timer, which nobody handles, ends a process in the same way

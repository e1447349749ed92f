"""Work in children that are forked, as they have imported everything: a fresh interpreter takes seconds for that."""

import os
import runpy
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, NoReturn, TextIO

HANGS = 300  # seconds, after which a child is ended by SIGALRM


class Child(NamedTuple):
    """A forked process, and the pipes of what it prints."""

    pid: int
    stdout: TextIO
    stderr: TextIO


def fork(work: Callable[[], object]) -> Child:
    """Do some work in a child, whose exit code is that of SystemExit, 1 after any other error, else 0."""
    (stdout, out), (stderr, err) = os.pipe(), os.pipe()
    pid = os.fork()
    if pid == 0:
        _work(work, out, err)
    os.close(out)
    os.close(err)
    return Child(pid, open(stdout, errors="replace"), open(stderr, errors="replace"))


def ended(child: Child) -> tuple[int, str, str]:
    """Wait for a child; return its exit code, or minus the signal that ended it, and what it printed and had not been read."""
    with child.stdout, child.stderr:
        out, err = child.stdout.read(), child.stderr.read()
    return os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1]), out, err


def done(work: Callable[[], object]) -> tuple[int, str, str]:
    """Do some work in a child to its end; return as :func:`ended`."""
    return ended(fork(work))


def read_until(said: TextIO, words: str) -> None:
    """Read what a child says up to a line that has these words."""
    for line in iter(said.readline, ""):
        if words in line:
            return
    raise AssertionError(f"ended without {words!r}")


def script(path: Path, *words: object) -> tuple[int, str, str]:
    """Run a script in a child, with its arguments; return as :func:`ended`."""

    def run() -> None:
        sys.argv = [str(path), *map(str, words)]
        runpy.run_path(str(path), run_name="__main__")

    return done(run)


def _work(work: Callable[[], object], out: int, err: int) -> NoReturn:
    code = 1
    try:
        os.dup2(out, 1)
        os.dup2(err, 2)
        sys.stdout, sys.stderr = os.fdopen(1, "w", closefd=False), os.fdopen(2, "w", buffering=1, closefd=False)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background is deaf to it
        signal.alarm(HANGS)
        work()
        code = 0
    except SystemExit as ended:
        code = int(ended.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)

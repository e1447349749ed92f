"""Stopping a command by a signal: in order at the first one, with a word at the second, at once at the third."""

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from types import FrameType
from typing import Any

STOPPED = 130  # exit code of a command that was stopped
HEEDED = 0.5  # seconds, at the latest, after which a signal is heeded while threads work
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # Ctrl-C, what a scheduler sends, and a terminal that was closed


def heed_signals() -> None:
    """Let the first signal to stop raise KeyboardInterrupt, so that steps end, checkpoints are written and nothing lies about.

    A second one would otherwise be raised wherever that has got to, and leave it half done: it is answered by a line. The third ends the process as
    ``kill -9`` does; results are whole then, too, and the next command removes what was being written. Signals that the caller ignores stay ignored.
    """
    seen = 0

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal seen
        seen += 1
        if seen == 1:
            raise KeyboardInterrupt
        if seen > 2:
            os._exit(STOPPED)
        line = (
            "stopping after the steps that are being done, which are kept; a third signal stops at once, without them\n"
        )
        os.write(2, line.encode())  # what a thread is printing may hold the lock of print

    for name in _SIGNALS:
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)


class Threads(ThreadPoolExecutor):
    """Threads whose results are waited for a little at a time.

    Of two signals at once the system may give both to a thread that works; the main thread, which alone can heed them, is then not woken.
    """

    def map(
        self, fn: Callable[..., Any], *iterables: Iterable[Any], timeout: Any = None, chunksize: int = 1
    ) -> Iterator[Any]:
        """Return the results of calls in threads, in order; the calls begin at once, and without a limit of time."""
        futures = [self.submit(fn, *each) for each in zip(*iterables, strict=False)]

        def results() -> Iterator[Any]:
            try:
                for one in futures:
                    while not one.done():
                        wait([one], HEEDED)
                    yield one.result()
            finally:
                for one in futures:
                    one.cancel()

        return results()

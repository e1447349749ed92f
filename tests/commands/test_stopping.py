"""Signals that stop a command: in order at the first one, however many follow; at once at the third."""

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from interrupts import heed_interrupts
from small_file import write

from netsim.commands import stopping
from netsim.commands.stopping import Threads, heed_signals


@pytest.fixture
def handlers():
    """The handlers of before come back."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def test_two_signals_at_once_stop_a_sweep_in_order(tmp_path: Path) -> None:
    """As from a scheduler that sends several; which thread gets which is the system's choice."""
    out = tmp_path / "out"
    words = [sys.executable, "-m", "netsim", "sweep", str(write(tmp_path)), "--out", str(out), "--steps", "1000000"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, preexec_fn=heed_interrupts) as child:
        assert child.stderr is not None
        while " 1/1000000" not in child.stderr.readline():
            assert child.poll() is None
        child.send_signal(signal.SIGTERM)
        child.send_signal(signal.SIGINT)
        _, err = child.communicate(timeout=60)
    assert child.returncode == 130 and "Traceback" not in err and "--resume" in err.splitlines()[-1]
    files = [path for path in out.rglob("*") if path.is_file()]
    assert files and all(path.name.startswith("step-") for path in files)


def test_the_second_signal_is_answered_and_the_third_ends_at_once(handlers, monkeypatch, capfd) -> None:
    heed_signals()
    ended: list[int] = []
    monkeypatch.setattr(os, "_exit", ended.append)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    signal.raise_signal(signal.SIGINT)
    assert capfd.readouterr().err.startswith("stopping after the steps that are being done") and not ended
    signal.raise_signal(signal.SIGTERM)
    assert ended == [130]


def test_what_the_caller_ignores_stays_ignored(handlers) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    heed_signals()
    signal.raise_signal(signal.SIGHUP)


def test_threads_are_waited_for_a_little_at_a_time(monkeypatch) -> None:
    monkeypatch.setattr(stopping, "HEEDED", 0.001)
    go, began = threading.Event(), threading.Event()

    def slow(value: int, more: int) -> int:
        began.set()
        assert value == 0 or go.wait(60)
        return value + more

    with Threads(1) as pool:
        found = pool.map(slow, [0, 1, 2], [10, 20, 30])
        assert next(found) == 10 and began.is_set()
        go.set()
        assert list(found) == [21, 32]
        failing = pool.map(lambda value: 1 // value, [1, 0, 1])
        assert next(failing) == 1
        with pytest.raises(ZeroDivisionError):
            next(failing)

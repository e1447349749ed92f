"""From a trace to times: which engine, on how many networks at once, and the check of one engine against the other."""

import os
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np

from netsim.clock import compiled_engine, simpy_engine
from netsim.clock.compute import compute_seconds
from netsim.clock.lowering import Lowered, lower
from netsim.clock.network import Network
from netsim.clock.timeline import FLUSHING, NOBODY, Ticks, Timeline, Timelines
from netsim.comm.trace import Trace
from netsim.errors import NetsimError

_TURN = 2e-4  # seconds: who comes back from compiled code waits no longer for Python's lock, which SimPy's engine holds meanwhile
ENGINES = ("auto", "compiled", "simpy")
BY_DEFAULT = "compiled"  # what "auto" is: the compiled engine takes every trace and network


def replay(trace: Trace, network: Network, engine: str = "auto") -> Timeline:
    """Time a trace on one network.

    Parameters
    ----------
    trace
        From ``train`` or ``Trace.from_programs``.
    network
        One network.
    engine
        "simpy": the event engine, which defines what a second is. "compiled": the same in machine code, to the same bits; compiled once, in some
        seconds. "auto": the compiled one.

    Raises
    ------
    NetsimError
        An unknown engine, or workers that wait for one another in a circle; the line names a worker and its tag.
    """
    chosen = _chosen(engine)
    if not (isinstance(trace, Trace) and isinstance(network, Network)):
        given = f"{type(trace).__name__} and {type(network).__name__}"
        raise NetsimError(f"replay: takes a trace, such as run.trace, and one network, in this order; got {given}")
    ticks = _ticks(chosen, trace, lower(trace, network.collective), network)
    return Timeline(ticks.finish, ticks.messages, chosen)


def replay_all(
    trace: Trace,
    networks: Sequence[Network],
    engine: str = "auto",
    check: Sequence[int] = (),
    progress: Callable[[int], None] = lambda done: None,
    rounds: Sequence[int] | None = None,
) -> Timelines:
    """Time a trace on many networks: on all cores, where the compiled engine does it.

    Parameters
    ----------
    trace
        From ``train``.
    networks
        C networks, of any kind.
    engine
        As for :func:`replay`.
    check
        Indices of networks that the event engine shall time too, where it does not time all.
    progress
        Called with the number of networks done since the last call.
    rounds
        Numbers of the rounds, from 0, whose ends are kept; None: all. The engines are compared on all of them.

    Raises
    ------
    NetsimError
        As for :func:`replay`, or the engines disagree on a network that was checked.
    """
    chosen = _chosen(engine)
    lowered = {one: lower(trace, one) for one in {network.collective for network in networks}}
    models = {id(network.compute): network for network in networks}  # of a grid one, which draws once
    drawn = {model: _seconds(trace, network) for model, network in models.items()}
    wanted = np.arange(trace.rounds) if rounds is None else np.asarray(rounds, dtype=int)
    checked = set(check) if chosen != "simpy" else set()
    whole: dict[int, np.ndarray] = {}  # all rounds, of the networks that are checked

    def times(engine: str, c: int) -> np.ndarray:
        seconds = drawn[id(networks[c].compute)]
        return _ticks(engine, trace, lowered[networks[c].collective], networks[c], seconds, together=True).finish[:, 0]

    def kept(c: int) -> np.ndarray:
        ends = times(chosen, c)
        if c in checked:
            whole[c] = ends
        return ends[wanted]

    round_end = np.zeros((len(networks), len(wanted)))
    with _workers(chosen, len(networks)) as each:
        answers = each(kept, range(len(networks)))
        by_simpy = {c: times("simpy", c) for c in check if c in checked}  # meanwhile
        for c, ends in enumerate(answers):
            round_end[c] = ends
            progress(1)
    for c, ends in by_simpy.items():
        _compare(networks[c], ends, whole[c])
    return Timelines(round_end, (chosen,) * len(networks), len(checked), 0.0)


def _compare(network: Network, by_simpy: np.ndarray, compiled: np.ndarray) -> None:
    """Raise where the engines do not agree to the last bit."""
    if not np.array_equal(by_simpy, compiled):
        raise NetsimError(
            f"the compiled engine and SimPy disagree by {np.abs(by_simpy - compiled).max()} s on network {network.name!r}: "
            'a fault of netsim; engine = "simpy" is right'
        )


@contextmanager
def _workers(engine: str, count: int) -> Iterator[Callable[..., Iterable[np.ndarray]]]:
    """Offer a ``map``: on all cores for the compiled engine, which lets other threads run meanwhile."""
    if engine == "simpy" or count == 1:
        yield map
        return
    with ThreadPoolExecutor(os.cpu_count()) as pool, _QUICK_TURNS:
        try:
            yield pool.map
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


class _QuickTurns:
    """Shortens Python's switch interval, in the whole process, until the last of those who are inside at the same time is out."""

    def __init__(self) -> None:
        self._lock, self._inside, self._before = threading.Lock(), 0, 0.0

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before = sys.getswitchinterval()
                sys.setswitchinterval(_TURN)
            self._inside += 1

    def __exit__(self, *error: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                sys.setswitchinterval(self._before)


_QUICK_TURNS = _QuickTurns()


def _ticks(
    engine: str,
    trace: Trace,
    lowered: Lowered,
    network: Network,
    seconds: np.ndarray | None = None,
    together: bool = False,
) -> Ticks:
    """Return what an engine says; raise where workers wait for one another."""
    run: Callable[..., Ticks] = {"simpy": simpy_engine.run, "compiled": compiled_engine.run}[engine]
    seconds = _seconds(trace, network) if seconds is None else seconds
    ticks = run(lowered, network, seconds, together)
    for i, tag in enumerate(ticks.stuck.tolist()):
        if tag == FLUSHING:
            raise NetsimError(f"worker {i} flushes for ever: what it posted never leaves its port")
        if tag != NOBODY:
            raise NetsimError(
                f"worker {i} waits for ever for {_letter(trace, i, tag % lowered.slots)}: the workers wait for one another in a circle"
            )
    return ticks


def _seconds(trace: Trace, network: Network) -> np.ndarray:
    return compute_seconds(network.compute, trace.rounds, trace.n)


def _letter(trace: Trace, worker: int, slot: int) -> str:
    """Return what a worker waits for, in words: in a trace by hand its slot is the number of the recv among all."""
    if trace.by_hand is None:
        return f"message {slot}"
    received = [(i, one) for i, program in enumerate(trace.by_hand) for one in program if one[0] == "recv"]
    _, (_, sender, tag) = received[slot]
    return f"tag {tag!r} from worker {sender}"


def check_engine(engine: str) -> None:
    """Raise if there is no such engine.

    Raises
    ------
    NetsimError
        There is none.
    """
    if engine not in ENGINES:
        raise NetsimError(f"engine = {engine!r}: write one of {', '.join(map(repr, ENGINES))}")


def _chosen(engine: str) -> str:
    check_engine(engine)
    return BY_DEFAULT if engine == "auto" else engine

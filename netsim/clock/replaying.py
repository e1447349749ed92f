"""From a trace to times: which engine takes which network, and the check of one against the other."""

from collections.abc import Callable, Sequence

import numpy as np

from netsim.clock import simpy_engine
from netsim.clock.compute import compute_seconds
from netsim.clock.network import Network
from netsim.clock.recurrence import Recurrence
from netsim.clock.timeline import Timeline, Timelines
from netsim.comm.trace import Trace
from netsim.errors import NetsimError

ENGINES = ("auto", "simpy", "recurrence")


def replay(trace: Trace, network: Network, engine: str = "auto") -> Timeline:
    """Time a trace on one network.

    Parameters
    ----------
    trace
        From ``train`` or ``Trace.from_programs``.
    network
        One network.
    engine
        "simpy": the event engine. "recurrence": the fast path, an error where its certificate refuses. "auto": the fast path where it is certified,
        else the event engine.

    Raises
    ------
    NetsimError
        An unknown engine, a refused certificate, or workers that wait for one another in a circle.
    """
    _check_engine(engine)
    if engine != "simpy" and trace.by_hand is None:
        finish = np.zeros((trace.rounds, trace.n))

        def keep(r: int, ready: np.ndarray) -> None:
            finish[r] = ready[:, 0]

        if Recurrence(trace, [network]).run(keep)[0]:
            return Timeline(finish, trace.messages, "recurrence")
    if engine == "recurrence" and trace.by_hand is not None:
        raise NetsimError(
            'engine = "recurrence": a trace written by hand has no rounds; use engine = "simpy" (or "auto")'
        )
    if engine == "recurrence":
        raise NetsimError(
            'engine = "recurrence": messages of this trace interleave on this network, so only engine = "simpy" (or "auto") can time it'
        )
    return simpy_timeline(trace, network)


def simpy_timeline(trace: Trace, network: Network) -> Timeline:
    """Time a trace on one network with the event engine."""
    ticks = simpy_engine.run(trace, network, compute_seconds(network.compute, trace.rounds, trace.n))
    return Timeline(ticks.finish, ticks.messages, "simpy")


def replay_all(
    trace: Trace,
    networks: Sequence[Network],
    engine: str = "auto",
    check: Sequence[int] = (),
    at_most: int | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> Timelines:
    """Time a trace on many networks at once.

    Parameters
    ----------
    trace
        From ``train``.
    networks
        C networks, of any kind.
    engine
        As for :func:`replay`.
    check
        Indices of networks that the event engine shall time too where the recurrence timed them,
    at_most
        and how many of them: the first so many; None: all.
    progress
        Called with the number of networks done since the last call.

    Raises
    ------
    NetsimError
        As for :func:`replay`, or the engines disagree on a network that was checked.
    """
    _check_engine(engine)
    round_end = np.zeros((len(networks), trace.rounds))
    certified = np.zeros(len(networks), dtype=bool)
    if engine != "simpy" and trace.by_hand is None:
        alike: dict[tuple[str, str], list[int]] = {}
        for c, network in enumerate(networks):
            alike.setdefault((network.sharing, network.duplex), []).append(c)
        for group in alike.values():
            certified[group] = _recur(trace, [networks[c] for c in group], round_end, np.array(group))
            progress(int(certified[group].sum()))
    refused = np.flatnonzero(~certified).tolist()
    if engine == "recurrence" and refused:
        raise NetsimError(
            f'engine = "recurrence": refused for {len(refused)} of {len(networks)} networks; use engine = "auto"'
        )
    for c in refused:
        round_end[c] = simpy_timeline(trace, networks[c]).round_end
        progress(1)
    checked = [c for c in check if certified[c]][:at_most]
    for c in checked:
        times = simpy_timeline(trace, networks[c]).round_end
        if not np.array_equal(times, round_end[c]):
            raise NetsimError(
                f"the recurrence and SimPy disagree by {np.abs(times - round_end[c]).max()} s on network {networks[c].name!r}: "
                'a fault of netsim; engine = "simpy" is right'
            )
    return Timelines(round_end, tuple("recurrence" if one else "simpy" for one in certified), len(checked))


def _recur(trace: Trace, networks: list[Network], round_end: np.ndarray, rows: np.ndarray) -> np.ndarray:
    def keep(r: int, ready: np.ndarray) -> None:
        round_end[rows, r] = ready.max(axis=0)

    return Recurrence(trace, networks).run(keep)


def _check_engine(engine: str) -> None:
    if engine not in ENGINES:
        raise NetsimError(f"engine = {engine!r}: write one of {', '.join(map(repr, ENGINES))}")

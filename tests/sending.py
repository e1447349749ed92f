"""Traces of single messages, for tests of their cost."""

import pytest

from netsim import Network, Trace, replay

A, B, BITS = 0.25, 1000.0, 100.0  # latency s, bandwidth bit/s, bits of a message
T = BITS / B


def finish(network: Network, *programs: list) -> list[float]:
    return replay(Trace.from_programs(programs), network).finish[0].tolist()


def send(to: int, bits: float = BITS, tag: object = 0) -> tuple:
    return ("send", to, bits, tag)


def recv(sender: int, tag: object = 0) -> tuple:
    return ("recv", sender, tag)


def exactly(value: float) -> object:
    return pytest.approx(value, rel=1e-12, abs=0)

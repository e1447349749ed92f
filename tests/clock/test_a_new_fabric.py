"""Another way of sharing ports is one file: a fabric of a test's own runs in both engines, compiled where nothing can be kept."""

import json
import os
import subprocess
import sys

from netsim.clock import fabrics

CAPPED = """
'''Independent links, of which nobody knows before the delivery when a message's last bit has left.'''

from typing import Any, NamedTuple

from netsim.clock.compiling import shared
from netsim.clock.fabrics import DELIVERED, NEVER


class Ports(NamedTuple):
    last_left: Any
    under_way: Any


def make(network, links, column):
    n = len(links.egress)
    return Ports(column([0.0] * n), column([0.0] * n))


@shared
def post(ports, posted, sender, receiver, cost):
    ports.under_way[sender] += 1
    latency, _, seconds = cost
    return posted + seconds + latency, 0, posted, posted + seconds


@shared
def reach(ports, phase, now, sender, receiver, cost, first, last):
    ports.under_way[sender] -= 1
    ports.last_left[sender] = max(ports.last_left[sender], last)
    return now, DELIVERED, first, last


@shared
def last_bit(ports, sender):
    return NEVER if ports.under_way[sender] else ports.last_left[sender]
"""


SCRIPT = """
import sys
from netsim.clock import fabrics
fabrics.__path__.append(sys.argv[1])
fabrics.FABRICS += ("capped",)
from netsim import Network, Trace, replay
programs = [[("send", 1, 1000, 0), ("flush",), ("send", 1, 500, 1)], [("recv", 0, 0), ("recv", 0, 1)]]
trace, network = Trace.from_programs(programs), Network(0.25, 1000.0, sharing="capped")
for engine in ("simpy", "compiled"):
    print(replay(trace, network, engine).finish[0].tolist())
"""


def test_both_engines_take_it_and_wake_who_flushes_at_the_delivery(tmp_path):
    """In a process of its own, for what numba keeps of a fabric names the fabric's module; here it has no place to keep anything."""
    (tmp_path / "capped.py").write_text(CAPPED)
    (tmp_path / "file").touch()
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "file"), "HOME": str(tmp_path / "file")}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path)], env=environment, capture_output=True, text=True, check=True
    )
    by_events, compiled = map(json.loads, done.stdout.splitlines())
    assert compiled == by_events == [1.0, 1.0 + 0.5 + 0.25]
    assert done.stderr.strip() == "netsim: compiling the clock for sharing = capped; once, some seconds"


def test_the_ways_of_sharing_are_the_files():
    assert fabrics.FABRICS == ("fifo", "none")

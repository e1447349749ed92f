"""The files that are fuzzed: every preset cut down to a training of two steps, and files that say what no preset says."""

import copy
import tomllib
from collections.abc import Iterator
from functools import cache
from typing import Any

from netsim.fields import declared
from netsim.files import calls, sources
from netsim.files.schema import FILES

Key = tuple[str | int, ...]

SMALL = """
[task]
model = "mlp"
hidden = [4]
batch = 4
[training]
steps = 2
lr = 0.1
evaluate_every = 1
[topology]
kind = "ring"
n = 4
[[algorithm]]
name = "DPSGD"
[network]
latency = ["1 ms"]
bandwidth = ["10 Mbit/s"]
compute = "1 ms"
sharing = "fifo"
[[condition]]
name = "slow"
latency = "1 ms"
bandwidth = "10 Mbit/s"
"""
VARIANTS = {
    "softmax": 'task = { model = "softmax", batch = 4, l2 = 1e-4, partition = "dirichlet", alpha = 1.0 }',
    "schedules": """algorithm = [
        { name = "AllReduceSGD", lr = { kind = "cosine", peak = 0.1, steps = 2 } },
        { name = "AllReduceSGD", compress = { name = "StochasticQuantizer", bits = 4, scale = "minmax", unit = 7 },
            lr = { kind = "step", peak = 0.1, milestones = [1] } },
        { name = "DPSGD", gamma = 0.5, overlap = false, lr = { kind = "inverse-sqrt", peak = 0.1, scale = 1 } },
        { name = "DPSGD", lr = { kind = "warm-up", start = 0.1, steps = 1,
            then = { kind = "corollary", a = 1.0, b = 1.0, c = 1.0, steps = 2 } } }]""",
    "gossip methods": """algorithm = [
        { name = "NaiveCompressedDPSGD", compress = { name = "NearestQuantizer", bits = 4 } },
        { name = "ECDPSGD", compress = { name = "RandomSparsifier", probability = 0.5 }, index = "listing" },
        { name = "ChocoSGD", compress = { name = "TopK", ratio = 0.1 }, gamma = 0.3 },
        { name = "DeepSqueeze", compress = { name = "OneBit" }, gamma = 0.3, overlap = true },
        { name = "Moniqua", bits = 8, theta = 2.0, gamma = 0.5 },
        { name = "PowerGossip", rank = 1, iterations = 2, gamma = 0.9 }]""",
    "server methods": """algorithm = [
        { name = "ParameterServerSGD", compress = { name = "Clip", bits = 16 }, server_compress = { name = "RandomK", ratio = 0.1 } },
        { name = "DoubleSqueeze", compress = { name = "LowRank", rank = 1 } },
        { name = "PowerSGD", rank = 1 }]""",
    "torus": 'topology = { kind = "torus", rows = 2, cols = 2, weights = "uniform" }',
    "random graph": 'topology = { kind = "random_regular", n = 4, degree = 3, seed = 1 }',
    "matrix": 'topology = { kind = "matrix", weights_matrix = [[0.5, 0.5], [0.5, 0.5]] }',
    "network": """network = { latency = "1 ms", bandwidth = { from = "1 Mbit/s", to = "10 Mbit/s", points = 2 }, sharing = ["none", "fifo"],
        compute = { kind = "lognormal", mean = "1 ms", cv = 0.1 }, duplex = "half", overhead = "1 us", handshakes = 1, framing = 1.1 }""",
    "ports": """network = { latency = [[0, 1, 1, 1], [1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 1, 0]], bandwidth = "1 Mbit/s", compute = 0.001,
        egress = ["1 Mbit/s", "1 Mbit/s", "1 Mbit/s", "1 Mbit/s"] }
        condition = []""",
    "groups": """network = { groups = { sizes = [2, 2], inside = { latency = "1 ms", bandwidth = "1 Gbit/s" },
        between = { latency = "20 ms", bandwidth = "10 Mbit/s" } } }
        condition = []""",
    "seeds": "training = { steps = 2, lr = 0.1, seed = [1, 2], momentum = 0.9, nesterov = true, weight_decay = 1e-4, clip = 1.0, target = 1.0 }",
}
GOSSIP = """
[gossip]
target = 0.1
[topology]
kind = "ring"
n = 4
[[start]]
name = "noise"
kind = "normal"
shape = [4, 4]
budget = 0.01
[[algorithm]]
name = "DPSGD"
gamma = "optimal"
[[algorithm]]
name = "ChocoSGD"
compress = "Sign"
gamma = { from = 0.1, to = 1.0, points = 2 }
best = { noise = { gamma = 0.3 } }
published = { noise = 1.0 }
[[algorithm]]
name = "Moniqua"
bits = 8
theta = 2.0
gamma = 0.5
"""


@cache
def bases() -> dict[str, dict[str, Any]]:
    """Return {name: table of the file}."""
    small = tomllib.loads(SMALL)
    found = {f"preset {name}": cut_down(name) for name in sources.presets()}
    found |= {name: small | _loads(text) for name, text in VARIANTS.items()}
    return found | {"small": small, "gossip": tomllib.loads(GOSSIP)}


def _loads(text: str) -> dict[str, Any]:
    joined, depth = "", 0
    for line in text.splitlines():  # TOML 1.0 has inline tables on one line
        joined += line.strip() + (" " if depth + line.count("{") - line.count("}") > 0 else "\n")
        depth += line.count("{") - line.count("}")
    return tomllib.loads(joined)


def cut_down(preset: str) -> dict[str, Any]:
    """Return a preset whose training, or gossip, takes no time: a small model of the digits, two steps, four workers, one network or two."""
    table = copy.deepcopy(sources.read(preset).table)
    if "gossip" in table:
        table["gossip"] |= {"target": 0.1, "until": 0.1}
        table["start"] = [{"name": "noise", "kind": "normal", "shape": [4, 4], "budget": 0.01}]
        table["algorithm"] = [one for one in table["algorithm"] if one.get("starts", ["noise"]) == ["noise"]][:4]
        for one in table["algorithm"]:
            one["best"] = {"noise": one.get("best", {}).get("noise", {})}
        return table
    table["task"] = tomllib.loads(SMALL)["task"]
    table["training"] |= {"steps": 2, "evaluate_every": 1}
    table["topology"] = {"kind": "ring", "n": 4}
    table["algorithm"] = table["algorithm"][:6]
    for axis in ("latency", "bandwidth"):
        grid = table["network"].get(axis)
        if isinstance(grid, dict) and "points" in grid:
            grid["points"] = 2
    return table


def keys(table: dict[str, Any]) -> list[Key]:
    """Return every key of a file, and of its sections every key that is declared, in a fixed order: tables and lists are keys too."""
    found = dict.fromkeys(_held(table, ()))
    for path in list(found):
        if isinstance(at(table, path), dict):
            found |= dict.fromkeys((*path, name) for name in _declared(table, path))
    return list(found)


def at(table: Any, path: Key) -> Any:
    """Return what a key holds."""
    for key in path:
        table = table[key]
    return table


def _held(value: Any, path: Key) -> Iterator[Key]:
    if path:
        yield path
    if isinstance(value, dict):
        for name, below in value.items():
            yield from _held(below, (*path, name))
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for number, below in enumerate(value):
            yield from _held(below, (*path, number))


def _declared(table: dict[str, Any], path: Key) -> list[str]:
    """Return the keys that a table may have: of its section, and of the algorithm, the compressor, … that it names."""
    kind = "gossip" if "gossip" in table else "training"
    value, names = at(table, path), []
    if len(path) == 1 or (len(path) == 2 and isinstance(path[1], int)):
        names += FILES[kind][str(path[0])].fields
    for classes in ("algorithm", "compressor"):
        named = calls.named_classes(classes).get(str(value.get("name")))
        names += declared(named) if named else []
    return names

"""Wrong files: each is one line, before anything is trained, with the key, what is allowed, and the remedy."""

from pathlib import Path

import numpy as np
import pytest
from small_file import SMALL, write

from netsim.errors import NetsimError
from netsim.files import config

GOSSIP = """
[gossip]
[topology]
kind = "ring"
n = 4
[[start]]
name = "a"
kind = "normal"
shape = [3]
[[algorithm]]
name = "DPSGD"
"""
LATENCY = 'latency = { from = "0.1 ms", to = "100 ms", points = 3 }'
BANDWIDTH = 'bandwidth = { from = "1 Mbit/s", to = "1 Gbit/s", points = 3 }'
RING = 'kind = "ring"\nn = 4'
COMPUTE = 'compute = "50 ms"'
COMPRESS = '{ name = "StochasticQuantizer", bits = 8 }'
LR = 'must be a number above 0 and at most 1e6, or a schedule such as { kind = "cosine", peak = 0.4, steps = 330 }'
TIME = 'must be a time from 1e-12 to 1e6 seconds, or 0, such as "20 ms"'

WRONG = [
    # without end, or more than any machine has
    (("points = 3", "points = 10000000000"), "network.latency.points = 10000000000: must be a whole number from 2 to 1,000"),
    (("points = 3", "points = 1000000"), "network.latency.points = 1000000: must be a whole number from 2 to 1,000"),
    (
        (f"{LATENCY}\n{BANDWIDTH}", f"{LATENCY}\n{BANDWIDTH}".replace("points = 3", "points = 900")),
        "network: a grid of 901 x 901 x 2 is 1,623,602 networks; at most 100,000: take fewer points",
    ),
    (("steps = 22", "steps = 1e20"), "training.steps = 1e+20: must be a whole number from 1 to 1e9"),
    (("n = 4", "n = 1000000000"), "topology.n = 1000000000: must be a whole number from 2 to 4,096"),
    (("n = 4", "n = 100000"), "topology.n = 100000: must be a whole number from 2 to 4,096"),
    ((RING, 'kind = "hypercube"\ndim = 30'), "topology.dim = 30: must be a whole number from 1 to 12"),
    (
        (RING, 'kind = "complete"\nn = 10000'),
        "topology.n = 10000: must be a whole number from 2 to 1,000",
    ),
    (
        (RING, 'kind = "matrix"\nweights_matrix = "/dev/zero"'),
        "topology.weights_matrix: /dev/zero: not a matrix (is no regular file); expected n rows",
    ),
    (
        (RING, 'kind = "matrix"\nweights_matrix = "zip.npy"'),
        "zip.npy: not a matrix (not in NumPy's format); expected n rows",
    ),
    # of another type
    ((RING, 'kind = ["torus"]\nn = 4'), 'topology.kind = ["torus"]: unknown topology; did you mean "torus"?'),
    ((RING, "kind = { a = 1 }\nn = 4"), "topology.kind = { a = 1 }: unknown topology; there is ring, torus"),
    ((RING, "kind = 2020-01-01\nn = 4"), "topology.kind = 2020-01-01: unknown topology; there is ring, torus"),
    ((RING, "n = 4"), "topology.kind: missing; write one of ring, torus"),
    (("steps = 22", 'steps = "4"'), 'training.steps = "4": must be a whole number from 1 to 1e9; write 4 without quotes'),
    (("steps = 22", "steps = 22.0"), "training.steps = 22.0: must be a whole number from 1 to 1e9; write 22"),
    (("steps = 22", "steps = [22]"), "training.steps = [22]: must be a whole number from 1 to 1e9; write 22 without brackets"),
    (("hidden = [16]", "hidden = 16"), "task.hidden = 16: must be a list of 1 or more, each a whole number from 1 to 100,000"),
    (("hidden = [16]", "hidden = 16"), "; write it in brackets: [16]"),
    (("target = 0.5", 'target = "low"'), 'training.target = "low": must be a number from -1e12 to 1e12, or left out'),
    (('title = "small"', "title = 3"), 'title = 3: must be text of at most 500 characters; write it in quotes: "3"'),
    (('[[algorithm]]\nname = "AllReduceSGD"\nlr = 0.2\n[[algorithm]]', "[algorithm]"), "algorithm: write [[algorithm]], in double brackets"),
    (("[training]\nsteps = 22\ntarget = 0.5", ""), "training: missing; write a section [training]: for how long"),
    (("lr = 0.2", 'lr = { kind = "cosine", peak = 1, steps = 0 }'), "algorithm[1].lr.steps = 0: must be a whole number from 1 to 1e9"),
    ((COMPUTE, 'compute = { kind = ["lognormal"], mean = 1 }'), 'network.compute.kind = ["lognormal"]: unknown compute model'),
    ((COMPUTE, 'compute = { kind = { a = 1 }, mean = 1 }'), "network.compute.kind = { a = 1 }: unknown compute model"),
    (
        (COMPUTE, 'compute = { kind = "lognormal", mean = "50 ms" }'),
        'network.compute: kind "lognormal" also needs cv, a number from 0 to 100: Coefficient of variation',
    ),
    ((COMPUTE, 'compute = { kind = "lognormal", mean = [1, 2], cv = 1 }'), "compute.mean has shape (2,): give one time, or 4, one a worker"),
    ((COMPUTE, 'compute = { kind = "lognormal", mean = 1, cv = 1, seed = -1 }'), "network.compute.seed = -1: must be a whole number"),
    # out of range
    (("target = 0.5", "target = nan"), "training.target = nan: must be a number from -1e12 to 1e12, or left out"),
    (("target = 0.5", "target = -5"), "training.target = -5: must be above 0: the loss of"),
    (("lr = 0.2", "lr = 1e300"), f"algorithm[1].lr = 1e+300: {LR}"),
    (("lr = 0.2", "lr = nan"), f"algorithm[1].lr = nan: {LR}"),
    (("lr = 0.2", 'lr = "0.2"'), f'algorithm[1].lr = "0.2": {LR}; write 0.2 without quotes'),
    (("lr = 0.2", 'name = "DPSGD"\ngamma = -0.5'), None),
    (("steps = 22", "steps = 22\nmomentum = 0.9999999999999999"), "training.momentum = 0.9999999999999999: must be a number from 0 to 0.9999"),
    (("steps = 22", "steps = 22\nweight_decay = inf"), "training.weight_decay = inf: must be a number from 0 to 1000"),
    (("steps = 22", "steps = 22\nseed = -1"), "training.seed = -1: must be a whole number, at least 0 and below 2^63"),
    (("steps = 22", "steps = 22\nevaluate_every = 1000000000000000000"), "training.evaluate_every = 1000000000000000000: must be a whole number"),
    (("steps = 22", 'steps = 22\nclip = 0'), "training.clip = 0: must be a number above 0 and at most 1e12, or left out"),
    (("steps = 22", 'steps = 22\ndtype = "float16"'), 'training.dtype = "float16": must be "float32" or "float64"'),
    (("steps = 22", 'steps = 22\nevaluate = "all"'), 'training.evaluate = "all": must be "average", "each" or "both"'),
    ((COMPUTE, "handshakes = 101"), "network.handshakes = 101: must be a whole number from 0 to 100"),
    ((COMPUTE, 'overhead = "1e9 s"'), f'network.overhead = "1e9 s": {TIME}'),
    ((COMPUTE, "compute = { kind = 'lognormal', mean = 1e308, cv = 1 }"), "network.compute.mean = 1e+308: must be a time from 1e-12 to 1e6 seconds"),
    ((LATENCY, "latency = 1e-323"), f"network.latency = 1e-323: {TIME}"),
    ((LATENCY, "latency = 1e300"), f"network.latency = 1e+300: {TIME}"),
    ((BANDWIDTH, "bandwidth = 5e-324"), 'network.bandwidth = 5e-324: must be a bandwidth from 0.001 to 1e18 bit/s, or inf, such as "10 Mbit/s"'),
    ((COMPRESS, '{ name = "TopK", ratio = 1.5 }'), "algorithm[2].compress.ratio = 1.5: must be a number above 0 and at most 1"),
    ((COMPRESS, '{ name = "LowRank", rank = 0 }'), "algorithm[2].compress.rank = 0: must be a whole number from 1 to 2^31"),
    # said twice
    ((COMPUTE, 'sharing = ["fifo", "fifo"]'), 'network.sharing[2] = "fifo": occurs twice; leave it out'),
    ((LATENCY, 'latency = ["1 ms", "2 ms", 0.001]'), "network.latency[3] = 0.001: occurs twice; leave it out"),
    # no TOML, or none that means anything
    (("steps = 22", f"steps = {'9' * 5000}"), "line 6: a number of thousands of digits; write fewer"),
    (("steps = 22", f"steps = 22\nseed = {2**64}"), "training.seed = 18446744073709551616: must be a whole number, at least 0 and below 2^63"),
    ((COMPUTE, f"handshakes = {'9' * 40}"), f"network.handshakes = {'9' * 40}: no field takes whole numbers beyond 1e30"),
    (("hidden = [16]", f"hidden = {'[' * 500}{']' * 500}"), "line 4: nested too deep; write at most 20 tables and lists within one another"),
    (("hidden = [16]", f"hidden = {'[' * 50}{']' * 50}"), "task.hidden: nested too deep; write at most 20 tables and lists within one another"),
    (('title = "small"', 'title = "sm\\u0000all"'), 'title: a text with the control character "\\u0000"; leave it out'),
    (("hidden = [16]", 'data = "mnist"\npath = "a\\u0000b"'), 'task.path: a text with the control character "\\u0000"; leave it out'),
    (("hidden = [16]", '"hid\\u0000den" = [16]'), "a text with the control character"),
    (('title = "small"', 'title = "small"\nassumptions = { a = 3 }'), 'assumptions.a = 3: must be text; write it in quotes: "3"'),
    (('title = "small"', 'title = "small"\nassumptions = 3'), "assumptions = 3: must be a table"),
    # in the file's words, not in Python's
    (("steps = 22", "steps = 22\nnesterov = true"), "training.nesterov = true: needs a momentum above 0; give one, or leave nesterov out"),
    (("hidden = [16]", 'hidden = [16]\npartition = "dirichlet"'), 'task.alpha: missing; partition = "dirichlet" needs a number above 0'),
    (
        (f"{LATENCY}\n{BANDWIDTH}", 'groups = { sizes = [2, 2], inside = { latency = "1 ms", bandwidth = "1 Gbit/s" } }'),
        "network.groups: it also needs between, a table",
    ),
    (
        (f"{LATENCY}\n{BANDWIDTH}", 'groups = { sizes = [4], inside = { latency = "1 ms" }, between = { latency = "1 ms" } }'),
        "network.groups.inside: it also needs bandwidth, a bandwidth",
    ),
    (("hidden = [16]", 'data = "mnist"\npath = "nowhere"'), "ubyte.gz; --download fetches the original files"),
    ((COMPUTE, 'compute = ["50 ms"]'), "network.compute has shape (1,): give one number, 4 numbers (one a worker)"),
    (
        ("hidden = [16]", 'model = "netsim.models:LeastSquares"\nfeatures = [[[1.0]]]\ntargets = [3]'),
        "task.features (1, 1, 1) and targets (1,) do not fit",
    ),
    (('name = "slow"', 'name = ""'), 'condition[1].name = "": must be text of 1 to 200 characters'),
]  # fmt: skip


@pytest.mark.parametrize(
    ("change", "line"), [one for one in WRONG if one[1]], ids=[one[0][1][:40] for one in WRONG if one[1]]
)
def test_one_line_with_key_range_and_remedy(tmp_path: Path, change: tuple[str, str], line: str) -> None:
    np.savez(tmp_path / "zip.npz", np.eye(3))
    (tmp_path / "zip.npz").rename(tmp_path / "zip.npy")
    path = write(tmp_path, change)
    with pytest.raises(NetsimError) as caught:
        config.load(path)
    said = str(caught.value)
    assert said.startswith(f"{path}: ") and "\n" not in said and line in said
    assert "netsim." not in said.removeprefix(str(path)).replace("netsim.algorithms", "")  # no advice for Python
    assert len(said) < 600


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("\ufeff" + SMALL)
    assert config.load(path).title == "small"


def test_a_device_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(NetsimError, match=r"/dev/zero: cannot be read \(no regular file\)"):
        config.load("/dev/zero")
    (tmp_path / "large.toml").write_bytes(b"# \n" * 2_000_000)
    with pytest.raises(NetsimError, match="larger than 4 MiB"):
        config.load(tmp_path / "large.toml")


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (("[gossip]", "[gossip]\nuntil = 2"), "gossip.until = 2: must be a number above 0 and below 1, or left out"),
        (("[gossip]", '[gossip]\ndtype = "half"'), 'gossip.dtype = "half": must be "float32" or "float64"'),
        (
            ("shape = [3]", "shape = [0]"),
            "start[1].shape = [0]: must be a list of 1 or more, each a whole number from 1",
        ),
        (('name = "DPSGD"', 'name = "DPSGD"\ngamma = -0.5'), "algorithm[1].gamma = -0.5: must be a number above 0"),
        (("[[start]]", "[start]"), "start: write [[start]], in double brackets, once for each"),
    ],
)
def test_gossip_too(tmp_path: Path, change: tuple[str, str], line: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOSSIP.replace(*change))
    with pytest.raises(NetsimError) as caught:
        config.load(path)
    assert str(caught.value).startswith(f"{path}: {line}")


def test_a_folder_of_data_with_a_name_that_no_file_has(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(f'base = "tang2018-mnist"\n[task]\npath = "{"x" * 10_000}"\n')
    with pytest.raises(NetsimError, match=r"task\.path = .*: File name too long; write the folder") as caught:
        config.load(path)
    assert len(str(caught.value)) < 600

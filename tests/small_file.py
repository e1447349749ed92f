"""A small configuration file, and errors in it with their expected messages."""

from pathlib import Path

SMALL = """
title = "small"
[task]
hidden = [16]
[training]
steps = 22
target = 0.5
[topology]
kind = "ring"
n = 4
[[algorithm]]
name = "AllReduceSGD"
lr = 0.2
[[algorithm]]
name = "DCDPSGD"
compress = { name = "StochasticQuantizer", bits = 8 }
[network]
compute = "50 ms"
latency = { from = "0.1 ms", to = "100 ms", points = 3 }
bandwidth = { from = "1 Mbit/s", to = "1 Gbit/s", points = 3 }
[[condition]]
name = "slow"
latency = "20 ms"
bandwidth = "5 Mbit/s"
source = "paper"
[[condition]]
name = "fast"
latency = "0.1 ms"
bandwidth = "1 Gbit/s"
"""


def write(folder: Path, *changes: tuple[str, str]) -> Path:
    """Write SMALL with some text replaced, each of which must occur."""
    text = SMALL
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = folder / "my.toml"
    path.write_text(text)
    return path


RING, COMPRESS = 'kind = "ring"\nn = 4', '{ name = "StochasticQuantizer", bits = 8 }'
MISTAKES = [  # what is changed, and what the line must say
    (("[training]", "[trainin]"), ["trainin: unknown key", 'did you mean "training"?']),
    (("steps = 22", "stesp = 22"), ["training.stesp: unknown key", 'did you mean "steps"?']),
    (("steps = 22", ""), ["training.steps: missing"]),
    (("steps = 22", "steps = 0"), ["training.steps = 0: must be a whole number from 1 to 1e9"]),
    (
        ("steps = 22", 'steps = "22"'),
        ['training.steps = "22": must be a whole number from 1 to 1e9; write 22 without quotes'],
    ),
    (
        ("steps = 22", "steps = 22\nlr = { kind = 'cosin', peak = 1 }"),
        ['training.lr.kind = "cosin": unknown schedule; did you mean "cosine"?'],
    ),
    (("steps = 22", "steps = 22\nlr = [0.1, 0.2]"), ["training.lr = [0.1, 0.2]: must be"]),
    (("steps = 22", "steps = 22\nmomentum = 1.5"), ["training.momentum = 1.5: must be a number from 0 to 0.9999"]),
    (("lr = 0.2", "lr = -1"), ["algorithm[1].lr = -1: must be a number above 0"]),
    (("lr = 0.2", "gama = 2"), ["algorithm[1].gama: unknown key of AllReduceSGD", "compress"]),
    (('"AllReduceSGD"', '"AllReduce"'), ['algorithm[1].name = "AllReduce"', 'did you mean "AllReduceSGD"?']),
    (('name = "AllReduceSGD"', ""), ['algorithm[1].name: missing; write a name, such as "DPSGD"']),
    (('name = "AllReduceSGD"', 'name = "DPSGD"\ngamma = "1"'), ['algorithm[1].gamma = "1": must be a number']),
    (("bits = 8", "bits = 0"), ["algorithm[2].compress.bits = 0", "from 1 to 16"]),
    (("bits = 8", "bits = 17"), ["algorithm[2].compress.bits = 17", "from 1 to 16"]),
    (("bits = 8", "bits = 8.5"), ["algorithm[2].compress.bits = 8.5: must be a whole number"]),
    (("bits = 8", "bit = 8"), ["algorithm[2].compress.bit: unknown key", 'did you mean "bits"?']),
    ((", bits = 8", ""), ["algorithm[2].compress: StochasticQuantizer also needs bits"]),
    (
        ("StochasticQuantizer", "StocasticQuantizer"),
        ["algorithm[2].compress.name", 'did you mean "StochasticQuantizer"?'],
    ),
    ((COMPRESS, "8"), ["algorithm[2].compress: no name of a compressor"]),
    ((RING, 'kind = "ring"\nn = 1'), ["topology.n = 1: must be a whole number from 2 to 4,096"]),
    ((RING, 'kind = "rng"\nn = 4'), ['topology.kind = "rng"', 'did you mean "ring"?']),
    ((RING, 'kind = "torus"\nrows = 2'), ['topology: kind "torus" also needs cols']),
    ((RING, 'kind = "ring"\nn = 4\nweight = "uniform"'), ["topology.weight: unknown key", 'did you mean "weights"?']),
    (
        (RING, 'kind = "matrix"\nweights_matrix = [[0.5, 0.5], [0.5, 0.4]]'),
        ["topology.weights", "doubly stochastic: row 1 sums to 0.9"],
    ),
    (
        (RING, 'kind = "matrix"\nweights_matrix = "no.csv"'),
        ["topology.weights_matrix", "no.csv", "n rows of n numbers"],
    ),
    ((RING, 'kind = "matrix"'), ['topology: kind "matrix" also needs weights_matrix']),
    (
        ('from = "1 Mbit/s"', 'from = "10 mbs"'),
        ['network.bandwidth.from = "10 mbs": unknown unit "mbs"', '"10 Mbit/s"'],
    ),
    (('to = "1 Gbit/s"', 'too = "1 Gbit/s"'), ["network.bandwidth.too: unknown key", 'did you mean "to"?']),
    (("points = 3", "points = 1"), ["network.latency.points = 1: must be a whole number from 2 to 1,000"]),
    (('to = "100 ms"', 'to = "1 us"'), ["network.latency.from: must be above 0 and below"]),
    (('compute = "50 ms"', 'compute = "50 mms"'), ['network.compute = "50 mms": unknown unit']),
    (('compute = "50 ms"', 'compute = { kind = "lognormal", mean = "50 ms" }'), ["network.compute", "also needs cv"]),
    (('compute = "50 ms"', 'sharing = ["fair"]'), ['network.sharing[1] = "fair"', '"fifo" or "none"']),
    (('compute = "50 ms"', "handshakes = -1"), ["network.handshakes = -1: must be a whole number"]),
    (
        ('latency = "20 ms"', 'latency = "20"\nlatncy = 1'),
        ["condition[1].latncy: unknown key", 'did you mean "latency"?'],
    ),
    (('name = "fast"', 'name = "slow"'), ['condition.name = "slow": occurs twice']),
    (("hidden = [16]", "hiden = [16]"), ["task.hiden: unknown key", 'did you mean "hidden"?']),
    (
        ("hidden = [16]", "hidden = [0]"),
        ["task.hidden = [0]: must be a list of 1 or more, each a whole number from 1 to 100,000"],
    ),
    (("hidden = [16]", 'data = "digit"'), ["task.data", "did you mean 'digits'?"]),
    (("hidden = [16]", 'data = "mnist"'), ["task.data", "--data PATH"]),
    (("hidden = [16]", 'data = "mnist"\npath = "nowhere"'), ["task.path", "nowhere: does not exist"]),
    (("hidden = [16]", "train = 0"), ["task.train = 0"]),
    (("hidden = [16]", 'model = "cnm"'), ['task.model = "cnm": unknown model; did you mean "cnn"?']),
    (("hidden = [16]", 'model = "softmax"\nhidden = [16]'), ["task.hidden: unknown key of SoftmaxRegression"]),
    (("hidden = [16]", 'model = "lstm"'), ['task.model = "lstm"', 'data = "wikitext2"']),
    (("hidden = [16]", 'data = "wikitext2"'), ['does not learn "wikitext2"']),
    (("hidden = [16]", 'model = "lstm"\ndata = "wikitext2"'), ["task.data", "--data PATH"]),
    (("hidden = [16]", "vocabulary = 100"), ["task.vocabulary: not a key of data"]),
    (("hidden = [16]", "data = 3"), ["task.data = 3"]),
    (("hidden = [16]", "batch = 2.5"), ["task.batch = 2.5: must be a whole number"]),
    (("hidden = [16]", 'partition = "idd"'), ["task", "idd", "iid"]),
    (("hidden = [16]", "batch = 0"), ["task.batch = 0"]),
    (("hidden = [16]", "hidden = [16"), ["not valid TOML", "line"]),
]

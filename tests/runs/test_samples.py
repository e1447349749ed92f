"""A minibatch computed in parts: the gradient is the weighted sum of theirs."""

import json
import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from guard import allow_sync, guard

from netsim import NetsimError
from netsim.commands import app as cli
from netsim.device import make_key, to_host
from netsim.files import config
from netsim.models import CNN, Corpus, Dataset, LanguageModel, ResNet, resnet20

BATCH, N = 7, 3
EXACT = {"float32": 1e-6, "float64": 1e-12}


def pictures(samples=29, side=8):
    random = np.random.default_rng(0)
    x = random.standard_normal((samples, 3 * side**2)).astype(np.float32)
    return Dataset("pictures", x, random.integers(5, size=samples).astype(np.uint8), x[:4], np.arange(4) % 5, 5)


def cnn(**fields):
    return CNN(pictures(), **{"batch": BATCH, "channels": (3, 4), "augment": True, **fields})


def lstm(words=500, **fields):
    random = np.random.default_rng(0)
    train, other = (random.integers(11, size=size).astype(np.int32) for size in (words, 200))
    text = Corpus("toy", tuple(map(str, range(11))), train, other, other)
    return LanguageModel(text, **{"width": 6, "layers": 2, "batch": BATCH, "window": 5, **fields})


NETWORKS = {"cnn": cnn, "lstm": lstm}


def gradient(task, dtype, xp=np, step=0, keys=make_key):
    """Return loss, gradient and buffers of models that are not alike."""
    bound = task.bind(N, 0, xp, dtype, keys)
    random, before = np.random.default_rng(1), bound.initial_buffers(N)
    x = random.normal(task.initial(0), 0.1, (N, len(task.initial(0)))).astype(dtype)
    before = xp.asarray(random.normal(0, 0.5, before.shape).astype(dtype))
    return [to_host(one).copy() for one in bound.gradient(xp.asarray(x), step, before)]


def close(ours, theirs, tolerance):
    assert ours.dtype == theirs.dtype
    for mine, whole in zip(ours, theirs, strict=True):  # worker by worker
        assert np.linalg.norm(mine - whole) <= tolerance * np.linalg.norm(whole)


@pytest.mark.parametrize("dtype", EXACT)
@pytest.mark.parametrize("xp", [np, guard], ids=["numpy", "guard"])
@pytest.mark.parametrize("samples", [1, 3, 6, BATCH, 99])
@pytest.mark.parametrize("keys", [make_key, None], ids=["keys", "no keys"])
@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.bitwise
def test_parts_sum_up_to_the_gradient(network, samples, xp, dtype, keys):
    whole = gradient(NETWORKS[network](), dtype, xp, 1, keys)
    parts = gradient(NETWORKS[network](samples=samples), dtype, xp, 1, keys)
    for ours, theirs in zip(parts, whole, strict=True):
        close(ours, theirs, EXACT[dtype])
        assert samples < BATCH or np.array_equal(ours, theirs)


@pytest.mark.parametrize("chunk", [1, 2])
@pytest.mark.parametrize("network", NETWORKS.values(), ids=NETWORKS)
def test_parts_of_chunks_of_workers(network, chunk):
    parts, whole = gradient(network(samples=2, chunk=chunk), "float64", guard), gradient(network(), "float64")
    for ours, theirs in zip(parts, whole, strict=True):
        close(ours, theirs, 1e-12)


@pytest.mark.parametrize("samples", [1, 3])
def test_a_smaller_last_minibatch(samples):
    task = cnn(partial=True)
    assert task.bind(N, 0)._batches.indices(1).shape == (N, 2)
    parts, whole = (gradient(one, "float64", step=1) for one in (replace(task, samples=samples), task))
    for ours, theirs in zip(parts, whole, strict=True):
        close(ours, theirs, 1e-12)


def test_a_shorter_last_window():
    task = lstm()
    last = task.bind(N, 0).steps_per_epoch - 1
    parts, whole = (gradient(one, "float64", step=last) for one in (replace(task, samples=3), task))
    for ours, theirs in zip(parts, whole, strict=True):
        close(ours, theirs, 1e-12)


def test_batch_norm_refuses_it():
    with pytest.raises(ValueError, match=r"batch norm needs the whole minibatch; leave it out, and choose a smaller"):
        resnet20(pictures(), samples=4)
    with pytest.raises(ValueError, match="batch norm"):
        ResNet(pictures(), samples=32)


@pytest.mark.parametrize("samples", [0, -1, 2.5])
@pytest.mark.parametrize(("network", "what"), [(cnn, "images"), (lstm, "streams")])
def test_what_is_no_number_is_refused(samples, network, what):
    with pytest.raises(ValueError, match=f"samples = {samples}: write a positive whole number of {what}"):
        network(samples=samples)


WIDE = [CNN(pictures(64, 16), batch=64, channels=(8, 16)), lstm(9000, batch=64, width=30, layers=3, window=3)]


@pytest.mark.parametrize("xp", [np, guard], ids=["numpy", "guard"])
@pytest.mark.parametrize("wide", WIDE, ids=NETWORKS)
def test_fewer_at_once_take_less(wide, xp):
    sizes = [replace(wide, samples=samples).bind(1, 0, xp).activation_bytes(1) for samples in (None, 64, 32, 8)]
    assert sizes[0] == sizes[1] > sizes[2] > sizes[3]


@pytest.mark.parametrize("xp", [np, guard], ids=["numpy", "guard"])
@pytest.mark.parametrize("samples", [20, 6])
def test_what_streams_take(samples, xp, monkeypatch):
    for module in ("parallel", "language"):
        monkeypatch.setattr(f"netsim.models.{module}.threads", lambda: 1)
    task = lstm(9000, batch=40, width=40, layers=3, window=20, samples=samples)
    bound, used = (task.bind(2, 0, xp, "float32", make_key) for _ in range(2))
    x, buffers = xp.asarray(np.tile(task.initial(0).astype(np.float32), (2, 1))), bound.initial_buffers(2)
    with allow_sync():
        used.gradient(x, 0, buffers)  # what is loaded once is no part of it
        tracemalloc.start()
        bound.gradient(x, 1, buffers)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    peak -= 2 * buffers.nbytes
    assert 0.85 * bound.activation_bytes(2) < peak < 1.05 * bound.activation_bytes(2)


FILE = """
[task]
model = "{model}"
data = "digits"
batch = 16
samples = {samples}
[topology]
kind = "ring"
n = 4
[training]
steps = 3
[[algorithm]]
name = "DPSGD"
[network]
latency = "1 ms"
bandwidth = "1 Gbit/s"
compute = "1 ms"
"""


def test_through_a_file(tmp_path, capsys):
    (tmp_path / "one.toml").write_text(FILE.format(model="cnn", samples=4))
    assert config.load(tmp_path / "one.toml").experiments[0].task.samples == 4
    asked = ["run", str(tmp_path / "one.toml"), "--algorithm", "1", "--latency", "1 ms", "--bandwidth", "1 Gbit/s"]
    with pytest.raises(SystemExit) as ended:
        cli.main([*asked, "--device", "cpu", "--json", "--out", str(tmp_path / "out")])
    assert not ended.value.code and json.loads(capsys.readouterr().out)
    for model, samples, said in (("resnet20", 4, "batch norm needs the whole"), ("mlp", 4, "samples"), ("cnn", 0, "0")):
        (tmp_path / "two.toml").write_text(FILE.format(model=model, samples=samples))
        with pytest.raises(NetsimError, match=said):
            config.load(tmp_path / "two.toml")

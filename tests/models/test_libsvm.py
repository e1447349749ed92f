"""a9a and w8a: from the real files if present, and from small ones."""

import gzip
import hashlib
import lzma
import os
from pathlib import Path

import numpy as np
import pooch
import pytest

from netsim.models import SoftmaxRegression, load
from netsim.models.data import libsvm
from netsim.models.data.datasets import a9a, w8a
from netsim.models.draws import generator

DATA = Path(os.environ.get("NETSIM_DATA", Path(__file__).parents[2].parent / "shared" / "data")) / "libsvm"
needs_files = pytest.mark.skipif(not DATA.is_dir(), reason=f"no LIBSVM files in {DATA} (set NETSIM_DATA)")
PACK = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}


def lines(labels, rows):
    text = (
        f"{y:+d} {''.join(f'{i + 1}:1 ' for i in np.flatnonzero(row))}\n" for y, row in zip(labels, rows, strict=True)
    )
    return "".join(text).encode()


def small(monkeypatch, folder, name, count, features, ending=""):
    """A small file in the form of LIBSVM's, its checksum in the place of the published one: (labels, features)."""
    rng = np.random.default_rng(len(name))
    x, y = rng.integers(0, 2, (count, features)), rng.choice([-1, 1], count)
    x[0] = 0  # a line that is only a label
    raw = lines(y, x)
    (folder / f"{name}{ending}").write_bytes(PACK[ending](raw))
    monkeypatch.setitem(libsvm._FILES, name, (len(raw), hashlib.md5(raw).hexdigest()))
    return (y > 0).astype(np.uint8), x.astype(np.float32)


@pytest.mark.parametrize("ending", PACK)
def test_labels_are_0_and_1_and_features_dense(monkeypatch, tmp_path, ending):
    train_y, train_x = small(monkeypatch, tmp_path, "a9a", 9, 123, ending)
    test_y, test_x = small(monkeypatch, tmp_path, "a9a.t", 5, 123, ending)
    data = load("a9a", tmp_path)
    assert (data.name, data.classes, data.shape) == ("a9a", 2, None)
    assert data.train_x.dtype == data.test_x.dtype == np.float32 and data.train_y.dtype == np.uint8
    assert data.train_x.flags.c_contiguous
    for found, wanted in zip(data[1:5], (train_x, train_y, test_x, test_y), strict=True):
        np.testing.assert_array_equal(found, wanted)
    part = a9a(tmp_path, train=4)
    assert part.name == "a9a[4]"
    np.testing.assert_array_equal(part.train_x, train_x[:4])
    np.testing.assert_array_equal(part.test_x, test_x)
    (tmp_path / f"a9a.t{ending}").unlink()
    with pytest.raises(ValueError, match=r"a9a.t: missing; expected a9a.t or a9a.t.gz or a9a.t.xz in this folder"):
        a9a(tmp_path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "truncated: 0 bytes, expected 2,329,875, md5 fb3596510d780aaf76a06dc721d49662"),
        (b"<!doctype html>", "it begins like a web page"),
        (bytes(2_329_875), "the published one fb3596510d780aaf76a06dc721d49662"),
        (bytes(2_329_876), "another file: 2,329,876 bytes, expected 2,329,875"),
    ],
)
def test_damaged_files_are_told(tmp_path, content, said):
    (tmp_path / "a9a").write_bytes(content)
    (tmp_path / "a9a.t").write_bytes(b"")
    with pytest.raises(ValueError, match=r"a9a\(download=True\) fetches the original files") as error:
        a9a(tmp_path)
    message = str(error.value)
    assert message.startswith(f"{tmp_path / 'a9a'}: ") and said in message and "\n" not in message


def test_a_download_is_asked_for(monkeypatch, tmp_path):
    asked = []

    def retrieve(url, known_hash, fname, path, processor, progressbar):
        asked.append((url.rsplit("/", 2)[1:], known_hash))
        return str(tmp_path / fname)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    for loader, names in ((a9a, ["a9a", "a9a.t"]), (w8a, ["w8a"])):
        with pytest.raises(ValueError, match="missing"):
            loader(download=True)
        assert asked == [(["binary", name], f"md5:{libsvm._FILES[name][1]}") for name in names]
        asked.clear()


@needs_files
def test_a9a_has_its_published_figures():
    data = load("a9a", DATA.parent)
    assert data.train_x.shape == (32_561, 123)
    assert data.test_x.shape == (16_281, 123)
    assert (np.count_nonzero(data.train_x), np.count_nonzero(data.test_x)) == (451_592, 225_731)
    assert np.unique(data.train_x).tolist() == [0, 1]
    assert np.bincount(data.train_y).tolist() == [24_720, 7_841]
    assert np.bincount(data.test_y).tolist() == [12_435, 3_846]
    assert not data.test_x[:, 122].any() and data.train_x[:, 122].any()


@needs_files
def test_w8a_is_shuffled_once_and_for_all():
    data = load("w8a", DATA)
    assert (data.train_x.shape, data.test_x.shape) == ((40_000, 300), (9_749, 300))
    x, y = np.concatenate([data.train_x, data.test_x]), np.concatenate([data.train_y, data.test_y])
    assert np.count_nonzero(x) == 579_586
    assert np.bincount(y).tolist() == [48_270, 1_479]
    back = np.argsort(generator(0, "w8a").permutation(len(y)))
    for number, line in enumerate((DATA / "w8a").read_text().splitlines()[:50]):
        label, *pairs = line.split()
        assert y[back[number]] == (label == "+1")
        assert (np.flatnonzero(x[back[number]]) + 1).tolist() == [int(pair.removesuffix(":1")) for pair in pairs]
    part = w8a(DATA, train=10)
    assert part.name == "w8a[10]"
    np.testing.assert_array_equal(part.train_x, data.train_x[:10])
    np.testing.assert_array_equal(part.test_y, data.test_y)


@needs_files
def test_logistic_regression_learns_a9a():
    task = SoftmaxRegression(load("a9a", DATA, train=4000), batch=50).bind(4, 0)
    x = np.zeros((4, task.initial(0).size), np.float32)
    for step in range(100):
        x -= 0.1 * task.gradient(x, step)[1].mean(axis=0)
    found = task.evaluate(x[0])
    assert found["loss"] < 0.45 < np.log(2)
    assert found["accuracy"] > 0.8 > 12_435 / 16_281  # better than always saying no

"""a9a and w8a, two sets of binary features with two classes, from LIBSVM's files (Chang and Lin 2011).

A line is a label, +1 or -1, and ``index:value`` for every feature that is not 0, the first index being 1. Here the labels
are 1 and 0, and the features dense and as they are: 0 or 1.
"""

import io
from pathlib import Path

import numpy as np

from netsim.models.data.dataset import Dataset, taken
from netsim.models.data.files import fetch, find_file, find_folder, read_verified
from netsim.models.draws import generator

_URL = "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/binary/"
# name: (bytes, md5)
_FILES = {
    "a9a": (2_329_875, "fb3596510d780aaf76a06dc721d49662"),
    "a9a.t": (1_164_628, "f0bb16cf1ee3e80ff560e9d132ee647e"),
    "w8a": (3_478_238, "05cdbfad8de0af3887c0e6f42fddc32b"),
}
_FOLDERS = ("libsvm",)
_ENDINGS = ("", ".gz", ".xz")


def a9a(path: str | Path | None = None, train: int | None = None, download: bool = False) -> Dataset:
    """Return a9a: 32,561 + 16,281 people of a census by 123 features; label 1: income above 50,000 dollars (Platt 1998).

    Parameters
    ----------
    path
        The folder with ``a9a`` and ``a9a.t``, each as it is or with ``.gz`` or ``.xz``, looked for in this order; a
        subfolder ``libsvm`` of it is found too.
    train
        Take only the first so many training examples of the file.
    download
        Without a path: download the files (3.3 MiB), once, into pooch's cache.

    Raises
    ------
    ValueError
        There is neither path nor download, a file is missing, cut short or not the published one, or ``train`` is out
        of range.
    """
    said, take = taken("a9a", train, 32_561)
    (train_x, train_y), (test_x, test_y) = _read(["a9a", "a9a.t"], 123, path, download)
    return Dataset(said, train_x[:take], train_y[:take], test_x, test_y, 2)


def w8a(path: str | Path | None = None, train: int | None = None, download: bool = False) -> Dataset:
    """Return w8a: 49,749 web pages by 300 keywords; label 1: of the category sought, 1,479 pages (Platt 1998).

    A fixed shuffle, then 40,000 for training and 9,749 for testing, all of the training file: ``w8a.t`` is not read, so
    that the one file always gives the same sets.

    Parameters
    ----------
    path
        The folder with ``w8a``, as :func:`a9a` looks for its files.
    train
        Take only the first so many training examples of that shuffle.
    download
        Without a path: download the file (3.3 MiB), once, into pooch's cache.

    Raises
    ------
    ValueError
        As :func:`a9a` does.
    """
    said, take = taken("w8a", train, 40_000)
    ((x, y),) = _read(["w8a"], 300, path, download)
    order = generator(0, "w8a").permutation(len(y))
    train_part, test_part = order[:take], order[40_000:]
    return Dataset(said, x[train_part], y[train_part], x[test_part], y[test_part], 2)


def _read(
    names: list[str], features: int, path: str | Path | None, download: bool
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Read the (examples, features) float32 features and (examples,) uint8 labels of each of the files."""
    from sklearn.datasets import load_svmlight_file  # slow to import

    remedy = f"netsim.models.data.datasets.{names[0]}(download=True) fetches the original files"
    if path is None:
        if not download:
            raise ValueError(f"{names[0]}: no path was given; name the folder of {' and '.join(names)}, or {remedy}")
        for name in names:
            path = fetch(f"{_URL}{name}", _FILES[name][1])
    assert path is not None
    folder = find_folder(path, _FOLDERS, [f"{name}{end}" for name in names for end in _ENDINGS], remedy)
    read = []
    for file in [find_file(folder, [f"{name}{end}" for end in _ENDINGS], remedy) for name in names]:
        size, md5 = _FILES[file.name.removesuffix(".gz").removesuffix(".xz")]
        raw = read_verified(file, md5, size, remedy)
        x, y = load_svmlight_file(io.BytesIO(raw), n_features=features, dtype=np.float32, zero_based=False)
        read.append((x.toarray(), (y > 0).astype(np.uint8)))
    return read

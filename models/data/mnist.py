"""MNIST, from its original files."""

from pathlib import Path

import numpy as np

from netsim.models.data.dataset import Dataset, standardised, taken
from netsim.models.data.files import fetch, find_file, find_folder, read_verified

_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
# name: (bytes unpacked, md5 unpacked, md5 of the .gz)
_FILES = {
    "train-images-idx3-ubyte": (47_040_016, "6bbc9ace898e44ae57da46a324031adb", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
    "train-labels-idx1-ubyte": (60_008, "a25bea736e30d166cdddb491f175f624", "d53e105ee54ea40749a09fcbcd1e9432"),
    "t10k-images-idx3-ubyte": (7_840_016, "2646ac647ad5339dbf082846283269ea", "9fb629c4189551a2d022fa330f9573f3"),
    "t10k-labels-idx1-ubyte": (10_008, "27ae3e4e09519cfbb04c329615203637", "ec29112dd5afa0611ce80d1b7f02629c"),
}
_FOLDERS = ("mnist", "MNIST/raw")
_ENDINGS = (".gz", "")
_MEAN, _STD = (0.13066,), (0.30811,)


def mnist(path: str | Path | None = None, train: int | None = None, download: bool = False) -> Dataset:
    """Return MNIST: 60,000 + 10,000 grey images 28x28 of digits (LeCun, Bottou, Bengio, Haffner 1998).

    Parameters
    ----------
    path
        The folder with the four IDX files, each with ``.gz`` or as it is, looked for in this order; a subfolder
        ``mnist`` or ``MNIST/raw`` of it is found too.
    train
        Take only the first so many training images of the file.
    download
        Without a path: download the files (11 MiB), once, into pooch's cache.

    Raises
    ------
    ValueError
        There is neither path nor download, a file is missing, cut short or not the published one, or ``train`` is out
        of range.
    """
    remedy = "netsim.models.data.datasets.mnist(download=True) fetches the original files"
    said, take = taken("mnist", train, 60_000)
    if path is None:
        if not download:
            raise ValueError(f"mnist: no path was given; name the folder of its four files, or {remedy}")
        for name, (*_, md5) in _FILES.items():
            path = fetch(f"{_URL}{name}.gz", md5)
    assert path is not None
    folder = find_folder(path, _FOLDERS, [f"{name}{end}" for name in _FILES for end in _ENDINGS], remedy)
    files = {name: find_file(folder, [f"{name}{end}" for end in _ENDINGS], remedy) for name in _FILES}

    def read(name: str, header: int) -> np.ndarray:
        size, md5, _ = _FILES[name]
        return np.frombuffer(read_verified(files[name], md5, size, remedy), np.uint8, offset=header)

    train_x, test_x = (read(f"{part}-images-idx3-ubyte", 16).reshape(-1, 1, 784) for part in ("train", "t10k"))
    train_y, test_y = (read(f"{part}-labels-idx1-ubyte", 8) for part in ("train", "t10k"))
    train_x, test_x = (standardised([x], _MEAN, _STD) for x in (train_x[:take], test_x))
    return Dataset(said, train_x, train_y[:take], test_x, test_y, 10, (1, 28, 28))

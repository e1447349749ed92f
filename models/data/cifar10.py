"""CIFAR-10, from any of its forms: the Python version, .xz copies of that, and the binary version."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from netsim.models.data.dataset import Dataset, standardised, taken
from netsim.models.data.files import fetch, find_file, find_folder, read_verified, untar
from netsim.models.data.pickles import read_pickle

_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
_MD5 = "c58f30108f718f92721af3b95e74349a"
# name: (bytes, md5) of the Python version, md5 of the binary version. A file of the latter is a byte of label and 3,072
# of pixels for each image of the former, in its order; a test makes them so and compares the md5s.
_FILES = {
    "data_batch_1": (31_035_704, "c99cafc152244af753f735de768cd75f", "5dd7e06a14cb22eb9f671a540d1b7c25"),
    "data_batch_2": (31_035_320, "d4bba439e000b95fd0a9bffe97cbabec", "5ea93a67294ea407fff1d09f752e9692"),
    "data_batch_3": (31_035_999, "54ebc095f3ab1f0389bbae665268c751", "942cd6a4bcdd0dd3c604fbe906cb4421"),
    "data_batch_4": (31_035_696, "634d18415352ddfa80567beed471001a", "ae636b3ba5c66a11e91e8cb52e771fcb"),
    "data_batch_5": (31_035_623, "482c414d41f54cd18b22e5b47cb7c3cb", "53f37980c15c3d472c316c40844f3f0d"),
    "test_batch": (31_035_526, "40351d587109b95175f43aff81a1287e", "803d5f7f4d78ea53de84dbe85f74fb6d"),
}
_FOLDERS = ("cifar10", "cifar-10-batches-py", "cifar-10-batches-bin")
_ENDINGS = ("", ".xz", ".bin")
_MEAN = (0.49139968, 0.48215841, 0.44653091)
_STD = (0.24703223, 0.24348513, 0.26158784)
_BATCH = 10_000  # images in each file


def cifar10(path: str | Path | None = None, train: int | None = None, download: bool = False) -> Dataset:
    """Return CIFAR-10: 50,000 + 10,000 colour images 32x32 in 10 classes (Krizhevsky 2009).

    A row of features is the red plane, then green, then blue; :func:`netsim.models.data.dataset.images` gives (images, 32, 32, 3).
    A file is read only after its checksum has matched, and a pickle by :func:`netsim.models.data.pickles.read_pickle`.

    Parameters
    ----------
    path
        The folder with ``data_batch_1`` … ``test_batch``: the Python version as it is, with ``.xz``, or the binary
        version (``.bin``); each file is looked for in this order. A subfolder ``cifar10``, ``cifar-10-batches-py`` or
        ``cifar-10-batches-bin`` of it is found too.
    train
        Take only the first so many training images of the files; files that are not needed are not read.
    download
        Without a path: download the Python version (163 MiB), once, into pooch's cache.

    Raises
    ------
    ValueError
        There is neither path nor download, a file is missing, cut short or not the published one, or ``train`` is out
        of range.
    """
    remedy = "netsim.models.data.datasets.cifar10(download=True) fetches the original files"
    said, take = taken("cifar10", train, (len(_FILES) - 1) * _BATCH)
    if path is None:
        if not download:
            raise ValueError(f"cifar10: no path was given; name the folder of data_batch_1 to test_batch, or {remedy}")
        path = fetch(_URL, _MD5, processor=untar)
    folder = find_folder(path, _FOLDERS, [f"{name}{end}" for name in _FILES for end in _ENDINGS], remedy)
    names = [*list(_FILES)[: -(-take // _BATCH)], "test_batch"]
    files = [find_file(folder, [f"{name}{end}" for end in _ENDINGS], remedy) for name in names]
    with ThreadPoolExecutor() as pool:  # decompression runs outside the interpreter's lock
        read = list(pool.map(_read, names, files, [remedy] * len(names)))
    *images, test_x = (x for x, _ in read)
    *labels, test_y = (y for _, y in read)
    images[-1] = images[-1][: take - _BATCH * (len(images) - 1)]
    train_x, test_x = (standardised(parts, _MEAN, _STD) for parts in (images, [test_x]))
    return Dataset(said, train_x, np.concatenate(labels)[:take], test_x, test_y, 10, (3, 32, 32))


def _read(name: str, file: Path, remedy: str) -> tuple[np.ndarray, np.ndarray]:
    """Read the (10000, 3, 1024) images and (10000,) labels of one file, uint8."""
    size, md5, binary_md5 = _FILES[name]
    if file.suffix == ".bin":
        raw = read_verified(file, binary_md5, _BATCH * 3073, remedy)
        rows = np.frombuffer(raw, np.uint8).reshape(_BATCH, 3073)
        return rows[:, 1:].reshape(_BATCH, 3, 1024), rows[:, 0]
    batch = read_pickle(read_verified(file, md5, size, remedy), str(file))
    return batch[b"data"].reshape(_BATCH, 3, 1024), np.array(batch[b"labels"], np.uint8)

"""Data sets by name: scikit-learn's digits, and MNIST, CIFAR-10, a9a and w8a from their original files.

Images are flattened and standardised: (pixel on a 0..1 scale - mean) / standard deviation, with the training set's mean
and deviation per colour channel. :func:`images` gives them their shape back.
"""

import difflib
from functools import cache
from pathlib import Path

import numpy as np

from netsim.models.data.cifar10 import cifar10
from netsim.models.data.dataset import Dataset, images, taken
from netsim.models.data.files import find_folder
from netsim.models.data.libsvm import a9a, w8a
from netsim.models.data.mnist import mnist
from netsim.models.draws import generator

__all__ = ["NAMES", "Dataset", "a9a", "cifar10", "digits", "images", "load", "mnist", "recognise", "w8a"]

NAMES = ("digits", "mnist", "cifar10", "a9a", "w8a")
# name: the file that marks its folder
_MARKS = {"mnist": "train-images-idx3-ubyte", "cifar10": "data_batch_1", "a9a": "a9a", "w8a": "w8a"}


def load(
    name: str,
    path: str | Path | None = None,
    train: int | None = None,
    download: bool = False,
    test: int | None = None,
) -> Dataset:
    """Load a data set by name.

    Parameters
    ----------
    name
        ``"digits"``, ``"mnist"``, ``"cifar10"``, ``"a9a"`` or ``"w8a"``.
    path
        The folder with the files of all but the digits. With ``"digits"``, which need none: whichever of the others is
        there is taken in their place.
    train
        Take only so many training examples: the first of the order that the loader states.
    download
        Allow a download (all but the digits) where no path is given.
    test
        Keep only so many test examples: the first. The name then says how many.

    Raises
    ------
    ValueError
        The name is unknown, ``test`` is not between 1 and the number there is, or the loader refuses.
    """
    if name not in NAMES:
        near = difflib.get_close_matches(str(name).lower(), NAMES, 1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"data set {name!r} is unknown{meant} (known: {', '.join(NAMES)})")
    if name == "digits" and path is not None:
        return load(recognise(path), path, train, test=test)
    if name == "digits":
        return _tested(digits(train), test)
    return _tested({"mnist": mnist, "cifar10": cifar10, "a9a": a9a, "w8a": w8a}[name](path, train, download), test)


def _tested(data: Dataset, test: int | None) -> Dataset:
    whole = len(data.test_y)
    if test is None or test == whole:
        return data
    if not 1 <= test < whole:
        raise ValueError(f"test = {test}: write a number of test examples from 1 to {whole:,}")
    named = f"{data.name[:-1]}; {test} test]" if data.name.endswith("]") else f"{data.name}[{test} test]"
    return data._replace(name=named, test_x=data.test_x[:test], test_y=data.test_y[:test])


def recognise(path: str | Path) -> str:
    """Return which data set a folder holds, by its files' names: the first of MNIST, CIFAR-10, a9a and w8a.

    Raises
    ------
    ValueError
        It holds none of them, or is no folder.
    """
    remedy = "name a folder with train-images-idx3-ubyte (MNIST), data_batch_1 (CIFAR-10), a9a or w8a, as they are, .gz, .xz or .bin"
    folders = ["mnist", "MNIST/raw", "cifar10", "cifar-10-batches-py", "cifar-10-batches-bin", "libsvm"]
    endings = ("", ".gz", ".xz", ".bin")
    folder = find_folder(path, folders, [f"{mark}{end}" for mark in _MARKS.values() for end in endings], remedy)
    for name, mark in _MARKS.items():
        if any((folder / f"{mark}{end}").is_file() for end in endings):
            return name
    raise ValueError(f"{folder}: neither MNIST nor CIFAR-10 nor a9a nor w8a; {remedy}")


def digits(train: int | None = None) -> Dataset:
    """Return the 1,797 handwritten digits, 8x8, that come with scikit-learn (Alpaydin and Kaynak, UCI, 1998).

    A fixed shuffle, then 1,500 images for training and 297 for testing. No file, no download.

    Parameters
    ----------
    train
        Take only the first so many training images of that shuffle.

    Raises
    ------
    ValueError
        ``train`` is not between 1 and 1,500.
    """
    pixels, labels = _digits_file()
    order = generator(0, "digits").permutation(len(labels))
    pixels, labels = (pixels[order] / 16), labels[order].astype(np.uint8)
    features = ((pixels - pixels[:1500].mean()) / pixels[:1500].std()).astype(np.float32)
    name, take = taken("digits", train, 1500)
    return Dataset(name, features[:take], labels[:take], features[1500:], labels[1500:], 10, (1, 8, 8))


@cache
def _digits_file() -> tuple[np.ndarray, np.ndarray]:
    """Return scikit-learn's digits in their order: pixels and labels; the file is text, and read once."""
    from sklearn.datasets import load_digits  # slow to import

    return load_digits(return_X_y=True)

"""Data sets: scikit-learn's digits, and MNIST and CIFAR-10 from their original files.

Every loader returns a :class:`Dataset` of flattened images, standardised: (pixel on a 0..1 scale - mean) / standard
deviation, with the training set's mean and deviation per colour channel.
"""

import difflib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pooch

from models.draws import generator
from models.files import find_file, find_folder, read_verified

NAMES = ("digits", "mnist", "cifar10")


class Dataset(NamedTuple):
    """Images and labels for a classifier.

    Attributes
    ----------
    name
        Name, with the number of training images in brackets where not all were taken.
    train_x, test_x
        (images, features) float32, C-contiguous.
    train_y, test_y
        (images,) uint8 labels, 0 to classes - 1.
    classes
        Number of classes.
    """

    name: str
    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    classes: int

    def __repr__(self) -> str:
        return self.name


def load(name: str, path: str | Path | None = None, train: int | None = None, download: bool = False) -> Dataset:
    """Load a data set by name.

    Parameters
    ----------
    name
        ``"digits"``, ``"mnist"`` or ``"cifar10"``.
    path
        The folder with the files of MNIST or CIFAR-10. With ``"digits"``, which need none: whichever of them is there is
        taken in their place.
    train
        Take only so many training images: the first of the order that the loader states.
    download
        Allow a download (MNIST, CIFAR-10) where no path is given.

    Raises
    ------
    ValueError
        The name is unknown, or the loader refuses.
    """
    if name not in NAMES:
        near = difflib.get_close_matches(str(name).lower(), NAMES, 1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"data set {name!r} is unknown{meant} (known: {', '.join(NAMES)})")
    if name == "digits":
        return digits(train) if path is None else load(recognise(path), path, train)
    return {"mnist": mnist, "cifar10": cifar10}[name](path, train, download)


def recognise(path: str | Path) -> str:
    """Return which data set a folder holds, by its files' names: ``"mnist"`` or ``"cifar10"``.

    Raises
    ------
    ValueError
        It holds neither, or is no folder.
    """
    names = [*_MNIST, "data_batch_1"]
    remedy = f"name a folder with {names[0]} (MNIST) or {names[-1]} (CIFAR-10), as they are, .gz, .xz or .bin"
    folders = ["mnist", "MNIST/raw", "cifar10", "cifar-10-batches-py", "cifar-10-batches-bin"]
    endings = ("", ".gz", ".xz", ".bin")
    folder = find_folder(path, folders, [f"{name}{end}" for name in names for end in endings], remedy)
    for name, mark in (("mnist", names[0]), ("cifar10", names[-1])):
        if any((folder / f"{mark}{end}").exists() for end in endings):
            return name
    raise ValueError(f"{folder}: neither MNIST nor CIFAR-10; {remedy}")


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
    from sklearn.datasets import load_digits  # slow to import

    pixels, labels = load_digits(return_X_y=True)
    order = generator(0, "digits").permutation(len(labels))
    pixels, labels = (pixels[order] / 16), labels[order].astype(np.uint8)
    images = ((pixels - pixels[:1500].mean()) / pixels[:1500].std()).astype(np.float32)
    name, take = _taken("digits", train, 1500)
    return Dataset(name, images[:take], labels[:take], images[1500:], labels[1500:], 10)


_MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
# name: (bytes unpacked, md5 unpacked, md5 of the .gz)
_MNIST = {
    "train-images-idx3-ubyte": (47_040_016, "6bbc9ace898e44ae57da46a324031adb", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
    "train-labels-idx1-ubyte": (60_008, "a25bea736e30d166cdddb491f175f624", "d53e105ee54ea40749a09fcbcd1e9432"),
    "t10k-images-idx3-ubyte": (7_840_016, "2646ac647ad5339dbf082846283269ea", "9fb629c4189551a2d022fa330f9573f3"),
    "t10k-labels-idx1-ubyte": (10_008, "27ae3e4e09519cfbb04c329615203637", "ec29112dd5afa0611ce80d1b7f02629c"),
}
_MNIST_MEAN, _MNIST_STD = (0.13066,), (0.30811,)


def mnist(path: str | Path | None = None, train: int | None = None, download: bool = False) -> Dataset:
    """Return MNIST: 60,000 + 10,000 grey images 28x28 of digits (LeCun, Bottou, Bengio, Haffner 1998).

    Parameters
    ----------
    path
        The folder with the four IDX files, each as it is or with ``.gz``; a subfolder ``mnist`` or ``MNIST/raw`` of
        it is found too.
    train
        Take only the first so many training images of the file.
    download
        Without a path: download the files, once, into pooch's cache.

    Raises
    ------
    ValueError
        There is neither path nor download, a file is missing, cut short or not the published one, or ``train`` is out
        of range.
    """
    remedy = "models.datasets.mnist(download=True) fetches the original files"
    said, take = _taken("mnist", train, 60_000)
    if path is None:
        if not download:
            raise ValueError(f"mnist: no path was given; name the folder of its four files, or {remedy}")
        for name, (*_, md5) in _MNIST.items():
            path = Path(_fetch(f"{_MNIST_URL}{name}.gz", md5)).parent
    assert path is not None
    folder = find_folder(
        path, ["mnist", "MNIST/raw"], [f"{name}{end}" for name in _MNIST for end in (".gz", "")], remedy
    )
    files = {name: find_file(folder, (f"{name}.gz", name), remedy) for name in _MNIST}

    def read(name: str, header: int) -> np.ndarray:
        size, md5, _ = _MNIST[name]
        return np.frombuffer(read_verified(files[name], md5, size, remedy), np.uint8, offset=header)

    train_x, test_x = (read(f"{part}-images-idx3-ubyte", 16).reshape(-1, 1, 784) for part in ("train", "t10k"))
    train_y, test_y = (read(f"{part}-labels-idx1-ubyte", 8) for part in ("train", "t10k"))
    train_x, test_x = (_standardised([x], _MNIST_MEAN, _MNIST_STD) for x in (train_x[:take], test_x))
    return Dataset(said, train_x, train_y[:take], test_x, test_y, 10)


_CIFAR_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
_CIFAR_MD5 = "c58f30108f718f92721af3b95e74349a"
# name: (bytes, md5) of the Python version, md5 of the binary version, which holds the same images in the same order
_CIFAR = {
    "data_batch_1": (31_035_704, "c99cafc152244af753f735de768cd75f", "5dd7e06a14cb22eb9f671a540d1b7c25"),
    "data_batch_2": (31_035_320, "d4bba439e000b95fd0a9bffe97cbabec", "5ea93a67294ea407fff1d09f752e9692"),
    "data_batch_3": (31_035_999, "54ebc095f3ab1f0389bbae665268c751", "942cd6a4bcdd0dd3c604fbe906cb4421"),
    "data_batch_4": (31_035_696, "634d18415352ddfa80567beed471001a", "ae636b3ba5c66a11e91e8cb52e771fcb"),
    "data_batch_5": (31_035_623, "482c414d41f54cd18b22e5b47cb7c3cb", "53f37980c15c3d472c316c40844f3f0d"),
    "test_batch": (31_035_526, "40351d587109b95175f43aff81a1287e", "803d5f7f4d78ea53de84dbe85f74fb6d"),
}
_CIFAR_MEAN = (0.49139968, 0.48215841, 0.44653091)
_CIFAR_STD = (0.24703223, 0.24348513, 0.26158784)
_CIFAR_BATCH = 10_000  # images in each file


def cifar10(path: str | Path | None = None, train: int | None = None, download: bool = False) -> Dataset:
    """Return CIFAR-10: 50,000 + 10,000 colour images 32x32 in 10 classes (Krizhevsky 2009).

    A row of features is the red plane, then green, then blue. Nothing is unpickled: once the checksum has matched, the
    images lie at a known place.

    Parameters
    ----------
    path
        The folder with ``data_batch_1`` … ``test_batch``: the Python version, as it is or with ``.xz``, or the binary
        version (``.bin``); a subfolder ``cifar10``, ``cifar-10-batches-py`` or ``cifar-10-batches-bin`` of it is
        found too.
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
    remedy = "models.datasets.cifar10(download=True) fetches the original files"
    said, take = _taken("cifar10", train, 50_000)
    if path is None:
        if not download:
            raise ValueError(f"cifar10: no path was given; name the folder of data_batch_1 to test_batch, or {remedy}")
        path = Path(_fetch(_CIFAR_URL, _CIFAR_MD5, pooch.Untar())).parent
    endings = ("", ".xz", ".bin")
    folder = find_folder(
        path,
        ["cifar10", "cifar-10-batches-py", "cifar-10-batches-bin"],
        [f"{name}{end}" for name in _CIFAR for end in endings],
        remedy,
    )
    names = [*list(_CIFAR)[: -(-take // _CIFAR_BATCH)], "test_batch"]
    files = [find_file(folder, [f"{name}{end}" for end in endings], remedy) for name in names]
    with ThreadPoolExecutor() as pool:  # decompression runs outside the interpreter's lock
        read = list(pool.map(_cifar_batch, names, files, [remedy] * len(names)))
    *images, test_x = (x for x, _ in read)
    *labels, test_y = (y for _, y in read)
    images[-1] = images[-1][: take - _CIFAR_BATCH * (len(images) - 1)]
    train_x, test_x = (_standardised(parts, _CIFAR_MEAN, _CIFAR_STD) for parts in (images, [test_x]))
    return Dataset(said, train_x, np.concatenate(labels)[:take], test_x, test_y, 10)


def _cifar_batch(name: str, file: Path, remedy: str) -> tuple[np.ndarray, np.ndarray]:
    """Read the (10000, 3, 1024) images and (10000,) labels of one file."""
    size, md5, binary_md5 = _CIFAR[name]
    if file.suffix == ".bin":
        raw = read_verified(file, binary_md5, _CIFAR_BATCH * 3073, remedy)
        rows = np.frombuffer(raw, np.uint8).reshape(_CIFAR_BATCH, 3073)
        return rows[:, 1:].reshape(_CIFAR_BATCH, 3, 1024), rows[:, 0]
    raw = read_verified(file, md5, size, remedy)
    shift = 1 if name == "test_batch" else 0  # its batch_label is one letter shorter
    image = np.arange(_CIFAR_BATCH)
    labels = np.frombuffer(raw, np.uint8)[61 - shift + 2 * image + 2 * (image // 1000)]
    pixels = np.frombuffer(raw, np.uint8, _CIFAR_BATCH * 3072, 20_218 - shift)
    return pixels.reshape(_CIFAR_BATCH, 3, 1024), labels


def _standardised(parts: list[np.ndarray], mean: tuple[float, ...], std: tuple[float, ...]) -> np.ndarray:
    """Return (count, channels * pixels) float32 features of byte images, given in parts (count, channels, pixels)."""
    features = np.empty((sum(map(len, parts)), *parts[0].shape[1:]), np.float32)
    start = 0
    for part in parts:
        rows = features[start : start + len(part)]
        for channel, (m, s) in enumerate(zip(mean, std, strict=True)):
            np.multiply(part[:, channel], np.float32(1 / (255 * s)), out=rows[:, channel])
            rows[:, channel] -= np.float32(m / s)
        start += len(part)
    return features.reshape(len(features), -1)


def _taken(name: str, train: int | None, whole: int) -> tuple[str, int]:
    """Return the name of a data set with so many training images, and their number."""
    if train is None or train == whole:
        return name, whole
    if not 1 <= train < whole:
        raise ValueError(f"train = {train}: write a number of training images from 1 to {whole:,}")
    return f"{name}[{train}]", train


def _fetch(url: str, md5: str, processor: pooch.Untar | None = None) -> str:
    """Download a file once, check it, unpack it if asked to, and return the path of (one of) its files."""
    try:
        got = pooch.retrieve(
            url, f"md5:{md5}", url.rsplit("/", 1)[1], pooch.os_cache("netsim"), processor, progressbar=False
        )
    except (OSError, ValueError) as error:
        raise ValueError(
            f"{url}: the download failed ({str(error).splitlines()[0]}); fetch it by hand and give its folder"
        ) from None
    return got if isinstance(got, str) else next(name for name in got if name.endswith("data_batch_1"))

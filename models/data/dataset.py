"""The data set that every loader returns."""

from typing import NamedTuple

import numpy as np


class Dataset(NamedTuple):
    """Examples and labels for classification.

    Attributes
    ----------
    name
        Name, with the number of training examples in brackets where not all were taken.
    train_x, test_x
        (examples, features) float32, C-contiguous.
    train_y, test_y
        (examples,) uint8 labels, 0 to classes - 1.
    classes
        Number of classes.
    shape
        (channels, height, width) of an image; a row of features is its channels one after the other, each row by row.
        None where the examples are no images.
    """

    name: str
    train_x: np.ndarray
    train_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    classes: int
    shape: tuple[int, int, int] | None = None

    def __repr__(self) -> str:
        return self.name


def images(data: Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return the training and the test images with their channels last, as convolutions read them.

    Parameters
    ----------
    data
        A data set of images.

    Returns
    -------
    tuple of numpy.ndarray
        Two (images, height, width, channels) float32 views of ``train_x`` and ``test_x``: no copy, so not C-contiguous
        where there are several channels.

    Raises
    ------
    ValueError
        The examples are no images.
    """
    if data.shape is None:
        raise ValueError(f"{data.name}: its examples are no images; use digits, mnist or cifar10")
    train, test = (x.reshape(-1, *data.shape).transpose(0, 2, 3, 1) for x in (data.train_x, data.test_x))
    return train, test


def standardised(parts: list[np.ndarray], mean: tuple[float, ...], std: tuple[float, ...]) -> np.ndarray:
    """Return float32 features of byte images: (pixel / 255 - mean) / standard deviation, by channel.

    Parameters
    ----------
    parts
        The images, uint8, in one or more arrays (count, channels, pixels of a channel).
    mean, std
        Of each channel, on a 0..1 scale.

    Returns
    -------
    numpy.ndarray
        (images, channels * pixels) float32, C-contiguous.
    """
    features = np.empty((sum(map(len, parts)), *parts[0].shape[1:]), np.float32)
    start = 0
    for part in parts:
        rows = features[start : start + len(part)]
        for channel, (m, s) in enumerate(zip(mean, std, strict=True)):
            np.multiply(part[:, channel], np.float32(1 / (255 * s)), out=rows[:, channel])
            rows[:, channel] -= np.float32(m / s)
        start += len(part)
    return features.reshape(len(features), -1)


def taken(name: str, train: int | None, whole: int) -> tuple[str, int]:
    """Return the name of a data set of so many training examples, and their number.

    Parameters
    ----------
    name
        Name of the whole data set.
    train
        How many are asked for; None: all.
    whole
        How many there are.

    Raises
    ------
    ValueError
        ``train`` is not between 1 and ``whole``.
    """
    if train is None or train == whole:
        return name, whole
    if not 1 <= train < whole:
        raise ValueError(f"train = {train}: write a number of training examples from 1 to {whole:,}")
    return f"{name}[{train}]", train

"""Small data sets and models."""

import numpy as np

from netsim.models import Dataset
from netsim.models.data.wikitext import Corpus


def toy(samples, features, classes, seed=0):
    """Return a small data set of normal features and random labels."""
    random = np.random.default_rng(seed)
    x = random.standard_normal((samples + 7, features)).astype(np.float32)
    y = random.integers(classes, size=samples + 7).astype(np.uint8)
    return Dataset("toy", x[:samples], y[:samples], x[samples:], y[samples:], classes)


def images_of_noise(samples=64, side=32):
    """Return a data set of coloured noise, with the sizes of CIFAR-10's images."""
    random, shape = np.random.default_rng(0), (3, side, side)
    x = random.standard_normal((samples, 3 * side**2)).astype(np.float32)
    y = random.integers(10, size=samples).astype(np.uint8)
    return Dataset("noise", x, y, x[:8], y[:8], 10, shape)


def text_of_noise(tokens=4000, words=50):
    """Return a text of words at random."""
    text = np.random.default_rng(0).integers(words, size=tokens).astype(np.int32)
    return Corpus("noise", tuple(map(str, range(words))), text, text[:400], text[:400])


def some_models(task, n, seed=0, scale=0.3, dtype=np.float64):
    size = sum(int(np.prod(shape)) for shape in task.tensors.values())
    return (scale * np.random.default_rng(seed).standard_normal((n, size))).astype(dtype)


def reference(task, x, images, labels):
    """Return one worker's loss, one image and one layer at a time, and its distance from the nearest kink of a ReLU."""
    total, nearest = 0.0, np.inf
    for image, label in zip(images, labels, strict=True):
        out, start = image.astype(float), 0
        shapes = list(task.tensors.values())
        for layer, (inputs, outputs) in enumerate(shapes[::2]):
            weight = x[start : start + inputs * outputs].reshape(inputs, outputs)
            bias = x[start + inputs * outputs : start + (inputs + 1) * outputs]
            start += (inputs + 1) * outputs
            out = out @ weight + bias
            if layer < len(shapes) // 2 - 1:
                nearest = min(nearest, abs(out).min())
                out = out.clip(0)
        total += np.log(np.exp(out).sum()) - out[label]
    return total / len(labels) + getattr(task, "l2", 0.0) / 2 * (x**2).sum(), nearest

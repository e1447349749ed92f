"""Fully connected classifiers, batched over workers: each network is a row of one matrix."""

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import ModuleType
from typing import Any, Protocol

import numpy as np

from netsim.models.data.batches import Batches
from netsim.models.data.datasets import Dataset
from netsim.models.data.partition import split
from netsim.models.draws import generator

Array = Any
EVALUATED = 2000  # training images on which the training loss is evaluated, where there are more


def dense_tensors(widths: Sequence[int]) -> dict[str, tuple[int, ...]]:
    """Return the ordered {name: shape} of a network: per layer a weight (inputs, outputs) and a bias (outputs,)."""
    tensors: dict[str, tuple[int, ...]] = {}
    for layer, (inputs, outputs) in enumerate(pairwise(widths), 1):
        tensors[f"weight{layer}"] = (inputs, outputs)
        tensors[f"bias{layer}"] = (outputs,)
    return tensors


def he_initial(widths: Sequence[int], seed: int) -> np.ndarray:
    """Draw a (P,) float64 model: biases 0, normal weights.

    Their variance is 2/inputs before a ReLU (He et al. 2015), and 1/inputs in the last layer.
    """
    random = generator(seed, "initial")
    parts = []
    for layer, (inputs, outputs) in enumerate(pairwise(widths), 1):
        gain = 1.0 if layer == len(widths) - 1 else 2.0
        parts += [random.standard_normal(inputs * outputs) * np.sqrt(gain / inputs), np.zeros(outputs)]
    return np.concatenate(parts)


class DenseTask(Protocol):
    """The fields of a task that a bound classifier uses."""

    @property
    def data(self) -> Dataset:
        """The data set."""

    @property
    def batch(self) -> int:
        """Images of one worker at one step."""

    @property
    def partition(self) -> str:
        """Name of the partition."""

    @property
    def alpha(self) -> float | None:
        """Its concentration."""

    def initial(self, seed: int) -> np.ndarray:
        """Return the (P,) initial model on the host."""


def bind_dense(
    task: DenseTask, widths: Sequence[int], l2: float, n: int, seed: int, xp: ModuleType, dtype: Any
) -> "DenseClassifier":
    """Partition a task's data among its workers and copy it to a device.

    Parameters
    ----------
    task
        The task.
    widths
        Inputs, widths of the hidden layers, classes.
    l2
        Weight of half the squared norm of the model in the loss.
    n
        Number of workers.
    seed
        Of the partition and of the orders in which the workers read.
    xp, dtype
        Array module of the device, and dtype of the arithmetic, ``"float32"`` or ``"float64"``.

    Raises
    ------
    ValueError
        There are fewer images than workers, or a minibatch is larger than the smallest shard.
    """
    shards = split(task.partition, task.data.train_y, n, seed, task.alpha)
    return DenseClassifier(task, widths, l2, Batches(shards, task.batch, seed, xp), n, xp, dtype)


def check_batch(batch: int) -> None:
    """Raise ValueError unless batch is a positive int."""
    if not isinstance(batch, int) or batch < 1:
        raise ValueError(f"batch = {batch!r}: write a positive whole number of samples")


class DenseClassifier:
    """n networks of equal shape, with ReLU and softmax cross-entropy: a task bound to its workers and a device.

    Made by :func:`bind_dense`. Buffers are reused from call to call, so one object serves one training at a time.

    Attributes
    ----------
    tensors
        Ordered {name: shape} of one network.
    steps_per_epoch
        Whole minibatches in the smallest shard.
    """

    def __init__(
        self, task: DenseTask, widths: Sequence[int], l2: float, batches: Batches, n: int, xp: ModuleType, dtype: Any
    ) -> None:
        self.tensors: Mapping[str, tuple[int, ...]] = dense_tensors(widths)
        self.steps_per_epoch = batches.steps_per_epoch
        self._task, self._l2, self._batches, self._xp, self._dtype = task, l2, batches, xp, np.dtype(dtype)
        data, batch = task.data, task.batch
        self._images = xp.asarray(data.train_x, dtype=dtype)
        self._hot = xp.asarray(np.eye(data.classes, dtype=dtype)[data.train_y])
        chosen = evaluated_subset(len(data.train_x))
        self._seen = xp.asarray(data.train_x[chosen], dtype=dtype), xp.asarray(data.train_y[chosen])
        self._test = xp.asarray(data.test_x, dtype=dtype), xp.asarray(data.test_y)
        self._classes = xp.arange(data.classes)

        size = sum(math.prod(shape) for shape in self.tensors.values())
        self._gradient = xp.empty((n, size), dtype=dtype)
        self._gradient_layers = self._layers(self._gradient)
        self._outputs = [xp.empty((n, width, batch), dtype=dtype) for width in widths[1:]]
        self._errors = [xp.empty((n, width, batch), dtype=dtype) for width in widths[1:-1]]
        self._active = [xp.empty((n, width, batch), dtype=bool) for width in widths[1:-1]]
        self._ones = xp.full((n, batch, 1), 1.0, dtype=dtype)
        self._per_image = 1.0 / batch

    def __repr__(self) -> str:
        return f"{self._task!r} bound to {len(self._gradient)} workers"

    def initial(self, seed: int) -> Array:
        """Return the common initial model of a seed: (P,), on the device."""
        return self._xp.asarray(self._task.initial(seed), dtype=self._dtype)

    @np.errstate(all="ignore")  # a diverged model is a result, not a warning
    def gradient(self, x: Array, step: int) -> tuple[Array, Array]:
        """Return every worker's loss and gradient on its minibatch number ``step``.

        Parameters
        ----------
        x
            (n, P) models; left unchanged.
        step
            From 0.

        Returns
        -------
        loss : (n,)
            Mean loss over the minibatch. A model that has diverged gets inf or NaN, without a warning.
        gradient : (n, P)
            The caller's until the next call of this method, which writes the next gradient into the same memory.
        """
        if x.shape != self._gradient.shape:
            raise ValueError(f"x has shape {x.shape}; this task is bound to (n, P) = {self._gradient.shape}")
        xp, layers = self._xp, self._layers(x)
        index = self._batches.indices(step)
        hidden = [self._images[index].swapaxes(1, 2)]
        for (weight, bias), out in zip(layers, self._outputs, strict=True):
            xp.matmul(weight.swapaxes(1, 2), hidden[-1], out=out)
            out += bias
            if out is not self._outputs[-1]:
                xp.maximum(out, 0, out=out)
            hidden.append(out)

        logits, hot = hidden.pop(), self._hot[index].swapaxes(1, 2)
        logits -= logits.max(axis=1, keepdims=True)
        right = (logits * hot).sum(axis=1)
        error = xp.exp(logits, out=logits)
        total = error.sum(axis=1, keepdims=True)
        loss = (xp.log(total[:, 0]) - right).mean(axis=1)
        error /= total
        error -= hot
        error *= self._per_image

        for layer in reversed(range(len(layers))):
            to_weight, to_bias = self._gradient_layers[layer]
            below = hidden[layer]
            xp.matmul(below, error.swapaxes(1, 2), out=to_weight)
            xp.matmul(error, self._ones, out=to_bias)
            if layer:  # the gradient with respect to the images is not needed
                active = xp.greater(below, 0, out=self._active[layer - 1])
                error = xp.matmul(layers[layer][0], error, out=self._errors[layer - 1])
                error *= active
        if self._l2:
            self._gradient += self._l2 * x
            loss += 0.5 * self._l2 * (x * x).sum(axis=1)
        return loss, self._gradient

    @np.errstate(all="ignore")  # a diverged model is a result, not a warning
    def evaluate(self, x: Array) -> dict[str, float]:
        """Evaluate one model.

        Parameters
        ----------
        x
            (P,) one model, on the device.

        Returns
        -------
        dict
            ``loss``: training loss, l2 term included, on the whole training set, or on the first 2,000 images of a
            fixed shuffle where it has more; ``accuracy``: share of test images classified correctly;
            ``test_loss``: mean cross-entropy on them.
        """
        loss, _ = self._measure(x, *self._seen)
        test_loss, accuracy = self._measure(x, *self._test)
        return {"loss": loss + 0.5 * self._l2 * float((x * x).sum()), "accuracy": accuracy, "test_loss": test_loss}

    def activation_bytes(self, workers: int) -> int:
        """Return the bytes of minibatches, activations and their derivatives of so many workers while a gradient is computed.

        That is per image its features, its label as numbers and what is multiplied by it, twice every hidden activation and its mask,
        and the outputs.
        """
        inputs, *hidden, classes = (*(shape[0] for shape in list(self.tensors.values())[::2]), len(self._classes))
        numbers = inputs + 2 * sum(hidden) + 3 * classes + 1
        return workers * self._task.batch * (numbers * self._dtype.itemsize + sum(hidden))

    def evaluation_bytes(self) -> int:
        """Return the bytes of activations while a model is evaluated: of all its images, what comes in and what goes out of the widest layer."""
        *hidden, classes = (shape[0] for shape in list(self.tensors.values())[1::2])
        widest = max([2 * classes, *(a + b for a, b in pairwise([*hidden, classes]))])
        images = max(len(self._seen[0]), len(self._test[0]))
        return images * (widest * self._dtype.itemsize + classes)

    def _measure(self, x: Array, images: Array, labels: Array) -> tuple[float, float]:
        out = images
        for layer, (weight, bias) in enumerate(self._layers(x[None])):
            if layer:
                out = self._xp.maximum(out, 0, out=out)
            out = self._xp.matmul(out, weight[0])
            out += bias[0, :, 0]
        out -= out.max(axis=1, keepdims=True)
        right = (out * (labels[:, None] == self._classes)).sum(axis=1)
        hits = out.argmax(axis=1) == labels
        loss = self._xp.log(self._xp.exp(out).sum(axis=1)) - right
        return float(loss.mean()), float(hits.mean())

    def _layers(self, x: Array) -> list[tuple[Array, Array]]:
        """Return views of (rows, P): per layer the weights (rows, inputs, outputs) and biases (rows, outputs, 1)."""
        layers, start = [], 0
        shapes = list(self.tensors.values())
        for inputs, outputs in shapes[::2]:
            middle, end = start + inputs * outputs, start + (inputs + 1) * outputs
            layers.append((x[:, start:middle].reshape(-1, inputs, outputs), x[:, middle:end, None]))
            start = end
        return layers


def evaluated_subset(samples: int) -> np.ndarray:
    """Return the indices on which the training loss is evaluated: all, or the first 2,000 of a fixed shuffle."""
    if samples <= EVALUATED:
        return np.arange(samples)
    return generator(0, "evaluated").permutation(samples)[:EVALUATED]

"""Image classification with convolutional networks: the task, and the task bound to its workers and device."""

import math
from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np

from netsim.models.data.augment import draw_moves, moved
from netsim.models.data.batches import Batches
from netsim.models.data.datasets import Dataset
from netsim.models.data.partition import check_kind, split
from netsim.models.dense import check_batch, evaluated_subset
from netsim.models.fields import Alpha, AtOnce, Batch, Kind
from netsim.models.image_bytes import Convolution, Sizes, elsewhere, kept, passing, times, total
from netsim.models.layers.array_pool import release_unused
from netsim.models.layers.cross_entropy import cross_entropy, cross_entropy_back
from netsim.models.parallel import check_at_once, over_workers, threads

Array = Any
Tensors = Mapping[str, tuple[int, ...]]


@dataclass(frozen=True, eq=False)
class ImageTask:
    """The common part of image networks; subclasses add the layers.

    Parameters
    ----------
    data
        The data set: rows of features are images, one colour plane after the other.
    batch
        Images that one worker reads at one step.
    partition
        Partition of the data: ``"iid"``, ``"dirichlet"``, ``"contiguous"`` or ``"by_label"`` (:mod:`netsim.models.data.partition`).
    alpha
        Concentration of the ``"dirichlet"`` partition; left out for the others.
    reshuffle
        Redistribute all images in every epoch, as Vogels et al. 2020 (PowerGossip) did.
    partial
        End every epoch with a smaller minibatch of what is left, as they did: 49 steps for CIFAR-10, 8 workers and a
        batch of 128.
    augment
        Pad every training image with 4 black pixels on each side, crop it at random, and mirror every other one.
    chunk
        Workers computed at once on a GPU; None takes all. Bit-identical where each worker's product is computed alone
        (NumPy); on a GPU the library may choose another product for another number of workers, equal to rounding.
    samples
        Images of a minibatch computed at once, where all of them would not fit; None takes all. The gradient is the
        weighted sum of the parts', equal to about 1e-6 in float32. Not with batch norm.

    Raises
    ------
    ValueError
        A field is out of range, or two contradict each other.

    Notes
    -----
    Train with ``task.bind(n, seed)``. Unbound, ``gradient`` and ``evaluate`` bind anew at every call: correct, and slow.
    """

    data: Dataset
    batch: Batch = 32
    partition: Kind = "iid"
    alpha: Alpha | None = None
    reshuffle: bool = False
    partial: bool = False
    augment: bool = False
    chunk: AtOnce | None = None
    samples: AtOnce | None = None

    def __post_init__(self) -> None:
        check_batch(self.batch)
        check_kind(self.partition, self.alpha)
        if self.reshuffle and self.partition != "iid":
            raise ValueError(
                f'reshuffle deals all images out anew, whatever partition = "{self.partition}" says: leave one out'
            )
        check_at_once(self.chunk, self.samples, "images")
        self.image_shape  # noqa: B018 - refuses features that are no images

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of an image: square, of one channel or three."""
        features = self.data.train_x.shape[1]
        for channels in (1, 3):
            side = math.isqrt(features // channels)
            if channels * side**2 == features:
                return channels, side, side
        raise ValueError(f"{features} features are no square image of one channel or three")

    @property
    @abstractmethod
    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Ordered {name: shape} of one model."""

    @property
    @abstractmethod
    def statistics(self) -> dict[str, tuple[int, ...]]:
        """Ordered {name: shape} of one worker's running statistics of batch normalisation."""

    @abstractmethod
    def initial(self, seed: int) -> np.ndarray:
        """Return the (P,) float64 initial model of a seed."""

    @abstractmethod
    def forward(self, p: Mapping[str, Array], x: Array, running: Array, training: bool) -> tuple[Array, list]:
        """Return the logits (w, B, classes) of images x (w, B, H, W, C), and what :meth:`backward` needs.

        p are (w, …) views by name, ``running`` the (w, Q) running statistics. In training these are updated in place.
        """

    @abstractmethod
    def backward(self, dlogits: Array, kept: list, gradient: Mapping[str, Array]) -> None:
        """Write the derivatives by every tensor into ``gradient``, given those by the logits; ``kept`` is used up."""

    @property
    @abstractmethod
    def kept_numbers(self) -> int:
        """Numbers that :meth:`forward` keeps of one image for :meth:`backward`."""

    @property
    @abstractmethod
    def convolutions(self) -> list[Convolution]:
        """The 3x3 convolutions, in order."""

    @abstractmethod
    def arrays(self, training: bool) -> tuple[dict[int, int], int]:
        """Return what one image takes on a CPU: {numbers: count} of :mod:`netsim.models.layers.array_pool`, and other numbers.

        Counts are of arrays alive at once, in training for :meth:`backward`; the other numbers are those of NumPy's
        arrays when they are most. Scratch of 3x3 convolutions is in neither.
        """

    def bind(
        self, n: int, seed: int, xp: ModuleType = np, dtype: Any = "float32", keys: Callable[..., Any] | None = None
    ) -> "ImageClassifier":
        """Partition the data among n workers and copy it to a device.

        Parameters
        ----------
        n, seed
            Number of workers; seed of the partition, of the orders in which they read and of the augmentation.
        xp, dtype
            Array module of the device; ``"float32"`` or ``"float64"``.
        keys
            Makes the keys of the augmentation's draws on the device: ``keys(seed, purpose, rows, round, xp=xp)`` returns
            an object whose ``bits(size)`` are (rows, size) uint32. Without it they are drawn on the host
            (:func:`netsim.models.draws.generator`): other numbers, as good.

        Raises
        ------
        ValueError
            There are fewer images than workers, or a minibatch is larger than the smallest shard.
        """
        return ImageClassifier(self, n, seed, xp, dtype, keys)

    def gradient(self, x: Array, step: int, buffers: Array) -> tuple[Array, Array, Array]:
        """Bind with seed 0, then :meth:`ImageClassifier.gradient`; x is (n, P) and buffers (n, Q), on the host."""
        return self.bind(len(x), 0, np, x.dtype).gradient(x, step, buffers)

    def evaluate(self, x: Array, buffers: Array) -> dict[str, float]:
        """Bind to one worker, then :meth:`ImageClassifier.evaluate`; x is (P,) and buffers (Q,), on the host."""
        return self.bind(1, 0, np, x.dtype).evaluate(x, buffers)


class ImageClassifier:
    """n networks of equal shape on images: a task bound to its workers and a device; made by :meth:`ImageTask.bind`.

    Attributes
    ----------
    tensors
        Ordered {name: shape} of one network.
    steps_per_epoch
        Minibatches in an epoch.
    """

    def __init__(
        self, task: ImageTask, n: int, seed: int, xp: ModuleType, dtype: Any, keys: Callable[..., Any] | None
    ) -> None:
        release_unused()  # memory of another task's sizes
        data = task.data
        shards = split(task.partition, data.train_y, n, seed, task.alpha)
        self._batches = Batches(shards, task.batch, seed, xp, task.partial, task.reshuffle)
        self.tensors, self.steps_per_epoch = task.tensors, self._batches.steps_per_epoch
        self._task, self._n, self._seed, self._xp, self._dtype, self._keys = task, n, seed, xp, np.dtype(dtype), keys

        def on_device(images: np.ndarray) -> Array:
            return xp.asarray(images, dtype=dtype).reshape(len(images), *task.image_shape)

        self._images, self._labels = on_device(data.train_x), xp.asarray(data.train_y)
        chosen = evaluated_subset(len(data.train_x))
        self._seen = on_device(data.train_x[chosen]), xp.asarray(data.train_y[chosen])
        self._test = on_device(data.test_x), xp.asarray(data.test_y)
        self._black = self._images.min(axis=(0, 2, 3)) if task.augment else None
        self._gradient = xp.empty((n, _size(self.tensors)), dtype=dtype)

    def __repr__(self) -> str:
        return f"{self._task!r} bound to {self._n} workers"

    def initial(self, seed: int) -> Array:
        """Return the common initial model of a seed: (P,), on the device."""
        return self._xp.asarray(self._task.initial(seed), dtype=self._dtype)

    def initial_buffers(self, n: int) -> Array:
        """Return the running statistics of n workers before the first batch: means 0, variances 1; (n, Q)."""
        parts = [np.full(shape, float(name.endswith("var"))) for name, shape in self._task.statistics.items()]
        one = np.concatenate([np.zeros(0), *parts])
        return self._xp.tile(self._xp.asarray(one, dtype=self._dtype), (n, 1))

    @np.errstate(all="ignore")  # a diverged model is a result, not a warning
    def gradient(self, x: Array, step: int, buffers: Array) -> tuple[Array, Array, Array]:
        """Return every worker's loss, gradient and running statistics after its minibatch number ``step``.

        Parameters
        ----------
        x
            (n, P) models; left unchanged.
        step
            From 0.
        buffers
            (n, Q) running statistics before the step; left unchanged.

        Returns
        -------
        loss : (n,)
            Mean loss over the minibatch. A model that has diverged gets inf or NaN, without a warning.
        gradient : (n, P)
            The caller's until the next call of this method, which writes the next gradient into the same memory.
        buffers : (n, Q)
            New memory.
        """
        if x.shape != self._gradient.shape:
            raise ValueError(f"x has shape {x.shape}; this task is bound to (n, P) = {self._gradient.shape}")
        task, xp = self._task, self._xp
        index = self._batches.indices(step)
        moves = draw_moves(self._n, index.shape[1], self._seed, step, xp, self._keys) if task.augment else None
        loss, buffers = xp.zeros(self._n, dtype=self._dtype), buffers.copy()
        batch = index.shape[1]
        at_once = min(task.samples or batch, batch)

        def work(rows: slice) -> None:
            gradient, running = self._gradient[rows], buffers[rows]
            more = gradient if at_once == batch else xp.empty_like(gradient)
            for first in range(0, batch, at_once):
                part = slice(first, min(first + at_once, batch))
                own_moves = None if moves is None else moves[rows, :, part]
                share = (part.stop - first) / batch
                into = more if first else gradient
                loss[rows] += self._part(x[rows], index[rows, part], own_moves, running, share, into)
                if first:
                    gradient += more

        over_workers(work, self._n, xp, task.chunk)
        return loss, self._gradient, buffers

    def _part(
        self, x: Array, index: Array, moves: Array | None, running: Array, share: float, gradient: Array
    ) -> Array:
        """Return the loss (w,) of some workers on part of their minibatch, times its share; so is what is written to ``gradient``."""
        task = self._task
        logits, kept = task.forward(named(self.tensors, x), self._pick(index, moves), running, True)
        loss, kept_loss = cross_entropy(logits, self._labels[index])
        error = cross_entropy_back(kept_loss)
        if share < 1:
            error *= share
        task.backward(error, kept, named(self.tensors, gradient))
        return loss * share

    @np.errstate(all="ignore")  # a diverged model is a result, not a warning
    def evaluate(self, x: Array, buffers: Array) -> dict[str, float]:
        """Evaluate one model with running statistics.

        Parameters
        ----------
        x
            (P,) one model, on the device.
        buffers
            (Q,) its running statistics: the mean over the workers, for the average model.

        Returns
        -------
        dict
            ``loss``: mean cross-entropy on the training images, as they are, or on the first 2,000 of a fixed shuffle
            where there are more; ``accuracy``: share of test images classified correctly; ``test_loss``:
            mean cross-entropy on them.
        """
        loss, _ = self._measure(x, buffers, *self._seen)
        test_loss, accuracy = self._measure(x, buffers, *self._test)
        return {"loss": loss, "accuracy": accuracy, "test_loss": test_loss}

    def activation_bytes(self, workers: int) -> int:
        """Return the bytes of images, activations and scratch that are alive at once while a gradient is computed.

        A CPU computes only as many workers at once as there are threads. How they are counted: :mod:`netsim.models.image_bytes`.
        """
        task, itemsize = self._task, self._dtype.itemsize
        images = min(task.samples or task.batch, task.batch)
        second = 0 if images == task.batch else _size(self.tensors) * itemsize  # gradient, added to the first
        if self._xp is np:
            taken = min(workers, threads()) * (passing(task, images, itemsize, True) + second)
            return total(self._kept_by_gradients(workers)) + taken
        return min(workers, task.chunk or workers) * (elsewhere(task, images, itemsize, True) + second)

    def evaluation_bytes(self) -> int:
        """Return the bytes of images, activations and scratch that are alive at once while a model is evaluated."""
        task, at_once, itemsize = self._task, _at_once(self._xp), self._dtype.itemsize
        if self._xp is np:
            return total(self._kept_by_evaluation()) + threads() * passing(task, at_once, itemsize, False)
        most = max(len(self._seen[0]), len(self._test[0]))
        return elsewhere(task, min(at_once, most), itemsize, False)

    def lasting_bytes(self, workers: int) -> tuple[int, int, int]:
        """Return the bytes that stay from step to step: of what gradients take, of what an evaluation takes, of both.

        On a CPU that is the memory that :mod:`netsim.models.layers.array_pool` keeps; an evaluation uses that of a gradient again
        where arrays have the same size.
        """
        if self._xp is not np:
            return 0, 0, 0
        gradients, evaluation = self._kept_by_gradients(workers), self._kept_by_evaluation()
        return total(gradients), total(evaluation), total(gradients | evaluation)

    def _kept_by_gradients(self, workers: int) -> Sizes:
        """Return the memory that is kept after an epoch: also for its last minibatch, and for the last part of one, where these are smaller."""
        task, itemsize, together = self._task, self._dtype.itemsize, min(workers, threads())
        minibatches, found = [task.batch], Counter[int]()
        if task.partial:
            shards = split(task.partition, task.data.train_y, workers, self._seed, task.alpha)
            minibatches.append(min(map(len, shards)) % task.batch)
        parts = {min(task.samples or batch, batch) for batch in minibatches}
        parts |= {batch % task.samples for batch in minibatches if task.samples}
        for images in parts - {0}:
            found |= times(kept(task, images, itemsize, True), together)
        return found

    def _kept_by_evaluation(self) -> Sizes:
        """Return the memory that is kept after an evaluation: of all parts, and of a smaller one beside others."""
        at_once, itemsize, found = _at_once(np), self._dtype.itemsize, Counter[int]()
        part = kept(self._task, at_once, itemsize, False)
        for images in (len(self._seen[0]), len(self._test[0])):
            whole, rest = divmod(images, at_once)
            found |= times(part, min(whole, threads()))
            if rest:
                last = kept(self._task, rest, itemsize, False)
                found |= times(part, min(whole, threads() - 1)) + last
        return found

    def _pick(self, index: Array, moves: Array | None) -> Array:
        """Return the images (w, B, H, W, C) of indices (w, B), moved as drawn."""
        images = self._images[index]
        if moves is None:
            return self._xp.ascontiguousarray(images.transpose(0, 1, 3, 4, 2))
        return moved(images, moves, self._black)

    def _measure(self, x: Array, buffers: Array, images: Array, labels: Array) -> tuple[float, float]:
        """Return mean loss and accuracy of one model; a part of the images at a time, on the threads of a CPU."""
        xp, at_once = self._xp, _at_once(self._xp)
        p, running = named(self.tensors, x[None]), buffers[None]

        def work(part: slice) -> tuple[Array, Array]:
            chosen = slice(part.start * at_once, part.stop * at_once)
            pixels = xp.ascontiguousarray(images[chosen].transpose(0, 2, 3, 1))[None]
            logits, _ = self._task.forward(p, pixels, running, False)
            truth = labels[None, chosen]
            loss, _ = cross_entropy(logits, truth)
            return loss[0] * truth.shape[1], (logits.argmax(axis=2) == truth).sum()

        parts = over_workers(work, -(-len(images) // at_once), xp, 1)
        loss, hits = (sum(both) for both in zip(*parts, strict=True))
        return float(loss) / len(images), float(hits) / len(images)


def _at_once(xp: ModuleType) -> int:
    """Return how many images are evaluated at once: on a CPU by each thread. On a GPU few enough that a gradient takes more."""
    return 32 if xp is np else 256


def named(tensors: Tensors, x: Array) -> dict[str, Array]:
    """Return views (w, *shape) by name of rows (w, P)."""
    views, start = {}, 0
    for name, shape in tensors.items():
        end = start + math.prod(shape)
        views[name] = x[:, start:end].reshape(len(x), *shape)
        start = end
    return views


def _size(tensors: Tensors) -> int:
    return sum(math.prod(shape) for shape in tensors.values())

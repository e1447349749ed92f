"""Softmax regression."""

from dataclasses import dataclass
from types import ModuleType
from typing import Annotated, Any

import numpy as np
from annotated_types import Interval

from netsim.models.data.datasets import Dataset
from netsim.models.data.partition import check_kind
from netsim.models.dense import DenseClassifier, bind_dense, check_batch, dense_tensors
from netsim.models.fields import Alpha, Batch, Kind

Array = Any


@dataclass(frozen=True, eq=False)
class SoftmaxRegression:
    """One linear layer with softmax cross-entropy: convex, and strongly convex with ``l2`` above 0.

    Parameters
    ----------
    data
        The data set.
    batch
        Images that one worker reads at one step.
    partition, alpha
        Partition of the data, as in :class:`netsim.models.mlp.MLP`.
    l2
        The loss is the mean cross-entropy + l2/2 times the squared norm of the model, biases included.

    Raises
    ------
    ValueError
        A field is out of range, or the partition is unknown.

    Notes
    -----
    Train with ``task.bind(n, seed)``; unbound, ``gradient`` and ``evaluate`` do as those of :class:`netsim.models.mlp.MLP`.
    """

    data: Dataset
    batch: Batch = 16
    partition: Kind = "iid"
    alpha: Alpha | None = None
    l2: Annotated[float, Interval(ge=0, le=1e3)] = 0.0

    def __post_init__(self) -> None:
        check_batch(self.batch)
        check_kind(self.partition, self.alpha)
        if not 0 <= self.l2 < np.inf:
            raise ValueError(f"l2 = {self.l2}: write 0 or a positive number")

    @property
    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Ordered {name: shape}: weight1 (inputs, classes), bias1 (classes,)."""
        return dense_tensors(self._widths)

    def initial(self, seed: int) -> np.ndarray:
        """Return the (P,) float64 initial model: zeros, whatever the seed."""
        inputs, classes = self._widths
        return np.zeros((inputs + 1) * classes)

    def bind(self, n: int, seed: int, xp: ModuleType = np, dtype: Any = "float32") -> DenseClassifier:
        """Partition the data among n workers and copy it to a device (:func:`netsim.models.dense.bind_dense`)."""
        return bind_dense(self, self._widths, self.l2, n, seed, xp, dtype)

    def gradient(self, x: Array, step: int) -> tuple[Array, Array]:
        """Bind with seed 0, then :meth:`netsim.models.dense.DenseClassifier.gradient`; x is (n, P) on the host."""
        return self.bind(len(x), 0, np, x.dtype).gradient(x, step)

    def evaluate(self, x: Array) -> dict[str, float]:
        """Bind to one worker, then :meth:`netsim.models.dense.DenseClassifier.evaluate`; x is (P,) on the host."""
        return self.bind(1, 0, np, x.dtype).evaluate(x)

    @property
    def _widths(self) -> tuple[int, int]:
        return self.data.train_x.shape[1], self.data.classes

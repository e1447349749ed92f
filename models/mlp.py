"""The multilayer perceptron."""

from dataclasses import dataclass
from types import ModuleType
from typing import Annotated, Any

import numpy as np
from annotated_types import Len

from netsim.models.data.datasets import Dataset
from netsim.models.data.partition import check_kind
from netsim.models.dense import DenseClassifier, bind_dense, check_batch, dense_tensors, he_initial
from netsim.models.fields import Alpha, Batch, Kind, Width

Array = Any


@dataclass(frozen=True, eq=False)
class MLP:
    """Fully connected layers with ReLU between them and softmax cross-entropy behind the last.

    Parameters
    ----------
    data
        The data set.
    hidden
        Widths of the hidden layers. The default has 272,095 parameters on 8x8 digits: messages as large as ResNet-20's.
    batch
        Images that one worker reads at one step.
    partition
        Partition of the data: ``"iid"``, ``"dirichlet"``, ``"contiguous"`` or ``"by_label"`` (:mod:`netsim.models.data.partition`).
    alpha
        Concentration of the ``"dirichlet"`` partition; left out for the others.

    Raises
    ------
    ValueError
        A field is out of range, or the partition is unknown.

    Notes
    -----
    Train with ``task.bind(n, seed)``. Unbound, ``gradient`` and ``evaluate`` bind anew at every call, with seed 0 and
    as many workers as x has rows: correct, and slow.
    """

    data: Dataset
    hidden: Annotated[tuple[Width, ...], Len(1, 100)] = (485, 485)
    batch: Batch = 16
    partition: Kind = "iid"
    alpha: Alpha | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "hidden", tuple(self.hidden))
        if not self.hidden or any(not isinstance(width, int) or width < 1 for width in self.hidden):
            raise ValueError(f"hidden = {self.hidden}: write the width of each hidden layer, such as (485, 485)")
        check_batch(self.batch)
        check_kind(self.partition, self.alpha)

    @property
    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Ordered {name: shape}: weight1 (inputs, width), bias1 (width,), …"""
        return dense_tensors(self._widths)

    def initial(self, seed: int) -> np.ndarray:
        """Return the (P,) float64 initial model of a seed (:func:`netsim.models.dense.he_initial`)."""
        return he_initial(self._widths, seed)

    def bind(self, n: int, seed: int, xp: ModuleType = np, dtype: Any = "float32") -> DenseClassifier:
        """Partition the data among n workers and copy it to a device (:func:`netsim.models.dense.bind_dense`)."""
        return bind_dense(self, self._widths, 0.0, n, seed, xp, dtype)

    def gradient(self, x: Array, step: int) -> tuple[Array, Array]:
        """Bind with seed 0, then :meth:`netsim.models.dense.DenseClassifier.gradient`; x is (n, P) on the host."""
        return self.bind(len(x), 0, np, x.dtype).gradient(x, step)

    def evaluate(self, x: Array) -> dict[str, float]:
        """Bind to one worker, then :meth:`netsim.models.dense.DenseClassifier.evaluate`; x is (P,) on the host."""
        return self.bind(1, 0, np, x.dtype).evaluate(x)

    @property
    def _widths(self) -> tuple[int, ...]:
        return (self.data.train_x.shape[1], *self.hidden, self.data.classes)

"""Least squares with a known optimum, to compare theory and measurement."""

from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np

from netsim.models.data.batches import Batches
from netsim.models.draws import generator

Array = Any


@dataclass(frozen=True, eq=False)
class LeastSquares:
    """Worker i minimises f_i(x) = mean over its samples of (a · x - y)²/2; all together, the mean of the f_i.

    So f_i(x) = x·H_i x/2 - b_i·x + const, with H_i = A_iᵀ A_i / samples and b_i = A_iᵀ y_i / samples.

    Parameters
    ----------
    features
        (n, samples, dimension) float64: A_i of each worker.
    targets
        (n, samples) float64: y_i of each worker.
    batch
        None: full gradients, H_i x - b_i. A number: number of the worker's own samples per step, in an order
        reshuffled every epoch.

    Raises
    ------
    ValueError
        The shapes do not fit, or batch is not between 1 and samples.

    Notes
    -----
    Unbound, it computes on the host and reads its samples in the order of seed 0.
    """

    features: np.ndarray
    targets: np.ndarray
    batch: int | None = None

    def __post_init__(self) -> None:
        for name in ("features", "targets"):  # rows in lists, as a file has them
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, np.asarray(getattr(self, name), dtype=float))
        if np.ndim(self.features) != 3 or np.shape(self.targets) != np.shape(self.features)[:2]:
            raise ValueError(
                f"features {np.shape(self.features)} and targets {np.shape(self.targets)} do not fit: "
                "write (n, samples, dimension) and (n, samples)"
            )
        samples = self.features.shape[1]
        if self.batch is not None and not 1 <= self.batch <= samples:
            raise ValueError(
                f"batch = {self.batch}: write None (full gradients) or a number of samples from 1 to {samples}"
            )

    @classmethod
    def random(
        cls,
        n: int,
        dimension: int,
        seed: int = 0,
        same_hessian: bool = True,
        samples: int | None = None,
        batch: int | None = None,
        spread: float = 1.0,
    ) -> "LeastSquares":
        """Draw a problem.

        Parameters
        ----------
        n, dimension
            Number of workers, and of parameters.
        seed
            Of the draw.
        same_hessian
            Every worker has the same features, hence the same Hessian, and targets of its own; False: features of its
            own too.
        samples
            Samples of a worker; by default 4 * dimension, for which the Hessian's eigenvalues lie between about 1/4
            and 9/4.
        batch
            As the attribute.
        spread
            Standard deviation of each worker's own solution about the common one, and of the noise on the targets; 0:
            one exact solution for all.
        """
        samples = samples or 4 * dimension
        random = generator(seed, "least squares")
        features = random.standard_normal((1 if same_hessian else n, samples, dimension))
        features = np.broadcast_to(features, (n, samples, dimension)).copy()
        solutions = random.standard_normal(dimension) + spread * random.standard_normal((n, dimension))
        noise = spread * random.standard_normal((n, samples))
        targets = np.einsum("nsd,nd->ns", features, solutions) + noise
        return cls(features, targets, batch)

    def __repr__(self) -> str:
        n, samples, dimension = self.features.shape
        return f"LeastSquares(n={n}, samples={samples}, dimension={dimension}, batch={self.batch})"

    @cached_property
    def hessians(self) -> np.ndarray:
        """H_i of each worker: (n, dimension, dimension) float64."""
        return self.features.swapaxes(1, 2) @ self.features / self.features.shape[1]

    @cached_property
    def linear(self) -> np.ndarray:
        """b_i of each worker: (n, dimension) float64."""
        return np.einsum("nsd,ns->nd", self.features, self.targets) / self.features.shape[1]

    @cached_property
    def constants(self) -> np.ndarray:
        """f_i(0) of each worker: (n,) float64."""
        return (self.targets**2).mean(axis=1) / 2

    @cached_property
    def optimum(self) -> np.ndarray:
        """The minimiser of the mean of the f_i: (dimension,) float64."""
        return np.linalg.solve(self.hessians.mean(axis=0), self.linear.mean(axis=0))

    @cached_property
    def optimal_loss(self) -> float:
        """The mean of the f_i at the optimum."""
        return float(self.constants.mean() - self.linear.mean(axis=0) @ self.optimum / 2)

    @property
    def tensors(self) -> dict[str, tuple[int, ...]]:
        """Ordered {name: shape}: the one vector ``x``."""
        return {"x": (self.features.shape[2],)}

    def initial(self, seed: int) -> np.ndarray:
        """Return the (dimension,) float64 initial model: zeros, whatever the seed."""
        return np.zeros(self.features.shape[2])

    def bind(self, n: int, seed: int, xp: ModuleType = np, dtype: Any = "float64") -> "BoundLeastSquares":
        """Copy the problem to a device.

        Parameters
        ----------
        n
            Number of workers, which must be that of the problem.
        seed
            Of the orders in which the workers read their samples.
        xp, dtype
            Array module of the device, and dtype of the arithmetic.

        Raises
        ------
        ValueError
            n is not the problem's.
        """
        return BoundLeastSquares(self, n, seed, xp, dtype)

    def gradient(self, x: Array, step: int) -> tuple[Array, Array]:
        """Bind with seed 0, then :meth:`BoundLeastSquares.gradient`; x is (n, dimension) on the host."""
        return self.bind(len(x), 0, np, x.dtype).gradient(x, step)

    def evaluate(self, x: Array) -> dict[str, float]:
        """Bind, then :meth:`BoundLeastSquares.evaluate`; x is (dimension,) on the host."""
        return self.bind(len(self.features), 0, np, x.dtype).evaluate(x)


class BoundLeastSquares:
    """A least-squares problem on a device; made by :meth:`LeastSquares.bind`.

    Attributes
    ----------
    tensors
        Ordered {name: shape}.
    steps_per_epoch
        Whole minibatches in a worker's samples; 1 with full gradients.
    """

    def __init__(self, task: LeastSquares, n: int, seed: int, xp: ModuleType, dtype: Any) -> None:
        workers, samples, dimension = task.features.shape
        if n != workers:
            raise ValueError(
                f"n = {n}: this least-squares problem was made for {workers} workers; use a topology of {workers}"
            )
        self._task, self._xp, self._dtype = task, xp, np.dtype(dtype)
        self.tensors = task.tensors
        self.steps_per_epoch = 1
        self._hessians, self._linear, self._constants = (
            xp.asarray(a, dtype=dtype) for a in (task.hessians, task.linear, task.constants)
        )
        self._mean_hessian = xp.asarray(task.hessians.mean(axis=0), dtype=dtype)
        self._optimum = xp.asarray(task.optimum, dtype=dtype)
        if task.batch is not None:
            shards = np.arange(n * samples).reshape(n, samples)
            self._batches = Batches(list(shards), task.batch, seed, xp)
            self.steps_per_epoch = self._batches.steps_per_epoch
            self._features = xp.asarray(task.features.reshape(-1, dimension), dtype=dtype)
            self._targets = xp.asarray(task.targets.reshape(-1), dtype=dtype)

    def __repr__(self) -> str:
        return repr(self._task)

    def initial(self, seed: int) -> Array:
        """Return the common initial model: zeros, (dimension,), on the device."""
        return self._xp.asarray(self._task.initial(seed), dtype=self._dtype)

    @np.errstate(all="ignore")  # a diverged model is a result, not a warning
    def gradient(self, x: Array, step: int) -> tuple[Array, Array]:
        """Return every worker's loss and gradient, on all of its samples or on its minibatch number ``step``.

        Parameters
        ----------
        x
            (n, dimension) models; left unchanged.
        step
            From 0.

        Returns
        -------
        loss : (n,)
            f_i, or its mean over the minibatch.
        gradient : (n, dimension)
            A new array.
        """
        if self._task.batch is None:
            curved = self._xp.matmul(self._hessians, x[:, :, None])[:, :, 0]
            loss = ((0.5 * curved - self._linear) * x).sum(axis=1) + self._constants
            return loss, curved - self._linear
        index = self._batches.indices(step)
        features = self._features[index]
        residual = self._xp.matmul(features, x[:, :, None])[:, :, 0] - self._targets[index]
        gradient = self._xp.matmul(residual[:, None, :], features)[:, 0, :] * (1.0 / self._task.batch)
        return 0.5 * (residual * residual).mean(axis=1), gradient

    @np.errstate(all="ignore")  # a diverged model is a result, not a warning
    def evaluate(self, x: Array) -> dict[str, float]:
        """Evaluate one model.

        Parameters
        ----------
        x
            (dimension,) one model, on the device.

        Returns
        -------
        dict
            ``loss``: the mean of all f_i, on all samples; ``excess``: how far that is above the optimum, exact also
            where it is tiny.
        """
        off = x - self._optimum
        excess = float(0.5 * (off * self._xp.matmul(self._mean_hessian, off)).sum())
        return {"loss": self._task.optimal_loss + excess, "excess": excess}

"""Which samples a worker reads at a step: its own shard, reshuffled every epoch."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from models.draws import generator

Array = Any


class Batches:
    """The minibatches of n workers, a function of (seed, worker, step) alone.

    In every epoch worker i reads its shard in an order of its own, drawn by (seed, "order", i, epoch). An epoch has
    as many steps as the smallest shard has whole minibatches; what is left of a shard is not read in that epoch.

    Parameters
    ----------
    shards
        n arrays of sample indices.
    batch
        Samples of one worker at one step.
    seed
        Seed of the orders.
    xp
        Array module on whose device the indices are wanted.

    Attributes
    ----------
    steps_per_epoch
        Steps in one epoch, at least 1.

    Raises
    ------
    ValueError
        The minibatch is larger than the smallest shard.
    """

    def __init__(self, shards: Sequence[np.ndarray], batch: int, seed: int, xp: ModuleType) -> None:
        smallest = min(len(shard) for shard in shards)
        if batch > smallest:
            raise ValueError(
                f"batch = {batch} is more than the {smallest} samples of the smallest of {len(shards)} shards: "
                f"use batch <= {smallest}, fewer workers or more data"
            )
        self.steps_per_epoch = smallest // batch
        self._shards, self._batch, self._seed, self._xp = shards, batch, seed, xp
        self._epoch, self._plan = -1, None

    def indices(self, step: int) -> Array:
        """Return the (n, batch) sample indices of step number ``step`` (from 0), on the device."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:  # one copy to the device an epoch
            self._epoch, self._plan = epoch, self._xp.asarray(self._order(epoch))
        return self._plan[position]  # type: ignore[index]

    def _order(self, epoch: int) -> np.ndarray:
        steps, batch = self.steps_per_epoch, self._batch
        orders = [
            generator(self._seed, "order", worker, epoch).permutation(shard)[: steps * batch]
            for worker, shard in enumerate(self._shards)
        ]
        return np.ascontiguousarray(np.stack(orders).reshape(-1, steps, batch).swapaxes(0, 1))

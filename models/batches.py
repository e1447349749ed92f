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
    as many steps as the smallest shard has whole minibatches; what is left of a shard is not read in that epoch. With
    ``partial`` one more step reads what is left of the smallest shard, and as much of every other.

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
    partial
        End every epoch with a smaller minibatch, where the smallest shard is no whole number of them.
    reshuffle
        Deal all samples out anew in every epoch, by a shuffle drawn by (seed, "deal", epoch), as Vogels et al. 2020 did:
        of the shards only the sizes matter then.

    Attributes
    ----------
    steps_per_epoch
        Steps in one epoch, at least 1.

    Raises
    ------
    ValueError
        The minibatch is larger than the smallest shard.
    """

    def __init__(
        self,
        shards: Sequence[np.ndarray],
        batch: int,
        seed: int,
        xp: ModuleType,
        partial: bool = False,
        reshuffle: bool = False,
    ) -> None:
        smallest = min(len(shard) for shard in shards)
        if batch > smallest:
            raise ValueError(
                f"batch = {batch} is more than the {smallest} samples of the smallest of {len(shards)} shards: "
                f"use batch <= {smallest}, fewer workers or more data"
            )
        self._read = smallest if partial else smallest - smallest % batch  # samples of one worker in an epoch
        self.steps_per_epoch = -(-self._read // batch)
        self._shards, self._batch, self._seed, self._xp, self._reshuffle = shards, batch, seed, xp, reshuffle
        self._epoch = -1
        self._plan: list[Array] = []

    def indices(self, step: int) -> Array:
        """Return the (n, batch) sample indices of step number ``step`` (from 0), on the device."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:  # one copy to the device an epoch
            self._epoch, self._plan = epoch, [self._xp.asarray(part) for part in self._order(epoch)]
        return self._plan[position]

    def _order(self, epoch: int) -> list[np.ndarray]:
        shards = self._shards
        if self._reshuffle:
            dealt = generator(self._seed, "deal", 0, epoch).permutation(np.concatenate(shards))
            shards = np.split(dealt, np.cumsum([len(shard) for shard in shards])[:-1])
        orders = [
            generator(self._seed, "order", worker, epoch).permutation(shard)[: self._read]
            for worker, shard in enumerate(shards)
        ]
        rows = np.stack(orders)
        return [
            np.ascontiguousarray(rows[:, start : start + self._batch]) for start in range(0, self._read, self._batch)
        ]

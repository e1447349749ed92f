"""Minibatches: each worker reads its own shard, reshuffled every epoch."""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from netsim.models.draws import generator

Array = Any


class Batches:
    """The minibatches of n workers, a function of (seed, worker, step) alone.

    In every epoch worker i reads its shard in an order of its own, drawn by (seed, "order", i, epoch). An epoch has
    as many steps as the smallest shard has whole minibatches; the remainder of a shard is not read in that epoch. With
    ``partial`` one more step reads what is left of the smallest shard, and as much of every other. ``steps_per_epoch``
    is the number of steps in an epoch, at least 1.

    An epoch's orders are copied to the device at once, those of the first when this is made, those of the next one in the
    last step of an epoch: before the step that reads them, unless steps are skipped.

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
        Redistribute all samples in every epoch, by a shuffle drawn by (seed, "deal", epoch), as Vogels et al. 2020 did:
        of the shards only the sizes matter then.

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
        self._orders: dict[int, Array] = {0: self._order(0)}  # of this epoch, and from its last step on of the next

    def indices(self, step: int) -> Array:
        """Return the (n, batch) sample indices of step number ``step`` (from 0), on the device."""
        epoch, position = divmod(step, self.steps_per_epoch)
        if epoch not in self._orders:  # steps were skipped
            self._orders = {epoch: self._order(epoch)}
        order = self._orders[epoch]
        if position == self.steps_per_epoch - 1 and epoch + 1 not in self._orders:
            self._orders = {epoch: order, epoch + 1: self._order(epoch + 1)}
        size = len(self._shards) * self._batch
        return order[position * size : (position + 1) * size].reshape(len(self._shards), -1)

    def _order(self, epoch: int) -> Array:
        """Return an epoch's indices on the device, by one copy: step after step, each (n, batch), in a row."""
        shards = self._shards
        if self._reshuffle:
            dealt = generator(self._seed, "deal", 0, epoch).permutation(np.concatenate(shards))
            shards = np.split(dealt, np.cumsum([len(shard) for shard in shards])[:-1])
        orders = [
            generator(self._seed, "order", worker, epoch).permutation(shard)[: self._read]
            for worker, shard in enumerate(shards)
        ]
        rows = np.stack(orders)
        steps = [rows[:, start : start + self._batch].ravel() for start in range(0, self._read, self._batch)]
        return self._xp.asarray(np.concatenate(steps))

"""Embedding: each word's row of a matrix, of all workers at once."""

from typing import Any

import numpy as np
from array_api_compat import array_namespace
from scipy.sparse import csr_array

Array = Any


def embedding(weight: Array, words: Array) -> tuple[Array, tuple]:
    """Look words up.

    Parameters
    ----------
    weight
        (w, vocabulary, width): a matrix for each worker.
    words
        (w, ...) whole numbers from 0 to vocabulary - 1.

    Returns
    -------
    y : (w, ..., width)
        A new array.
    kept : tuple
        What :func:`embedding_back` needs.
    """
    xp = array_namespace(weight)
    workers = xp.arange(len(words)).reshape(-1, *[1] * (words.ndim - 1))
    return weight[workers, words], (words, weight.shape[1])


def embedding_back(dy: Array, kept: tuple, dweight: Array | None = None) -> Array:
    """Return the derivative with respect to the matrix: each word's row is the sum over its occurrences.

    The order of every sum is fixed, on every device: words are sorted first, and no two threads add to one number.

    Parameters
    ----------
    dy
        (w, ..., width) derivative with respect to y.
    kept
        From :func:`embedding`.
    dweight
        (w, vocabulary, width): added to, in place, where given, as where the decoder has the same matrix; else zeros.
    """
    xp = array_namespace(dy)
    words, vocabulary = kept
    if dweight is None:
        dweight = xp.zeros((len(dy), vocabulary, dy.shape[-1]), dtype=dy.dtype)
    words, dy = words.reshape(len(dy), -1), dy.reshape(len(dy), -1, dy.shape[-1])
    if isinstance(dy, np.ndarray):
        for worker in range(len(dy)):
            order = np.argsort(words[worker], kind="stable")
            found, first = np.unique(words[worker][order], return_index=True)
            parts = np.ones(len(order), dy.dtype), order, np.append(first, len(order))
            dweight[worker][found] += csr_array(parts, shape=(len(found), len(order))) @ dy[worker]
        return dweight
    return _sorted_sums(dy, words, dweight)


def _sorted_sums(dy: Array, words: Array, dweight: Array) -> Array:
    """Add runs of equal words by doubling strides: a few launches, whatever the words, and none that has to wait."""
    xp = array_namespace(dy)
    w, vocabulary, width = dweight.shape
    count = words.shape[1]
    row = (words.astype(xp.int64) + vocabulary * xp.arange(w)[:, None]).ravel()
    order = xp.argsort(row * len(row) + xp.arange(len(row)))  # no two alike, so that every sort is stable
    row, total = row[order], dy.reshape(-1, width)[order]
    stride = 1
    while stride < count:  # afterwards the last of a run holds the run's sum
        same = (row[stride:] == row[:-stride])[:, None]
        total[stride:] += total[:-stride] * same
        stride *= 2
    every = xp.arange(w * vocabulary)
    last = xp.maximum(xp.searchsorted(row, every, side="right") - 1, 0)
    dweight += xp.where((row[last] == every)[:, None], total[last], dy.dtype.type(0)).reshape(dweight.shape)
    return dweight

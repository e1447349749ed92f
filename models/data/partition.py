"""Partitions: which worker holds which samples.

Each function takes the labels, the number of workers n and a seed, and returns n arrays of indices that hold every
sample exactly once. Their sizes differ by at most one.
"""

import difflib
from collections.abc import Sequence

import numpy as np

from netsim.models.draws import generator

KINDS = ("iid", "dirichlet", "contiguous", "by_label")


def iid(labels: np.ndarray, n: int, seed: int) -> list[np.ndarray]:
    """Deal a random shuffle of the samples out to n workers.

    Parameters
    ----------
    labels
        (samples,) labels; only their number matters here.
    n
        Number of workers.
    seed
        Seed of the shuffle.

    Returns
    -------
    list of numpy.ndarray
        n arrays of int64 indices.

    Raises
    ------
    ValueError
        There are fewer samples than workers.
    """
    _check(labels, n)
    return np.array_split(generator(seed, "partition").permutation(len(labels)), n)


def contiguous(labels: np.ndarray, n: int, seed: int = 0) -> list[np.ndarray]:
    """Cut the samples, in the order of their file, into n runs; parameters and errors as in :func:`iid`."""
    _check(labels, n)
    return np.array_split(np.arange(len(labels)), n)


def by_label(labels: np.ndarray, n: int, seed: int = 0) -> list[np.ndarray]:
    """Sort the samples by label, then cut into n runs: each worker sees few classes.

    Samples of one label stay in the order of their file; nothing is drawn. Parameters and errors as in :func:`iid`.
    """
    _check(labels, n)
    return np.array_split(np.argsort(labels, kind="stable"), n)


def dirichlet(labels: np.ndarray, n: int, seed: int, alpha: float) -> list[np.ndarray]:
    """Give each worker its own mixture of classes, drawn from a Dirichlet distribution.

    As Hsu, Qi and Brown 2019 (arXiv 1909.06335) do: worker i's mixture is drawn from Dirichlet(alpha * classes *
    frequency of each class); its samples are drawn by that mixture, without replacement, from what the workers before
    it have left. When a class runs out, the mixture is renormalised over the other classes; when all classes of the
    mixture have run out, the remaining samples decide. So shards are of equal size (to one sample), and none is empty, but
    the mixtures of the last workers are constrained.

    Parameters
    ----------
    labels
        (samples,) labels.
    n
        Number of workers.
    seed
        Seed of the mixtures and of the samples drawn.
    alpha
        Concentration per class, above 0: small is one class a worker, large is the mixture of the whole.

    Returns
    -------
    list of numpy.ndarray
        n arrays of int64 indices.

    Raises
    ------
    ValueError
        There are fewer samples than workers, or alpha is not above 0.
    """
    _check(labels, n)
    _check_alpha(alpha)
    _, members, counts = np.unique(labels, return_inverse=True, return_counts=True)
    random = generator(seed, "partition")
    prior = alpha * len(counts) * counts / len(labels)
    shuffled = random.permutation(len(labels))
    stock = [shuffled[members[shuffled] == k] for k in range(len(counts))]
    shards = []
    for size in (len(part) for part in np.array_split(shuffled, n)):
        take = _take(random, random.dirichlet(prior), np.array([len(s) for s in stock]), size)
        shards.append(np.concatenate([s[:k] for s, k in zip(stock, take, strict=True)]))
        stock = [s[k:] for s, k in zip(stock, take, strict=True)]
    return shards


def split(kind: str, labels: np.ndarray, n: int, seed: int, alpha: float | None = None) -> list[np.ndarray]:
    """Partition by name.

    Parameters
    ----------
    kind
        ``"iid"``, ``"dirichlet"``, ``"contiguous"`` or ``"by_label"``: the functions of this module.
    labels, n, seed
        As in :func:`iid`.
    alpha
        The concentration, for ``"dirichlet"`` alone.

    Raises
    ------
    ValueError
        The name is unknown, alpha is missing or not wanted, or the function refuses.
    """
    check_kind(kind, alpha)
    if kind == "dirichlet":
        assert alpha is not None
        return dirichlet(labels, n, seed, alpha)
    return {"iid": iid, "contiguous": contiguous, "by_label": by_label}[kind](labels, n, seed)


def check_kind(kind: str, alpha: float | None) -> None:
    """Raise ValueError unless kind is a partition's name and alpha is there exactly when it is wanted."""
    if kind not in KINDS:
        near = difflib.get_close_matches(str(kind), KINDS, 1)
        meant = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"partition = {kind!r} is unknown{meant} (known: {', '.join(KINDS)})")
    if kind == "dirichlet":
        _check_alpha(alpha)
    elif alpha is not None:
        raise ValueError(
            f'alpha = {alpha}: only partition = "dirichlet" takes alpha; leave it out for partition = "{kind}"'
        )


def _take(random: np.random.Generator, mixture: np.ndarray, stock: np.ndarray, size: int) -> np.ndarray:
    """Draw a worker's number of samples of each class: at most the stock, ``size`` in all."""
    take = np.zeros_like(stock)
    while (missing := size - take.sum()) > 0:
        weight = mixture * (take < stock)
        if weight.sum() == 0:
            weight = (stock - take).astype(float)
        take = np.minimum(take + random.multinomial(missing, weight / weight.sum()), stock)
    return take


def _check_alpha(alpha: float | None) -> None:
    if alpha is None or not 0 < alpha < np.inf:
        raise ValueError(
            f'alpha{": missing;" if alpha is None else f" = {alpha}:"} partition = "dirichlet" needs a number above 0, '
            "such as 0.1 (few classes a worker) or 100 (nearly all alike)"
        )


def _check(labels: Sequence | np.ndarray, n: int) -> None:
    if n < 1:
        raise ValueError(f"n = {n}: at least one worker is needed")
    if n > len(labels):
        raise ValueError(
            f"n = {n} workers cannot share {len(labels)} samples: use at most {len(labels)} workers or more data"
        )

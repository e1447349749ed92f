"""A task with matrices, whose workers pull to different targets."""

import numpy as np


class Quadratic:
    """Worker i pulls its model to its own target, with noise; the first ``alike`` have the same target and noise, and so no difference at all until
    their neighbours tell.
    """

    tensors = {"a": (6, 2, 4), "b": (4,), "c": (9, 5), "d": ()}  # noqa: RUF012

    shapes = ((6, 8), (1, 4), (9, 5), (1, 1))

    def __init__(self, n, alike=1):
        self.alike = alike
        self.targets = self._draw(n, 0)

    def __repr__(self):
        return f"Quadratic(alike={self.alike})"

    def _draw(self, n, step):
        rng = np.random.default_rng(step)
        parts = [rng.normal(size=(n, rows, columns)) * 0.5 ** np.arange(columns) for rows, columns in self.shapes]
        rows = np.concatenate([part.reshape(n, -1) for part in parts], axis=1)
        rows[: self.alike] = rows[0]
        return rows

    def initial(self, seed):
        return np.zeros(98)

    def gradient(self, x, step):
        return ((x - self.targets) ** 2).sum(axis=1), x - self.targets + 0.1 * self._draw(len(x), step + 1)

    def evaluate(self, x):
        return {"loss": float(((x - self.targets) ** 2).sum())}

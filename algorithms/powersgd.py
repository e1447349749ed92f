"""PowerSGD: Vogels, Karimireddy, Jaggi 2019, *PowerSGD: Practical Low-Rank Gradient Compression for Distributed Optimization*."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from array_api_compat import array_namespace

from algorithms.legend import short_repr
from algorithms.matrices import joined, matrices, orthonormal, stacked, standard_normal
from algorithms.protocol import Array, Claims, Comm, Gradient, Holder


class PowerSGDState(NamedTuple):
    """State of PowerSGD.

    Attributes
    ----------
    x
        (n, P): the models, all equal.
    error
        (n, P): what every worker's update lost and still has to be sent.
    right
        For every matrix (columns, rank): the right factor of the last round, known to all.
    velocity
        (n, P): the momentum of the aggregate, the same at all workers; zeros where ``momentum`` is 0.
    """

    x: Array
    error: Array
    right: tuple[Array, ...]
    velocity: Array


@dataclass(frozen=True, repr=False)
class PowerSGD:
    """Centralized SGD on low-rank approximations of the average update, by one step of power iteration over all-reduce, with error feedback.

    For every matrix of the workers' updates G_i, with errors E_i from 0 and Q warm-started:

    .. math::
        M_i = G_i + E_i, \\qquad P = \\mathrm{orth}\\Big(\\frac1n \\sum_i M_i Q\\Big), \\qquad Q \\leftarrow \\frac1n \\sum_i M_i^T P, \\qquad
        E_i = M_i - P P^T M_i, \\qquad x \\leftarrow x - γ P Q^T

    Source: Vogels et al. 2019, Algorithms 1 and 2.

    Attributes
    ----------
    rank
        Columns of P and Q, of each matrix at most min(rows, columns). P is orthonormalised by QR.
    momentum
        λ of momentum at the aggregate, as Algorithm 2 has it: m ← λ m + Δ, x ← x - γ (Δ + m), with Δ what was decoded. 0: none, x ← x - γ Δ. The
        experiment's own momentum is another: it belongs to the update, before compression.

    Notes
    -----
    Sent: the finished update (clipped, decayed, with momentum), as two ring all-reduces a round in full precision: of all P together with the tensors
    of fewer than two dimensions, which are not compressed, then of all Q. Held beside model and update: the error, and Q of every matrix.
    Overlap: none; the sums wait for the gradient, the step for the sums.

    Everybody's error is what its own part of the average lost, M_i - P Pᵀ M_i; as only their average enters, the models would be the same with
    M_i - P Qᵀ. Where Q would become exactly zero, as of a layer without gradient, the matrix keeps its Q, which could not leave zero otherwise.
    """

    rank: int
    momentum: float = 0.0

    __repr__ = short_repr
    claims: ClassVar[Claims] = Claims(
        mean=None, limit="all-reduce", contracts=None, exact=(("rank", 2**30), ("momentum", 0.0))
    )

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise ValueError(f"PowerSGD: rank = {self.rank}: must be at least 1")

    @property
    def holders(self) -> Mapping[str, Holder]:
        """The right factors are the same everywhere; a momentum of 0 nobody needs."""
        return {"right": "all", "velocity": "worker" if self.momentum else "nobody"}

    def init(self, x: Array, comm: Comm) -> PowerSGDState:
        """Start from the common model, no errors, and right factors from a stream that all share."""
        xp = array_namespace(x)
        found, _ = matrices(comm.tensors, self.rank)
        sizes = [m.columns * m.rank for m in found]
        numbers = standard_normal(comm.key("PowerSGD start", shared=True)[:1], sum(sizes), x.dtype)[0]
        right, start = [], 0
        for m, size in zip(found, sizes, strict=True):
            right.append(numbers[start : start + size].reshape(m.columns, m.rank))
            start += size
        return PowerSGDState(x, xp.zeros_like(x), tuple(right), xp.zeros_like(x))

    def step(self, state: PowerSGDState, gradient: Gradient, lr: float, comm: Comm) -> PowerSGDState:
        """Take one step, the same at every worker."""
        update = gradient(state.x) + state.error
        found, others = matrices(comm.tensors, self.rank)
        products = [stacked(update, m) @ q for m, q in zip(found, state.right, strict=True)]
        mean = comm.all_reduce(_side_by_side([*products, joined(update, others)]))[0]
        xp = array_namespace(update)
        decoded, error, start, bases = xp.empty_like(update), update.copy(), 0, []
        for m in found:
            bases.append(orthonormal(mean[start : start + m.rows * m.rank].reshape(m.rows, m.rank)))
            start += m.rows * m.rank
        for at in others:
            decoded[:, at] = mean[None, start : start + at.stop - at.start]
            error[:, at] = 0
            start += at.stop - at.start
        own = [stacked(update, m).transpose(0, 2, 1) @ p for m, p in zip(found, bases, strict=True)]
        right, start = [], 0
        mean = comm.all_reduce(_side_by_side(own))[0] if found else mean
        for m, p, q_own, q_before in zip(found, bases, own, state.right, strict=True):
            q = mean[start : start + m.columns * m.rank].reshape(m.columns, m.rank)
            start += m.columns * m.rank
            error[:, m.at] -= (p @ q_own.transpose(0, 2, 1)).reshape(len(update), -1)
            decoded[:, m.at] = (p @ q.T).reshape(1, -1)
            right.append(xp.where((q != 0).any(), q, q_before))
        velocity = self.momentum * state.velocity + decoded if self.momentum else state.velocity
        step = decoded + velocity if self.momentum else decoded
        return PowerSGDState(state.x - lr * step, error, tuple(right), velocity)


def _side_by_side(parts: list[Array]) -> Array:
    return array_namespace(parts[0]).concat([part.reshape(len(part), -1) for part in parts], axis=1)

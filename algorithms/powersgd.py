"""PowerSGD: Vogels, Karimireddy, Jaggi 2019, *PowerSGD: Practical Low-Rank Gradient Compression for Distributed Optimization*."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import ClassVar, NamedTuple

from array_api_compat import array_namespace

from netsim.algorithms.description import short_repr
from netsim.algorithms.kernels.low_rank import (
    Group,
    grouped,
    joined,
    magnitudes,
    matrices,
    orthonormal_parts,
    owners,
    parts,
    side_by_side,
    stacked,
    standard_normal,
    ungrouped,
)
from netsim.algorithms.protocol import Array, Claims, Comm, Gradient, Holder


class PowerSGDState(NamedTuple):
    """State of PowerSGD.

    Attributes
    ----------
    x
        (n, P): the models, all equal.
    error
        (n, P): what every worker's update lost and still has to be sent.
    right
        (columns,): the right factors of the last round, (columns, rank) of one matrix after the other, known to all.
    velocity
        (n, P): the momentum of the aggregate, the same at all workers; zeros where ``momentum`` is 0.
    """

    x: Array
    error: Array
    right: Array
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
        sizes = matrices(comm.tensors, self.rank, x).each(_width).sizes
        right = standard_normal(comm.key("PowerSGD start", shared=True)[:1], sum(sizes), x.dtype)[0]
        return PowerSGDState(x, xp.zeros_like(x), right, xp.zeros_like(x))

    def step(self, state: PowerSGDState, gradient: Gradient, lr: float, comm: Comm) -> PowerSGDState:
        """Take one step, the same at every worker."""
        update = gradient(state.x) + state.error
        xp, layout = array_namespace(update), matrices(comm.tensors, self.rank, update)
        groups, order = layout.groups, layout.each(_width)
        tall = tuple((group.number, group.rows, group.rank) for group in groups)
        wide = tuple((group.number, group.columns, group.rank) for group in groups)
        update, q_before = grouped(update, layout.models), grouped(state.right, order)
        own = [stacked(update, group) for group in groups]
        products = [m @ q for m, q in zip(own, parts(q_before, wide), strict=True)]
        mean = comm.all_reduce(side_by_side([*products, joined(update, layout.others)], xp))[0]
        size = sum(map(prod, tall))
        left = parts(orthonormal_parts(mean[:size], tall, xp), tall)
        q_own = [m.swapaxes(2, 3) @ p for m, p in zip(own, left, strict=True)]
        q = comm.all_reduce(side_by_side(q_own, xp))[0] if groups else q_before
        decoded = xp.empty((1, update.shape[1]), dtype=update.dtype)
        for group, m, p, q_mine, q_mean in zip(groups, own, left, q_own, parts(q, wide), strict=True):
            m -= p @ q_mine.swapaxes(2, 3)  # what it lost
            stacked(decoded, group)[...] = p @ q_mean.swapaxes(1, 2)
        for at, whole in zip(layout.others, parts(mean[size:], layout.lengths), strict=True):
            decoded[:, at] = whole
            update[:, at] = 0
        alive = magnitudes(q, wide, xp) != 0
        right = xp.where(alive.take(owners(wide, xp), axis=-1), q, q_before)
        error, decoded = (ungrouped(y, layout.models) for y in (update, decoded))
        velocity = self.momentum * state.velocity + decoded if self.momentum else state.velocity
        step = decoded + velocity if self.momentum else decoded
        return PowerSGDState(state.x - lr * step, error, ungrouped(right, order), velocity)


def _width(group: Group) -> int:
    """Return how many numbers the right factor of each matrix of a group has."""
    return group.columns * group.rank

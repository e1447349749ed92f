"""PowerSGD: Vogels, Karimireddy, Jaggi 2019, *PowerSGD: Practical Low-Rank Gradient Compression for Distributed Optimization*."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, NamedTuple

from annotated_types import Interval
from array_api_compat import array_namespace

from netsim.algorithms.description import short_repr
from netsim.algorithms.kernels.low_rank import (
    fill,
    grouped,
    magnitudes,
    matrices,
    orthonormal_parts,
    others,
    others_joined,
    owners,
    parts,
    products,
    side_by_side,
    stacks,
    standard_normal,
    transposed,
    ungrouped,
)
from netsim.algorithms.protocol import Array, Claims, Comm, Gradient, Holder
from netsim.algorithms.ranges import Rank, check_fields
from netsim.algorithms.starts import check_start, given_factors


class PowerSGDState(NamedTuple):
    """State of PowerSGD.

    Attributes
    ----------
    x
        (n, P): the models, all equal.
    error
        (n, P): the compression error of every worker's update, not yet sent.
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

    Parameters
    ----------
    rank
        Columns of P and Q, of each matrix at most min(rows, columns). P is orthonormalised by QR.
    momentum
        λ of momentum at the aggregate, as Algorithm 2 has it: m ← λ m + Δ, x ← x - γ (Δ + m), with Δ what was decoded. 0: none, x ← x - γ Δ. The
        experiment's own momentum is another: it belongs to the update, before compression.
    start
        {tensor's name: its first right factor Q}, such as another implementation's: (columns, r) for a matrix (rows, columns), with
        r = min(rank, rows, columns). None, and tensors that are not named: drawn, standard normal, from a stream that all share.

    Notes
    -----
    Sent: the finished update (clipped, decayed, with momentum), as two ring all-reduces a round in full precision: of all P together with the tensors
    of fewer than two dimensions, which are not compressed, then of all Q. Held beside model and update: the error, and Q of every matrix.
    Overlap: none; the sums wait for the gradient, the step for the sums.

    A worker's error is that of its own part of the average, M_i - P Pᵀ M_i; because only their average enters, the models would be the same with
    M_i - P Qᵀ. Where Q would become exactly zero, as of a layer without gradient, the matrix keeps its Q, which could not leave zero otherwise.
    """

    rank: Rank
    momentum: Annotated[float, Interval(ge=0, le=0.9999)] = 0.0
    start: Any = field(default=None, hash=False)

    __repr__ = short_repr
    claims: ClassVar[Claims] = Claims(
        mean=None, limit="all-reduce", contracts=None, exact=(("rank", 2**30), ("momentum", 0.0))
    )

    def __post_init__(self) -> None:
        check_fields(self)
        check_start("PowerSGD", self.start)

    def check_tensors(self, tensors: Mapping[str, tuple[int, ...]], edges: int) -> None:
        """Raise ValueError, before a training, if the start factors are not those of these tensors."""
        list(given_factors("PowerSGD", self.start or {}, tensors, self.rank, False))

    @property
    def holders(self) -> Mapping[str, Holder]:
        """All workers hold the same right factors; a momentum of 0 is not held."""
        return {"right": "all", "velocity": "worker" if self.momentum else "nobody"}

    def init(self, x: Array, comm: Comm) -> PowerSGDState:
        """Start from the common model, errors of 0, and right factors from a shared stream."""
        xp = array_namespace(x)
        size = sum(matrices(comm.tensors, self.rank, x).right.order.sizes)
        right = standard_normal(comm.key("PowerSGD start", shared=True)[:1], size, x.dtype)[0]
        if self.start is not None:
            right = right.copy()
            for at, factor in given_factors("PowerSGD", self.start, comm.tensors, self.rank, False):
                right[at : at + factor.size] = xp.asarray(factor.astype(right.dtype))
        return PowerSGDState(x, xp.zeros_like(x), right, xp.zeros_like(x))

    def step(self, state: PowerSGDState, gradient: Gradient, lr: float, comm: Comm) -> PowerSGDState:
        """Take one step, the same at every worker."""
        decoded, error, right = self._aggregate(gradient(state.x) + state.error, state.right, comm)
        velocity = self.momentum * state.velocity + decoded if self.momentum else state.velocity
        step = decoded + velocity if self.momentum else decoded
        return PowerSGDState(state.x - lr * step, error, right, velocity)

    def _aggregate(self, update: Array, right: Array, comm: Comm) -> tuple[Array, Array, Array]:
        """Run Algorithm 1 on the updates, (n, P): return what all decode, (1, P), every worker's error, (n, P), and the next right factors."""
        xp, layout = array_namespace(update), matrices(comm.tensors, self.rank, update)
        update, q_before = grouped(update, layout.models), grouped(right, layout.right.order)
        m = stacks(update, layout)
        p_own = products(m, parts(q_before, layout.right.stacks))  # M_i Q
        mean = comm.all_reduce(side_by_side([*p_own, others_joined(update, layout)], xp))[0]
        size = sum(layout.left.order.sizes)
        p = parts(orthonormal_parts(mean[:size], layout.left.stacks, xp), layout.left.stacks)
        q_own = products(transposed(m), p)  # M_iᵀ P
        q_mean = comm.all_reduce(side_by_side(q_own, xp))[0] if m else q_before
        q = parts(q_mean, layout.right.stacks)
        decoded = xp.empty((1, update.shape[1]), dtype=update.dtype)
        fill(decoded, layout, (a @ b.swapaxes(1, 2) for a, b in zip(p, q, strict=True)), mean[size:])  # P Qᵀ
        for matrix, a, b in zip(m, p, q_own, strict=True):
            matrix -= a @ b.swapaxes(2, 3)  # E_i = M_i - P Pᵀ M_i, in place
        for vector in others(update, layout):
            vector[...] = 0
        alive = magnitudes(q_mean, layout.right.stacks, xp) != 0
        right = xp.where(alive.take(owners(layout.right.stacks, xp), axis=-1), q_mean, q_before)
        return ungrouped(decoded, layout.models), ungrouped(update, layout.models), ungrouped(right, layout.right.order)

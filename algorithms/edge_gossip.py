"""Gossip of linearly compressed differences: Algorithm 1 of Vogels, Karimireddy, Jaggi 2020, of which PowerGossip is one case."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from operator import matmul
from typing import Any, ClassVar, Literal, NamedTuple, Protocol

from array_api_compat import array_namespace

from netsim.algorithms.compression.message import Key
from netsim.algorithms.description import short_repr
from netsim.algorithms.kernels.edge_matrices import Ends, edge_ends
from netsim.algorithms.kernels.low_rank import (
    Factors,
    Layout,
    fill,
    grouped,
    matrices,
    orthonormal_parts,
    others_joined,
    others_size,
    parts,
    products,
    side_by_side,
    stacks,
    standard_normal,
    transposed,
    ungrouped,
)
from netsim.algorithms.protocol import Array, Claims, Comm, Gradient, Holder
from netsim.algorithms.ranges import Gamma, Rank, Ratio, check_fields

Tensors = Mapping[str, tuple[int, ...]]


class LinearCompressor(Protocol):
    """A linear map C of models to fewer numbers, drawn for each edge, and its transpose; CᵀC is an orthogonal projection."""

    def draw(self, key: Key, tensors: Tensors, dtype: Any) -> Any:
        """Draw one map for every row of a key, which is an edge."""

    def project(self, y: Array, drawn: Any, tensors: Tensors) -> Array:
        """Return C y, (E, k), of y, (E, P)."""

    def lift(self, z: Array, drawn: Any, tensors: Tensors) -> Array:
        """Return Cᵀ z, (E, P), of z, (E, k)."""


@dataclass(frozen=True, repr=False)
class RandomMask:
    """Keep a random subset of a model's numbers, of fixed size.

    Parameters
    ----------
    ratio
        Share of the P numbers that is kept, max(1, int(ratio · P)) of them: the paper's random p %, δ = ratio.
    """

    ratio: Ratio

    __repr__ = short_repr

    def __post_init__(self) -> None:
        check_fields(self)

    def draw(self, key: Key, tensors: Tensors, dtype: Any) -> Array:
        """Return (E, k): which numbers are kept."""
        size = sum(map(prod, tensors.values()))
        kept = max(1, int(self.ratio * size))
        words = key.bits(size)
        return array_namespace(words).argpartition(words, kept - 1, axis=1)[:, :kept]

    def project(self, y: Array, drawn: Array, tensors: Tensors) -> Array:
        """Return the kept numbers, (E, k)."""
        return array_namespace(y).take_along_axis(y, drawn, axis=1)

    def lift(self, z: Array, drawn: Array, tensors: Tensors) -> Array:
        """Return the kept numbers in their places among zeros, (E, P)."""
        xp = array_namespace(z)
        y = xp.zeros((len(z), sum(map(prod, tensors.values()))), dtype=z.dtype)
        y[xp.arange(len(z))[:, None], drawn] = z
        return y


@dataclass(frozen=True, repr=False)
class Projection:
    """Multiply every matrix by a random orthonormal basis U of ``rank`` vectors, Uᵀ M from the left or M U from the right.

    Tensors of fewer than two dimensions are kept whole.

    Parameters
    ----------
    rank
        At most min(rows, columns) for each matrix. δ is rank / rows from the left, rank / columns from the right.
    side
        "left" or "right".
    """

    rank: Rank = 1
    side: Literal["left", "right"] = "right"

    __repr__ = short_repr

    def __post_init__(self) -> None:
        check_fields(self)

    def draw(self, key: Key, tensors: Tensors, dtype: Any) -> list[Array]:
        """Return a basis for every matrix, (E, number, rows or columns, rank) for those of one group, uniform over all of them."""
        size = sum(self._factors(matrices(tensors, self.rank, None)).order.sizes)
        numbers = standard_normal(key, size, dtype)
        shapes, order = self._factors(matrices(tensors, self.rank, numbers))
        return parts(orthonormal_parts(grouped(numbers, order), shapes, array_namespace(numbers)), shapes)

    def project(self, y: Array, drawn: list[Array], tensors: Tensors) -> Array:
        """Return Uᵀ M or M U of every matrix, then the other tensors."""
        layout = matrices(tensors, self.rank, y)
        y = grouped(y, layout.models)
        m = stacks(y, layout)
        projected = products(transposed(drawn), m) if self.side == "left" else products(m, drawn)
        return side_by_side([*projected, others_joined(y, layout)], array_namespace(y))

    def lift(self, z: Array, drawn: list[Array], tensors: Tensors) -> Array:
        """Return U z or z Uᵀ for every matrix, and the other tensors as they are."""
        layout, left = matrices(tensors, self.rank, z), self.side == "left"
        shapes = [(g.number, g.rank, g.columns) if left else (g.number, g.rows, g.rank) for g in layout.groups]
        projected, size = parts(z, shapes), z.shape[1] - others_size(layout)
        lifted = map(matmul, drawn, projected) if left else map(matmul, projected, transposed(drawn))
        y = array_namespace(z).empty((len(z), sum(layout.models.sizes)), dtype=z.dtype)
        return ungrouped(fill(y, layout, lifted, z[:, size:]), layout.models)

    def _factors(self, layout: Layout) -> Factors:
        return layout.left if self.side == "left" else layout.right


class EdgeGossipState(NamedTuple):
    """State of EdgeGossip.

    Attributes
    ----------
    x
        (n, P): the models.
    ends
        The edges' ends.
    """

    x: Array
    ends: Ends


@dataclass(frozen=True, repr=False)
class EdgeGossip:
    """Gossip on the neighbours' differences, projected by a linear map C that the two ends of an edge share.

    .. math::
        x_i \\leftarrow x_i + γ \\sum_j w_{ij} C_{ij}^T (C_{ij} x_j - C_{ij} x_i)

    Because C is linear, each end sends C applied to its own model.

    Source: Vogels et al. 2020, Algorithm 1. Theorem I: gossip alone contracts the expected squared distance to consensus by 1 - δ ρ or better, where
    E[CᵀC] = δ I and ρ = 1 - max(\\|λ₂\\|, \\|λₙ\\|)² of W; that holds with one C for all edges. With one for each edge of a ring of
    weight w, a mode of eigenvalue λ contracts by 1 - 2δ(1 - λ) + δ²(1 - λ)² + 2δ(1 - δ)w(1 - λ), less than that for the slowest.

    Parameters
    ----------
    compress
        The family of maps: :class:`RandomMask`, :class:`Projection`, or any :class:`LinearCompressor`. Drawn anew in every round.
    gamma
        Rate of the averages.
    shared
        False: every edge draws its own map. True: one map for all edges.
    overlap
        True: x ← Gossip(x) - lr g(x). False: x ← Gossip(x - lr g(x)).

    Notes
    -----
    Sent: C x, both ways along every edge, once a round, in full precision; the draws are known beforehand. Held beside model and update: nothing. All
    edges' updates come from the same models and are applied together, so the average of the models is preserved.

    Overlap: with ``overlap=True`` the exchange runs while the gradient is computed; none otherwise.
    """

    compress: LinearCompressor
    gamma: Gamma = 1.0
    shared: bool = False
    overlap: bool = True

    __repr__ = short_repr

    def __post_init__(self) -> None:
        check_fields(self)

    holders: ClassVar[Mapping[str, Holder]] = {"ends": "nobody"}

    @property
    def claims(self) -> Claims:
        """The mean is exact; the limit is D-PSGD in both orders."""
        return Claims(limit="dpsgd" if self.overlap else "adapt-then-combine")

    def init(self, x: Array, comm: Comm) -> EdgeGossipState:
        """Start from the common model."""
        return EdgeGossipState(x, edge_ends(comm.weights, comm.edges))

    def step(self, state: EdgeGossipState, gradient: Gradient, lr: float, comm: Comm) -> EdgeGossipState:
        """Gossip and take the gradient step: at the models before the gossip, or before it."""
        if self.overlap:
            g = comm.meanwhile(gradient, state.x)
            gossiped = self._gossip(state.x, state.ends, comm)
            comm.join()
            return state._replace(x=gossiped - lr * g)
        return state._replace(x=self._gossip(state.x - lr * gradient(state.x), state.ends, comm))

    def _gossip(self, x: Array, ends: Ends, comm: Comm) -> Array:
        drawn = self.compress.draw(comm.edge_key("EdgeGossip", self.shared), comm.tensors, x.dtype)
        at_low, at_high = (
            self.compress.project(x[workers], drawn, comm.tensors) for workers, _ in (ends.low, ends.high)
        )
        heard_by_low, heard_by_high = comm.exchange(at_low, at_high)
        change = self.compress.lift(heard_by_low - heard_by_high, drawn, comm.tensors)  # both ends know both messages
        moved = x.copy()
        for slot in range(ends.edge.shape[1]):
            moved += self.gamma * ends.rate[:, slot, None] * change[ends.edge[:, slot]]
        return moved

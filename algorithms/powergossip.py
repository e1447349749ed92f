"""PowerGossip: Vogels, Karimireddy, Jaggi 2020, *Practical Low-Rank Communication Compression in Decentralized Deep Learning*."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from annotated_types import Interval
from array_api_compat import array_namespace

from netsim.algorithms.description import short_repr
from netsim.algorithms.kernels.edge_matrices import EdgeMatrices, Ends, edge_ends
from netsim.algorithms.protocol import Array, Claims, Comm, Gradient, Holder
from netsim.algorithms.ranges import Gamma, Rank, check_fields
from netsim.algorithms.starts import check_start, given_factors


class PowerGossipState(NamedTuple):
    """State of PowerGossip.

    Attributes
    ----------
    x
        (n, P): the models.
    vectors
        (E, columns): what an edge projects its difference on next, or, where every iteration draws anew, projected it on last; the same at both
        ends, orthonormal. For one matrix after the other max(rows, columns) entries of ``rank`` numbers, the first ``columns`` of them or the first
        ``rows``, then zeros.
    right
        (E, matrices) bool: whether that edge's vectors of that matrix are multiplied from the right, and are as long as a row.
    ends
        The edges' ends.
    """

    x: Array
    vectors: Array
    right: Array
    ends: Ends


@dataclass(frozen=True, repr=False)
class PowerGossip:
    """Gossip on low-rank approximations of the neighbours' differences, by steps of power iteration that the two ends take together.

    For an edge i < j and a matrix X, with the difference D = X_j - X_i, which neither end knows, and a normalised vector q that both hold:

    .. math::
        v = X_j q - X_i q = D q, \\qquad
        X_i \\leftarrow X_i + γ w_{ij} v q^T, \\quad X_j \\leftarrow X_j - γ w_{ij} v q^T, \\qquad
        q' = v / ||v||

    and at the next iteration the same with D transposed, from the left. The vectors approach the largest singular vectors of D.

    Source: Vogels et al. 2020, Algorithm 2.

    Parameters
    ----------
    rank
        Vectors per matrix, orthonormalised by QR; of each matrix at most min(rows, columns).
    iterations
        Exchanges a round; each sends one vector of every matrix, from the left and from the right in turn.
    warm_start
        True: power iteration, v / ||v|| is the next vector. False: every iteration's vector is drawn anew, uniformly, from a stream of the edge.
    gamma
        Rate of the matrices' averages. Tensors of one dimension are averaged with rate 1.
    apply
        "each": the models move after each iteration, which produced the published tables. "last": they stand still during a round's iterations,
        whose last moves them, as the paper lists it.
    overlap
        True: x ← Gossip(x) - lr g(x), as the paper ran it. False: x ← Gossip(x - lr g(x)).
    start
        {tensor's name: its start vectors}, such as another implementation's: for a matrix (rows, columns) an array (columns, r) for all edges, or
        (E, columns, r) in the order of ``Topology.edges``, with r = min(rank, rows, columns); orthonormalised. None, and tensors that are not
        named: drawn from a stream of the edge.

    Notes
    -----
    Sent, both ways along every edge: ``iterations`` messages a round, each with rows · rank or columns · rank numbers of every matrix, in full
    precision; the first also with all tensors of fewer than two dimensions. Held beside model and update: a vector per matrix and neighbour, and from
    which side it multiplies.

    A tensor of two or more dimensions is a matrix (shape[0], the rest). Where v is exactly zero, as when all models are equal at the start, it
    is sent all the same, and that edge and matrix keep their vector and its side. All edges' updates of an iteration come from the same models and
    are applied together, so the average of the models is preserved.

    Overlap: with ``overlap=True`` all exchanges of a round, one after the other, run while the gradient is computed; none otherwise.
    """

    rank: Rank = 1
    iterations: Annotated[int, Interval(ge=1, le=10_000)] = 1
    warm_start: bool = True
    gamma: Gamma = 1.0
    apply: Literal["each", "last"] = "each"
    overlap: bool = True
    start: Any = field(default=None, hash=False)

    __repr__ = short_repr
    holders: ClassVar[Mapping[str, Holder]] = {"vectors": "edge", "right": "edge", "ends": "nobody"}

    def __post_init__(self) -> None:
        check_fields(self)
        check_start("PowerGossip", self.start)
        if self.start is not None and not self.warm_start:
            raise ValueError(
                "PowerGossip: start with warm_start=False: every vector is drawn anew; leave one of the two out"
            )

    def check_tensors(self, tensors: Mapping[str, tuple[int, ...]], edges: int) -> None:
        """Raise ValueError, before a training, if the start vectors are not those of these tensors and so many edges."""
        list(given_factors("PowerGossip", self.start or {}, tensors, self.rank, True, edges))

    @property
    def claims(self) -> Claims:
        """The mean is exact; the limit is D-PSGD in both orders, with square matrices at full rank."""
        return Claims(
            limit="dpsgd" if self.overlap else "adapt-then-combine", exact=(("rank", 2**30), ("iterations", 1))
        )

    def init(self, x: Array, comm: Comm) -> PowerGossipState:
        """Start from the common model, and vectors drawn from the edges' streams that multiply from the right."""
        ends = edge_ends(comm.weights, comm.edges)
        at = EdgeMatrices(comm.tensors, self.rank, x, ends)
        right = at.all_right(len(comm.edges))
        q = at.draw(comm.edge_key("PowerGossip start"), right, x.dtype)
        _, q, right = at.leave(x, q, right)
        if self.start is not None:
            q = at.orthonormalised(x, self._given(q, comm), right)
        return PowerGossipState(x, q, right, ends)

    def _given(self, drawn: Array, comm: Comm) -> Array:
        """Return drawn factors with the start vectors that were given in their places."""
        xp, q = array_namespace(drawn), drawn.copy()
        edges = len(comm.edges)
        for at, factor in given_factors("PowerGossip", self.start, comm.tensors, self.rank, True, edges):
            q[:, at : at + factor.shape[-1]] = xp.asarray(factor.astype(q.dtype))
        return q

    def step(self, state: PowerGossipState, gradient: Gradient, lr: float, comm: Comm) -> PowerGossipState:
        """Gossip and take the gradient step: at the models before the gossip, or before it."""
        if self.overlap:
            g = comm.meanwhile(gradient, state.x)
            after = self._gossip(state, comm)
            comm.join()
            return after._replace(x=after.x - lr * g)
        return self._gossip(state._replace(x=state.x - lr * gradient(state.x)), comm)

    def _gossip(self, state: PowerGossipState, comm: Comm) -> PowerGossipState:
        """Run Algorithm 2 along all edges i < j, with the difference D = X_j - X_i of every matrix, and average the other tensors."""
        at = EdgeMatrices(comm.tensors, self.rank, state.x, state.ends)
        x, q, right = at.enter(state.x, state.vectors, state.right)
        for s in range(self.iterations):
            if not self.warm_start:
                q = at.draw(comm.edge_key(f"PowerGossip {s}"), right, x.dtype)
            side = at.spread(right)
            at_low, at_high = at.products(x, q, side, others=s == 0)  # X_i q and X_j q, or Xᵀ q
            heard_by_low, heard_by_high = comm.exchange(at_low, at_high, at.numbers(right, others=s == 0))
            v, difference = at.split(heard_by_low - heard_by_high)  # v = D q: higher end minus lower end
            if self.apply == "each" or s == self.iterations - 1:
                at.add_products(x, self.gamma, v, q, side)  # X_i += γ w_ij v qᵀ, X_j -= γ w_ij v qᵀ
            if s == 0:
                at.add_others(x, difference)
            largest = at.magnitudes(v)
            changed = largest > 0
            if self.warm_start:
                q = at.where(changed, at.orthonormal(v, largest), q)  # v / ||v||
            right = right ^ changed
        return PowerGossipState(*at.leave(x, q, right), state.ends)

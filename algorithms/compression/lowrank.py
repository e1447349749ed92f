"""Low rank: each matrix as the product of two thin ones."""

from dataclasses import dataclass
from types import ModuleType
from typing import Annotated, ClassVar, Literal

import numpy as np
from annotated_types import Interval
from array_api_compat import array_namespace

from netsim.algorithms.compression.identity import decode_numbers, encode_numbers
from netsim.algorithms.compression.message import Array, CompressorClaims, Key, Message, Tensors, Wire, same_bits
from netsim.algorithms.compression.spans import check_rows
from netsim.algorithms.description import short_repr
from netsim.algorithms.kernels.low_rank import (
    bases,
    fill_others,
    grouped,
    in_columns,
    matrices,
    multiply_columns,
    others_joined,
    parts,
    products,
    side_by_side,
    stacks,
    standard_normal,
    transposed,
    ungrouped,
)
from netsim.algorithms.ranges import Rank, check_fields


@dataclass(frozen=True, repr=False)
class LowRank:
    """Send each matrix M as P Qᵀ of a small rank: its projection on a random, or a power-iterated, part of its columns.

    A tensor of two or more dimensions is the matrix (shape[0], rest), its rank r = min(rank, rows, columns). With Ω,
    (columns, r) standard normal numbers from ``key.shared()``: the same for all workers, independent of data, never
    sent, P = orth(M Ω); then ``iterations`` times P ← orth(M orth(Mᵀ P)); Q = Mᵀ P; C(M) = P Qᵀ = P Pᵀ M, where orth is
    an orthonormal basis of the columns. Halko, Martinsson, Tropp 2011; PowerSGD (Vogels, Karimireddy, Jaggi 2019) started
    afresh in each message.

    A row sends, of each matrix in order, the r columns of P, then the r columns of Q: r (rows + columns) numbers, also
    where that is more than the matrix has; then the tensors of one dimension or none as they are. All are billed 32
    bits a number (``encode`` writes 64 at float64).

    Parameters
    ----------
    rank
        1 or more.
    iterations
        Power iterations, 0 or more; 0 is the random projection. They cost computing, and nothing on the wire.
    unit
        ``"tensor"``; no other makes a matrix.

    Notes
    -----
    An orthogonal projection, so never ‖C(x) − x‖ > ‖x‖, and biased. A contraction of each matrix in the mean over Ω:
    E‖C(M) − M‖² ≤ (1 − δ) ‖M‖² with δ = r / min(rows, columns), up to rounding; an iteration never makes the error
    larger, and many bring it to the least that rank r allows (Eckart and Young). A matrix with a NaN or an infinity
    decodes to NaN.

    Raises
    ------
    ValueError
        A field is out of its range.
    """

    rank: Rank
    iterations: Annotated[int, Interval(ge=0, le=1000)] = 0
    unit: Literal["tensor"] = "tensor"

    __repr__ = short_repr
    claims: ClassVar[CompressorClaims] = CompressorClaims(unbiased=False)

    def __post_init__(self) -> None:
        check_fields(self)

    def compress(self, x: Array, key: Key, tensors: Tensors) -> Message:
        """Factorize the matrices of the rows of x, (rows, P) float32 or float64."""
        check_rows(x, tensors)
        with np.errstate(all="ignore"):  # a diverged model is a result
            sent = self._numbers(x, key, tensors)
            value = self._values(sent, tensors)
        return Message(value, same_bits(x, 32 * sent.shape[1]), {"numbers": sent}, tensors)

    def _numbers(self, x: Array, key: Key, tensors: Tensors) -> Array:
        """Return what is sent."""
        xp, layout = array_namespace(x), matrices(tensors, self.rank, x)
        x, (shapes, order) = grouped(x, layout.models), layout.right
        omega = parts(grouped(standard_normal(key.shared(), sum(order.sizes), x.dtype), order), shapes)
        m, numbers = stacks(x, layout), list[Array]()
        for some in layout.batches:
            p, q = self._factors(m[some], omega[some], xp)
            numbers += map(in_columns, p, q)
        factors = [ungrouped(side_by_side(numbers, xp), layout.both.order)] if numbers else []
        return side_by_side([*factors, others_joined(x, layout)], xp)

    def _factors(self, m: list[Array], omega: list[Array], xp: ModuleType) -> tuple[list[Array], list[Array]]:
        """Return P, (n, number, rows, r), and Q, (n, number, columns, r), of some stacks of matrices M."""
        p = bases(products(m, omega), xp)  # orth(M Ω)
        for _ in range(self.iterations):
            p = bases(products(m, bases(products(transposed(m), p), xp)), xp)  # orth(M orth(Mᵀ P))
        return p, products(transposed(m), p)

    def _values(self, sent: Array, tensors: Tensors) -> Array:
        """Multiply out what is sent: sender and receiver both call this."""
        layout = matrices(tensors, self.rank, sent)
        shapes, order = layout.both
        size = sum(order.sizes)
        factors = parts(grouped(sent[:, :size], order), [(number, length * rank) for number, length, rank in shapes])
        value = array_namespace(sent).empty((len(sent), sum(layout.models.sizes)), dtype=sent.dtype)
        for group, both, out in zip(layout.groups, factors, stacks(value, layout), strict=True):
            multiply_columns(both, group, out)
        fill_others(value, layout, sent[:, size:])
        return ungrouped(value, layout.models)

    def encode(self, message: Message) -> Wire:
        """Write the numbers of all tensors in order, little-endian."""
        return encode_numbers(message.codes["numbers"], message.tensors)

    def decode(self, wire: Wire) -> np.ndarray:
        """Return the (rows, P) value on the host."""
        with np.errstate(all="ignore"):
            return self._values(decode_numbers(wire), wire.tensors)

"""Low rank: each matrix as the product of two thin ones."""

from dataclasses import dataclass
from operator import matmul
from types import ModuleType
from typing import ClassVar

import numpy as np
from array_api_compat import array_namespace

from netsim.algorithms.compression.identity import decode_numbers, encode_numbers
from netsim.algorithms.compression.message import Array, CompressorClaims, Key, Message, Tensors, Wire, same_bits
from netsim.algorithms.compression.spans import Unit, check_rows, row_blocks
from netsim.algorithms.description import short_repr
from netsim.algorithms.kernels.low_rank import (
    Group,
    bases,
    grouped,
    joined,
    matrices,
    parts,
    side_by_side,
    stacked,
    standard_normal,
    ungrouped,
)


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

    rank: int
    iterations: int = 0
    unit: Unit = "tensor"

    __repr__ = short_repr
    claims: ClassVar[CompressorClaims] = CompressorClaims(unbiased=False)

    def __post_init__(self) -> None:
        for name, least in (("rank", 1), ("iterations", 0)):
            number = getattr(self, name)
            if not isinstance(number, int) or isinstance(number, bool) or number < least:
                raise ValueError(f"LowRank: {name} = {number!r}, must be a whole number, {least} or more")
        if self.unit != "tensor":
            raise ValueError(f'LowRank: unit = {self.unit!r}, only tensors make matrices: write "tensor"')

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
        x, order = grouped(x, layout.models), layout.each(lambda group: group.columns * group.rank)
        random = grouped(standard_normal(key.shared(), sum(order.sizes), x.dtype), order)
        omega = parts(random, [(group.number, group.columns, group.rank) for group in layout.groups])
        own = [stacked(x, group) for group in layout.groups]
        numbers = [
            _in_columns(left, right, xp)
            for some in layout.batches
            for left, right in zip(*self._factors(own[some], omega[some], xp), strict=True)
        ]
        numbers = [ungrouped(side_by_side(numbers, xp), layout.each(_sent))] if numbers else []
        return side_by_side([*numbers, joined(x, layout.others)], xp)

    def _factors(self, matrices: list[Array], omega: list[Array], xp: ModuleType) -> tuple[list[Array], list[Array]]:
        """Return P, (n, number, rows, r), and Q, (n, number, columns, r), of some groups."""
        transposed = [matrix.swapaxes(2, 3) for matrix in matrices]
        left = bases(list(map(matmul, matrices, omega)), xp)
        for _ in range(self.iterations):
            left = bases(list(map(matmul, matrices, bases(list(map(matmul, transposed, left)), xp))), xp)
        return left, list(map(matmul, transposed, left))

    def _values(self, sent: Array, tensors: Tensors) -> Array:
        """Multiply out what is sent, column by column: sender and receiver both call this.

        A sum in this order is the same on every device; a matrix product is not.
        """
        xp, n = array_namespace(sent), len(sent)
        layout = matrices(tensors, self.rank, sent)
        order = layout.each(_sent)
        size = sum(order.sizes)
        value = xp.empty((n, sum(layout.models.sizes)), dtype=sent.dtype)
        factors = parts(grouped(sent[:, :size], order), [(group.number, _sent(group)) for group in layout.groups])
        for group, both in zip(layout.groups, factors, strict=True):
            number, rank, height = group.number, group.rank, group.rank * group.rows
            left = both[..., :height].reshape(n, number, rank, group.rows, 1)
            right = both[..., height:].reshape(n, number, rank, 1, group.columns)
            out = stacked(value, group)
            for rows in row_blocks(sent):
                xp.multiply(left[rows, :, 0], right[rows, :, 0], out=out[rows])
                for column in range(1, rank):
                    out[rows] += left[rows, :, column] * right[rows, :, column]
        for other, whole in zip(layout.others, parts(sent[:, size:], layout.lengths), strict=True):
            value[:, other] = whole
        return ungrouped(value, layout.models)

    def encode(self, message: Message) -> Wire:
        """Write the numbers of all tensors in order, little-endian."""
        return encode_numbers(message.codes["numbers"], message.tensors)

    def decode(self, wire: Wire) -> np.ndarray:
        """Return the (rows, P) value on the host."""
        with np.errstate(all="ignore"):
            return self._values(decode_numbers(wire), wire.tensors)


def _sent(group: Group) -> int:
    """Return how many numbers are sent of each matrix of a group."""
    return group.rank * (group.rows + group.columns)


def _in_columns(left: Array, right: Array, xp: ModuleType) -> Array:
    """Return the columns of P, (n, number, rows, r), then those of Q, (n, number, columns, r), of each matrix: (n, number, r (rows + columns))."""
    columns = [factor.swapaxes(2, 3).reshape(*factor.shape[:2], -1) for factor in (left, right)]
    return xp.concat(columns, axis=2)

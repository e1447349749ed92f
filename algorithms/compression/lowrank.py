"""Low rank: each matrix as the product of two thin ones."""

from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np
from array_api_compat import array_namespace

from algorithms.compression.identity import decode_numbers, encode_numbers
from algorithms.compression.message import Array, CompressorClaims, Key, Message, Tensors, Wire, same_bits
from algorithms.compression.units import Unit, check_rows, row_blocks
from algorithms.legend import short_repr
from algorithms.matrices import Matrix, joined, matrices, orthonormal, stacked, standard_normal


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
        xp = array_namespace(x)
        found, others = _parts(tensors, self.rank)
        with np.errstate(all="ignore"):  # a diverged model is a result
            random = standard_normal(key.shared(), sum(matrix.columns * matrix.rank for matrix in found), x.dtype)
            numbers, drawn = [], 0
            for matrix in found:
                size = matrix.columns * matrix.rank
                omega = random[:, drawn : drawn + size].reshape(1, matrix.columns, matrix.rank)
                drawn += size
                factors = self._factors(stacked(x, matrix), omega)
                numbers += [xp.swapaxes(factor, 1, 2).reshape(len(x), -1) for factor in factors]
            sent = xp.concatenate([*numbers, joined(x, others)], axis=1)
            value = self._values(sent, tensors)
        return Message(value, same_bits(x, 32 * sent.shape[1]), {"numbers": sent}, tensors)

    def _factors(self, matrices: Array, omega: Array) -> tuple[Array, Array]:
        """Return P, (n, rows, r), and Q, (n, columns, r)."""
        transposed = array_namespace(matrices).swapaxes(matrices, 1, 2)
        left = orthonormal(matrices @ omega)
        for _ in range(self.iterations):
            left = orthonormal(matrices @ orthonormal(transposed @ left))
        return left, transposed @ left

    def _values(self, sent: Array, tensors: Tensors) -> Array:
        """Multiply out what is sent, column by column: sender and receiver both call this.

        A sum in this order is the same on every device; a matrix product is not.
        """
        xp = array_namespace(sent)
        value = xp.empty((len(sent), sum(map(prod, tensors.values()))), dtype=sent.dtype)
        found, others = _parts(tensors, self.rank)
        at = 0

        def take(*shape: int) -> Array:
            nonlocal at
            at += prod(shape)
            return sent[:, at - prod(shape) : at].reshape(len(sent), *shape)

        for matrix in found:
            left, right = take(matrix.rank, matrix.rows, 1), take(matrix.rank, 1, matrix.columns)
            out = stacked(value, matrix)
            for rows in row_blocks(sent):
                xp.multiply(left[rows, 0], right[rows, 0], out=out[rows])
                for column in range(1, matrix.rank):
                    out[rows] += left[rows, column] * right[rows, column]
        for other in others:
            value[:, other] = take(other.stop - other.start)
        return value

    def encode(self, message: Message) -> Wire:
        """Write the numbers of all tensors in order, little-endian."""
        return encode_numbers(message.codes["numbers"], message.tensors)

    def decode(self, wire: Wire) -> np.ndarray:
        """Return the (rows, P) value on the host."""
        with np.errstate(all="ignore"):
            return self._values(decode_numbers(wire), wire.tensors)


def _parts(tensors: Tensors, rank: int) -> tuple[list[Matrix], list[slice]]:
    """Return the matrices that are not empty, and where the tensors of fewer than two dimensions lie."""
    found, others = matrices(tensors, rank)
    return [matrix for matrix in found if matrix.rank], others

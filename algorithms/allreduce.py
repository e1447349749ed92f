"""Centralized parallel SGD (C-PSGD) over ring all-reduce, in full precision or quantized."""

from dataclasses import dataclass

from netsim.algorithms.compression import Compressor
from netsim.algorithms.description import short_repr
from netsim.algorithms.protocol import Array, Claims, Comm, Gradient, Models, unbiased
from netsim.algorithms.ranges import check_fields


@dataclass(frozen=True, repr=False)
class AllReduceSGD:
    """Centralized parallel SGD: every worker applies the average update.

    .. math:: x_{t+1} = x_t - γ \\frac1n \\sum_i C(g_i(x_t))

    Source: C-PSGD of Tang et al. 2018, section 1. With a compressor: quantized centralized SGD (as QSGD, Alistarh et al. 2017), the "merely
    quantized" competitor of the paper's abstract.

    Parameters
    ----------
    compress
        None: full precision, averaged by ring all-reduce. A compressor (unbiased, for convergence): every contribution is compressed and
        all-gathered around the ring, and every worker averages what it decoded, its own contribution included.

    Notes
    -----
    Sent: the finished update (clipped, decayed, with momentum). All-reduce: 2 (n - 1) dependent messages of 1/n model; compressed: n - 1 dependent
    messages of one compressed update. Held beside model and update: nothing. Overlap: none; the sum waits for the gradient, the step for the sum.
    """

    compress: Compressor | None = None

    __repr__ = short_repr

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def claims(self) -> Claims:
        """The mean is kept as by the compressor; different models are not brought together."""
        if self.compress is None:
            return Claims(limit="all-reduce", contracts=None)
        return Claims(mean="expectation" if unbiased(self.compress) else None, limit="all-reduce", contracts=None)

    def init(self, x: Array, comm: Comm) -> Models:
        """Start from the common model."""
        return Models(x)

    def step(self, state: Models, gradient: Gradient, lr: float, comm: Comm) -> Models:
        """Take one step, the same at every worker."""
        g = gradient(state.x)
        mean = comm.all_reduce(g) if self.compress is None else comm.all_gather(self.compress, g).mean(axis=0)
        return Models(state.x - lr * mean)

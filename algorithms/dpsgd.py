"""Decentralized parallel SGD (D-PSGD), Lian et al. 2017, as in Tang et al. 2018, section 2."""

from dataclasses import dataclass
from typing import ClassVar

from netsim.algorithms.compression import Identity
from netsim.algorithms.description import short_repr
from netsim.algorithms.protocol import Array, Claims, Comm, Gradient, Models
from netsim.algorithms.ranges import Gamma, check_fields


@dataclass(frozen=True, repr=False)
class DPSGD:
    """Decentralized parallel SGD: every worker averages with its neighbours and applies its own update.

    .. math:: X_{t+1} = X_t W - γ G(X_t)

    Source: Lian et al. 2017; equation (1) of Tang et al. 2018.

    Parameters
    ----------
    gamma
        Gossip rate: mixes with I - gamma (I - W). 1 is the paper's.
    overlap
        True: as above, the gradient at the model before mixing. False: gradient first, then mix the result, (X - γ G(X)) W, as the slides of
        DoubleSqueeze and DeepSqueeze write D-SGD.

    Notes
    -----
    Sent: the model, in full precision, to every neighbour, once a round. Held beside model and update: the neighbours' models as they come.
    Overlap: the messages travel while the gradient is computed (``overlap=True``); none otherwise.
    """

    gamma: Gamma = 1.0
    overlap: bool = True

    __repr__ = short_repr
    bits: ClassVar[int] = 32  # of a number that is sent

    def __post_init__(self) -> None:
        check_fields(self)

    @property
    def claims(self) -> Claims:
        """The limit is D-PSGD itself, in both orders."""
        return Claims(limit="dpsgd" if self.overlap else "adapt-then-combine")

    def init(self, x: Array, comm: Comm) -> Models:
        """Start from the common model."""
        return Models(x)

    def step(self, state: Models, gradient: Gradient, lr: float, comm: Comm) -> Models:
        """Average with the neighbours and take the gradient step."""
        if self.overlap:
            posted = comm.post(Identity(), state.x)
            g = gradient(state.x)
            return Models(comm.mix(comm.wait(posted), self.gamma) - lr * g)
        x = state.x - lr * gradient(state.x)
        return Models(comm.mix(comm.send(Identity(), x), self.gamma))

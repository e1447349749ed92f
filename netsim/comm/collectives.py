"""Collectives as lists of steps; no other module knows one by name.

A trace keeps the operation and its size ("all_reduce", bits); :func:`steps_of` returns the messages that implement it. Messages, bits, both engines,
closed forms, dry runs and conformance derive from the steps, so that a new collective is one function here and its line in :data:`COLLECTIVES`.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from netsim.errors import NetsimError

NUMBER = 32  # bits of a number in full precision, which no message cuts in two


class Step(NamedTuple):
    """Messages that are sent together; a node continues when it has received all of its messages of the step.

    Attributes
    ----------
    to
        The receivers of every node, in the order of posting.
    item
        For every node, the node whose data its messages carry, which sets their size: itself, or the one whose contribution it forwards.
    parts
        Number of equal parts that the data is cut into, between numbers; a message is one of them.
    """

    to: tuple[tuple[int, ...], ...]
    item: tuple[int, ...]
    parts: int = 1


def gossip(neighbours: Sequence[Sequence[int]]) -> list[Step]:
    """Return the step in which every worker sends its data to all of its neighbours."""
    return [Step(tuple(map(tuple, neighbours)), tuple(range(len(neighbours))))]


def ring_all_reduce(n: int) -> list[Step]:
    """Return the 2 (n - 1) steps of an all-reduce around a ring: in each, every worker sends one of n parts to its right neighbour.

    Source: Patarasuk and Yuan 2009, *Bandwidth optimal all-reduce algorithms for clusters of workstations*.
    """
    return [_to_the_right(n, range(n), n)] * (2 * (n - 1))


def halving_doubling(n: int) -> list[Step]:
    """Return the steps of an all-reduce by recursive halving, then doubling: partners at distance p/2, p/4, … 1 exchange halves, then 1, … p/2.

    p is the largest power of two up to n. The n - p workers from p on first send their data to one of the others, and receive the result at the end.

    Source: Thakur, Rabenseifner, Gropp 2005, *Optimization of collective communication operations in MPICH*, section 4.
    """
    power = 1 << (n.bit_length() - 1)
    rest = n - power
    halvings = [
        Step(tuple((i ^ power >> k,) if i < power else () for i in range(n)), tuple(range(n)), 1 << k)
        for k in range(1, power.bit_length())
    ]
    fold_in = Step(tuple((i - power,) if i >= power else () for i in range(n)), tuple(range(n)))
    fold_out = Step(tuple((i + power,) if i < rest else () for i in range(n)), tuple(range(n)))
    return [*([fold_in] if rest else []), *halvings, *reversed(halvings), *([fold_out] if rest else [])]


def ring_all_gather(n: int) -> list[Step]:
    """Return the n - 1 steps of an all-gather around a ring: every worker forwards what it received in the step before, at first its own data."""
    return [_to_the_right(n, [(i - step) % n for i in range(n)]) for step in range(n - 1)]


def to_server(n: int) -> list[Step]:
    """Return the step in which every worker sends its data to the server, node n."""
    return [Step((*(((n,),) * n), ()), (*range(n), 0))]


def from_server(n: int) -> list[Step]:
    """Return the step in which the server, node n, sends the same data, whose size is entry 0, to every worker."""
    return [Step((*(((),) * n), tuple(range(n))), (0,) * (n + 1))]


COLLECTIVES: dict[str, dict[str, Callable[[int], list[Step]]]] = {
    "all_reduce": {"ring": ring_all_reduce, "halving-doubling": halving_doubling},
    "all_gather": {"ring": ring_all_gather},
    "push": {"server": to_server},
    "pull": {"server": from_server},
}
"""By what is meant, by the name of the algorithm: how it is done. The first is done where a network names none of them."""

ALGORITHMS = COLLECTIVES["all_reduce"]
"""What a network can name as its ``collective``: the ways of an all-reduce. What one of them does not know is done in the first way of its kind."""


@lru_cache(maxsize=256)
def steps_of(meant: str, n: int, algorithm: str | None = None) -> tuple[Step, ...]:
    """Return the steps that implement an operation of n workers.

    Parameters
    ----------
    meant
        A key of :data:`COLLECTIVES`.
    n
        Number of workers.
    algorithm
        Name of the algorithm, where the operation has it; None: the first one.

    Raises
    ------
    NetsimError
        There is no operation of this name.
    """
    if meant not in COLLECTIVES:
        raise NetsimError(f"{meant!r}: no collective; it is one of {', '.join(COLLECTIVES)}")
    ways = COLLECTIVES[meant]
    return tuple(ways.get(algorithm or "", next(iter(ways.values())))(n))


def has_server(meant: str) -> bool:
    """Return whether a server, node n, takes part in a collective."""
    return "server" in COLLECTIVES[meant]


def message_bits(bits: Any, parts: int) -> Any:
    """Return the bits of one of so many parts of ``bits``, a number or an array: of the largest, cut between numbers of 32 bits."""
    return bits if parts == 1 else NUMBER * -(-bits // (NUMBER * parts))


def _to_the_right(n: int, item: Sequence[int], parts: int = 1) -> Step:
    return Step(tuple(((i + 1) % n,) for i in range(n)), tuple(item), parts)

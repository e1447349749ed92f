"""A trace: the computations and messages of the workers, without times.

A trace of ``train`` is a list of rounds; the rounds share a few *programs* (lists of operations that every worker goes through), and only the
sizes of the messages differ from round to round. It keeps the operation, such as an all-reduce of b bits; the network chooses the messages that
implement it when the trace is timed (:mod:`netsim.comm.collectives`). A trace written by hand is one list of instructions a worker.
"""

from collections import defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from netsim.comm.collectives import COLLECTIVES, Step, gossip, has_server, message_bits, steps_of
from netsim.errors import NetsimError, check

Instruction = tuple
"""What one worker does next, written by hand: ("compute", seconds) | ("send", to, bits, tag) | ("recv", from, tag) | ("flush",)."""


ALONE = frozenset({"compute", "begin", "until", "join", "wait"})  # operations in which nothing is sent


class Operation(NamedTuple):
    """One operation of a round, the same at every worker.

    Attributes
    ----------
    kind
        "compute": one gradient. "begin": one gradient, concurrent with what follows. "until": wait until a share of that gradient is computed.
        "join": until all of it is. "post": one message to every neighbour. "wait": until the neighbours' messages of a post are delivered. Any other
        is a blocking collective, an entry of :data:`netsim.comm.collectives.COLLECTIVES`.
    numbers
        How many numbers the codec handles per message; 0 where nothing is encoded.
    rounds_ago, position
        For "wait": its post, as a number of rounds back and an index into that round's program.
    fraction
        For "until": the share of the gradient's seconds.
    """

    kind: str
    numbers: int = 0
    rounds_ago: int = 0
    position: int = 0
    fraction: float = 1.0

    def check(self) -> None:
        """Raise where it is of no known kind.

        Raises
        ------
        NetsimError
            The line names the kind, and those that there are.
        """
        if self.kind not in ALONE and self.kind != "post" and not self.collective:
            raise NetsimError(
                f"{self.kind!r}: no operation of a trace; a collective is one of {', '.join(COLLECTIVES)}"
            )

    @property
    def collective(self) -> bool:
        """Whether it is a collective of dependent steps."""
        return self.kind in COLLECTIVES


Program = tuple[Operation, ...]


@dataclass(frozen=True, eq=False)
class Trace:
    """The computations and messages of a run.

    Attributes
    ----------
    n
        Number of workers.
    neighbours
        The neighbours of every worker, in the order in which it posts to them.
    programs
        The different programs of the rounds.
    program_of
        (rounds,) index into ``programs``.
    bits
        ``bits[p][o]``: bits of operation o in the rounds of program p, in their order: (count or 1, n or 1) integers; empty where the operation
        sends nothing. Entry [r, i] is worker i's message (of a collective: all that it contributes; for "pull": one reply). A post whose messages
        differ by receiver has (count or 1, D) integers, one for each of the D messages: worker 0's to its neighbours in their order, then worker 1's.
    by_hand
        The workers' instruction lists of :meth:`from_programs`, in place of rounds.
    """

    n: int
    neighbours: tuple[tuple[int, ...], ...]
    programs: tuple[Program, ...]
    program_of: np.ndarray
    bits: tuple[tuple[np.ndarray, ...], ...]
    by_hand: tuple[tuple[Instruction, ...], ...] | None = None

    @property
    def rounds(self) -> int:
        """Number of rounds."""
        return len(self.program_of)

    @property
    def nodes(self) -> int:
        """Number of workers, and of the server (node n) where there is one."""
        return self.n + any(one.collective and has_server(one.kind) for program in self.programs for one in program)

    def steps(self, operation: Operation, collective: str | None = None) -> tuple[Step, ...]:
        """Return the steps of an operation; none where nothing is sent.

        Parameters
        ----------
        operation
            Of one of the programs.
        collective
            Algorithm of the collectives (:attr:`netsim.Network.collective`); None: the first of each kind.

        Raises
        ------
        NetsimError
            The operation is of no known kind.
        """
        operation.check()
        if operation.kind in ALONE:
            return ()
        own = operation.kind == "post"
        found = tuple(gossip(self.neighbours)) if own else steps_of(operation.kind, self.n, collective)
        if found and len(found[0].to) < self.nodes:  # a server takes no part in it
            return tuple(Step((*step.to, ()), (*step.item, 0), step.parts) for step in found)
        return found

    @property
    def occurrence(self) -> np.ndarray:
        """(rounds,): how many earlier rounds had the same program, which is a round's row in ``bits``."""
        seen = np.zeros(self.rounds, dtype=int)
        for p in range(len(self.programs)):
            mine = self.program_of == p
            seen[mine] = np.arange(mine.sum())
        return seen

    @property
    def messages(self) -> int:
        """Number of messages of all rounds, with the first algorithm of each collective; of a trace written by hand, of its sends."""
        if self.by_hand is not None:
            return sum(one[0] == "send" for program in self.by_hand for one in program)
        per_program = [
            sum(len(to) for one in program for step in self.steps(one) for to in step.to) for program in self.programs
        ]
        return int(np.array(per_program, dtype=int)[self.program_of].sum())

    @property
    def fingerprint(self) -> tuple:
        """Equal for equal traces, which take the same time on every network."""
        sizes = tuple((column.shape, column.tobytes()) for columns in self.bits for column in columns)
        return self.n, self.neighbours, self.programs, self.program_of.tobytes(), sizes, self.by_hand

    def bits_per_node(self, collective: str | None = None) -> np.ndarray:
        """Return (rounds, nodes): the bits that each node, the server included, sent in each round, summed over its messages.

        Parameters
        ----------
        collective
            As for :meth:`steps`.

        Raises
        ------
        NetsimError
            An operation is of no known kind.
        """
        total = np.zeros((self.rounds, self.nodes))
        for p, program in enumerate(self.programs):
            mine = np.flatnonzero(self.program_of == p)
            for operation, bits in zip(program, self.bits[p], strict=True):
                if operation.kind == "post" and bits.shape[1] > self.n:
                    total[mine, : self.n] += np.add.reduceat(bits, self.first_message, axis=1)
                    continue
                for step in self.steps(operation, collective):
                    of_node = bits[:, list(step.item)] if bits.shape[1] > 1 else bits
                    total[mine] += message_bits(of_node, step.parts) * np.array(list(map(len, step.to)))
        return total

    def bits_per_worker(self, collective: str | None = None) -> np.ndarray:
        """Return (rounds, n): :meth:`bits_per_node` of the workers alone; the server's replies are not among them."""
        return self.bits_per_node(collective)[:, : self.n]

    @cached_property
    def first_message(self) -> np.ndarray:
        """(n,): the number of each worker's first message among the D of a post."""
        return np.cumsum([0, *map(len, self.neighbours[:-1])])

    @classmethod
    def from_programs(cls, programs: Sequence[Sequence[Instruction]]) -> "Trace":
        """Make a trace from a list of instructions for each worker.

        Parameters
        ----------
        programs
            ``programs[i]`` is worker i's list of ``("compute", seconds)``, ``("send", to, bits, tag)``, ``("recv", from, tag)`` and ``("flush",)``.
            Sends do not block; recv waits for the message; flush waits until the last bit of all that this worker sent has left its port. Seconds
            are literal. Messages of one pair and tag are received in the order sent.

        Raises
        ------
        NetsimError
            An instruction is malformed, or a recv has no matching send; the line names worker and tag.
        """
        n = len(programs)
        check(n > 0, "programs", programs, "one list of instructions a worker")
        sent: dict[tuple, int] = defaultdict(int)
        for i, program in enumerate(programs):
            for k, instruction in enumerate(program):
                _check_instruction(instruction, i, k, n)
                if instruction[0] == "send":
                    sent[i, instruction[1], instruction[3]] += 1
        received: dict[tuple, int] = defaultdict(int)
        for j, program in enumerate(programs):
            for _, sender, tag in (one for one in program if one[0] == "recv"):
                received[sender, j, tag] += 1
                if received[sender, j, tag] > sent[sender, j, tag]:
                    raise NetsimError(
                        f"worker {j} waits for message {received[sender, j, tag]} with tag {tag!r} from worker {sender}, which sends "
                        f"{sent[sender, j, tag]} of them: add the send, or take the recv out"
                    )
        return cls(
            n,
            ((),) * n,
            ((),),
            np.zeros(1, dtype=int),
            ((),),
            by_hand=tuple(tuple(map(tuple, program)) for program in programs),
        )


_FORMS = {"compute": "(seconds)", "send": "(to, bits, tag)", "recv": "(from, tag)", "flush": "()"}


def _check_instruction(instruction: Any, worker: int, index: int, n: int) -> None:
    where = f"worker {worker}, instruction {index}: {instruction!r}"
    kind = instruction[0] if isinstance(instruction, Sequence) and instruction else None
    if kind not in _FORMS:
        raise NetsimError(f"{where}: must begin with one of {', '.join(map(repr, _FORMS))}")
    if len(instruction) != len(_FORMS[kind].strip("()").split(", ")) * (kind != "flush") + 1:
        raise NetsimError(f'{where}: write "{kind}" with {_FORMS[kind]}')
    if kind in ("send", "recv") and not (
        _is_number(instruction[1], int | np.integer) and 0 <= instruction[1] < n and instruction[1] != worker
    ):
        raise NetsimError(f"{where}: {instruction[1]!r} is not another worker of 0 to {n - 1}")
    if kind in ("send", "recv") and not isinstance(instruction[-1], Hashable):
        raise NetsimError(f"{where}: the tag must be a number, a string or a tuple of such")
    number = {"compute": 1, "send": 2}.get(kind)
    if number and not (_is_number(instruction[number], int | float | np.number) and 0 <= instruction[number] < 1e300):
        raise NetsimError(f"{where}: {instruction[number]!r} must be a finite number, at least 0")


def _is_number(value: Any, kinds: Any) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)

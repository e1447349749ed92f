"""A trace: what the workers computed and said, without times.

A trace of ``train`` is a list of rounds; the rounds share a few *programs* (lists of operations that every worker goes through), and only the
sizes of the messages differ from round to round. A trace written by hand is one list of instructions a worker. Both are read by the event engine
as instructions; the recurrence reads the programs.
"""

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from netsim.clock.network import Network, codec_seconds
from netsim.errors import NetsimError, check

Instruction = tuple
"""What one worker does next, written by hand: ("compute", seconds) | ("send", to, bits, tag) | ("recv", from, tag) | ("flush",).
For the engine: ("compute", seconds) | ("begin", seconds) | ("join",) | ("post", receivers, bits, tag) | ("wait", count, tag) | ("flush",) |
("mark",), the last at a round's end."""


class Operation(NamedTuple):
    """What every worker does in a round, all of them alike.

    Attributes
    ----------
    kind
        "compute": one gradient. "begin": one gradient beside what follows. "join": until that gradient is there. "post": one message to every
        neighbour. "wait": until the neighbours' messages of a post are there.
        "all_reduce": a ring all-reduce. "all_gather": a ring all-gather. "push": one message to the server, which waits for all. "pull": the server's
        reply, one message to every worker, which waits for it.
    numbers
        How many numbers the codec handles per message; 0 where nothing is encoded.
    rounds_ago, position
        For "wait": the post it waits for, as a number of rounds back and an index into that round's program.
    """

    kind: str
    numbers: int = 0
    rounds_ago: int = 0
    position: int = 0


Program = tuple[Operation, ...]


@dataclass(frozen=True, eq=False)
class Trace:
    """What was computed and said.

    Attributes
    ----------
    n
        Number of workers.
    neighbours
        For every worker its neighbours in the order in which it posts to them.
    programs
        The different programs of the rounds.
    program_of
        (rounds,) index into ``programs``.
    bits
        ``bits[p][o]``: bits of operation o in the rounds of program p, in their order: (count or 1, n or 1) integers; empty where the operation
        sends nothing. Entry [r, i] is worker i's message (for "all_reduce": the bits of one step; for "pull": of one reply). A post whose messages
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
        return self.n + any(operation.kind in ("push", "pull") for program in self.programs for operation in program)

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
        """Number of messages of all rounds; of a trace by hand, of its sends."""
        if self.by_hand is not None:
            return sum(one[0] == "send" for program in self.by_hand for one in program)
        per = {
            "post": sum(map(len, self.neighbours)),
            "all_reduce": 2 * self.n * (self.n - 1),
            "all_gather": self.n * (self.n - 1),
            "push": self.n,
            "pull": self.n,
        }
        of_program = np.array([sum(per.get(operation.kind, 0) for operation in program) for program in self.programs])
        return int(of_program[self.program_of].sum())

    @property
    def fingerprint(self) -> tuple:
        """Equal for traces that say the same: those cost the same on every network."""
        sizes = tuple((column.shape, column.tobytes()) for columns in self.bits for column in columns)
        return self.n, self.neighbours, self.programs, self.program_of.tobytes(), sizes, self.by_hand

    def bits_per_worker(self) -> np.ndarray:
        """Return (rounds, n): the bits each worker sent in each round, summed over its messages; the server's replies are not among them."""
        total = np.zeros((self.rounds, self.n))
        degree = np.array([len(near) for near in self.neighbours])
        for p, program in enumerate(self.programs):
            mine = np.flatnonzero(self.program_of == p)
            for operation, bits in zip(program, self.bits[p], strict=True):
                if operation.kind == "post" and bits.shape[1] > self.n:
                    total[mine] += np.add.reduceat(bits, self.first_message, axis=1)
                elif operation.kind == "post":
                    total[mine] += bits * degree
                elif operation.kind == "all_reduce":
                    total[mine] += bits * (2 * (self.n - 1))
                elif operation.kind == "push":
                    total[mine] += bits
                elif (
                    operation.kind == "all_gather"
                ):  # a worker passes on all contributions but its right neighbour's own
                    everyone = np.broadcast_to(bits, (bits.shape[0], self.n))
                    total[mine] += everyone.sum(axis=1, keepdims=True) - np.roll(everyone, -1, axis=1)
        return total

    @cached_property
    def first_message(self) -> np.ndarray:
        """(n,): the number of each worker's first message among the D of a post."""
        return np.cumsum([0, *map(len, self.neighbours[:-1])])

    @classmethod
    def from_programs(cls, programs: Sequence[Sequence[Instruction]]) -> "Trace":
        """Make a trace from one list of instructions a worker.

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

    def instructions(self, network: Network, seconds: np.ndarray) -> list[Iterator[Instruction]]:
        """Return one iterator of the engine's instructions a node; a node waits for ``count`` messages with a tag, which is used once.

        Parameters
        ----------
        network
            Where it runs: it sets the codec's seconds.
        seconds
            (rounds, n) seconds of one gradient.
        """
        if self.by_hand is not None:
            return [_numbered(program, i) for i, program in enumerate(self.by_hand)]
        plans = [
            [
                _Plan(operation, o, column.tolist(), *codec_seconds(network, operation.numbers))
                for o, (operation, column) in enumerate(zip(program, columns, strict=True))
            ]
            for program, columns in zip(self.programs, self.bits, strict=True)
        ]
        rounds = list(zip(self.program_of.tolist(), self.occurrence.tolist(), strict=True))
        workers = [self._worker(i, plans, rounds, seconds[:, i].tolist()) for i in range(self.n)]
        return workers + [self._server(plans, rounds)] * (self.nodes - self.n)

    def _tag(self, r: int, o: int) -> int:
        """Return the first tag of operation o in round r: an operation has at most 2n dependent messages."""
        return (r * self._longest + o) * 2 * self.n

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self.programs))

    def _server(self, plans: list[list["_Plan"]], rounds: list[tuple[int, int]]) -> Iterator[Instruction]:
        everybody = tuple(range(self.n))
        for r, (p, row) in enumerate(rounds):
            for (kind, *_), o, sizes, encode, decode in plans[p]:
                if kind == "push":
                    yield ("wait", self.n, self._tag(r, o))
                    yield ("compute", decode * self.n)
                elif kind == "pull":
                    yield ("compute", encode)
                    yield ("post", everybody, sizes[row if len(sizes) > 1 else 0][0], self._tag(r, o))

    def _worker(
        self, i: int, plans: list[list["_Plan"]], rounds: list[tuple[int, int]], seconds: list[float]
    ) -> Iterator[Instruction]:
        n, near, right = self.n, self.neighbours[i], ((i + 1) % self.n,)
        first = int(self.first_message[i])
        for r, (p, row) in enumerate(rounds):
            for (kind, _, ago, position), o, sizes, encode, decode in plans[p]:
                if kind == "compute":
                    yield ("compute", seconds[r])
                    continue
                if kind == "begin":
                    yield ("begin", seconds[r])
                    continue
                if kind == "join":
                    yield ("join",)
                    continue
                if kind == "wait":
                    yield ("wait", len(near), self._tag(r - ago, position))
                    if decode:
                        yield ("compute", decode * len(near))
                    continue
                tag = self._tag(r, o)
                if kind == "pull":
                    yield ("wait", 1, tag)
                    yield ("compute", decode)
                    continue
                line = sizes[row if len(sizes) > 1 else 0]
                if encode:
                    yield ("compute", encode)
                if kind == "post" and len(line) > n:
                    for receiver, bits in zip(near, line[first:], strict=False):
                        yield ("post", (receiver,), bits, tag)
                    continue
                if kind in ("post", "push"):
                    yield ("post", near if kind == "post" else (n,), line[i if len(line) > 1 else 0], tag)
                    continue
                for step in range(2 * (n - 1) if kind == "all_reduce" else n - 1):
                    whose = (i - step) % n if kind == "all_gather" else i
                    yield ("post", right, line[whose if len(line) > 1 else 0], tag + step)
                    yield ("wait", 1, tag + step)
                if decode:
                    yield ("compute", decode * (n - 1))
            yield ("mark",)


class _Plan(NamedTuple):
    """An operation with all that a worker needs of it: the seconds to encode a message and to decode one, and the sizes as lists."""

    operation: Operation
    position: int
    sizes: list[list[int]]
    encode: float
    decode: float


def row_of(bits: np.ndarray, row: int, n: int) -> list[float]:
    """Return the n workers' bits in one round, or those of all D messages, from an entry of ``Trace.bits``."""
    line = bits[row if len(bits) > 1 else 0].tolist()
    return line if len(line) >= n else line * n


def _numbered(program: Sequence[Instruction], i: int) -> Iterator[Instruction]:
    """Yield worker i's instructions for the engine, with tags (sender, tag, how many of the pair had it before)."""
    sent: dict[tuple, int] = defaultdict(int)
    received: dict[tuple, int] = defaultdict(int)
    for instruction in program:
        if instruction[0] == "send":
            _, to, bits, tag = instruction
            yield ("post", (to,), float(bits), (i, tag, sent[to, tag]))
            sent[to, tag] += 1
        elif instruction[0] == "recv":
            _, sender, tag = instruction
            yield ("wait", 1, (sender, tag, received[sender, tag]))
            received[sender, tag] += 1
        elif instruction[0] == "compute":
            yield ("compute", float(instruction[1]))
        else:
            yield instruction
    yield ("mark",)


_FORMS = {"compute": "(seconds)", "send": "(to, bits, tag)", "recv": "(from, tag)", "flush": "()"}


def _check_instruction(instruction: Any, worker: int, index: int, n: int) -> None:
    where = f"worker {worker}, instruction {index}: {instruction!r}"
    kind = instruction[0] if isinstance(instruction, Sequence) and instruction else None
    if kind not in _FORMS:
        raise NetsimError(f"{where}: must begin with one of {', '.join(map(repr, _FORMS))}")
    if len(instruction) != len(_FORMS[kind].strip("()").split(", ")) * (kind != "flush") + 1:
        raise NetsimError(f'{where}: write "{kind}" with {_FORMS[kind]}')
    if kind in ("send", "recv") and not (
        isinstance(instruction[1], int | np.integer) and 0 <= instruction[1] < n and instruction[1] != worker
    ):
        raise NetsimError(f"{where}: {instruction[1]!r} is not another worker of 0 to {n - 1}")
    if kind in ("send", "recv") and not isinstance(instruction[-1], Hashable):
        raise NetsimError(f"{where}: the tag must be a number, a string or a tuple of such")
    number = {"compute": 1, "send": 2}.get(kind)
    if number and not (isinstance(instruction[number], int | float | np.number) and 0 <= instruction[number] < np.inf):
        raise NetsimError(f"{where}: {instruction[number]!r} must be a finite number, at least 0")

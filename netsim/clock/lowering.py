"""From a trace, in which collectives are named, to the instructions that both engines go through: flat tables of numbers.

All nodes go through the same instructions, and what differs between them stands in *rows*, one for each node, in blocks: what messages the node posts
in a step, and how many come to it. An instruction of s steps has s blocks; steps that are alike share one. Sizes of messages are looked up by the
round, so that a thousand rounds are no more instructions than one.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np

from netsim.clock.timeline import NOBODY
from netsim.comm.collectives import Step, message_bits
from netsim.comm.trace import Operation, Trace
from netsim.errors import NetsimError

COMPUTE, BEGIN, UNTIL, JOIN, POST, WAIT, STEPS, ENCODE, DECODE, DELAY, FLUSH = range(11)


class Lowered(NamedTuple):
    """What every node does, round by round, and what is sent.

    Attributes
    ----------
    n, nodes
        Workers, and workers with the server.
    slots
        Largest number of things that a node can wait for in one round, which are numbered from 0.
    program_of, occurrence
        (rounds,): which program each round goes through, and how many rounds before had the same one.
    apart
        1: node i goes through program ``program_of[r] + i``, as in a trace by hand; 0: all through the same.
    start
        (programs + 1,): where each program's instructions begin.
    code
        (instructions,): what is done. COMPUTE: a gradient. BEGIN: a gradient beside what follows. UNTIL: until a share, ``amount``, of that is
        computed. JOIN: until all of it is. POST: the messages of one step. WAIT: until those of a step of ``ago`` rounds before are there. STEPS:
        ``count`` times post, then wait. ENCODE, DECODE: ``count`` numbers for each of so many messages as the row says. DELAY: ``amount`` seconds.
        FLUSH: until all that was posted has left.
    base, count, slot, ago, amount
        (instructions,): their operands. The row of node i in step s is ``block[base + s] + i``; what comes in that step is waited for under
        ``slot + s``.
    block
        Where each block's rows begin.
    first
        (rows + 1,): where each row's messages begin.
    comes
        (rows,): how many messages come to the node in that step.
    coded
        (rows,): how many messages the node encodes, or decodes.
    receiver, size, stride
        (messages,): to whom, and the bits, ``sizes[size + occurrence * stride]``.
    sizes
        float64 bits of messages.
    sole
        Whether every node hears from one sender alone, whatever the round.
    """

    n: int
    nodes: int
    slots: int
    apart: int
    program_of: Any
    occurrence: Any
    start: Any
    code: Any
    base: Any
    count: Any
    slot: Any
    ago: Any
    amount: Any
    block: Any
    first: Any
    comes: Any
    coded: Any
    receiver: Any
    size: Any
    stride: Any
    sizes: Any
    sole: Any

    def as_lists(self) -> "Lowered":
        """Return the same in lists, which Python indexes faster."""
        return Lowered(*(part.tolist() if isinstance(part, np.ndarray) else part for part in self))


def lower(trace: Trace, collective: str | None = None) -> Lowered:
    """Return the instructions of a trace on networks that do collectives by one algorithm.

    Parameters
    ----------
    trace
        Of a training, or by hand.
    collective
        As :attr:`netsim.Network.collective`.
    """
    tables = _Tables()
    if trace.by_hand is not None:
        _lower_by_hand(tables, trace.by_hand)
    else:
        _check_waits(trace)
        slots = _slots(trace, collective)
        for p, sizes in enumerate(trace.bits):
            _lower_program(tables, trace, p, sizes, slots, collective)
        tables.slots = slots[-1]
    return tables.lowered(trace)


class _Tables:
    """The tables of :class:`Lowered` while they grow."""

    def __init__(self) -> None:
        self.slots = 0
        self.start = [0]
        self.instructions: list[tuple[int, int, int, int, int, float]] = []
        self.block: list[int] = []
        self.rows: list[tuple[int, int]] = []  # (messages that come to the node, messages that it codes)
        self.first = [0]
        self.messages: list[
            tuple[int, int, int]
        ] = []  # (receiver, where its size is, what is between two rounds' sizes)
        self.sizes: list[np.ndarray] = []
        self.size = 0
        self.pairs: set[tuple[int, int]] = set()  # (sender, receiver) of all messages

    def add(self, code: int, base: int = 0, count: int = 0, slot: int = 0, ago: int = 0, amount: float = 0.0) -> None:
        """Add an instruction."""
        self.instructions.append((code, base, count, slot, ago, amount))

    def add_row(self, messages: Sequence[tuple[int, int, int]], comes: int, coded: int = 0) -> None:
        """Add what one node does in one step."""
        self.messages += messages
        self.first.append(len(self.messages))
        self.rows.append((comes, coded))

    def add_sizes(self, bits: np.ndarray) -> int:
        """Add a table of sizes; return where it begins."""
        self.sizes.append(np.asarray(bits, dtype=float).reshape(-1))
        self.size += self.sizes[-1].size
        return self.size - self.sizes[-1].size

    def lowered(self, trace: Trace) -> Lowered:
        """Return the tables as arrays."""
        code, base, count, slot, ago, amount = np.array(self.instructions, dtype=float).reshape(-1, 6).T
        comes, coded = np.array(self.rows, dtype=int).reshape(-1, 2).T
        receiver, size, stride = np.array(self.messages, dtype=int).reshape(-1, 3).T

        def whole(numbers: Any) -> np.ndarray:
            return np.ascontiguousarray(numbers, dtype=np.int64)

        return Lowered(
            n=trace.n,
            nodes=trace.nodes,
            slots=max(self.slots, 1),
            apart=int(trace.by_hand is not None),
            program_of=whole(trace.program_of),
            occurrence=whole(trace.occurrence),
            start=whole(self.start),
            code=whole(code),
            base=whole(base),
            count=whole(count),
            slot=whole(slot),
            ago=whole(ago),
            amount=np.ascontiguousarray(amount),
            block=whole(self.block),
            first=whole(self.first),
            comes=whole(comes),
            coded=whole(coded),
            receiver=whole(receiver),
            size=whole(size),
            stride=whole(stride),
            sizes=np.concatenate([*self.sizes, np.zeros(1)]),
            sole=len(self.pairs) == len({receiver for _, receiver in self.pairs}),
        )


def _slots(trace: Trace, collective: str | None) -> list[int]:
    """Return the first slot of the operation at each position of a program, and after the last the number of all."""
    wide = [0] * max(map(len, trace.programs), default=0)
    for program in trace.programs:
        for at, operation in enumerate(program):
            wide[at] = max(wide[at], len(trace.steps(operation, collective)))
    return list(accumulate(wide, initial=0))


def _lower_program(
    tables: _Tables,
    trace: Trace,
    p: int,
    sizes: Sequence[np.ndarray],
    slots: list[int],
    collective: str | None,
) -> None:
    """Add the instructions of one program."""
    plain = {"compute": COMPUTE, "begin": BEGIN, "join": JOIN}
    for at, (operation, bits) in enumerate(zip(trace.programs[p], sizes, strict=True)):
        if operation.kind in plain:
            tables.add(plain[operation.kind])
        elif operation.kind == "until":
            tables.add(UNTIL, amount=operation.fraction)
        elif operation.kind == "wait":
            (step,) = trace.steps(Operation("post"))
            tables.add(WAIT, len(tables.block), 1, slots[operation.position], operation.rounds_ago)
            _add_block(tables, arrivals := _arrivals(step))
            _add_codec(tables, DECODE, operation.numbers, arrivals)
        else:
            steps = trace.steps(operation, collective)
            if not steps:  # one worker alone
                continue
            _add_codec(tables, ENCODE, operation.numbers, _contributors(steps, trace.n))
            code = POST if operation.kind == "post" else STEPS
            tables.add(code, len(tables.block), len(steps), slots[at])
            _add_steps(tables, trace, steps, bits)
            if code == STEPS:
                received = [sum(each) for each in zip(*map(_arrivals, steps), strict=True)]
                _add_codec(tables, DECODE, operation.numbers, received)
    tables.start.append(len(tables.instructions))


def _check_waits(trace: Trace) -> None:
    """Raise where a round waits for what was not posted before, or for the second time."""
    width = max(map(len, trace.programs), default=0)
    posts = np.zeros((len(trace.programs), width + 1), dtype=bool)
    waits = []  # (round, operation, round of the post, its operation)
    for p, program in enumerate(trace.programs):
        rounds = np.flatnonzero(trace.program_of == p)
        posts[p, : len(program)] = [one.kind == "post" for one in program]
        for at, one in enumerate(program):
            if one.kind == "wait" and len(rounds):
                _check_backwards(one, int(rounds[0]), at)
                waits.append(
                    np.stack([rounds, rounds * 0 + at, rounds - one.rounds_ago, rounds * 0 + one.position], axis=1)
                )
    table = np.concatenate([np.zeros((0, 4), dtype=int), *waits])
    table = table[np.lexsort((table[:, 1], table[:, 0]))]
    found = (table[:, 3] < width) & posts[trace.program_of[table[:, 2]], np.minimum(table[:, 3], width)]
    again = np.ones(len(table), dtype=bool)
    again[np.unique(table[:, 2] * (width + 1) + table[:, 3], return_index=True)[1]] = False
    for wrong, what in ((~found, "which is no post"), (again, "a second time; it is received once")):
        for r, at, posted, position in table[wrong][:1].tolist():
            raise NetsimError(f"round {r}, operation {at}: waits for operation {position} of round {posted}, {what}")


def _check_backwards(wait: Operation, r: int, at: int) -> None:
    """Raise where a wait, operation ``at`` of round r and of later ones, is for what comes after it, or for a round before the first."""
    if wait.rounds_ago > r:
        raise NetsimError(
            f"round {r}, operation {at}: waits for a message of {wait.rounds_ago} rounds before, and there is none"
        )
    if wait.rounds_ago < 0 or wait.position < 0 or (wait.rounds_ago == 0 and wait.position >= at):
        raise NetsimError(
            f"round {r}, operation {at}: waits for operation {wait.position} of {wait.rounds_ago} rounds before, which is yet to come: post it first"
        )


def _arrivals(step: Step) -> list[int]:
    """Return how many messages come to each node in a step."""
    return np.bincount([j for to in step.to for j in to], minlength=len(step.to)).tolist()


def _contributors(steps: Sequence[Step], n: int) -> list[int]:
    """Return 1 for each node that sends something of its own, which it encodes once; a server always does. Else 0."""
    return [
        int(any(step.to[node] and (node >= n or step.item[node] == node) for step in steps))
        for node in range(len(steps[0].to))
    ]


def _add_steps(tables: _Tables, trace: Trace, steps: Sequence[Step], bits: np.ndarray) -> None:
    """Add a block of rows for each step; steps that are alike share one."""
    rows, width = bits.shape
    begins = {parts: tables.add_sizes(message_bits(bits, parts)) for parts in {step.parts for step in steps}}
    blocks: dict[Any, int] = {}
    for step in steps:
        alike = (step.to, step.item if width > 1 else None, step.parts)
        if alike in blocks:
            tables.block.append(blocks[alike])
            continue
        blocks[alike] = len(tables.rows)
        tables.pairs |= {(node, j) for node, to in enumerate(step.to) for j in to}
        begin, stride = begins[step.parts], width if rows > 1 else 0

        def messages(node: int, to: Sequence[int], step: Step = step, begin: int = begin, stride: int = stride) -> Any:
            if width > trace.n:  # a size for each message of a post
                return [(j, begin + int(trace.first_message[node]) + k, stride) for k, j in enumerate(to)]
            return [(j, begin + (step.item[node] if width > 1 else 0), stride) for j in to]

        _add_block(tables, _arrivals(step), messages=[messages(node, to) for node, to in enumerate(step.to)])


def _add_block(
    tables: _Tables, comes: Sequence[int], coded: Sequence[int] | None = None, messages: Sequence[Any] | None = None
) -> None:
    """Add a row for every node, as a block of its own."""
    tables.block.append(len(tables.rows))
    for node, count in enumerate(comes):
        tables.add_row(messages[node] if messages else [], count, coded[node] if coded else 0)


def _add_codec(tables: _Tables, code: int, numbers: int, messages: Sequence[int]) -> None:
    """Let every node encode, or decode, so many messages of ``numbers`` numbers."""
    if numbers:
        tables.add(code, len(tables.block), numbers)
        _add_block(tables, [0] * len(messages), messages)


def _lower_by_hand(tables: _Tables, programs: Sequence[Sequence[tuple]]) -> None:
    """Add a program a worker: whatever it waits for has a slot of its own, which the message that it is for knows."""
    slot_of: dict[tuple, int] = {}
    for i, program in enumerate(programs):
        for instruction, times in _numbered(program):
            if instruction[0] == "recv":
                slot_of[instruction[1], i, instruction[2], times] = len(slot_of)
    for i, program in enumerate(programs):
        for instruction, times in _numbered(program):
            kind = instruction[0]
            if kind == "compute":
                tables.add(DELAY, amount=float(instruction[1]))
                continue
            if kind == "flush":
                tables.add(FLUSH)
                continue
            _, other, *_, tag = instruction
            tables.block.append(len(tables.rows) - i)  # worker i's row, the only one of this block
            if kind == "send":
                tables.pairs.add((i, other))
                size = tables.add_sizes(np.array([float(instruction[2])]))
                tables.add_row([(other, size, 0)], 0)
                tables.add(POST, len(tables.block) - 1, 1, slot_of.get((i, other, tag, times), NOBODY))
            else:
                tables.add_row([], 1)
                tables.add(WAIT, len(tables.block) - 1, 1, slot_of[other, i, tag, times])
        tables.start.append(len(tables.instructions))
    tables.slots = len(slot_of)


def _numbered(program: Sequence[tuple]) -> Iterator[tuple[tuple, int]]:
    """Yield a worker's instructions, each with the number of those before that send to, or receive from, the same one with the same tag."""
    seen: dict[tuple, int] = defaultdict(int)
    for instruction in program:
        key = (instruction[0], instruction[1], instruction[-1]) if instruction[0] in ("send", "recv") else ()
        yield instruction, seen[key]
        seen[key] += 1

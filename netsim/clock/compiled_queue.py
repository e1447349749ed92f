"""What the compiled engine keeps of messages: on their way, and delivered before they were asked for.

What is to happen stands in a sorted list, and a binary heap behind it, ordered by (time, posted, sender, number), as the event engine takes it. What
was delivered and not yet asked for stands in a hash table by its key.
"""

from typing import Any, NamedTuple

import numpy as np

from netsim.clock.compiling import within
from netsim.clock.timeline import NOBODY

_REAL, _WHOLE = np.float64, np.int64
LETTER = np.dtype(
    [("posted", _REAL), *((name, _WHOLE) for name in ("sender", "number", "receiver", "key", "phase"))]
    + [(name, _REAL) for name in ("latency", "wire_bits", "link_seconds", "first", "last")]
)
"""A message on its way: ``phase`` is what happens to it next, ``key`` that under which its receiver waits for it."""
PENDING_LETTER = np.dtype([("time", _REAL), ("letter", _WHOLE)])
KEPT_MAIL = np.dtype([("key", _WHOLE), ("many", _WHOLE), ("latest", _REAL)])

PENDING, FREE, FRESH, READY, KEPT, FULL, HEAD, SOON = range(8)  # what Queue.count counts
SOONEST = 32  # letters that are kept sorted: with few pending, that is sooner done than a heap
SPREAD = 0x9E3779B1  # a large odd number, which spreads keys over the table


class Queue(NamedTuple):
    """What is to happen, which nodes can go on, and what was delivered before it was asked for.

    Attributes
    ----------
    letters, free
        Messages on their way; numbers of letters that can be used again.
    front, heap
        When something happens to which: the soonest, sorted, and behind all of them the others, as a heap.
    ready
        (nodes,): nodes that can go on.
    kept
        A hash table: how many messages of a key were delivered, and when the latest.
    count
        How many letters are pending, numbers free and used at all, nodes ready, keys kept; 1 where the arrays are too short; where ``front`` begins,
        and how many are in it.
    """

    letters: Any
    front: Any
    heap: Any
    free: Any
    ready: Any
    kept: Any
    count: Any


def empty_queue(nodes: int, room: int) -> Queue:
    """Return a queue with room for so many messages, and all nodes ready."""
    queue = Queue(
        letters=np.zeros(room, LETTER),
        front=np.zeros(4 * SOONEST, PENDING_LETTER),
        heap=np.zeros(room, PENDING_LETTER),
        free=np.zeros(room, np.int64),
        ready=np.arange(nodes)[::-1].copy(),
        kept=np.full(room, NOBODY, KEPT_MAIL),
        count=np.zeros(8, np.int64),
    )
    queue.count[READY] = nodes
    return queue


@within
def make_ready(queue: Any, node: int) -> None:
    """Let a node go on."""
    queue.ready[queue.count[READY]] = node
    queue.count[READY] += 1


@within
def new(queue: Any) -> int:
    """Return the number of a letter that is not in use."""
    if queue.count[FREE]:
        queue.count[FREE] -= 1
        return queue.free[queue.count[FREE]]
    if queue.count[FRESH] == len(queue.letters):
        queue.count[FULL] = 1
        return 0
    queue.count[FRESH] += 1
    return queue.count[FRESH] - 1


@within
def push(queue: Any, number: int, time: float) -> None:
    """Let something happen to a letter at a time."""
    front, count = queue.front, queue.count
    if count[PENDING] == len(queue.heap):
        return  # full
    count[PENDING] += 1
    last = count[HEAD] + count[SOON] - 1
    crowded = count[SOON] == SOONEST or count[SOON] < count[PENDING] - 1
    if crowded and not _before(queue, time, number, front[last].time, front[last].letter):
        _push_later(queue, time, number)
        return
    if count[SOON] == SOONEST:
        _push_later(queue, front[last].time, front[last].letter)
        count[SOON] -= 1
        last -= 1
    if last + 1 == len(front):
        for k in range(count[SOON]):
            front[k].time, front[k].letter = front[count[HEAD] + k].time, front[count[HEAD] + k].letter
        count[HEAD], last = 0, count[SOON] - 1
    at = last + 1
    while at > count[HEAD] and _before(queue, time, number, front[at - 1].time, front[at - 1].letter):
        front[at].time, front[at].letter = front[at - 1].time, front[at - 1].letter
        at -= 1
    front[at].time, front[at].letter = time, number
    count[SOON] += 1


@within
def pop(queue: Any) -> Any:
    """Take out what happens next: when, and to which letter."""
    front, count = queue.front, queue.count
    now, top = front[count[HEAD]].time, front[count[HEAD]].letter
    count[HEAD] += 1
    count[SOON] -= 1
    count[PENDING] -= 1
    if not count[SOON]:
        count[HEAD] = 0
        while count[SOON] < count[PENDING] and count[SOON] < SOONEST // 2:
            front[count[SOON]].time, front[count[SOON]].letter = _pop_later(queue, count[PENDING] - count[SOON])
            count[SOON] += 1
    return now, top


@within
def _push_later(queue: Any, time: float, number: int) -> None:
    """Put what does not belong to the soonest into the heap, whose size is what is pending less those, the new one not counted."""
    heap, at = queue.heap, queue.count[PENDING] - 1 - queue.count[SOON]
    while at > 0:
        above = (at - 1) >> 1
        if not _before(queue, time, number, heap[above].time, heap[above].letter):
            break
        heap[at].time, heap[at].letter = heap[above].time, heap[above].letter
        at = above
    heap[at].time, heap[at].letter = time, number


@within
def _pop_later(queue: Any, size: int) -> Any:
    """Take the first out of the heap, which has so many."""
    heap, at = queue.heap, 0
    now, top = heap[0].time, heap[0].letter
    size -= 1
    time, number = heap[size].time, heap[size].letter
    while 2 * at + 1 < size:
        child = 2 * at + 1
        if child + 1 < size and _before(
            queue, heap[child + 1].time, heap[child + 1].letter, heap[child].time, heap[child].letter
        ):
            child += 1
        if not _before(queue, heap[child].time, heap[child].letter, time, number):
            break
        heap[at].time, heap[at].letter = heap[child].time, heap[child].letter
        at = child
    heap[at].time, heap[at].letter = time, number
    return now, top


@within
def _before(queue: Any, time: float, number: int, other_time: float, other_number: int) -> bool:
    """Return whether what happens to one letter comes before what happens to another."""
    if time != other_time:
        return time < other_time
    one, other = queue.letters[number], queue.letters[other_number]
    if one.posted != other.posted:
        return one.posted < other.posted
    if one.sender != other.sender:
        return one.sender < other.sender
    return one.number < other.number


@within
def keep(queue: Any, key: int, time: float) -> None:
    """Note that a message of a key was delivered."""
    mail = queue.kept[_find(queue, key)]
    if mail.key != key:
        if 2 * queue.count[KEPT] >= len(queue.kept):
            queue.count[FULL] = 1
            return
        queue.count[KEPT] += 1
        mail.key, mail.many, mail.latest = key, 0, time
    mail.many += 1
    mail.latest = max(mail.latest, time)


@within
def take(queue: Any, key: int) -> Any:
    """Return how many messages of a key were delivered, and when the latest; forget them."""
    if not queue.count[KEPT]:
        return 0, 0.0
    at, kept, mask = _find(queue, key), queue.kept, len(queue.kept) - 1
    if kept[at].key != key:
        return 0, 0.0
    many, latest = kept[at].many, kept[at].latest
    queue.count[KEPT] -= 1
    behind = (at + 1) & mask
    while kept[behind].key != NOBODY:  # who was moved on because of this place may have it
        if ((behind - _place(queue, kept[behind].key)) & mask) >= ((behind - at) & mask):
            kept[at].key, kept[at].many, kept[at].latest = kept[behind].key, kept[behind].many, kept[behind].latest
            at = behind
        behind = (behind + 1) & mask
    kept[at].key = NOBODY
    return many, latest


@within
def _find(queue: Any, key: int) -> int:
    """Return where a key is in the table, or where it would be."""
    at = _place(queue, key)
    while queue.kept[at].key != NOBODY and queue.kept[at].key != key:
        at = (at + 1) & (len(queue.kept) - 1)
    return at


@within
def _place(queue: Any, key: int) -> int:
    return ((key * SPREAD) >> 15) & (len(queue.kept) - 1)

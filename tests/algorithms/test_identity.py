"""Identity by contents: the same in every process, different where anything differs, refused where it cannot be told."""

import functools
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from guard import allow_sync, guard
from scipy import sparse

from netsim.algorithms import ChocoSGD, StochasticQuantizer, TopK
from netsim.algorithms.identity import NoIdentity, identity


class Colour(Enum):
    RED = 1
    BLUE = 2


class Plain:
    """A user's class without anything."""

    def __init__(self, public=1, private=2, **more):
        self.public, self._private = public, private
        self.__dict__.update(more)

    def method(self):
        pass


class Other(Plain):
    pass


class Slotted:
    __slots__ = ("x",)

    def __init__(self, x):
        self.x = x


class Point(NamedTuple):
    x: object
    y: object = 0


@dataclass
class Hidden:
    """A dataclass whose repr shows nothing of its data, and a field that does not count."""

    data: object = field(repr=False)
    cache: object = field(default=None, compare=False)

    def __repr__(self):
        return "Hidden()"


class Speaking(Plain):
    def describe(self):
        return {"public": self.public}


class Silent(Plain):
    def describe(self):
        return None


class Failing(Plain):
    def describe(self):
        return {"public": self.missing}


class Stored(Plain):
    """What pickle stores of it is what it says."""

    def __getstate__(self):
        return {"public": self.public}


LONG = np.arange(5000.0)
CHANGED = np.where(np.arange(5000) == 2500, -1.0, LONG)  # where NumPy's repr elides

PAIRS = {  # what differs by one thing that counts
    "numbers": (1, 1.0),
    "rounding": (0.1, 0.1 + 2**-56 + 2**-55),
    "truth": (1, True),
    "text": ("1", 1),
    "long arrays": (LONG, CHANGED),
    "dtypes": (np.zeros(3), np.zeros(3, np.float32)),
    "shapes": (np.zeros((2, 3)), np.zeros((3, 2))),
    "times": (np.array(["2020-01-01"], "M8[D]"), np.array(["2020-01-02"], "M8[D]")),
    "parts of arrays": (np.zeros(2, "i4,f8"), np.ones(2, "i4,f8")),
    "what only looks like an array": (sparse.eye_array(3), sparse.eye_array(3) * 2),
    "objects in arrays": (np.array([1, "a"], object), np.array([1, "b"], object)),
    "public": (Plain(1), Plain(2)),
    "private": (Plain(private=LONG), Plain(private=CHANGED)),
    "classes": (Plain(), Other()),
    "slots": (Slotted(1), Slotted(2)),
    "lists": ([1, [2, 3]], [1, [2, 4]]),
    "dictionaries": ({"a": 1}, {"a": 2}),
    "keys": ({1: 1}, {"1": 1}),
    "sets": ({1, 2}, {1, 3}),
    "named tuples": (Point(1), Point(2)),
    "tuples with names": (Point(1), (1, 0)),
    "what a repr hides": (Hidden(LONG), Hidden(CHANGED)),
    "members": (Colour.RED, Colour.BLUE),
    "methods of objects": (Plain(1).method, Plain(2).method),
    "arguments": (functools.partial(max, 1), functools.partial(max, 2)),
    "functions": (os.path.join, os.path.split),
    "generators of numbers": (np.random.default_rng(1), np.random.default_rng(2)),
    "paths": (Path("a"), Path("b")),
    "hyperparameters": (ChocoSGD(TopK(0.1), 0.2), ChocoSGD(TopK(0.1), 0.2, overlap=True)),
    "nested": (Plain(Plain(StochasticQuantizer(4))), Plain(Plain(StochasticQuantizer(8)))),
    "what it says": (Speaking(1), Speaking(2)),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_what_differs_has_another_identity(pair):
    one, other = PAIRS[pair]
    assert identity(one) != identity(other)
    assert identity(Plain(one)) != identity(Plain(other))
    assert "0x" not in identity(one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (Plain(LONG.copy()), Plain(LONG.copy())),
        (Plain(np.asfortranarray(LONG.reshape(2, -1))), Plain(LONG.reshape(2, -1))),
        (Hidden(1, cache=[1]), Hidden(1, cache=[2])),
        (Speaking(1, private=lambda: 0), Speaking(1, private=3)),
        (Stored(1, private=lambda: 0), Stored(1)),
        ({"b", "a", "c"}, {"c", "b", "a"}),
        (Plain([shared := [1]], shared), Plain([[1]], [1])),  # held twice, and not in itself
    ],
)
def test_what_does_not_count_changes_nothing(one, other):
    assert identity(one) == identity(other)


def test_an_array_of_a_device_is_its_numbers():
    with allow_sync():
        assert identity(guard.asarray(LONG)) == identity(LONG)


def test_another_process_says_the_same():
    """Also one that hashes text otherwise."""
    code = "from test_identity import *; print([identity(one) for pair in PAIRS.values() for one in pair])"
    path = os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1]), *sys.path])
    here = str([identity(one) for pair in PAIRS.values() for one in pair])
    environment = {**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": path}
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert said.stdout.strip().replace("test_identity:", "") == here.replace(f"{__name__}:", "")


def _inner():
    def function():
        pass

    return function


SELF = Plain()
SELF.me = [SELF]
DEEP: list = []
for _ in range(5000):
    DEEP = [DEEP]


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (lambda: 0, r"task\.f: a lambda cannot be told from another one"),
        (_inner(), r"task\.f: function, a function inside of another,"),
        ((one for one in [1]), r"task\.f: the state of a generator cannot be read"),
        (threading.Lock(), r"task\.f: the state of a lock cannot be read"),
        ({"a": [1, open(os.devnull)]}, r"task\.f\.a\[1\]: the state of a TextIOWrapper cannot be read"),  # noqa: SIM115
        (SELF, r"task\.f\.me\[0\]: refers to what holds it"),
        (DEEP, r"task: nested too deep"),
        (Failing(), r"task\.f: its describe\(\) failed \(AttributeError"),
        (Silent(), r"task\.f: its describe\(\) returned no mapping"),
    ],
)
def test_what_has_no_identity_is_named_with_the_remedy(value, said):
    with pytest.raises(NoIdentity, match=f"^{said}.*; give its class a describe.*dataclass of plain data$"):
        identity(Plain(f=value), "task")

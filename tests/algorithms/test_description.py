"""Descriptions of methods, ours and a user's: plain data for JSON, the same in every process."""

import functools
import json
import subprocess
import sys
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np
import pytest

from netsim import algorithms
from netsim.algorithms import (
    DCDPSGD,
    DPSGD,
    AllReduceSGD,
    ChocoSGD,
    Clip,
    DoubleSqueeze,
    EdgeGossip,
    Identity,
    LowRank,
    Moniqua,
    NearestQuantizer,
    OneBit,
    PowerGossip,
    PowerSGD,
    RandomK,
    RandomMask,
    Sign,
    StochasticQuantizer,
    TopK,
    describe,
)
from netsim.algorithms.description import name_of, same_method
from netsim.algorithms.identity import identity

EIGHT = StochasticQuantizer(8)


@pytest.mark.parametrize(
    ("method", "bits"),
    [
        (DPSGD(), 32),
        (AllReduceSGD(), 32),
        (AllReduceSGD(EIGHT), 8),
        (DCDPSGD(NearestQuantizer(4)), 4),
        (DCDPSGD(Identity()), 32),
        (ChocoSGD(Sign(), 0.5), 1),
        (ChocoSGD(OneBit(), 0.5), 1),
        (ChocoSGD(Clip(16), 0.5), 16),
        (ChocoSGD(TopK(0.1), 0.5), None),
        (ChocoSGD(RandomK(0.1), 0.5), None),
        (ChocoSGD(LowRank(2), 0.5), None),
        (Moniqua(2, 0.25, 0.005), 2),
        (PowerGossip(), None),
        (PowerSGD(2), None),
        (DoubleSqueeze(Sign(), Identity()), 1),
        (EIGHT, 8),
    ],
)
def test_the_bits_of_a_number(method, bits):
    assert describe(method)["bits"] == bits


def test_every_method_of_ours_says_its_family_and_its_hyperparameters():
    compressor = {
        "compress": EIGHT,
        "bits": 4,
        "theta": 1.0,
        "gamma": 0.5,
        "rank": 2,
        "ratio": 0.25,
        "probability": 0.5,
    }
    for found in vars(algorithms).values():
        if not is_dataclass(found) or found.__name__.endswith("Claims") or found is algorithms.Wire:  # no methods
            continue
        given = {one.name: compressor[one.name] for one in fields(found) if one.name in compressor}
        given |= {"bits": 16} if found is Clip else {"compress": RandomMask(0.5)} if found is EdgeGossip else {}
        method = found(**given)
        said = describe(method)
        assert said["family"] == found.__name__ and "class" not in said and said["repr"] == repr(method)
        assert {one.name for one in fields(found)} <= set(said)
        assert json.loads(json.dumps(said)) == said
        assert {name for name in said["stated"] if f"{name}=" not in repr(method)} <= {*given, "p"}


def test_what_is_stated_is_what_has_no_default_or_differs_from_it():
    assert describe(PowerGossip())["stated"] == []
    assert describe(PowerGossip(iterations=2))["stated"] == ["iterations"]
    said = describe(ChocoSGD(TopK(0.01), 0.2, overlap=True))
    assert said["stated"] == ["compress", "gamma", "overlap"] and said["gamma"] == 0.2 and said["overlap"] is True
    assert said["compress"] == describe(TopK(0.01)) and said["compress"]["stated"] == ["ratio"]


@dataclass(frozen=True)
class Own:
    """A user's method, as a dataclass with Python's own repr."""

    compress: object
    rank: int = 1
    scales: tuple = (1, 2)
    weights: object = None


class Plain:
    """A user's method without a repr."""

    def __init__(self, gamma):
        self.gamma, self.compress, self._cache, self.data = gamma, Sign(), [1], np.zeros(3)


class PlainCompressor:
    """A user's compressor without a repr."""

    def __init__(self, gamma):
        self.gamma = gamma

    def compress(self, x, key, tensors):
        raise NotImplementedError


class Speaking(Plain):
    """A user's method that describes itself."""

    def describe(self):
        return {"family": "Spoken", "bits": 3, "gamma": np.float64(self.gamma)}

    def __repr__(self):
        return "spoken"


def test_a_users_methods():
    said = describe(Own(EIGHT, weights=np.ones((2, 3))))
    assert (said["family"], said["class"], said["bits"]) == ("Own", f"{__name__}:Own", 8)
    assert said["scales"] == [1, 2] and said["weights"] == "float64 array (2, 3)"
    assert said["stated"] == ["compress", "weights"]
    said = describe(Plain(0.5))
    assert (said["family"], said["repr"], said["bits"], said["gamma"]) == (
        *("Plain", "Plain(gamma=0.5, compress=Sign())"),
        *(1, 0.5),
    )
    assert "data" not in said and "_cache" not in said
    said = describe(Speaking(0.5))
    assert (said["family"], said["repr"], said["bits"], said["gamma"]) == ("Spoken", "spoken", 3, 0.5)
    for one in (Own(Plain(0.1)), Plain(0.5), Speaking(0.5), Own(max)):
        assert json.loads(json.dumps(describe(one))) == describe(one)


def test_no_name_holds_an_address():
    for method in (DCDPSGD(PlainCompressor(0.5)), Plain(0.5), AllReduceSGD(compress=PlainCompressor(0.5))):
        assert "0x" not in name_of(method) and "0x" not in identity(method)
    assert repr(DCDPSGD(PlainCompressor(0.5))) == "DCDPSGD(PlainCompressor(gamma=0.5))"
    assert "0x" not in identity(Own(Plain(0.5)))  # whose own repr does hold one


def test_the_same_identity_in_another_process():
    method = "ChocoSGD(TopK(0.01), 0.2)"
    code = (
        f"from netsim.algorithms import *\nfrom netsim.algorithms.identity import identity\nprint(identity({method}))"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert printed.strip() == identity(ChocoSGD(TopK(0.01), 0.2))


def test_the_same_method():
    said = describe(DCDPSGD(EIGHT))
    assert same_method(said, describe(DCDPSGD(StochasticQuantizer(8)))) and same_method(said, said | {"run": 2})
    for other in (DCDPSGD(StochasticQuantizer(4)), DCDPSGD(NearestQuantizer(8)), AllReduceSGD(EIGHT), Own(EIGHT)):
        assert not same_method(said, describe(other))
    assert not same_method(describe(Moniqua(2, 0.25, 0.1)), describe(Moniqua(4, 0.25, 0.1)))
    assert not same_method(describe(DPSGD()), describe(DPSGD(gamma=0.5)))


def test_a_hyperparameter_of_another_version_counts_as_its_default():
    today, earlier = describe(DPSGD(gamma=0.5)), describe(DPSGD(gamma=0.5))
    del earlier["overlap"]
    assert same_method(today, earlier) and same_method(earlier, today)
    assert not same_method(describe(DPSGD(gamma=0.5, overlap=False)), earlier)


class Bare:
    """Without a repr, and with what has none."""

    def __init__(self):
        self.seed, self.draw, self.table = 3, Bare.__init__, np.zeros(3)


@dataclass(frozen=True)
class Holds:
    made: Any
    other: Any = None


def function(step):
    return 0.1


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (Bare(), "Bare(seed=3)"),
        (function, "function"),
        (Holds(function), "Holds(made=function, other=None)"),
        (Holds(Bare(), [Bare()]), "Holds(made=Bare(seed=3), other=[Bare()])"),
        (Holds(np.zeros(3)), "Holds(made=array([0., 0., 0.]), other=None)"),
        (Holds(Bare().__init__), "Holds(made=Bare.__init__, other=None)"),
        ([function, Bare()], "[function, Bare()]"),
        (functools.partial(function, 1), "functools.partial(function, 1)"),
    ],
)
def test_a_name_says_what_an_object_is_and_not_where_it_lies(value, name):
    assert name_of(value) == name

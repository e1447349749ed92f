"""Labels of methods in legends, from their descriptions: the same in every figure."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from netsim.algorithms import describe
from netsim.algorithms.description import FULL_PRECISION
from netsim.plots.text import clean
from netsim.runs.descriptions import descriptions

_FAMILIES = {
    "AllReduceSGD": "All-reduce",
    "DPSGD": "D-PSGD",
    "NaiveCompressedDPSGD": "Naive D-PSGD",
    "DCDPSGD": "DCD-PSGD",
    "ECDPSGD": "ECD-PSGD",
    "DPSGD, gradient first": "D-PSGD",
    "ParameterServerSGD": "Server SGD",
    "EC-SGD": "EC-SGD",  # DoubleSqueeze whose server replies in full precision
    "DoubleSqueeze": "DoubleSqueeze",
    "ChocoSGD": "CHOCO-SGD",
    "DeepSqueeze": "DeepSqueeze",
}
_OVERLAP = {True: "overlapping", False: "gradient first"}
_TRAVEL = {True: "overlaps", False: "after the gradient"}
_LONG_VALUE = 40  # characters of one hyperparameter's value


class Words(NamedTuple):
    """The parts of the label of a method.

    Attributes
    ----------
    family
        A family of ours, whose label starts with the number of bits or the compressor; None for others.
    name
        Of the family, or the class.
    bits
        Of a number that is sent, if known.
    settings
        What follows the name.
    """

    family: str | None
    name: str
    bits: int | None
    settings: tuple[str, ...]

    @property
    def variant(self) -> bool:
        """Whether there is more than the family and the compressor."""
        return len(self.settings) > 1


def label(method: Any) -> str:
    """Return a method's label in legends: ``DCDPSGD(StochasticQuantizer(8))`` -> ``"DCD-PSGD, 8 bits"``.

    Parameters
    ----------
    method
        An algorithm, or its description (:func:`netsim.algorithms.describe`). The label of one outside this project is its class and the
        hyperparameters that it states: ``"MyGossip, rank 2"``. A string is returned as it is.
    """
    if isinstance(method, str):
        return clean(method)
    parts = words_of(method)
    return clean(", ".join((parts.name, *parts.settings)))


def labels(ds: xr.Dataset) -> dict[str, str]:
    """Return the label of every experiment of results, by its name; those that would be equal are numbered."""
    if "called" in ds.attrs:
        return {name: ds.attrs["called"][name] for name in map(str, np.atleast_1d(ds["experiment"].values))}
    called: dict[str, str] = {}
    for name, said in descriptions(ds).items():
        own = label(said)
        again = sum(other == own or other.startswith(f"{own} #") for other in called.values())
        called[name] = f"{own} #{again + 1}" if again else own
    return called


def legend_label(ds: xr.Dataset, name: str) -> str:
    """Return the label of an experiment, with overlap and divergence: ``"D-PSGD, 32 bits (overlaps)"``."""
    one = ds.sel(experiment=name)
    called = labels(ds)
    words = called[name]
    if "overlap" in ds:
        every = {key: _told_by_overlap(ds, key, label) for key, label in called.items()}
        clear = list(every.values()).count(every[name]) == 1
        words = every[name] if clear else f"{words} ({_TRAVEL[_overlaps(ds, name)]})"
    seeds, broken = int(ds.attrs.get("seeds", 1)), int(one["diverged_seeds"]) if "diverged_seeds" in ds else 0
    if broken:
        return f"{words}, {broken} of {seeds} seeds diverged"
    at = int(one["diverged_at"]) if "diverged_at" in ds else -1
    return words if at < 0 else f"{words}, diverged @ {at}"


def _told_by_overlap(ds: xr.Dataset, name: str, words: str) -> str:
    """Return a label in which overlap is said once, at the end."""
    kept = ", ".join(part for part in words.split(", ") if part not in _OVERLAP.values())
    return f"{kept} ({_TRAVEL[_overlaps(ds, name)]})"


def _overlaps(ds: xr.Dataset, name: str) -> bool:
    return bool(np.atleast_1d(ds["overlap"].sel(experiment=name)).flat[0])


def described_as(method: Any) -> Mapping[str, Any]:
    """Return the description of a method, or the description that it is."""
    return method if isinstance(method, Mapping) else describe(method)


def words_of(method: Any) -> Words:
    """Return the parts of a method's label.

    Parameters
    ----------
    method
        An algorithm, or its description.
    """
    said = described_as(method)
    kind = said["family"]
    if kind not in _FAMILIES or "class" in said or "repr" not in said or "bits" not in said:
        return _other_words(said)
    compress, reply = said.get("compress"), said.get("server_compress")
    how = (f"{FULL_PRECISION} bits",) if compress is None else _compression(compress)
    if kind == "DoubleSqueeze" and reply is not None and reply["repr"] == "Identity()":
        kind, reply = "EC-SGD", None
    if kind == "DPSGD" and said.get("overlap") is False:
        kind = "DPSGD, gradient first"
    words = list(how)
    if reply is not None:
        back = _compression(reply)
        words.append("both ways" if back == how else f"reply {' '.join(back)}")
    words += _settings(said, "compress", "server_compress")
    return Words(kind, _FAMILIES[kind], said["bits"], (*words, *_run(said)))


def _other_words(said: Mapping[str, Any]) -> Words:
    """Return the label's parts of a method without a family of ours: its class, and what it states."""
    kind, bits = str(said["family"]), said.get("bits")
    if kind == "PowerGossip" and "class" not in said:
        words = _settings(said, "iterations", "warm_start")
        count = said["iterations"]
        words.insert("rank" in said["stated"], f"{count} iteration{'s' * (count > 1)}")
        words += [] if said["warm_start"] else ["random projections"]
    elif kind == "Moniqua" and "class" not in said:
        words = [_bits(said["bits"]), *_settings(said, "bits")]
    else:
        words = _settings(said)
    return Words(None, kind, bits if isinstance(bits, int) else None, (*words, *_run(said)))


def _compression(said: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the label of a compressor's description."""
    match said["family"]:
        case _ if "class" in said:
            pass
        case "Identity":
            return (f"{FULL_PRECISION} bits", "identity", *_settings(said))
        case "StochasticQuantizer":
            return (_bits(said["bits"]), *_settings(said, "bits"))
        case "NearestQuantizer":
            return (_bits(said["bits"]), "to nearest", *_settings(said, "bits"))
        case "RandomSparsifier":
            return (f"{100 * said['probability']:g} % kept", *_settings(said, "probability"))
        case "TopK":
            return (f"top {100 * said['ratio']:g} %", *_settings(said, "ratio"))
        case "Sign":
            return ("sign", *_settings(said))
    return (" ".join([str(said["family"]), *_settings(said)]),)


def _settings(said: Mapping[str, Any], *without: str) -> list[str]:
    """Return the label of the hyperparameters that a method states, except some."""
    return [_setting(name, said[name]) for name in said["stated"] if name not in without]


def _setting(name: str, value: Any) -> str:
    if name == "overlap" and isinstance(value, bool):
        return _OVERLAP[value]
    said = _value(value)
    said = said if len(said) <= _LONG_VALUE else f"{said[: _LONG_VALUE - 1]}…"
    return said if name == "compress" else f"{name.replace('_', ' ')} {said}"


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return " ".join(_compression(value)) if "family" in value else str(dict(value))
    if isinstance(value, float):
        return f"{value:g}"
    return f"({', '.join(map(_value, value))})" if isinstance(value, list) else str(value)


def _bits(count: int) -> str:
    return "1 bit" if count == 1 else f"{count} bits"


def _run(said: Mapping[str, Any]) -> list[str]:
    return [f"run {said['run']}"] if "run" in said else []

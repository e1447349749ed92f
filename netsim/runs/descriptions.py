"""Descriptions of methods in results: plain data, read by legends, figures and verdicts."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr

from netsim.algorithms import describe
from netsim.algorithms.description import same_method
from netsim.errors import NetsimError

Description = dict[str, Any]
"""What :func:`netsim.algorithms.describe` returns; in results, ``run`` is added where a method occurs again: 2, 3, …"""


def as_text(descriptions: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return descriptions as JSON, the form in which a Dataset and its file hold them."""
    return [json.dumps(one, ensure_ascii=False) for one in descriptions]


def described(methods: Sequence[Any]) -> list[Description]:
    """Return the descriptions of an experiment's methods in their order, those that occur again numbered by ``run``.

    Parameters
    ----------
    methods
        Algorithms.
    """
    found: list[Description] = []
    for method in methods:
        one = describe(method)
        before = sum(each["repr"] == one["repr"] for each in found)
        found.append(one | {"run": before + 1} if before else one)
    return found


def descriptions(ds: xr.Dataset) -> dict[str, Description]:
    """Return the description of every experiment of results, by its name.

    Parameters
    ----------
    ds
        Of :func:`netsim.sweep`, or of gossip. Where an experiment has several descriptions, one for each start that it gossips from, the first
        counts. Results without descriptions, made by hand or by an older netsim, have only the experiments' names.
    """
    names = [str(name) for name in np.atleast_1d(ds["experiment"].values)]
    if "description" not in ds:
        return {name: _unknown(name) for name in names}
    held = ds["description"]
    rows = held.transpose("experiment", ...).values if "experiment" in held.dims else held.values
    rows = np.asarray(rows, dtype=object).reshape(len(names), -1)
    found = {name: next(filter(None, row), None) for name, row in zip(names, rows, strict=True)}
    return {name: _unknown(name) if text is None else json.loads(text) for name, text in found.items()}


def _unknown(name: str) -> dict[str, Any]:
    return {"family": name, "bits": None, "stated": [], "repr": name}


def experiment_of(ds: xr.Dataset, method: Any) -> str:
    """Return the name of the experiment that ran a method with the same hyperparameters, the first one where there are several.

    Parameters
    ----------
    ds
        Results with descriptions.
    method
        An algorithm, such as ``DCDPSGD(StochasticQuantizer(8))``; or an experiment's name, which is returned if there is one of that name.

    Raises
    ------
    NetsimError
        These results have no such experiment.
    """
    names = [str(name) for name in np.atleast_1d(ds["experiment"].values)]
    if isinstance(method, str):
        said, found = method, method if method in names else None
    else:
        wanted = describe(method)
        said, found = wanted["repr"], next((k for k, one in descriptions(ds).items() if same_method(one, wanted)), None)
    if found is None:
        raise NetsimError(f"no method {said} in these results; they hold {', '.join(names)}")
    return found

"""[[start]] and [[algorithm]] of a gossip file: the initial vectors, and the methods."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from netsim.comm.topology import Topology
from netsim.errors import NetsimError, as_written, hint
from netsim.files.calls import algorithm
from netsim.files.schema import GOSSIP_FILE, OPTIMAL, MethodSection, StartSection, own
from netsim.models import olivetti
from netsim.runs.gossip import Problem, has_step_size, standard_normal
from netsim.runs.setup import Method


def problems(
    file: dict[str, Any], topology: Topology, settings: dict[str, Any], folder: Path, data: str | Path | None
) -> tuple[dict[str, Problem], dict[str, str]]:
    """Return the starts whose data are there, and why the others are left out.

    Parameters
    ----------
    file
        With its [[start]] sections.
    topology
        Of the workers.
    settings
        target, seed, dtype and device.
    folder
        Of the file: paths are relative to it.
    data
        Folder of the faces, instead of the file's; without either, starts of faces are left out.

    Raises
    ------
    NetsimError
        One line with the field, what is wrong, and what would be right.
    """
    found: dict[str, Problem] = {}
    left_out: dict[str, str] = {}
    for i, section in enumerate((StartSection(**one) for one in file["start"]), 1):
        field = f"start[{i}]"
        if section.name in found or section.name in left_out:
            raise NetsimError(f'{field}.name = "{section.name}": occurs twice; give each start a name of its own')
        wrong, needed = ("shape", None) if section.kind == "faces" else ("path", "shape")
        if getattr(section, wrong) is not None:
            raise NetsimError(f'{field}.{wrong}: not a key of kind = "{section.kind}"; leave it out')
        if needed and section.shape is None:
            raise NetsimError(f"{field}.shape: missing; write the shape of what each worker holds, such as [100, 100]")
        if section.kind == "normal":
            x0 = standard_normal(topology.n, section.shape or (), settings["seed"])
        elif data is None and section.path is None:
            left_out[section.name] = (
                "the Olivetti faces come from files: add --data PATH (the folder that holds olivettifaces.mat, "
                "which is in the repository sjgershm/DBM on GitHub)"
            )
            continue
        else:
            x0 = _faces(topology.n, folder / Path(section.path or "").expanduser(), data, f"{field}.path")
        found[section.name] = Problem(x0, topology, budget=section.budget, **settings)
    if not found:
        raise NetsimError(f"start: nothing to gossip on: {' '.join(left_out.values())}")
    return found, left_out


def _faces(n: int, path: Path, data: str | Path | None, field: str) -> np.ndarray:
    """Return (n, 64, 64): the first faces of the shuffle that the published script makes."""
    try:
        faces = olivetti(path if data is None else data)
    except OSError as error:  # such as a name that no file can have
        where = field if data is None else "--data"
        raise NetsimError(
            f"{where} = {as_written(str(path if data is None else data))}: {error.strerror}; write the folder of the faces"
        ) from None
    except ValueError as error:
        raise NetsimError(f"{field if data is None else '--data'}: {error}") from None
    if n > len(faces):
        raise NetsimError(f"topology.n = {n}: more workers than the {len(faces)} faces")
    return faces[np.random.RandomState(0).permutation(len(faces))[:n]]


def method(file: dict[str, Any], i: int, topology: Topology, folders: Sequence[Path]) -> Method:
    """Return entry i of [[algorithm]], checked against its class and the starts.

    Parameters
    ----------
    file, i
        Which entry, from 0.
    topology
        For its optimal gossip rate.
    folders
        Folders searched for users' modules.

    Raises
    ------
    NetsimError
        One line with the field, what is wrong, and what would be right.
    """
    field, table = f"algorithm[{i + 1}]", file["algorithm"][i]
    section = _section(table)
    names = [start["name"] for start in file["start"]]
    for what in ("starts", "best", "published"):
        for unknown in [name for name in getattr(section, what) or () if name not in names]:
            raise NetsimError(f'{field}.{what}: no start is called "{unknown}"; {hint(unknown, names)}')
    gammas = (topology.optimal_gossip_rate,) if section.gamma == OPTIMAL else section.gamma
    values = {
        "name": table["name"],
        **own(table, GOSSIP_FILE["algorithm"]),
        **({} if gammas is None else {"gamma": gammas[0]}),
        **({} if section.theta is None else {"theta": section.theta[0]}),
    }
    made = algorithm(values, field, folders)
    if gammas is None and has_step_size(made):
        gammas = (made.gamma,)
    for start, found in (section.best or {}).items():
        for unknown in [name for name in found if not hasattr(made, name)]:
            raise NetsimError(f"{field}.best.{start}.{unknown}: not a field of {type(made).__name__}; leave it out")
    label = section.label or _label(made)
    starts = tuple(section.starts or names)
    for other in map(_section, file["algorithm"][:i]):
        if other.label == section.label and section.label and set(starts) & set(other.starts or names):
            raise NetsimError(
                f'{field}.label = "{label}": occurs twice from one start; give each method a label of its own'
            )
    return Method(label, made, gammas, section.theta, starts, section.best or {}, section.published or {})


def _section(table: dict[str, Any]) -> MethodSection:
    return MethodSection(**{name: table[name] for name in GOSSIP_FILE["algorithm"].fields if name != "name"})


def _label(made: Any) -> str:
    """Return the class and its fixed hyperparameters, without the searched ones: ``ChocoSGD(Sign())``."""
    values = [
        (one.name, getattr(made, one.name)) for one in dataclasses.fields(made) if one.name not in ("gamma", "theta")
    ]
    defaults = {one.name: one.default for one in dataclasses.fields(made)}
    shown = [repr(v) if defaults[k] is dataclasses.MISSING else f"{k}={v!r}" for k, v in values if v != defaults[k]]
    return f"{type(made).__name__}({', '.join(shown)})"

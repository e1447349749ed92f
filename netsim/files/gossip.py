"""Configuration of gossip alone: a TOML file with a section [gossip], or a preset of that form, becomes starts and methods.

The keys are documented where they are declared. :func:`load` is all that a notebook needs.
"""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BeforeValidator, ConfigDict, Field, ValidationError

from netsim.comm.topology import Topology
from netsim.device import device_namespace
from netsim.errors import NetsimError
from netsim.files import config
from netsim.files.calls import algorithm, hint
from netsim.files.schema import Section, axis, first_mistake
from netsim.models import olivetti
from netsim.runs.gossip_search import Problem, candidates, has_step_size, standard_normal

OPTIMAL = "optimal"  # in place of a step size: the topology's optimal gossip rate


def _positive(value: Any, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < np.inf:
        raise NetsimError(f"{key} = {json.dumps(value, default=str)}: must be a number above 0")
    return float(value)


_grid = axis(_positive)


def _gammas(value: Any) -> tuple[float, ...] | str:
    if isinstance(value, str) and value != OPTIMAL:
        raise NetsimError(f' = {json.dumps(value)}: write a number, a grid, or "{OPTIMAL}"')
    return OPTIMAL if value == OPTIMAL else _grid(value)


class GossipSection(Section):
    """[gossip]: how far to go, and in which arithmetic."""

    target: float = Field(1e-6, gt=0, lt=1, description="relative error to reach; it decides which step size is best")
    until: float | None = Field(
        None, gt=0, lt=1, description="relative error at which a run ends; the target if left out"
    )
    seed: int = Field(0, ge=0, description="fixes the starts and the runs bit for bit on one device")
    dtype: Literal["float32", "float64"] = Field("float32", description="of the arithmetic; both are billed 32 bits")
    device: str = Field("auto", description="auto, cpu or cuda")


class StartSection(Section):
    """[[start]]: what the workers hold at first."""

    name: str = Field(description="what the start is called")
    kind: Literal["normal", "faces"] = Field(
        description="normal: standard normal numbers of a shape; faces: worker i holds face i of a fixed shuffle of the Olivetti faces, from files"
    )
    shape: list[Annotated[int, Field(ge=1)]] | None = Field(None, min_length=1, description="normal: of each worker")
    path: str | None = Field(None, description="faces: folder of the files; relative to the file; --data overrides it")
    budget: float | None = Field(None, gt=0, description="MB that a worker may send; if left out, by full precision")


class MethodSection(Section):
    """[[algorithm]]: a method. Its other keys are the algorithm's own: name, compress, …"""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, arbitrary_types_allowed=True)

    label: str | None = Field(None, description="what figures and tables call it")
    starts: list[str] | None = Field(None, description="only from these starts")
    gamma: Annotated[Any, BeforeValidator(_gammas)] = Field(
        None,
        description='consensus step size: a number, "optimal", or a grid to be searched: a list, or { from, to, points }',
    )
    theta: Annotated[Any, BeforeValidator(_grid)] = Field(
        None, description="Moniqua: a number, or a grid to be searched"
    )
    best: dict[str, dict[Literal["gamma", "theta"], float]] = Field(
        default_factory=dict, description="by start, what netsim tune found on the grid"
    )
    published: dict[str, float] = Field(
        default_factory=dict, description="by start, MB to the target as others have it"
    )


class File(Section):
    """A configuration file of gossip alone."""

    title: str = Field("", description="one line about it")
    gossip: GossipSection = Field(description="how far to go, and in which arithmetic")
    topology: dict[str, Any] = Field(description="as for netsim sweep: kind = ring, n = 8, …")
    start: Annotated[list[StartSection], Field(min_length=1)] = Field(description="what the workers hold at first")
    algorithm: Annotated[list[MethodSection], Field(min_length=1)] = Field(description="name, gamma, …")
    assumptions: dict[str, str] = Field(default_factory=dict, description="what was assumed, in words")


@dataclass(frozen=True)
class Method:
    """One method of a file.

    Attributes
    ----------
    label
        What it is called.
    algorithm
        With the first step size of its grid.
    gammas, thetas
        The grids that are searched; of length 1, or None, where there is nothing to search.
    starts
        Names of the starts from which it gossips.
    best
        {start: {"gamma": …, "theta": …}} as the file has it.
    published
        {start: MB to the target} of others.
    """

    label: str
    algorithm: Any
    gammas: tuple[float, ...] | None
    thetas: tuple[float, ...] | None
    starts: tuple[str, ...]
    best: Mapping[str, Mapping[Any, float]] = field(default_factory=dict)
    published: Mapping[str, float] = field(default_factory=dict)

    def candidates(self, topology: Topology) -> tuple[Any, ...]:
        """Return the algorithm with every step size, and theta, of its grid."""
        return candidates(self.algorithm, topology, self.gammas, self.thetas) if self.gammas else (self.algorithm,)

    def known(self, start: str) -> Any:
        """Return the algorithm as the file has it for a start: with its best step size; None: that is to be searched."""
        if start in self.best:
            return replace(self.algorithm, **self.best[start])
        return self.algorithm if max(len(self.gammas or ()), len(self.thetas or ())) <= 1 else None


@dataclass(frozen=True, eq=False)
class GossipPlan:
    """What a file asks for.

    Attributes
    ----------
    name, source, title, assumptions, text
        As of :class:`netsim.files.config.Plan`.
    topology
        Who talks to whom.
    problems
        {name of a start: from where to where}, without those left out.
    methods
        In the order of the file.
    until
        Relative error at which a run ends.
    left_out
        {name of a start: why it is missing, and the remedy}.
    """

    name: str
    source: str
    title: str
    topology: Topology
    problems: Mapping[str, Problem]
    methods: tuple[Method, ...]
    until: float
    left_out: Mapping[str, str]
    assumptions: Mapping[str, str]
    text: str

    def pairs(self) -> list[tuple[str, Method]]:
        """Return every start with every method that gossips from it."""
        return [(start, method) for start in self.problems for method in self.methods if start in method.starts]


def load(source: str | Path, data: str | Path | None = None, device: str | None = None) -> GossipPlan:
    """Load a preset or a TOML file, and the faces that it asks for.

    Parameters
    ----------
    source
        Name of a preset, such as ``"powergossip-consensus"``, or path of a file.
    data
        Folder of the faces, instead of the file's. Where there is neither, the starts of faces are left out.
    device
        Instead of the file's.

    Raises
    ------
    NetsimError
        One line with the file, the key, what is wrong with it and what would be right.
    """
    path, text, table = config.read(source)
    if "gossip" not in table and {"task", "training", "network"} & set(table):
        raise NetsimError(
            f"{source}: is for netsim sweep, run and tune: it trains. Try netsim consensus powergossip-consensus"
        )
    try:
        file = File.model_validate(table)
        settings = file.gossip.model_dump(exclude={"until"}) | ({} if device is None else {"device": device})
        _check_device(settings["device"])
        topology = config.topology(file.topology, path.parent)
        methods = tuple(_method(file, i, topology) for i in range(len(file.algorithm)))
        problems, left_out = _problems(file, topology, settings, path.parent, data)
    except ValidationError as error:
        raise NetsimError(f"{source}: {first_mistake(error, File)}") from None
    except NetsimError as error:
        raise NetsimError(f"{source}: {error}") from None
    until = min(file.gossip.until or file.gossip.target, file.gossip.target)
    title = file.title or path.stem
    return GossipPlan(
        path.stem, str(source), title, topology, problems, methods, until, left_out, file.assumptions, text
    )


def _check_device(device: str) -> None:
    try:
        device_namespace(device)
    except NetsimError as error:
        raise NetsimError(f"gossip.{error}") from None


def _problems(
    file: File, topology: Topology, settings: dict[str, Any], folder: Path, data: str | Path | None
) -> tuple[dict[str, Problem], dict[str, str]]:
    """Return the starts that can be had, and why the others cannot."""
    problems: dict[str, Problem] = {}
    left_out: dict[str, str] = {}
    for i, section in enumerate(file.start, 1):
        key = f"start[{i}]"
        if section.name in problems or section.name in left_out:
            raise NetsimError(f'{key}.name = "{section.name}": occurs twice; give each start a name of its own')
        wrong, needed = ("shape", None) if section.kind == "faces" else ("path", "shape")
        if getattr(section, wrong) is not None:
            raise NetsimError(f'{key}.{wrong}: not a key of kind = "{section.kind}"; leave it out')
        if needed and section.shape is None:
            raise NetsimError(f"{key}.shape: missing; write the shape of what each worker holds, such as [100, 100]")
        if section.kind == "normal":
            x0 = standard_normal(topology.n, section.shape or (), settings["seed"])
        elif data is None and section.path is None:
            left_out[section.name] = (
                "the Olivetti faces come from files: add --data PATH (the folder that holds olivettifaces.mat, "
                "which is in the repository sjgershm/DBM on GitHub)"
            )
            continue
        else:
            x0 = _faces(topology.n, folder / Path(section.path or "").expanduser(), data, f"{key}.path")
        problems[section.name] = Problem(x0, topology, budget=section.budget, **settings)
    if not problems:
        raise NetsimError(f"start: nothing to gossip on: {' '.join(left_out.values())}")
    return problems, left_out


def _faces(n: int, path: Path, data: str | Path | None, key: str) -> np.ndarray:
    """Return (n, 64, 64): the first faces of the shuffle that the published script makes."""
    try:
        faces = olivetti(path if data is None else data)
    except ValueError as error:
        raise NetsimError(f"{key if data is None else '--data'}: {error}") from None
    if n > len(faces):
        raise NetsimError(f"topology.n = {n}: more workers than the {len(faces)} faces")
    return faces[np.random.RandomState(0).permutation(len(faces))[:n]]


def _method(file: File, i: int, topology: Topology) -> Method:
    """Return entry i, checked against its algorithm and the starts."""
    key, section = f"algorithm[{i + 1}]", file.algorithm[i]
    names = [start.name for start in file.start]
    for what in ("starts", "best", "published"):
        for unknown in [name for name in getattr(section, what) or () if name not in names]:
            raise NetsimError(f'{key}.{what}: no start is called "{unknown}"; {hint(unknown, names)}')
    gammas = (topology.optimal_gossip_rate,) if section.gamma == OPTIMAL else section.gamma
    values = {
        **(section.model_extra or {}),
        **({} if gammas is None else {"gamma": gammas[0]}),
        **({} if section.theta is None else {"theta": section.theta[0]}),
    }
    made = algorithm(values, key)
    if gammas is None and has_step_size(made):
        gammas = (made.gamma,)
    for start, found in section.best.items():
        for unknown in [name for name in found if not hasattr(made, name)]:
            raise NetsimError(f"{key}.best.{start}.{unknown}: not a field of {type(made).__name__}; leave it out")
    label = section.label or _label(made)
    starts = tuple(section.starts or names)
    for other in file.algorithm[:i]:
        if other.label == section.label and section.label and set(starts) & set(other.starts or names):
            raise NetsimError(
                f'{key}.label = "{label}": occurs twice from one start; give each method a label of its own'
            )
    return Method(label, made, gammas, section.theta, starts, section.best, section.published)


def _label(made: Any) -> str:
    """Return the class and what it is given, without what is searched: ``ChocoSGD(Sign())``."""
    values = [
        (one.name, getattr(made, one.name)) for one in dataclasses.fields(made) if one.name not in ("gamma", "theta")
    ]
    defaults = {one.name: one.default for one in dataclasses.fields(made)}
    shown = [repr(v) if defaults[k] is dataclasses.MISSING else f"{k}={v!r}" for k, v in values if v != defaults[k]]
    return f"{type(made).__name__}({', '.join(shown)})"

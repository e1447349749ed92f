"""The keys of a configuration file: one pydantic model a section, and their mistakes in one line.

A file trains (:class:`TrainingFile`) or gossips without gradients (:class:`GossipFile`); what both say is in :class:`File`.
"""

import dataclasses
import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal, get_args

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, create_model

from netsim.clock.compute import Exponential, LogNormal, Uniform
from netsim.clock.fabrics import FABRICS
from netsim.clock.network import Network
from netsim.errors import NetsimError, hint
from netsim.files import units
from netsim.files.calls import call
from netsim.files.matrices import PerLink, per_link
from netsim.files.units import bits_per_second, seconds

LARGEST_SEED = 2**63
OPTIMAL = "optimal"  # in place of a step size: the topology's optimal gossip rate
_Sharing: Any = Literal.__getitem__(tuple(FABRICS))
_COMPUTE = {"lognormal": LogNormal, "exponential": Exponential, "uniform": Uniform}


def _quantity(parse: Callable[[Any, str], float]) -> Callable[[Any], float]:
    return lambda value: parse(value, "")


def _one_or_each(parse: Callable[[Any, str], float]) -> Callable[[Any], Any]:
    return lambda value: [parse(one, "") for one in value] if isinstance(value, list) else parse(value, "")


def axis_or_links(parse: Callable[[Any, str], float]) -> Callable[[Any], tuple[float, ...] | PerLink]:
    """Return the validator of one axis of [network]: as of :func:`axis`, or per-link values."""
    numbers = axis(parse)
    return lambda value: found if (found := per_link(value)) is not None else numbers(value)


def _one_or_links(parse: Callable[[Any, str], float]) -> Callable[[Any], float | PerLink]:
    return lambda value: found if (found := per_link(value)) is not None else parse(value, "")


def axis(parse: Callable[[Any, str], float]) -> Callable[[Any], tuple[float, ...]]:
    """Return the validator of one axis of a grid: a value, a list of values, or a table from, to, points."""

    def values(value: Any) -> tuple[float, ...]:
        if isinstance(value, list) and value:
            return tuple(parse(one, "") for one in value)
        if not isinstance(value, Mapping):
            return (parse(value, ""),)
        for unknown in [key for key in value if key not in ("from", "to", "points")]:
            raise NetsimError(f".{unknown}: unknown key; {hint(unknown, ('from', 'to', 'points'))}")
        for missing in [key for key in ("from", "to", "points") if key not in value]:
            raise NetsimError(f".{missing}: missing; a grid has from, to and points")
        low, high, points = parse(value["from"], ".from"), parse(value["to"], ".to"), value["points"]
        if isinstance(points, bool) or not isinstance(points, int) or points < 2:
            raise NetsimError(f".points = {json.dumps(points)}: must be a whole number, at least 2")
        if not 0 < low < high < np.inf:
            raise NetsimError('.from: must be above 0 and below "to": the grid is spaced evenly in the logarithm')
        return tuple(np.geomspace(low, high, points).tolist())

    return values


def _compute(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return _one_or_each(seconds)(value)
    kind = value.get("kind")
    if isinstance(kind, str) and ":" in kind:  # a user's, made where the folders of modules are known
        return dict(value)
    if not isinstance(kind, str) or kind not in _COMPUTE:
        raise NetsimError(f".kind = {json.dumps(kind)}: unknown compute model; {hint(str(kind), _COMPUTE)}")
    given = {
        key: _one_or_each(lambda v, k=key: seconds(v, f".{k}"))(v) if key in ("mean", "low", "high") else v  # type: ignore[misc]
        for key, v in value.items()
        if key != "kind"
    }
    return call(_COMPUTE[kind], given, "")


def _positive(value: Any, key: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < np.inf:
        raise NetsimError(f"{key} = {json.dumps(value, default=str)}: must be a number above 0")
    return float(value)


_grid = axis(_positive)


def _gammas(value: Any) -> tuple[float, ...] | str:
    if isinstance(value, str) and value != OPTIMAL:
        raise NetsimError(f' = {json.dumps(value)}: write a number, a grid, or "{OPTIMAL}"')
    return OPTIMAL if value == OPTIMAL else _grid(value)


def _tables(value: Any) -> tuple[dict[str, Any], ...]:
    each = value if isinstance(value, list) else [value]
    if not each or not all(isinstance(one, dict) for one in each):
        raise NetsimError(
            f' = {json.dumps(value, default=str)}: write [topology] with a kind, such as kind = "ring" and n = 8'
        )
    return tuple(each)


def _seeds(value: Any) -> tuple[int, ...]:
    each = value if isinstance(value, list) else [value]
    whole = [one for one in each if isinstance(one, int) and not isinstance(one, bool) and 0 <= one < LARGEST_SEED]
    if not each or len(whole) < len(each) or len(set(whole)) < len(whole):
        raise NetsimError(
            f" = {json.dumps(value, default=str)}: must be a whole number, at least 0 and below 2^63, or a list of different ones"
        )
    return tuple(whole)


class Section(BaseModel):
    """A table of a configuration file: no unknown keys, no conversions."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True)


class TaskSection(Section):
    """[task]: what is learned. Its other keys are the fields of the model's task: hidden, batch, partition, … (:data:`netsim.files.tasks.MODELS`)."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True)

    model: str = Field("mlp", description="mlp, softmax, cnn, resnet20, resnet18 or lstm; or module:Class")
    data: str = Field(
        "digits", description="digits (ships inside scikit-learn); mnist, cifar10, a9a, w8a or wikitext2 (from files)"
    )
    path: str | None = Field(None, description="folder of the data files; relative to the file; --data overrides it")
    download: bool = Field(False, description="without a path: download the files once, checked")
    train: int | None = Field(None, description="take only so many training images, or words")
    test: int | None = Field(None, description="take only so many test images: the first")
    vocabulary: int | None = Field(None, description="wikitext2: keep only so many words")
    lower: bool | None = Field(None, description="wikitext2: read capitals as small letters")
    tokens: str | None = Field(None, description="wikitext2: file, or spacy (words cut as the published runs cut them)")


class TrainingSection(Section):
    """[training]: for how long, and at what rate."""

    steps: int = Field(description="rounds, each with one gradient a worker")
    seed: Annotated[tuple, BeforeValidator(_seeds)] = Field(
        (0,), description="fixes the runs bit for bit on one device; a list: every training is done with each"
    )
    target: float | None = Field(None, description="training loss to reach; 1.05 times all-reduce's best if left out")
    lr: Any = Field(0.1, description="learning rate, or a schedule { kind = ..., ... }; an algorithm may have its own")
    momentum: float = Field(0.0, description="local to each worker")
    nesterov: bool = Field(False, description="Nesterov's momentum")
    weight_decay: float = Field(0.0, description="added to the gradient, times the model")
    clip: float | None = Field(None, description="largest norm of a worker's gradient")
    dtype: str = Field("float32", description="float32 or float64")
    device: str = Field("auto", description="auto, cpu or cuda")
    evaluate: str = Field("average", description="which models are evaluated: average, each or both")
    evaluate_every: int | None = Field(None, description="steps between evaluations; an epoch if left out")


class _Grid(Section):
    """What [network] sweeps."""

    latency: Annotated[Any, BeforeValidator(axis_or_links(seconds))] = Field(
        None,
        description="the grid: { from, to, points } (evenly in the logarithm), a list, or one value. Or per link: rows, the path of a .csv or .npy "
        'file, or { file or rows, unit = "ms", scale = [1, 2, 5] }, where the matrix times each factor is a point',
    )
    bandwidth: Annotated[Any, BeforeValidator(axis_or_links(bits_per_second))] = Field(None, description="as latency")
    groups: dict[str, Any] | None = Field(
        None,
        description="in place of both: { sizes = [4, 4], inside = { latency, bandwidth }, between = { latency, bandwidth } }",
    )
    compute: Annotated[Any, BeforeValidator(_compute)] = Field(
        0.0,
        description="time of one gradient; a list: one per worker; or { kind = lognormal | exponential | uniform | module:Class }",
    )
    sharing: Annotated[
        list[_Sharing], BeforeValidator(lambda v: [v] if isinstance(v, str) else v), Field(min_length=1)
    ] = Field(["fifo", "none"], description="messages queue at ports (fifo), or share nothing (none); each is swept")


def _fields_of_network() -> dict[str, Any]:
    """Return the other fields of [network], as :class:`netsim.Network` declares them."""
    found: dict[str, Any] = {}
    for one in dataclasses.fields(Network):
        if one.metadata:
            parse = getattr(units, one.metadata["quantity"] or "", None)
            kind: Any = type(one.default)
            if parse is not None:
                reader = _one_or_each(parse) if one.metadata["each"] else _quantity(parse)
                kind = (
                    Annotated[Any, BeforeValidator(reader)]
                    if one.metadata["each"]
                    else Annotated[float, BeforeValidator(reader)]
                )
            found[one.name] = kind, Field(one.default, description=one.metadata["description"])
    return found


_Declared: Any = create_model("_Declared", __base__=_Grid, **_fields_of_network())


class NetworkSection(_Declared):
    """[network]: when it happens. Times such as "20 ms", bandwidths such as "10 Mbit/s"."""


_Own: Any = create_model(
    "_Own",
    __base__=Section,
    latency=(
        Annotated[Any, BeforeValidator(_one_or_links(seconds))],
        Field(
            None,
            description='such as "0.13 ms", or per link, as in [network]; of [network] if left out, where it has one',
        ),
    ),
    bandwidth=(
        Annotated[Any, BeforeValidator(_one_or_links(bits_per_second))],
        Field(None, description='such as "1.4 Gbit/s"; otherwise as latency'),
    ),
    groups=(dict[str, Any] | None, Field(None, description="as in [network]")),
    compute=(Annotated[Any, BeforeValidator(_compute)], Field(None, description="as in [network]")),
    **_fields_of_network(),
)


class ConditionSection(_Own, Section):
    """[[condition]]: a network with a name. If it has only a latency and a bandwidth, they are added to the grid; with more it is timed apart.

    What it does not say is as in [network].
    """

    name: str = Field(description="what the column is called")
    source: Literal["paper", "paper panel", "ours"] = Field(
        "ours",
        description='whose it is: "paper panel" is shown in the paper, which names no number for it; the number is ours',
    )


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
    """[[algorithm]] of gossip alone. Its other keys are the algorithm's own: name, compress, …"""

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
    """What every configuration file says."""

    base: str | None = Field(None, description="a preset or a file that has all that is not written here")
    title: str = Field("", description="one line about it")
    topology: Annotated[tuple, BeforeValidator(_tables)] = Field(
        description="several [[topology]]: every training is done on each. kind: ring n | torus rows cols | "
        "hypercube dim | exponential n | complete n | star n | random_regular n degree seed "
        "(each with weights = metropolis | uniform | max_degree | optimal) | matrix weights_matrix = rows, or a .csv or .npy file | "
        "module:function, which returns a topology, a networkx graph or a matrix"
    )
    assumptions: dict[str, str] = Field(default_factory=dict, description="what was assumed, in words")


class TrainingFile(File):
    """A configuration file that trains, for netsim sweep, run, tune and plan."""

    task: TaskSection = Field(default_factory=TaskSection.model_construct, description="what is learned")
    training: TrainingSection = Field(description="for how long, and at what rate")
    algorithm: Annotated[list[dict[str, Any]], Field(min_length=1)] = Field(
        description="name: a class of netsim.algorithms, or module:Class; lr: its own learning rate; its fields, such as "
        "compress = { name = ..., bits = 8 }"
    )
    network: NetworkSection = Field(description="when it happens")
    condition: list[ConditionSection] = Field(
        default_factory=list, description="named networks; the grid's corners if left out"
    )


class GossipFile(File):
    """A configuration file of gossip alone, for netsim consensus and tune."""

    gossip: GossipSection = Field(description="how far to go, and in which arithmetic")
    start: Annotated[list[StartSection], Field(min_length=1)] = Field(description="what the workers hold at first")
    algorithm: Annotated[list[MethodSection], Field(min_length=1)] = Field(description="name, gamma, …")


def first_mistake(error: ValidationError, model: type[BaseModel]) -> str:
    """Return pydantic's first finding about a table of a model in our words; unknown keys first, because they explain missing ones."""
    found = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    *parents, last = path = [part + 1 if isinstance(part, int) else part for part in found["loc"]]
    key = _joined_path(path)
    value = json.dumps(found["input"], default=str)
    context = found.get("ctx", {})
    match found["type"]:
        case "extra_forbidden":
            return f"{key}: unknown key; {hint(str(last), _section(model, parents).model_fields)}"
        case "missing":
            return f"{key}: missing; {_described(model, path)}"
        case "value_error":
            said = str(context["error"])
            return f"{key}{said}" if said.startswith((".", " =")) else f"{key}: {said}"
        case "literal_error":
            return f"{key} = {value}: write {context['expected'].replace(chr(39), chr(34))}"
        case _:
            return f"{key} = {value}: {found['msg'].removeprefix('Input ')}"


def _joined_path(path: list[Any]) -> str:
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    return text.removeprefix(".")


def _section(model: type[BaseModel], parents: list[Any]) -> type[BaseModel]:
    """Return the model of the section in which a key stands: none is deeper than one."""
    if not parents:
        return model
    annotation = model.model_fields[parents[0]].annotation
    found = [one for one in (annotation, *get_args(annotation)) if isinstance(one, type) and issubclass(one, BaseModel)]
    return found[0]


def _described(model: type[BaseModel], path: list[Any]) -> str:
    field = _section(model, path[:-1]).model_fields.get(str(path[-1]))
    return f"it is: {field.description}" if field else "write it"

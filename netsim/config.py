"""Configuration: a TOML file, or a preset of that form, becomes experiments and networks.

:func:`load` is all that a notebook needs; :class:`File` and its sections document every key.
"""

import inspect
import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from models import MLP, SoftmaxRegression, datasets
from netsim import topology as topologies
from netsim.compute import Exponential, LogNormal, Uniform
from netsim.errors import NetsimError
from netsim.experiment import Experiment
from netsim.keys import algorithm, below, call, hint
from netsim.network import Network, NetworkGrid
from netsim.schedules import schedule_from_config
from netsim.units import bits_per_second, seconds

PRESETS = Path(__file__).parent / "presets"

_TOPOLOGIES: Mapping[str, Callable[..., topologies.Topology]] = {
    name: getattr(topologies, name)
    for name in ("ring", "torus", "hypercube", "exponential", "complete", "star", "random_regular")
}
_COMPUTE = {"lognormal": LogNormal, "exponential": Exponential, "uniform": Uniform}


class Condition(NamedTuple):
    """A network with a name: a column of the table.

    Attributes
    ----------
    name
        Such as ``"high latency"``.
    latency
        Seconds.
    bandwidth
        bit/s.
    ours
        True: our assumption. False: the paper's.
    """

    name: str
    latency: float
    bandwidth: float
    ours: bool


@dataclass(frozen=True, eq=False)
class Plan:
    """What a file asks for.

    Attributes
    ----------
    name
        The preset's, or the file's without its ending.
    source
        What errors call it: the file as it was given.
    title
        One line.
    experiments
        One per algorithm, in the order of the file, which all share task, topology and seed.
    grids
        The networks, by ``sharing``.
    conditions
        The networks that have a name; all are points of the grids.
    target
        Training loss to be reached, or None.
    assumptions
        What was assumed, in words.
    text
        The file itself.
    """

    name: str
    source: str
    title: str
    experiments: tuple[Experiment, ...]
    grids: Mapping[str, NetworkGrid]
    conditions: tuple[Condition, ...]
    target: float | None
    assumptions: Mapping[str, str]
    text: str


def _quantity(parse: Callable[[Any, str], float]) -> Callable[[Any], float]:
    return lambda value: parse(value, "")


def _one_or_each(parse: Callable[[Any, str], float]) -> Callable[[Any], Any]:
    return lambda value: [parse(one, "") for one in value] if isinstance(value, list) else parse(value, "")


def _axis(parse: Callable[[Any, str], float]) -> Callable[[Any], tuple[float, ...]]:
    """Return the validator of one axis of the grid: a value, a list of values, or a table from, to, points."""

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
    if kind not in _COMPUTE:
        raise NetsimError(f".kind = {json.dumps(kind)}: unknown compute model; {hint(str(kind), _COMPUTE)}")
    given = {
        key: _one_or_each(lambda v, k=key: seconds(v, f".{k}"))(v) if key in ("mean", "low", "high") else v  # type: ignore[misc]
        for key, v in value.items()
        if key != "kind"
    }
    return call(_COMPUTE[kind], given, "")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, arbitrary_types_allowed=True)


class TaskSection(_Section):
    """[task]: what is learned."""

    model: Literal["mlp", "softmax"] = Field("mlp", description="multilayer perceptron, or softmax regression")
    data: str = Field("digits", description="digits (ships inside scikit-learn), mnist or cifar10 (from files)")
    path: str | None = Field(None, description="folder of the data files; relative to the file; --data overrides it")
    download: bool = Field(False, description="without a path: download the files once, checked")
    train: int | None = Field(None, description="take only so many training images")
    hidden: list[int] | None = Field(None, description="mlp: units of each hidden layer; [485, 485] if left out")
    l2: float | None = Field(None, description="softmax: l2 / 2 times the squared norm is added to the loss")
    batch: int = Field(16, description="images that a worker reads at one step")
    partition: str = Field("iid", description="iid, dirichlet, contiguous or by_label")
    alpha: float | None = Field(None, description="concentration of the dirichlet partition")


class TrainingSection(_Section):
    """[training]: for how long, and at what rate."""

    steps: int = Field(description="rounds, each with one gradient a worker")
    seed: int = Field(0, description="fixes the runs bit for bit on one device")
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


class NetworkSection(_Section):
    """[network]: when it happens. Times such as "20 ms", bandwidths such as "10 Mbit/s"."""

    latency: Annotated[tuple, BeforeValidator(_axis(seconds))] = Field(
        description="the grid: { from, to, points } (evenly in the logarithm), a list, or one value"
    )
    bandwidth: Annotated[tuple, BeforeValidator(_axis(bits_per_second))] = Field(description="as latency")
    compute: Annotated[Any, BeforeValidator(_compute)] = Field(
        0.0, description="time of one gradient; a list: one per worker; or { kind = lognormal | exponential | uniform }"
    )
    sharing: Annotated[list[Literal["fifo", "none"]], Field(min_length=1)] = Field(
        ["fifo", "none"], description="messages queue at ports (fifo), or share nothing (none); each is swept"
    )
    duplex: str = Field("full", description="full, or half: one port for both ways")
    overhead: Annotated[float, BeforeValidator(_quantity(seconds))] = Field(
        0.0, description="time that a message holds its port before its first bit leaves"
    )
    handshakes: int = Field(0, description="one-way control messages before the data")
    framing: float = Field(1.0, description="bits on the wire per bit of message")
    egress: Annotated[Any, BeforeValidator(_one_or_each(bits_per_second))] = Field(None, description="port speed out")
    ingress: Annotated[Any, BeforeValidator(_one_or_each(bits_per_second))] = Field(None, description="port speed in")
    codec: Annotated[Any, BeforeValidator(_one_or_each(seconds))] = Field(
        None, description="time per number to encode and to decode: one value, or a list of two"
    )


class ConditionSection(_Section):
    """[[condition]]: a network with a name; its values are added to the grid."""

    name: str = Field(description="what the column is called")
    latency: Annotated[float, BeforeValidator(_quantity(seconds))] = Field(description='such as "0.13 ms"')
    bandwidth: Annotated[float, BeforeValidator(_quantity(bits_per_second))] = Field(description='such as "1.4 Gbit/s"')
    source: Literal["paper", "ours"] = Field("ours", description="whose values these are")


class File(_Section):
    """A configuration file."""

    title: str = Field("", description="one line about it")
    task: TaskSection = Field(default_factory=TaskSection.model_construct, description="what is learned")
    training: TrainingSection = Field(description="for how long, and at what rate")
    topology: dict[str, Any] = Field(
        description="kind: ring n | torus rows cols | hypercube dim | exponential n | complete n | star n | random_regular n degree seed "
        "(each with weights = metropolis | uniform | max_degree | optimal) | matrix weights_matrix = rows, or a .csv or .npy file"
    )
    algorithm: Annotated[list[dict[str, Any]], Field(min_length=1)] = Field(
        description="name: a class of algorithms; lr: its own learning rate; its fields, such as compress = { name = ..., bits = 8 }"
    )
    network: NetworkSection = Field(description="when it happens")
    condition: list[ConditionSection] = Field(
        default_factory=list, description="named networks; the grid's corners if left out"
    )
    assumptions: dict[str, str] = Field(default_factory=dict, description="what was assumed, in words")


def presets() -> dict[str, str]:
    """Return {name: title} of the presets that come with netsim."""
    return {path.stem: tomllib.loads(path.read_text("utf-8"))["title"] for path in sorted(PRESETS.glob("*.toml"))}


def load(
    source: str | Path,
    data: str | Path | None = None,
    steps: int | None = None,
    device: str | None = None,
    download: bool = False,
) -> Plan:
    """Load a preset or a TOML file, and the data that it names.

    Parameters
    ----------
    source
        Name of a preset, such as ``"tang2018"``, or path of a file.
    data
        Folder of the data files, instead of the file's.
    steps, device
        Instead of the file's.
    download
        Allow a download of MNIST or CIFAR-10.

    Raises
    ------
    NetsimError
        One line with the file, the key, what is wrong with it and what would be right.
    """
    path, text = _read(source)
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise NetsimError(f"{source}: not valid TOML: {error}") from None
    try:
        file = File.model_validate(table)
        changed = {key: value for key, value in (("steps", steps), ("device", device)) if value is not None}
        file = file.model_copy(update={"training": file.training.model_copy(update=changed)})
        grids, conditions = _networks(file)
        topology = _topology(file.topology, path.parent)
        chosen = [_algorithm(file, i) for i in range(len(file.algorithm))]
        task = _task(file.task, path.parent, data, download)
        experiments = tuple(_experiment(file, i, task, topology, *each) for i, each in enumerate(chosen))
    except ValidationError as error:
        raise NetsimError(f"{source}: {_first_mistake(error, table)}") from None
    except NetsimError as error:
        raise NetsimError(f"{source}: {error}") from None
    return Plan(
        path.stem,
        str(source),
        file.title or path.stem,
        experiments,
        grids,
        conditions,
        file.training.target,
        file.assumptions,
        text,
    )


def _read(source: str | Path) -> tuple[Path, str]:
    path = Path(source).expanduser()
    preset = PRESETS / f"{source}.toml"
    if not path.suffix and preset.name in {p.name for p in PRESETS.glob("*.toml")}:
        path = preset
    try:
        return path, path.read_text("utf-8")
    except FileNotFoundError:
        names = [p.stem for p in sorted(PRESETS.glob("*.toml"))]
        raise NetsimError(f"{source}: no such file, and no preset of this name; {hint(str(source), names)}") from None
    except UnicodeDecodeError:
        raise NetsimError(f"{source}: not a text file in UTF-8; write a TOML file") from None
    except OSError as error:
        raise NetsimError(f"{source}: cannot be read ({error.strerror}); write a TOML file") from None


def _networks(file: File) -> tuple[dict[str, NetworkGrid], tuple[Condition, ...]]:
    section = file.network
    named = [Condition(c.name, c.latency, c.bandwidth, c.source == "ours") for c in file.condition]
    names = [condition.name for condition in named]
    for name in {name for name in names if names.count(name) > 1}:
        raise NetsimError(f'condition.name = "{name}": occurs twice; give each condition a name of its own')
    latency = _joined(section.latency, [condition.latency for condition in named])
    bandwidth = _joined(section.bandwidth, [condition.bandwidth for condition in named])
    fixed = section.model_dump(exclude={"latency", "bandwidth", "sharing", "compute"}) | {"compute": section.compute}
    fixed["codec"] = tuple(fixed["codec"]) if isinstance(fixed["codec"], list) else fixed["codec"]
    try:
        grids = {one: Network.grid(latency, bandwidth, sharing=one, **fixed) for one in section.sharing}
    except NetsimError as error:
        raise NetsimError(below("network", str(error), fixed)) from None
    return grids, tuple(named) or _corners(latency, bandwidth)


def _joined(axis: tuple[float, ...], values: list[float]) -> list[float]:
    """Return the axis with the values of the conditions, each number once."""
    kept = [point for point in axis if not any(np.isclose(point, value, rtol=1e-9, atol=0) for value in values)]
    return sorted({*kept, *values})


def _corners(latency: list[float], bandwidth: list[float]) -> tuple[Condition, ...]:
    corners = {
        (latency[0], bandwidth[-1]): "best",
        (latency[-1], bandwidth[-1]): "high latency",
        (latency[0], bandwidth[0]): "low bandwidth",
        (latency[-1], bandwidth[0]): "both",
    }
    return tuple(Condition(name, *corner, ours=True) for corner, name in corners.items())


def _topology(table: dict[str, Any], folder: Path) -> topologies.Topology:
    values = dict(table)
    kind = values.pop("kind", None)
    if kind == "matrix":
        return call(_matrix, {**values, **({"weights_matrix": m} if (m := _rows(values, folder)) else {})}, "topology")
    if kind not in _TOPOLOGIES:
        raise NetsimError(
            f"topology.kind = {json.dumps(kind)}: unknown topology; {hint(str(kind), [*_TOPOLOGIES, 'matrix'])}"
        )
    return call(_TOPOLOGIES[kind], values, "topology")


def _rows(values: dict[str, Any], folder: Path) -> list[list[float]] | None:
    """Return the rows of the matrix that is written out, or that a .csv or .npy file holds."""
    given = values.get("weights_matrix")
    if not isinstance(given, str):
        return given
    path = folder / given
    try:
        matrix = (
            np.load(path, allow_pickle=False) if path.suffix == ".npy" else np.loadtxt(path, delimiter=",", ndmin=2)
        )
    except (OSError, ValueError, EOFError) as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise NetsimError(
            f"topology.weights_matrix: {path}: cannot be read as a matrix ({said}); expected n rows of n numbers, with commas between them, or a .npy file"
        ) from None
    return matrix.tolist()


def _matrix(weights_matrix: list[list[float]]) -> topologies.Topology:
    return topologies.from_weights(weights_matrix)


def _algorithm(file: File, i: int) -> tuple[Any, Any]:
    """Return the (algorithm, learning rate or schedule) of entry i."""
    key, values = f"algorithm[{i + 1}]", dict(file.algorithm[i])
    own = "lr" in values
    lr = values.pop("lr", file.training.lr)
    if not isinstance(lr, int | float) or isinstance(lr, bool):
        lr = schedule_from_config(lr, f"{key}.lr" if own else "training.lr")
    elif not 0 < lr < np.inf:
        raise NetsimError(
            f"{key}.lr = {lr}: must be a number above 0" if own else f"training.lr = {lr}: must be above 0"
        )
    return algorithm(values, key), lr


def _task(section: TaskSection, folder: Path, data: str | Path | None, download: bool) -> Any:
    path = data if data is not None else section.path and folder / Path(section.path).expanduser()
    key = "--data" if data is not None else "task.path" if path else "task.data"
    try:
        if section.data in ("mnist", "cifar10") and path is None and not (section.download or download):
            raise NetsimError(
                f'"{section.data}" comes from files: add --data PATH (the folder that holds them), or --download to fetch them once'
            )
        loaded = datasets.load(section.data, path, section.train, section.download or download)
    except ValueError as error:
        key = "task.train" if str(error).startswith("train = ") else key
        raise NetsimError(f"{key}: {error}") from None
    wrong, model = ("l2", "mlp") if section.model == "mlp" else ("hidden", "softmax")
    if getattr(section, wrong) is not None:
        raise NetsimError(f'task.{wrong}: not a key of model = "{model}"; leave it out')
    values = section.model_dump(include={"hidden", "l2", "batch", "partition", "alpha"}, exclude_none=True)
    make = MLP if section.model == "mlp" else SoftmaxRegression
    try:
        return make(loaded, **values)
    except ValueError as error:
        raise NetsimError(below("task", str(error), [*inspect.signature(make).parameters])) from None


def _experiment(file: File, i: int, task: Any, topology: topologies.Topology, chosen: Any, lr: Any) -> Experiment:
    settings = file.training.model_dump(exclude={"lr"})
    try:
        return Experiment(task, chosen, topology, lr=lr, **settings)
    except NetsimError as error:
        raise NetsimError(below("training", str(error), settings)) from None


def _first_mistake(error: ValidationError, table: Mapping[str, Any]) -> str:
    """Return pydantic's first finding in our words; unknown keys first, because they explain missing ones."""
    found = min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")
    *parents, last = path = [part + 1 if isinstance(part, int) else part for part in found["loc"]]
    key = _joined_path(path)
    value = json.dumps(found["input"], default=str)
    context = found.get("ctx", {})
    match found["type"]:
        case "extra_forbidden":
            return f"{key}: unknown key; {hint(str(last), _fields(parents))}"
        case "missing":
            return f"{key}: missing; {_described(path)}"
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


def _section(parents: list[Any]) -> type[BaseModel]:
    sections: dict[Any, type[BaseModel]] = {
        "task": TaskSection,
        "training": TrainingSection,
        "network": NetworkSection,
        "condition": ConditionSection,
    }
    return sections[parents[0]] if parents else File


def _fields(parents: list[Any]) -> list[str]:
    return list(_section(parents).model_fields)


def _described(path: list[Any]) -> str:
    field = _section(path[:-1]).model_fields.get(str(path[-1]))
    return f"it is: {field.description}" if field else "write it"


def at(plan: Plan, latency: float, bandwidth: float, sharing: str) -> Network:
    """Return one network with everything else as the plan has it; latency in seconds, bandwidth in bit/s."""
    template = next(iter(plan.grids.values())).template
    return replace(template, latency=latency, bandwidth=bandwidth, sharing=sharing, name="")

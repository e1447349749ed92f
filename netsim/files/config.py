"""Configuration: a TOML file, or a preset of that form, becomes experiments and networks.

:func:`load` is all that a notebook needs; :mod:`netsim.files.schema` documents every key.
"""

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tomli_w
from pydantic import ValidationError

from netsim import topology as topologies
from netsim.clock.compute import compute_seconds
from netsim.clock.network import Network, NetworkGrid, links
from netsim.device import device_namespace
from netsim.errors import NetsimError
from netsim.files.calls import algorithm, below, call, hint
from netsim.files.schedules import schedule_from_config
from netsim.files.schema import File, first_mistake
from netsim.files.tasks import check_shards, make_task
from netsim.runs.experiment import Experiment

PRESETS = Path(__file__).parent / "presets"

_TOPOLOGIES: Mapping[str, Callable[..., topologies.Topology]] = {
    name: getattr(topologies, name)
    for name in ("ring", "torus", "hypercube", "exponential", "complete", "star", "random_regular")
}


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
    source
        "paper"; "ours"; or "paper panel": the paper shows it and names no number, which is ours.
    """

    name: str
    latency: float
    bandwidth: float
    source: str

    @property
    def ours(self) -> bool:
        """Whether the paper knows nothing of it."""
        return self.source == "ours"


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
    changed
        What was asked for in place of the file's own: "" or, say, ``"steps = 22, data = mnist"``.
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
    changed: str = ""


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
    path, text, table = read(source)
    if "gossip" in table:
        raise NetsimError(
            f"{source}: is for netsim consensus: it gossips and trains nothing. Try netsim consensus {source}"
        )
    try:
        file = File.model_validate(table)
        changed = {key: value for key, value in (("steps", steps), ("device", device)) if value is not None}
        file = file.model_copy(update={"training": file.training.model_copy(update=changed)})
        grids, conditions = _networks(file)
        graph = topology(file.topology, path.parent)
        chosen = [_algorithm(file, i) for i in range(len(file.algorithm))]
        _check_device(file.training.device)
        for grid in grids.values():
            _check_network(grid.template, graph.n)
        task = make_task(file.task, path.parent, data, download)
        check_shards(task, graph.n)
        experiments = tuple(_experiment(file, i, task, graph, *each) for i, each in enumerate(chosen))
    except ValidationError as error:
        raise NetsimError(f"{source}: {first_mistake(error)}") from None
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
        ", ".join(
            [
                *(f"{key} = {value}" for key, value in changed.items()),
                *([f"data = {task.data.name}"] if data is not None else []),
            ]
        ),
    )


def read(source: str | Path) -> tuple[Path, str, dict[str, Any]]:
    """Return where a preset or a TOML file lies, its text, and its keys.

    A file with ``base = "tang2018"``, or the path of another file, relative to it, has from there all that it leaves out
    (:func:`built_on`); its text is then that of the whole. Paths of data are relative to the file that is named here.

    Raises
    ------
    NetsimError
        It, or its base, cannot be read or is not valid TOML; or bases go round in a circle.
    """
    path, text, table = _read(source)
    passed = [path.resolve()]  # each the base of the one before
    while "base" in table:
        name = table.pop("base")
        if not isinstance(name, str):
            raise NetsimError(
                f"{source}: base = {json.dumps(name, default=str)}: write a preset's name or a file's path"
            )
        try:
            beneath, _, others = _read(passed[-1].parent / name if Path(name).suffix else name)
        except NetsimError as error:
            raise NetsimError(f"{source}: base: {error}") from None
        if beneath.resolve() in passed:
            raise NetsimError(f'{source}: base = "{name}": leads back to {beneath.name}; name another file')
        passed.append(beneath.resolve())
        table = built_on(others, table)
        text = tomli_w.dumps(table)
    return path, text, table


def built_on(base: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    """Return a file's keys over those of its base.

    Tables are merged key by key, but one that says what it is (``kind``, ``model`` or ``name``) replaces the base's, for
    the keys of another kind would not fit it. Anything else, lists such as ``[[algorithm]]`` included, replaces the base's.
    """
    merged = dict(base)
    for key, value in table.items():
        old = base.get(key)
        whole = (
            not (isinstance(old, Mapping) and isinstance(value, Mapping)) or {"kind", "model", "name"} & value.keys()
        )
        merged[key] = value if whole else built_on(old, value)  # type: ignore[arg-type]
    return merged


def _read(source: str | Path) -> tuple[Path, str, dict[str, Any]]:
    path = Path(source).expanduser()
    preset = PRESETS / f"{source}.toml"
    if not path.suffix and preset.name in {p.name for p in PRESETS.glob("*.toml")}:
        path = preset
    try:
        text = path.read_text("utf-8")
        return path, text, tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise NetsimError(f"{source}: not valid TOML: {error}") from None
    except FileNotFoundError:
        names = [p.stem for p in sorted(PRESETS.glob("*.toml"))]
        raise NetsimError(f"{source}: no such file, and no preset of this name; {hint(str(source), names)}") from None
    except UnicodeDecodeError:
        raise NetsimError(f"{source}: not a text file in UTF-8; write a TOML file") from None
    except OSError as error:
        raise NetsimError(f"{source}: cannot be read ({error.strerror}); write a TOML file") from None


def _networks(file: File) -> tuple[dict[str, NetworkGrid], tuple[Condition, ...]]:
    section = file.network
    named = [Condition(c.name, c.latency, c.bandwidth, c.source) for c in file.condition]
    names = [condition.name for condition in named]
    for name in {name for name in names if names.count(name) > 1}:
        raise NetsimError(f'condition.name = "{name}": occurs twice; give each condition a name of its own')
    latency = _joined(section.latency, [condition.latency for condition in named])
    bandwidth = _joined(section.bandwidth, [condition.bandwidth for condition in named])
    fixed = section.model_dump(exclude={"latency", "bandwidth", "sharing", "compute"}) | {"compute": section.compute}
    fixed["codec"] = tuple(fixed["codec"]) if isinstance(fixed["codec"], list) else fixed["codec"]
    try:
        grids: dict[str, NetworkGrid] = {
            str(one): Network.grid(latency, bandwidth, sharing=one, **fixed) for one in section.sharing
        }
    except NetsimError as error:
        raise NetsimError(below("network", str(error), fixed)) from None
    return grids, tuple(named) or _corners(latency, bandwidth)


def _joined(axis: tuple[float, ...], values: list[float]) -> list[float]:
    """Return the axis with the values of the conditions, each number once."""
    kept = [point for point in axis if not any(np.isclose(point, value, rtol=1e-9, atol=0) for value in values)]
    return sorted({*kept, *values})


def _corners(latency: list[float], bandwidth: list[float]) -> tuple[Condition, ...]:
    corners = {  # where two coincide, the later name stays
        (latency[-1], bandwidth[0]): "both",
        (latency[0], bandwidth[0]): "low bandwidth",
        (latency[-1], bandwidth[-1]): "high latency",
        (latency[0], bandwidth[-1]): "best",
    }
    return tuple(Condition(name, *corner, source="ours") for corner, name in corners.items())


def topology(table: dict[str, Any], folder: Path) -> topologies.Topology:
    """Return the topology that a table describes; files that it names are relative to a folder.

    Raises
    ------
    NetsimError
        There is no such topology, or its keys are refused.
    """
    values = dict(table)
    kind = values.pop("kind", None)
    if kind == "matrix":
        return call(matrix, {**values, **({"weights_matrix": m} if (m := _rows(values, folder)) else {})}, "topology")
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
            f"topology.weights_matrix: {path}: not a matrix ({said}); expected n rows of n numbers, separated by commas, or a .npy file"
        ) from None
    return matrix.tolist()


def matrix(weights_matrix: list[list[float]]) -> topologies.Topology:
    """Return the topology of a mixing matrix."""
    try:
        return topologies.from_weights(weights_matrix)
    except NetsimError as error:
        raise NetsimError(f"weights_matrix: {error}") from None


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


def _experiment(file: File, i: int, task: Any, topology: topologies.Topology, chosen: Any, lr: Any) -> Experiment:
    settings = file.training.model_dump(exclude={"lr"})
    try:
        return Experiment(task, chosen, topology, lr=lr, **settings)
    except NetsimError as error:
        raise NetsimError(below("training", str(error), settings)) from None


def _check_device(device: str) -> None:
    try:
        device_namespace(device)
    except NetsimError as error:
        raise NetsimError(f"training.{error}") from None


def _check_network(template: Network, n: int) -> None:
    """Find out before the training, not after it, whether the network fits n workers."""
    try:
        links(template, n)
        compute_seconds(template.compute, 1, n)
    except NetsimError as error:
        raise NetsimError(f"network.{error}") from None


def at(plan: Plan, latency: float, bandwidth: float, sharing: str) -> Network:
    """Return one network with everything else as the plan has it; latency in seconds, bandwidth in bit/s."""
    template = next(iter(plan.grids.values())).template
    return replace(template, latency=latency, bandwidth=bandwidth, sharing=sharing, name="")

"""Configuration: a TOML file or a preset is loaded as a :class:`netsim.runs.setup.Setup`.

Notebooks need only :func:`load`; :mod:`netsim.files.schema` documents every field.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from netsim.comm.topology import Topology
from netsim.device import device_namespace
from netsim.errors import NetsimError, check, shortened
from netsim.files.calls import algorithm, below
from netsim.files.networks import networks
from netsim.files.overrides import in_words, overridden
from netsim.files.schema import MOST_CASES, TRAINING_FILE, own, read_sections
from netsim.files.sources import Source, read
from netsim.files.starts import method, problems
from netsim.files.tasks import check_shards, make_task
from netsim.files.topologies import topologies
from netsim.runs.experiment import Experiment
from netsim.runs.pipeline import labels
from netsim.runs.setup import Method, Setup

KINDS = {  # which commands take a file that trains, or one of gossip alone
    "training": "is for netsim sweep, run and tune: it trains. Try netsim consensus powergossip-consensus",
    "gossip": "is for netsim consensus: it gossips and trains nothing. Try netsim consensus {source}",
}


def load(
    source: str | Path,
    data: str | Path | None = None,
    steps: int | None = None,
    device: str | None = None,
    download: bool = False,
    kind: str | None = None,
    *,
    seed: int | None = None,
    grid: Mapping[str, Any] | None = None,
) -> Setup:
    """Load a preset or a TOML file, and the data that it names.

    Parameters
    ----------
    source
        Name of a preset, such as ``"tang2018"`` or ``"powergossip-consensus"``, or path of a file.
    data
        Folder of the data files, instead of the file's. Starts of gossip whose data are missing are left out.
    steps
        Of a training, instead of the file's.
    device
        Instead of the file's.
    download
        Allow a download of MNIST or CIFAR-10.
    kind
        "training" or "gossip": raise for a file of the other kind. None: either.
    seed
        Instead of the file's, or of its several.
    grid
        Of a training, ``latency``, ``bandwidth`` or both instead of the file's, as ``[network]`` takes them; its named networks are then left out.

    Raises
    ------
    NetsimError
        One line with the file, the field, what is wrong with it and what would be right.
    """
    found = read(source)
    says = kind_of(found.table, kind)
    if kind not in (None, says):
        raise NetsimError(f"{source}: {KINDS[says].format(source=source)}")
    found = found._replace(table=overridden(found.table, says, seed, grid or {}))
    try:
        file = read_sections(found.table, says, found.folders)
        graphs = topologies(file["topology"], found.path.parent, found.folders)
        asked = _asked(says, file, graphs, found, data, {"steps": steps, "device": device}, download)
    except NetsimError as error:
        raise NetsimError(f"{source}: {shortened(str(error))}") from None
    name = found.path.stem
    common: dict[str, Any] = {"title": file["title"] or name, "topology": graphs[0], "assumptions": file["assumptions"]}
    if says == "training":
        asked["changed"] = ", ".join(filter(None, [asked["changed"], *in_words(seed, grid or {})]))
    return Setup(name=name, source=str(source), text=found.text, **common, **asked)


def _asked(
    says: str,
    file: dict[str, Any],
    graphs: tuple[Topology, ...],
    found: Source,
    data: str | Path | None,
    options: dict[str, Any],
    download: bool,
) -> dict[str, Any]:
    """Return the fields of a Setup that only files of its kind have."""
    if says == "training":
        return _training(file, graphs, found, data, options, download)
    check(len(graphs) == 1, "topology", [one.name for one in graphs], "one [topology] for gossip alone")
    steps = options["steps"]
    check(steps is None, "steps", steps, "left out: gossip goes on to its target or the end of its budget")
    return _gossip(file, graphs[0], found, data, options["device"])


def kind_of(table: dict[str, Any], otherwise: str | None = None) -> str:
    """Return "gossip" or "training" by the fields of a file; where they do not tell, what the caller expects."""
    if "gossip" in table:
        return "gossip"
    return "training" if {"task", "training", "network"} & set(table) else otherwise or "training"


def _gossip(
    file: dict[str, Any], graph: Topology, found: Source, data: str | Path | None, device: str | None
) -> dict[str, Any]:
    """Return the fields of a Setup that only a gossip file has."""
    settings = {name: value for name, value in file["gossip"].items() if name != "until"}
    settings |= {} if device is None else {"device": device}
    _check_device(settings["device"], "gossip")
    methods = tuple(method(file, i, graph, found.folders) for i in range(len(file["algorithm"])))
    starts, left_out = problems(file, graph, settings, found.path.parent, data)
    target = settings["target"]
    until = min(file["gossip"]["until"] or target, target)
    return {"methods": methods, "problems": starts, "left_out": left_out, "target": target, "until": until}


def _training(
    file: dict[str, Any],
    graphs: tuple[Topology, ...],
    found: Source,
    data: str | Path | None,
    options: dict[str, Any],
    download: bool,
) -> dict[str, Any]:
    """Return the fields of a Setup that only a training file has."""
    changed = {field: value for field, value in options.items() if value is not None}
    seeds = file["training"]["seed"]
    settings = file["training"] | changed | {"seed": seeds[0]}
    _check_device(settings["device"], "training")
    found_networks = networks(file["network"], file["condition"], graphs, found.path.parent)
    if len(graphs) * len(seeds) > MOST_CASES:
        raise NetsimError(
            f"training.seed: {len(seeds):,} seeds on {len(graphs):,} topologies are more than {MOST_CASES:,} trainings of each method: take fewer"
        )
    chosen = [_algorithm(values, i, settings["lr"], found.folders) for i, values in enumerate(file["algorithm"], 1)]
    task = make_task(file["task"], found.path.parent, data, download, found.folders)
    for one in graphs:
        check_shards(task, one.n)
    _check_target(settings["target"], task)
    experiments = tuple(_experiment(task, made, graphs[0], {**settings, "lr": lr}) for made, lr in chosen)
    named = zip(labels(experiments), experiments, strict=True)
    words = [f"{field} = {value}" for field, value in changed.items()]
    if data is not None:
        words.append(f"data = {getattr(getattr(task, 'data', None), 'name', data)}")
    return {
        "methods": tuple(Method(label, one.algorithm) for label, one in named),
        "target": settings["target"],
        "experiments": experiments,
        **found_networks._asdict(),
        "topologies": graphs if len(graphs) > 1 else (),
        "seeds": seeds if len(seeds) > 1 else (),
        "changed": ", ".join(words),
    }


def _algorithm(entry: dict[str, Any], number: int, common_lr: Any, folders: Sequence[Path]) -> tuple[Any, Any]:
    """Return the (algorithm, learning rate or schedule) of an entry of [[algorithm]]."""
    lr = common_lr if entry["lr"] is None else entry["lr"]
    named = {"name": entry["name"], **own(entry, TRAINING_FILE["algorithm"])}
    return algorithm(named, f"algorithm[{number}]", folders), lr


def _experiment(task: Any, chosen: Any, graph: Topology, settings: dict[str, Any]) -> Experiment:
    try:
        return Experiment(task, chosen, graph, **settings)
    except NetsimError as error:
        raise NetsimError(below("training", str(error), settings)) from None


def _check_target(target: float | None, task: Any) -> None:
    """Raise for a target that no task of ours can reach: their losses are above 0."""
    if target is not None and target <= 0 and type(task).__module__.startswith("netsim.models."):
        raise NetsimError(
            f"training.target = {target}: must be above 0: the loss of {type(task).__name__} is never below"
        )


def _check_device(device: str, section: str) -> None:
    try:
        device_namespace(device)
    except NetsimError as error:
        raise NetsimError(f"{section}.{error}") from None

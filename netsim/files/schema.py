"""The sections of a configuration file and their keys, each declared by what takes it: ``[training]`` by :class:`netsim.Experiment`, ``[network]`` by
:class:`netsim.Network`, and so on. A file trains (:data:`TRAINING_FILE`), or gossips without gradients (:data:`GOSSIP_FILE`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from annotated_types import Interval, Len

from netsim.algorithms.ranges import OneOf, fits, said
from netsim.clock.fabrics import FABRICS
from netsim.clock.network import Network
from netsim.errors import NetsimError, as_written, hint
from netsim.fields import REQUIRED, BitsPerSecond, Declared, Said, Seconds, Seed, declared
from netsim.files.calls import Reads, key_below, read, read_table, remedy
from netsim.files.matrices import per_link
from netsim.runs.experiment import Experiment
from netsim.runs.gossip import Problem
from netsim.runs.setup import Condition

OPTIMAL = "optimal"  # in place of a step size: the topology's optimal gossip rate
MOST_POINTS = 1000  # of one axis
MOST_NETWORKS = 100_000
MOST_CASES = 1000  # seeds, and pairs of a topology and a seed
Step = Annotated[float, Interval(gt=0, le=1e6)]
Points = Annotated[int, Interval(ge=2, le=MOST_POINTS)]


class Section(NamedTuple):
    """A table of a file.

    Attributes
    ----------
    fields
        By name, its keys.
    words
        What it is about, in one line.
    several
        Whether it is an array of tables, ``[[name]]``.
    required
        Whether a file must have it.
    others
        What decides about further keys; "": there are none.
    sparse
        Whether what is left out stays out, instead of having its default.
    """

    fields: Mapping[str, Declared]
    words: str
    several: bool = False
    required: bool = True
    others: str = ""
    sparse: bool = False


def axis(value: Any, key: str, each: Any = Step) -> tuple[Any, ...]:
    """Return the points of one axis of a grid: a value, a list of values, or a table from, to, points, evenly spaced in the logarithm.

    Parameters
    ----------
    value
        As the file has it.
    key
        For errors.
    each
        The type hint of a point.

    Raises
    ------
    NetsimError
        A point is out of range or occurs twice, or the table is not as it should be.
    """
    if isinstance(value, list) and value:
        points = tuple(read(one, each, f"{key}[{at}]") for at, one in enumerate(value, 1))
        for at, one in enumerate(points):
            if one in points[:at]:
                raise NetsimError(f"{key}[{at + 1}] = {as_written(value[at])}: occurs twice; leave it out")
        return points
    if not isinstance(value, Mapping):
        return (read(value, each, key),)
    ends = {
        end: Declared(end, each, REQUIRED, f"the {what} point") for end, what in (("from", "first"), ("to", "last"))
    }
    found = read_table(value, {**ends, "points": Declared("points", Points, REQUIRED, "how many")}, key)
    low, high = found["from"], found["to"]
    if not 0 < low < high < np.inf:
        raise NetsimError(f'{key}.from: must be above 0 and below "to": the grid is spaced evenly in the logarithm')
    return tuple(np.geomspace(low, high, found["points"]).tolist())


def _axis_of(each: Any) -> Any:
    words = f"{said(each, file=True)}; a list of them; or {{ from, to, points }}, evenly in the logarithm"
    return Annotated[Any, Reads(partial(axis, each=each), words)]


PER_LINK = 'rows, the path of a .csv or .npy file, or { file or rows, unit = "ms", scale = [1, 2, 5] }'


def _links_or(otherwise: Callable[[Any, str], Any], value: Any, key: str) -> Any:
    """Return per-link values where a key says them, and otherwise what the function reads."""
    try:
        found = per_link(value)
    except NetsimError as error:
        raise NetsimError(f"{key}{error}") from None
    return otherwise(value, key) if found is None else found


def _axis_or_links(each: Any) -> Any:
    words = (
        f"{_axis_of(each).__metadata__[0].file}; or per link: {PER_LINK}, the matrix times each factor being a point"
    )
    return Annotated[Any, Reads(partial(_links_or, partial(axis, each=each)), words)]


def _one_or_links(each: Any) -> Any:
    words = f"{said(each, file=True)}; or per link: {PER_LINK}"
    return Annotated[Any, Reads(partial(_links_or, lambda value, key: read(value, each, key)), words)]


def _seeds(value: Any, key: str) -> tuple[int, ...]:
    each = value if isinstance(value, list) else [value]
    if not 0 < len(each) <= MOST_CASES or not all(fits(one, Seed) for one in each) or len(set(each)) < len(each):
        allowed = f"must be {said(Seed, file=True)}, or a list of different ones, at most {MOST_CASES:,}"
        raise NetsimError(
            f"{key} = {as_written(value)}: {allowed}{'' if isinstance(value, list) else remedy(value, Seed)}"
        )
    return tuple(each)


def _gammas(value: Any, key: str) -> tuple[float, ...] | str:
    if isinstance(value, str) and value != OPTIMAL:
        raise NetsimError(f'{key} = {as_written(value)}: write a number, a grid, or "{OPTIMAL}"')
    return OPTIMAL if value == OPTIMAL else axis(value, key)


def _sharing(value: Any, key: str) -> tuple[str, ...]:
    if isinstance(value, str):
        return (read(value, Annotated[str, OneOf(FABRICS)], key),)
    if not isinstance(value, list) or not value:
        raise NetsimError(
            f"{key} = {as_written(value)}: must be {said(Annotated[str, OneOf(FABRICS)])}, or a list of them"
        )
    return axis(value, key, Annotated[str, OneOf(FABRICS)])


@dataclass(frozen=True)
class TaskSection:
    """[task]: what is learned, from which data.

    Parameters
    ----------
    model
        mlp, softmax, cnn, resnet20, resnet18 or lstm; or ``"module:Class"``.
    data
        digits (ships inside scikit-learn); mnist, cifar10, a9a, w8a or wikitext2 (from files); or ``"module:function"``, which returns a data set.
    path
        Folder of the data files; relative to the file; ``--data`` overrides it.
    download
        Without a path: download the files once, checked.
    train
        Take only so many training images, or words.
    test
        Take only so many test images: the first.
    vocabulary
        Of wikitext2: keep only so many words.
    lower
        Of wikitext2: read capitals as small letters.
    tokens
        Of wikitext2: ``"file"``, or ``"spacy"`` (words cut as the published runs cut them).
    """

    model: str = "mlp"
    data: str = "digits"
    path: str | None = None
    download: bool = False
    train: Annotated[int, Interval(ge=1, le=10**9)] | None = None
    test: Annotated[int, Interval(ge=1, le=10**9)] | None = None
    vocabulary: Annotated[int, Interval(ge=1, le=10**7)] | None = None
    lower: bool | None = None
    tokens: Literal["file", "spacy"] | None = None


@dataclass(frozen=True)
class StartSection:
    """[[start]]: what the workers hold at first.

    Parameters
    ----------
    name
        What the start is called.
    kind
        ``"normal"``: standard normal numbers of a shape. ``"faces"``: worker i holds face i of a fixed shuffle of the Olivetti faces, from files.
    shape
        Of what each worker holds, where it is normal.
    path
        Folder of the faces' files; relative to the file; ``--data`` overrides it.
    budget
        MB that a worker may send; if left out, what full precision needs decides.
    """

    name: Annotated[str, Len(1, 200)]
    kind: Literal["normal", "faces"]
    shape: Annotated[list[Annotated[int, Interval(ge=1, le=10**8)]], Len(1, 8)] | None = None
    path: str | None = None
    budget: Annotated[float, Interval(gt=0, le=1e12)] | None = None


@dataclass(frozen=True)
class MethodSection:
    """[[algorithm]] of gossip alone. Its other keys are the algorithm's own: name, compress, …

    Parameters
    ----------
    label
        What figures and tables call it.
    starts
        Only from these starts; if left out, from all.
    gamma
        Consensus step size: a number, ``"optimal"`` (the topology's), or a grid to be searched.
    theta
        Of Moniqua: a number, or a grid to be searched.
    best
        By start, what ``netsim tune`` found on the grid.
    published
        By start, MB to the target as others have it.
    """

    label: Annotated[str, Len(1, 200)] | None = None
    starts: Annotated[list[str], Len(1, 1000)] | None = None
    gamma: Annotated[Any, Reads(_gammas, f'a number, "{OPTIMAL}", a list of numbers, or {{ from, to, points }}')] = None
    theta: _axis_of(Step) = None  # type: ignore[valid-type]
    best: Mapping[str, Mapping[str, Step]] | None = None
    published: Mapping[str, Annotated[float, Interval(ge=0, le=1e12)]] | None = None


def _chosen(factory: Callable[..., Any], *names: str) -> dict[str, Declared]:
    return {name: declared(factory)[name] for name in names}


def _others(factory: Callable[..., Any], *names: str) -> dict[str, Declared]:
    return {name: one for name, one in declared(factory).items() if name not in names}


_network = _others(Network, "name")
NETWORK: Mapping[str, Declared] = {
    **_network,
    "latency": _network["latency"]._replace(hint=_axis_or_links(Seconds), default=None),
    "bandwidth": _network["bandwidth"]._replace(hint=_axis_or_links(BitsPerSecond), default=None),
    "groups": Declared(
        "groups",
        Annotated[
            Mapping[str, Any],
            Said("", "a table { sizes = [4, 4], inside = { latency, bandwidth }, between = { latency, bandwidth } }"),
        ]
        | None,
        None,
        "In place of latency and bandwidth: groups of workers, such as racks or data centres.",
    ),
    "sharing": _network["sharing"]._replace(
        hint=Annotated[
            Any, Reads(_sharing, f"{said(Annotated[str, OneOf(FABRICS)])}, or a list of them, each of which is swept")
        ],
        default=("fifo", "none"),
    ),
}
CONDITION: Mapping[str, Declared] = {
    "name": declared(Condition)["name"],
    **{name: one._replace(default=None) for name, one in NETWORK.items() if name != "sharing"},
    "latency": _network["latency"]._replace(hint=_one_or_links(Seconds), default=None),
    "bandwidth": _network["bandwidth"]._replace(hint=_one_or_links(BitsPerSecond), default=None),
    "source": declared(Condition)["source"],
}
_problem = _chosen(Problem, "target", "seed", "dtype", "device")
TOPOLOGY = Section(
    {},
    "which workers are neighbours, and with what weights; on each of several [[topology]] everything is trained",
    others="kind",
)
ASSUMPTIONS = Section({}, "what was assumed, in words", required=False, others="anything")
_COMMON = {
    "topology": TOPOLOGY,
    "assumptions": ASSUMPTIONS,
}
_ALGORITHM = {
    "name": Declared(
        "name",
        Annotated[str, Said("text", 'a name, such as "DPSGD"')],
        REQUIRED,
        'A class of netsim.algorithms, or "module:Class".',
    ),
    "lr": declared(Experiment)["lr"]._replace(
        default=None, words="Its own learning rate; that of [training] if left out."
    ),
}
_training = _others(Experiment, "task", "algorithm", "topology", "record")
TRAINING: Mapping[str, Declared] = {
    **_training,
    "seed": _training["seed"]._replace(
        hint=Annotated[Any, Reads(_seeds, f"{said(Seed, file=True)}, or a list: every training is done with each")],
        default=(0,),
    ),
}
TRAINING_FILE: Mapping[str, Section] = {
    "task": Section(declared(TaskSection), "what is learned, from which data", required=False, others="model"),
    "training": Section(TRAINING, "for how long, and at what rate"),
    **_COMMON,
    "algorithm": Section(_ALGORITHM, "the methods that are compared", several=True, others="name"),
    "network": Section(NETWORK, "when it happens: the grid of networks, and what all of them have"),
    "condition": Section(
        CONDITION,
        "networks with a name; if one says only a latency and a bandwidth they are added to the grid, else it is timed apart; what it does not say "
        "is as in [network]",
        several=True,
        required=False,
        sparse=True,
    ),
}
GOSSIP_FILE: Mapping[str, Section] = {
    "gossip": Section(
        {
            "target": _problem["target"],
            "until": _problem["target"]._replace(
                name="until",
                hint=_problem["target"].hint | None,
                default=None,
                words="Relative error at which a run ends; the target if left out.",
            ),
            **{name: _problem[name] for name in ("seed", "dtype", "device")},
        },
        "how far to go, and in which arithmetic",
    ),
    "start": Section(declared(StartSection), "what the workers hold at first", several=True),
    **_COMMON,
    "algorithm": Section(
        {"name": _ALGORITHM["name"], **declared(MethodSection)},
        "the methods that are compared",
        several=True,
        others="name",
    ),
}
FILES: Mapping[str, Mapping[str, Section]] = {"training": TRAINING_FILE, "gossip": GOSSIP_FILE}
TOP: Mapping[str, Declared] = {
    "base": Declared("base", str, None, "A preset or a file that has all that is not written here."),
    "title": Declared("title", Annotated[str, Len(0, 500)], "", "One line about it."),
}


def read_sections(table: Mapping[str, Any], kind: str, folders: Sequence[Path] = ()) -> dict[str, Any]:
    """Return the sections of a file: of each its fields, in a dict, or in a list of them; what has a default and is left out has its default.

    Parameters
    ----------
    table
        As TOML has it.
    kind
        "training" or "gossip".
    folders
        Where users' modules are searched for.

    Raises
    ------
    NetsimError
        A section or a key is unknown or missing, or a value is not as it is declared; the line begins with the key.
    """
    sections = FILES[kind]
    for unknown in [name for name in table if name not in (*sections, *TOP)]:
        raise NetsimError(f"{key_below('', unknown)}: unknown key; {hint(unknown, [*TOP, *sections])}")
    found: dict[str, Any] = {name: one.default for name, one in TOP.items()}
    found |= read_table({name: table[name] for name in TOP if name in table}, TOP, "")
    for name, section in sections.items():
        if name not in table and section.required:
            header = f"[[{name}]]" if section.several else f"[{name}]"
            raise NetsimError(f"{name}: missing; write a section {header}: {section.words}")
        value = table.get(name, [] if section.several else {})
        if section is TOPOLOGY:
            found[name] = _topologies(value)
        elif section is ASSUMPTIONS:
            found[name] = {
                key: read(one, str, key_below(name, key)) for key, one in _one(value, name, section, ()).items()
            }
        else:
            found[name] = (_several if section.several else _one)(value, name, section, folders)
    return found


def _topologies(value: Any) -> tuple[dict[str, Any], ...]:
    each = value if isinstance(value, list) else [value]
    if not 0 < len(each) <= MOST_CASES or not all(isinstance(one, Mapping) for one in each):
        raise NetsimError(
            f'topology = {as_written(value)}: write [topology] with a kind, such as kind = "ring" and n = 8'
        )
    return tuple(each)


def _several(value: Any, name: str, section: Section, folders: Sequence[Path]) -> list[dict[str, Any]]:
    if (
        not isinstance(value, list)
        or (section.required and not value)
        or not all(isinstance(one, Mapping) for one in value)
    ):
        raise NetsimError(f"{name}: write [[{name}]], in double brackets, once for each")
    return [_one(one, f"{name}[{at}]", section, folders) for at, one in enumerate(value, 1)]


def _one(value: Any, key: str, section: Section, folders: Sequence[Path]) -> dict[str, Any]:
    own = {} if section.sparse else {name: one.default for name, one in section.fields.items() if not one.required}
    return own | read_table(value, section.fields, key, folders=folders, open_ended=bool(section.others))


def own(table: Mapping[str, Any], section: Section) -> dict[str, Any]:
    """Return the keys of a table that its section does not know: those of the class that it names."""
    return {name: value for name, value in table.items() if name not in section.fields}


def check_size(axes: Sequence[Sequence[Any]], key: str) -> None:
    """Raise where a grid has more networks than anyone would wait for.

    Raises
    ------
    NetsimError
        There are more than :data:`MOST_NETWORKS`.
    """
    size = int(np.prod([len(one) for one in axes]))
    if size > MOST_NETWORKS:
        shape = " x ".join(f"{len(one):,}" for one in axes)
        raise NetsimError(
            f"{key}: a grid of {shape} is {size:,} networks; at most {MOST_NETWORKS:,}: take fewer points"
        )

"""Arguments and options that several commands share, each defined once."""

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netsim.clock.fabrics import FABRICS
from netsim.files import sources


class EngineName(StrEnum):
    """What times the messages."""

    auto = "auto"
    simpy = "simpy"
    compiled = "compiled"


if TYPE_CHECKING:
    SharingName = str
else:
    SharingName = StrEnum("SharingName", {name: name for name in FABRICS})


def preset_names(incomplete: str) -> list[str]:
    """Return the presets that begin so, for the shell's completion."""
    return [one for one in sources.presets() if one.startswith(incomplete)]


def source_names(incomplete: str) -> list[str]:
    """Return what may be meant by the beginning of a source, for the shell: presets, and TOML files that lie there."""
    folder = Path(incomplete).parent if "/" in incomplete else Path()
    files = [str(one) for one in folder.glob("*.toml")] if folder.is_dir() else []
    return [*preset_names(incomplete), *(one for one in files if one.startswith(incomplete))]


def option(*names: str, help: str, metavar: str | None = None, **rest: Any) -> Any:
    """Return a typer option; what it takes is said by its metavar."""
    return typer.Option(*names, help=help, metavar=metavar, **rest)


Source = Annotated[
    str,
    typer.Argument(
        metavar="PRESET|FILE.toml", help="A preset's name, or a configuration file.", autocompletion=source_names
    ),
]
Data = Annotated[Path | None, option(help="Folder of the data files, instead of the file's.", metavar="DIR")]
Download = Annotated[
    bool, option("--download", help="Fetch MNIST or CIFAR-10 once, checked, where there is no --data.")
]
Out = Annotated[
    Path | None, option("--out", help="Folder for results.nc and figures/.  [default: results/NAME]", metavar="DIR")
]
Steps = Annotated[int | None, option(help="Train for so many steps instead of the file's.", metavar="N", min=1)]
Seed = Annotated[int | None, option(help="Seed of all random draws, instead of the file's.", metavar="N", min=0)]
Jobs = Annotated[
    int | None, option(help="Trainings or runs at a time.  [default: the cores, at most 4]", metavar="N", min=1)
]
Device = Annotated[
    str | None, option(help="Where the arrays are, instead of the file's choice.", metavar="auto|cpu|cuda")
]
Engine = Annotated[
    EngineName,
    option(
        help="What times the messages. simpy: SimPy's events; auto and compiled: the same in machine code, of which SimPy checks a sample.",
        metavar="auto|simpy|compiled",
    ),
]
Every = Annotated[
    int, option("--checkpoint-every", help="Steps between checkpoints, which a stop writes too.", metavar="N", min=1)
]
Resume = Annotated[bool, option("--resume", help="Go on from the checkpoints of a run that was stopped or killed.")]
Latency = Annotated[str, option(help='Of a message, with a unit (ns, us, ms, s): "20 ms".', metavar="TIME")]
Bandwidth = Annotated[
    str, option(help='Of a link, with a unit (bit/s, kbit/s, Mbit/s, MB/s, …) or inf: "5 Mbit/s".', metavar="RATE")
]
Force = Annotated[
    bool,
    option(
        "--force",
        help="Overwrite results of other contents, which are kept as results-1.nc without this, and drop checkpoints of before.",
    ),
]
Latencies = Annotated[
    str | None,
    option(
        "--latency",
        help='Instead of the file\'s latencies: "20 ms", or "1 ms, 5 ms", or "1 ms .. 20 ms x 5" (5 values, evenly in the logarithm).',
        metavar="TIMES",
    ),
]
Bandwidths = Annotated[
    str | None,
    option(
        "--bandwidth",
        help='Instead of the file\'s bandwidths: "5 Mbit/s", or "1 Mbit/s .. 1 Gbit/s x 4".',
        metavar="RATES",
    ),
]
Sharing = Annotated[
    SharingName,
    option(
        help="fifo: messages queue at the ports of sender and receiver; none: they share nothing.",
        metavar="|".join(FABRICS),
    ),
]
Json = Annotated[bool, option("--json", help="Print JSON on stdout, and nothing else there.")]

CHECKPOINT_EVERY = 1000  # steps


def at_a_time(jobs: int | None) -> int:
    """Return how many trainings run at a time: as asked, or one a core, at most 4."""
    return jobs or min(os.cpu_count() or 1, 4)

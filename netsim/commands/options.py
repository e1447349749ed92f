"""Arguments and options that several commands share, each defined once."""

import os
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from netsim.clock.fabrics import FABRICS


class EngineName(StrEnum):
    """What times the messages."""

    auto = "auto"
    simpy = "simpy"
    compiled = "compiled"


if TYPE_CHECKING:
    SharingName = str
else:
    SharingName = StrEnum("SharingName", {name: name for name in FABRICS})

Source = Annotated[str, typer.Argument(metavar="PRESET|FILE.toml", help="A preset's name, or a configuration file.")]
Data = Annotated[Path | None, typer.Option(help="Folder of the data files, instead of the file's.", metavar="PATH")]
Download = Annotated[
    bool, typer.Option("--download", help="Fetch MNIST or CIFAR-10 once, checked, where there is no --data.")
]
Out = Annotated[
    Path | None,
    typer.Option("--out", help="Folder for results.nc and figures/. Default: results/NAME.", metavar="DIR"),
]
Steps = Annotated[int | None, typer.Option(help="Train for so many steps instead of the file's.", min=1)]
Jobs = Annotated[int | None, typer.Option(help="Trainings or runs at a time. Default: the cores, at most 4.", min=1)]
Device = Annotated[
    str | None, typer.Option(help="auto, cpu or cuda, instead of the file's choice.", metavar="auto|cpu|cuda")
]
Engine = Annotated[
    EngineName,
    typer.Option(
        help="simpy: SimPy's events. auto, compiled: the same in machine code, a sample of it checked by SimPy."
    ),
]
Every = Annotated[
    int, typer.Option("--checkpoint-every", help="Steps between checkpoints, which a stop writes too.", min=1)
]
Resume = Annotated[
    bool, typer.Option("--resume", help="Go on from the checkpoints of a run that was stopped or killed.")
]
Latency = Annotated[str, typer.Option(help='Such as "20 ms".')]
Bandwidth = Annotated[str, typer.Option(help='Such as "5 Mbit/s".')]
Sharing = Annotated[SharingName, typer.Option(help="fifo: messages queue at ports; none: they share nothing.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON on stdout, and nothing else there.")]

CHECKPOINT_EVERY = 1000  # steps


def at_a_time(jobs: int | None) -> int:
    """Return how many trainings run at a time: as asked, or one a core, at most 4."""
    return jobs or min(os.cpu_count() or 1, 4)

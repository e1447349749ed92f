"""Publishing results with their figures: an error in a figure does not lose the results."""

from pathlib import Path
from typing import NamedTuple

import xarray as xr

from netsim.commands.publishing import FIGURES, RESULTS, Claim, publish, remove_stale
from netsim.commands.streams import say
from netsim.plots.drawing import STEMS, draw
from netsim.runs import results


class Drawn(NamedTuple):
    """What was published.

    Attributes
    ----------
    written
        The files.
    skipped
        A line for each figure that was not drawn.
    failed
        What a figure raised, or None.
    """

    written: list[Path]
    skipped: list[str]
    failed: Exception | None


def publish_drawn(claim: Claim, ds: xr.Dataset, force: bool) -> Drawn:
    """Write results and their figures into a claimed folder.

    Raises
    ------
    NetsimError
        The results cannot be written.
    """
    failed: list[Exception] = []
    skipped: list[str] = []

    def write(fresh: Path) -> None:
        results.save(ds, fresh / RESULTS)
        try:
            skipped.extend(draw(ds, fresh / FIGURES) or [])
        except Exception as error:
            failed.append(error)

    written = publish(claim, write, force)
    return Drawn(written, skipped, failed[0] if failed else None)


def tell(claim: Claim, drawn: Drawn) -> None:
    """Say which figures were not drawn, and remove those of earlier results; raise what a figure raised."""
    for line in drawn.skipped:
        say(line)
    if drawn.failed is not None:
        say(f"the results are in {claim.folder / RESULTS}, but a figure failed")
        raise drawn.failed
    remove_stale(claim, STEMS, drawn.written)

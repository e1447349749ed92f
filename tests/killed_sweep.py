"""A script run by a test: commands that are killed wherever they change a file, or soon after, and called again, and ones that are not.

usage: python killed_sweep.py FOLDER KILLS SEED
"""

import os
import random
import sys
from contextlib import suppress
from pathlib import Path

import file_changes
from small_figure import draw_one_small_figure
from small_file import write

from netsim.commands import app
from netsim.runs import results

folder, kills, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
source = write(folder, ("steps = 22", "steps = 40\nevaluate_every = 20"))
draw_one_small_figure()
COMMANDS = {
    "sweep": ["sweep", str(source), "--checkpoint-every", "3", "--jobs", "2", "--out"],
    "plot": ["plot", str(folder / "whole" / "results.nc"), "--out"],
}


def call(words: list[str]) -> int:
    try:
        app.main(words)
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def killed(words: list[str], change: int, seconds: float) -> bool:
    """Call a command in a child, which is killed so many seconds after it comes to a change; whether it was still at work."""
    child = os.fork()
    if child == 0:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
            file_changes.die_after(change, seconds)
            code = call(words)
        os._exit(code)
    ended = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(ended) or os.WEXITSTATUS(ended) == 0, f"{words}: exit {ended}"
    return os.WIFSIGNALED(ended)


def contents(of: Path) -> dict[str, bytes]:
    return {str(path.relative_to(of)): path.read_bytes() if path.is_file() else b"" for path in of.rglob("*")}


if __name__ == "__main__":
    file_changes.count()
    chance, hits = random.Random(seed), 0
    for name, words in COMMANDS.items():
        file_changes.seen.clear()
        assert call([*words, str(folder / ("whole" if name == "sweep" else "drawn"))]) == 0
        most = len(file_changes.seen)
        out = folder / f"killed-{name}"
        assert name == "plot" or call([*words, str(out), "--steps", "9"]) == 0  # results of before
        whole, before = (
            contents(folder / kind) for kind in (("whole", out.name) if name == "sweep" else ("drawn", "none"))
        )
        for turn in range(kills):
            again = [*words, str(out), *(["--resume"] if name == "sweep" else [])]
            hits += killed(again, chance.randint(1, most), turn % 2 * chance.uniform(0, file_changes.SOON))
            with suppress(FileNotFoundError):
                for path in out.rglob("results*.nc"):
                    if path.parent == out:
                        assert path.read_bytes() in (whole["results.nc"], before["results.nc"]), (
                            f"{path} is neither old nor new"
                        )
                        results.load(path)
        assert call([*words, str(out), *(["--resume"] if name == "sweep" else [])]) == 0
        found = contents(out)
        if name == "sweep":
            assert found.pop("results-1.nc") == before["results.nc"], "the results of before are not kept"
        assert found == whole, {key for key in found.keys() | whole.keys() if found.get(key) != whole.get(key)}
        print(f"{name}: of {most} changes", flush=True)
    print("killed", hits)

"""A script run by a test: commands that are killed at random moments and called again, and ones that are not.

usage: python killed_sweep.py FOLDER KILLS SEED
"""

import os
import random
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

from small_file import write

from netsim.commands import app
from netsim.plots import registry
from netsim.runs import results

folder, kills, seed = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
source = write(folder, ("steps = 22", "steps = 100\nevaluate_every = 50"))
registry.REGISTRY = tuple(
    entry for entry in registry.REGISTRY if entry.stem == "loss"
)  # others take longer, and no other way
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


def killed(words: list[str], seconds: float) -> bool:
    """Call a command in a child and kill it; whether it was still at work."""
    child = os.fork()
    if child == 0:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
            code = call(words)
        os._exit(code)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    ended = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(ended) or os.WEXITSTATUS(ended) == 0, f"{words}: exit {ended}"
    return os.WIFSIGNALED(ended)


def contents(of: Path) -> dict[str, bytes]:
    return {str(path.relative_to(of)): path.read_bytes() if path.is_file() else b"" for path in of.rglob("*")}


if __name__ == "__main__":
    chance, hits = random.Random(seed), 0
    for name, words in COMMANDS.items():
        begun = time.monotonic()
        assert call([*words, str(folder / ("whole" if name == "sweep" else "drawn"))]) == 0
        lasts = time.monotonic() - begun
        out = folder / f"killed-{name}"
        assert name == "plot" or call([*words, str(out), "--steps", "9"]) == 0  # results of before
        whole, before = (
            contents(folder / kind) for kind in (("whole", out.name) if name == "sweep" else ("drawn", "none"))
        )
        for _ in range(kills):
            hits += killed([*words, str(out), *(["--resume"] if name == "sweep" else [])], chance.uniform(0.05, lasts))
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
    print("killed", hits)

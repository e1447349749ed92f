"""A script: sweeps that share a folder, meet a full disk, a mount point or a folder that cannot be written. It prints JSON, a line for each.

usage: python durability.py FOLDER TIMES SEED [NAME ...]
"""

import json
import os
import random
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))

from small_figure import draw_one_small_figure  # noqa: E402
from small_file import write  # noqa: E402

from netsim.commands import app  # noqa: E402

Contents = dict[str, bytes]


class Sweeps:
    """A file, what a sweep of it that nothing disturbs leaves behind, and results of before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = write(folder, ("steps = 22", "steps = 15\nevaluate_every = 5"))
        assert self._called_here("whole") == 0, "a sweep that nothing disturbs fails"
        assert self.call("before", "--steps", "6") == (0, ""), "a sweep of fewer steps fails"
        self.whole, self.before = contents(folder / "whole"), contents(folder / "before")

    def _words(self, out: str | Path, *more: str) -> list[str]:
        folder = str(self.folder / out)
        return ["sweep", str(self.file), "--checkpoint-every", "5", "--jobs", "1", "--out", folder, *more]

    def _called_here(self, out: str) -> int:
        """Sweep in this process, which has then loaded all that its children need; return the exit code."""
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            try:
                app.main(self._words(out))
            except SystemExit as ended:
                return int(ended.code or 0)
        return 0

    def started(self, out: str | Path, *more: str, first: Callable[[], None] = lambda: None) -> tuple[int, Path]:
        """Start a sweep in a child; return its id and the file of what it says."""
        said, words = self.folder / f"said-{random.getrandbits(64):x}", self._words(out, *more)
        child = os.fork()
        if child == 0:
            code = 99
            try:
                with open(said, "wb") as file, open(os.devnull, "wb") as nowhere:
                    os.dup2(nowhere.fileno(), 1)
                    os.dup2(file.fileno(), 2)
                first()
                app.main(words)
            except SystemExit as ended:
                code = int(ended.code or 0)
            except BaseException as error:
                os.write(2, f"traceback: {error!r}".encode())
            finally:
                os._exit(code)
        return child, said

    def call(self, out: str | Path, *more: str, first: Callable[[], None] = lambda: None) -> tuple[int, str]:
        """Return the exit code of a sweep in a child, and the last line that it said if it failed."""
        return ended(*self.started(out, *more, first=first))

    def renewed(self, name: str) -> Path:
        """Return a folder with the results of before."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        return shutil.copytree(self.folder / "before", self.folder / name)


def ended(child: int, said: Path) -> tuple[int, str]:
    """Wait for a child; return its exit code, and the last line that it said if that is not 0."""
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    lines = said.read_text(errors="replace").splitlines()
    said.unlink()
    return code, lines[-1] if code and lines else ""


def contents(folder: Path) -> Contents:
    """Return {path: bytes} of all that a folder holds, hidden files too."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
    }


def told(code: int, line: str, names: Path) -> str:
    """Return what is wrong with how a sweep failed: exit 2 and one line that names the folder or what is in it."""
    return "" if code == 2 and line.startswith("netsim: ") and str(names) in line else f"exit code {code}: {line[:300]}"


def finished(sweeps: Sweeps, out: Path) -> str:
    """Return what is wrong after a sweep has gone on to its end: its results beside those of before, kept aside, and nothing else."""
    code, line = sweeps.call(out, "--resume")
    found = contents(out)
    if code:
        return f"going on fails with exit code {code}: {line}"
    old = found.pop("results-1.nc", None)
    if old not in (None, sweeps.before["results.nc"], sweeps.whole["results.nc"]):
        return "the results of before are not kept as they were"
    differ = [
        name
        for name in found.keys() | sweeps.whole.keys()
        if found.get(name) != sweeps.whole.get(name) and name != "results-2.nc"
    ]
    return f"left behind, missing or other: {sorted(differ)}" if differ else ""


def two_at_once(sweeps: Sweeps, chance: random.Random) -> str:
    """Two sweeps into one folder: one does all, the other is told."""
    out = sweeps.folder / "shared"
    shutil.rmtree(out, ignore_errors=True)
    both = [ended(*child) for child in [sweeps.started(out), sweeps.started(out)]]
    codes = sorted(code for code, _ in both)
    if codes not in ([0, 0], [0, 2]):
        return f"exit codes {codes}: {both}"
    wrong = [told(code, line, out) for code, line in both if code]
    return next(filter(None, wrong), "") or finished(sweeps, out)


def full_disk(sweeps: Sweeps, chance: random.Random) -> str:
    """No file can be larger than a limit, which the system enforces as it does a full disk: what is there stays, and a sweep goes on later."""
    largest = max(map(len, sweeps.whole.values()))
    limit = chance.choice(
        [0, 1, chance.randrange(1000), chance.randrange(largest), len(sweeps.whole["results.nc"]) - 1]
    )
    out = sweeps.renewed("full")

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    code, line = _piped(sweeps, out, limited)
    if code and (wrong := told(code, line, out)):
        return f"at {limit} bytes: {wrong}"
    found = contents(out)
    if found.get("results.nc") not in (sweeps.before["results.nc"], sweeps.whole["results.nc"]):
        return f"at {limit} bytes: the results of before are gone"
    hidden = [name for name in found if Path(name).name.startswith(".")]
    return f"at {limit} bytes: left behind: {hidden}" if hidden else finished(sweeps, out)


def _piped(sweeps: Sweeps, out: Path, first: Callable[[], None]) -> tuple[int, str]:
    """As Sweeps.call; what is said goes through a pipe, which has no size."""
    readable, writable = os.pipe()

    def through_a_pipe() -> None:
        os.dup2(writable, 2)
        first()

    child, other = sweeps.started(out, first=through_a_pipe)
    os.close(writable)
    with open(readable, "rb") as file:
        lines = file.read().decode(errors="replace").splitlines()
    code, _ = ended(child, other)
    return code, lines[-1] if code and lines else ""


def mount_point(sweeps: Sweeps, chance: random.Random) -> str:
    """``--out`` is a mount point, of a disk with room and of one without, and one that is read-only; in a namespace of the user's own."""
    out = sweeps.folder / "mounted"
    out.mkdir(exist_ok=True)
    size = chance.choice(["100m", "4k", "40k", "100k", "200k"])
    words = f"{sys.executable} -m netsim sweep {sweeps.file} --jobs 1 --out {out}"
    again = f"[ $code = 0 ] && mount -o remount,ro {out} && {words}"
    script = f"mount -t tmpfs -o size={size} none {out} || exit 77; {words}; code=$?; ls -A {out}; {again}; exit $code"
    done = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script], capture_output=True, text=True
    )
    if done.returncode in (1, 77) and "netsim:" not in done.stderr:
        return f"left out: no mounts for users here ({done.stderr.strip()[:100]})"
    last = done.stderr.splitlines()[-1] if done.stderr else ""
    if done.returncode == 0:  # the second one met the read-only mount
        return told(2, last, out)
    hidden = [name for name in done.stdout.splitlines() if name.startswith(".")]
    return told(done.returncode, last, out) or (f"left behind: {hidden}" if hidden else "")


def unwritable(sweeps: Sweeps, chance: random.Random) -> str:
    """A folder that nobody may write: told before the training. Root may write everywhere."""
    if os.geteuid() == 0:
        return "left out: root may write everywhere (mount_point has a read-only one)"
    out = sweeps.renewed("unwritable")
    out.chmod(0o555)
    try:
        code, line = sweeps.call(out)
        return told(code, line, out) or ("" if contents(out) == sweeps.before else "something was written")
    finally:
        out.chmod(0o755)


CHECKS = {check.__name__: check for check in (two_at_once, full_disk, mount_point, unwritable)}


def main() -> None:
    """Do every check so many times."""
    folder, times, seed, names = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:] or list(CHECKS)
    folder.mkdir(parents=True, exist_ok=True)
    draw_one_small_figure()
    sweeps = Sweeps(folder.resolve())
    for name in names:
        for turn in range(times):
            wrong = CHECKS[name](sweeps, random.Random(f"{seed} {name} {turn}"))
            print(json.dumps({"check": name, "turn": turn, "wrong": wrong}), flush=True)
            if wrong.startswith("left out"):
                break


if __name__ == "__main__":
    main()

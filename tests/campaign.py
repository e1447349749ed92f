"""The long form of the fuzzers in tests/fuzzing: ``python -m tests.campaign`` from the repository's root; exit code 1 if anything failed.

Every failing case is written to a file, which ``--replay`` tries again.
"""

import argparse
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parent
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
sys.path[:0] = [str(TESTS.parent), str(TESTS)]

PARTS = ("files", "damage", "durability", "kills")
CASES, MUTATIONS, TIMES, KILLS = 5000, 500, 20, 20
CHUNK = 100  # cases of one process
HANGS = 600.0  # seconds of the clock for one case, after which its process is killed


def main() -> None:
    """Run the campaign, or a part of it."""
    asked = _arguments()
    asked.out.mkdir(parents=True, exist_ok=True)
    if asked.replay:
        wrong = replayed(json.loads(asked.replay.read_text()))
        print(wrong or "nothing is wrong")
        sys.exit(bool(wrong))
    failed, tried, begun = 0, 0, time.monotonic()
    for part in asked.only:
        for name, case, wrong in RUNS[part](asked.cases, asked.seed):
            tried += 1
            if wrong.startswith("left out"):
                print(f"{part}: {name}: {wrong}", flush=True)
            elif wrong:
                failed += 1
                file = asked.out / f"{part}-{failed:04d}.json"
                file.write_text(json.dumps({"part": part, "case": case, "wrong": wrong}, indent=1))
                print(f"{part}: FAILED: {name}: {wrong}\n  python -m tests.campaign --replay {file}", flush=True)
            if tried % 100 == 0:
                print(f"{part}: {tried} cases, {failed} failed, {time.monotonic() - begun:.0f} s", flush=True)
    print(f"{tried} cases, {failed} failed, {time.monotonic() - begun:.0f} s")
    sys.exit(bool(failed))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.campaign", description=__doc__)
    parser.add_argument(
        "--cases",
        type=int,
        help=f"of each part, instead of {CASES} files, {MUTATIONS} damages a kind, {TIMES} disks, {KILLS} kills",
    )
    parser.add_argument(
        "--seed", type=int, default=int(time.time()), help="from which the cases are drawn (default: the time)"
    )
    parser.add_argument("--only", nargs="+", choices=PARTS, default=PARTS, help="some of the parts")
    parser.add_argument("--replay", type=Path, help="a file of a case that failed")
    parser.add_argument("--out", type=Path, default=Path("results/campaign"), help="folder of the cases that fail")
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    return asked


Found = Iterator[tuple[str, Any, str]]


def files(count: int | None, seed: int) -> Found:
    """Files with a value that nobody would write; the figures are drawn of every tenth."""
    from fuzzing import files as fuzzed

    drawn = fuzzed.cases(count or CASES, seed)
    judges = [
        lambda folder, case=case, draw=not at % 10: fuzzed.judge(case, folder, draw) for at, case in enumerate(drawn)
    ]
    for case, wrong in zip(drawn, judged(judges), strict=True):
        yield str(case), [case.base, case.path, case.raw], wrong


def damage(count: int | None, seed: int) -> Found:
    """Damaged files of every kind."""
    from fuzzing import damage as damaged

    drawn = [damaged.Case(kind, seed + at) for kind in damaged.kinds() for at in range(count or MUTATIONS)]
    for kind in damaged.kinds():
        damaged.intact(kind)
    judges = [lambda folder, case=case: damaged.judge(case, folder) for case in drawn]
    for case, wrong in zip(drawn, judged(judges), strict=True):
        yield str(case), list(case), wrong


def durability(count: int | None, seed: int) -> Found:
    """Folders that are shared, full, mounted or read-only."""
    with tempfile.TemporaryDirectory() as folder:
        script = subprocess.Popen(
            [sys.executable, TESTS / "fuzzing" / "durability.py", folder, str(count or TIMES), str(seed)],
            stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(TESTS.parent)},
        )  # fmt: skip
        assert script.stdout is not None
        for line in script.stdout:
            found = json.loads(line)
            yield f"{found['check']} {found['turn']}", [found["check"], found["turn"], seed], found["wrong"]
        if script.wait():
            yield "script", ["script", 0, seed], f"exit code {script.returncode}"


def kills(count: int | None, seed: int) -> Found:
    """SIGKILL at random moments of a training, and of a sweep's training, replay, drawing and writing, and of ``netsim plot``'s."""
    for script in ("killed.py", "killed_sweep.py"):
        yield script, [script, count or KILLS, seed], killed(script, count or KILLS, seed)


def killed(script: str, times: int, seed: int) -> str:
    """Run one of the scripts that kill; return what it complains of, or ""."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, TESTS / script, folder, str(times), str(seed)]
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(TESTS.parent), str(TESTS)])},
        )
        print(f"kills: {script}: {done.stdout.strip().rpartition(chr(10))[2]}", flush=True)
        return done.stderr[-500:] if done.returncode else ""


RUNS: dict[str, Callable[[int | None, int], Found]] = {
    "files": files,
    "damage": damage,
    "durability": durability,
    "kills": kills,
}


def replayed(kept: dict[str, Any]) -> str:
    """Try a case again that failed; return what is wrong, or ""."""
    part, case = kept["part"], kept["case"]
    if part == "durability":
        return "\n".join(wrong for name, _, wrong in durability(case[1] + 1, case[2]) if name == f"{case[0]} {case[1]}")
    if part == "kills":
        return killed(*case)
    with tempfile.TemporaryDirectory() as folder:
        if part == "files":
            from fuzzing import files as fuzzed

            one = fuzzed.Case(case[0], tuple(case[1]), case[2])
            print(fuzzed.text(one)[:5000])
            return fuzzed.judge(one, Path(folder), draw=True)
        from fuzzing import damage as damaged

        return damaged.judge(damaged.Case(*case), Path(folder))


def judged(judges: Sequence[Callable[[Path], str]]) -> Iterator[str]:
    """Call judges with an empty folder each, in processes of their own, and yield what they say; one that hangs or crashes is killed, and said so."""
    done = 0
    while done < len(judges):
        readable, writable = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(readable)
            _judge(judges[done : done + CHUNK], writable)
        os.close(writable)
        finished, stopped = 0, ""
        with open(readable, "rb") as pipe:
            while finished < len(judges[done : done + CHUNK]):
                if not select.select([pipe], [], [], HANGS)[0]:
                    stopped = f"hangs: more than {HANGS:g} s"
                    os.kill(child, signal.SIGKILL)
                elif line := pipe.readline():
                    yield json.loads(line)
                    finished += 1
                    continue
                break
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if finished < len(judges[done : done + CHUNK]):
            yield stopped or f"the process ended with {status}"
            finished += 1
        done += finished


def _judge(judges: Sequence[Callable[[Path], str]], writable: int) -> None:
    """Call judges one after the other, write a line of JSON for each, and exit."""
    try:
        for judge in judges:
            folder = Path(tempfile.mkdtemp())
            wrong = judge(folder)
            shutil.rmtree(folder, ignore_errors=True)
            os.write(writable, json.dumps(wrong.replace(str(folder), "")).encode() + b"\n")
    finally:
        os._exit(0)


if __name__ == "__main__":
    main()

"""Files with one value that nobody would write, and what netsim makes of them: one line that helps, or results that make sense."""

import contextlib
import copy
import io
import json
import math
import random
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import tomli_w
from fuzzing.bases import Key, at, bases, keys

from netsim.commands import app, drawn
from netsim.files import config
from netsim.runs import gossip, pipeline, training
from netsim.runs.setup import Setup

DEEP = "[" * 500 + "]" * 500
DIGITS = "9" * 5000
UNREAD = (DEEP, DIGITS)
NASTY: tuple[str | None, ...] = (
    None,  # the key is left out
    *("-1", "0", "1", "2", "3", "-0.0", "0.5", "1e-9", "5e-324", "1e20", "1e300", "-1e300", "nan", "inf", "-inf"),
    *("5000", "100000", "1000000000", "9223372036854775807", "18446744073709551616", "-9223372036854775809"),
    *("1234567890" * 4, DIGITS, "true", "false"),
    *('""', '" "', r'"\u0000"', r'"a\nb"', '"4"', '"nan"', '"inf"', '"-1 ms"', '"1e400 s"', '"20"', '"1 ms"', '"1 Mbit/s"', '"5 parsec"'),
    *('"[/b]"', '"[red]x[/red]"', '"🦊"', f'"{"x" * 10000}"', '"/dev/zero"', '"/nonexistent/x.csv"', '"."', '"../.."', '"x.npy"'),
    *('"optimal"', '"os:system"', '"nomodule:Class"', '"ring"', '"TopK"', '"DPSGD"', '"lstm"', '"cuda"', '"float16"'),
    *("[]", "[[]]", "[1, 1]", "[0]", "[-1]", "[nan]", '["1 ms", "1 ms"]', '["a"]', '["fifo", "fifo"]', "[[1, 2], [3]]", "[[0, 1], [1, 0]]", DEEP),
    *("{}", "{ a = 1 }", '{ kind = "x" }', '{ name = "TopK" }', "{ from = 1, to = 2, points = 3 }", '{ file = "/dev/zero" }'),
    *('{ from = "1 ms", to = "1 s", points = 1000000000 }', "{ from = 2, to = 1, points = 2 }", "[{}]", '[{ name = "DPSGD" }]'),
    *("1979-05-27", "07:32:00", "1979-05-27T07:32:00Z", f"[{', '.join(['0.5'] * 2000)}]"),
)  # fmt: skip
LIMIT = 10.0  # seconds of the processor before the training
LARGE = 2_000_000  # numbers of all models, networks or rounds that are not run here
LONGEST = 1200  # characters of a line
REMEDY = re.compile(
    r"must|write|wrote|needs?\b|needed|use\b|take\b|give\b|leave|left out|did you mean|there is|there are|try\b|missing|fewer|choose|at most|"
    r"at least|more than|more workers than|a range is|known:|allowed|not valid TOML|instead|double brackets|"
    r"name another|has to|set\b|pip install|expected"
)


class Case(NamedTuple):
    """A base, a key of it, and what is written there, as TOML has it; None: the key is left out."""

    base: str
    path: Key
    raw: str | None

    def __str__(self) -> str:
        shown = self.raw if self.raw is None or len(self.raw) < 60 else f"{self.raw[:40]}… ({len(self.raw)} characters)"
        return f"{self.base}: {'.'.join(map(str, self.path))} = {shown}"


class OutOfTime(BaseException):
    """The limit has passed."""


def cases(count: int, seed: int) -> list[Case]:
    """Draw cases without repetition: every key once before any key comes a second time, each with another value."""
    chance, tables = random.Random(seed), bases()
    places = [(base, path) for base, table in tables.items() for path in keys(table)]
    order = {place: chance.sample(NASTY, len(NASTY)) for place in places}
    drawn: list[Case] = []
    for turn in range(len(NASTY)):
        chance.shuffle(places)
        drawn += [Case(*place, order[place][turn]) for place in places]
        if len(drawn) >= count:
            break
    return drawn[:count]


def text(case: Case) -> str:
    """Return the file of a case."""
    table, mark = copy.deepcopy(bases()[case.base]), "a value of the case"
    *above, last = case.path
    holder = at(table, tuple(above))
    if case.raw is None:
        if isinstance(holder, dict):
            holder.pop(last, None)
        else:
            del holder[last]
        return tomli_w.dumps(table)
    holder[last] = mark
    return tomli_w.dumps(table).replace(f'"{mark}"', case.raw)


def as_toml(value: Any) -> str:
    """Return a value as TOML writes it on one line."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{as_toml(key)} = {as_toml(one)}' for key, one in value.items())} }}"
    if isinstance(value, list):
        return f"[{', '.join(map(as_toml, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return str(value).lower() if isinstance(value, bool | float) else str(value)


def judge(case: Case, folder: Path, draw: bool = False) -> str:
    """Run a case as a command; return what is wrong with what came of it, or "".

    Parameters
    ----------
    case
        The case.
    folder
        An empty folder.
    draw
        Draw the figures, too, which takes a second.
    """
    file = folder / "fuzzed.toml"
    file.write_text(text(case), "utf-8")
    command = "consensus" if "gossip" in bases()[case.base] else "sweep"
    seen = _Seen()
    words = [
        command,
        str(file),
        "--out",
        str(folder / "out"),
        "--json",
        *(["--jobs", "1"] if command == "sweep" else []),
    ]
    try:
        with _watched(seen, draw):
            code, out, err = called(words)
    except OutOfTime:
        return f"took more than {LIMIT:g} s of the processor {'of training' if seen.began else 'before the training'}"
    except _TooLarge:
        return ""
    except BaseException as error:
        where = "in the training" if seen.began else "before the training"
        return f"traceback {where}: {type(error).__name__}: {' '.join(str(error).split())[:300]}"
    if code == 0:
        return _nonsense(json.loads(out))
    if code != 2:
        return f"exit code {code}: {err[-300:]}"
    return f"found only after the training began: {err[-300:]}" if seen.began else _unhelpful(err, file, case)


def called(words: list[str]) -> tuple[int, str, str]:
    """Call the command line here; return the exit code and what it printed."""
    out, err = io.StringIO(), io.StringIO()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            app.main(words)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue(), err.getvalue()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    raise AssertionError("main returned")


class _Seen:
    began = False


class _TooLarge(BaseException):
    """It is accepted, and takes longer than a test has."""


@contextlib.contextmanager
def _watched(seen: _Seen, draw: bool) -> Iterator[None]:
    """Limit the time, tell when a training begins, and let nothing large begin."""
    load, train, run = config.load, training.train, gossip.Problem.run

    def capped(*words: Any, **named: Any) -> Setup:
        setup = load(*words, **named)
        if _large(setup):
            raise _TooLarge
        return setup

    def beginning(function: Callable[..., Any]) -> Callable[..., Any]:
        def begun(*words: Any, **named: Any) -> Any:
            if not seen.began:
                seen.began = True
                signal.setitimer(signal.ITIMER_PROF, 6 * LIMIT)  # compiling, too
            return function(*words, **named)

        return begun

    with contextlib.ExitStack() as patches:
        put = patches.enter_context
        put(mock.patch.object(config, "load", capped))
        put(mock.patch.object(pipeline, "train", beginning(train)))
        put(mock.patch.object(gossip.Problem, "run", beginning(run)))
        if not draw:
            put(mock.patch.object(drawn, "draw", lambda ds, folder: folder.mkdir()))
        put(time_limit(LIMIT))
        yield


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise OutOfTime after so many seconds of the processor, or thirty times as many of the clock, as machines are busy."""

    def out_of_time(*_: Any) -> None:
        raise OutOfTime

    clocks = ((signal.ITIMER_PROF, signal.SIGPROF, seconds), (signal.ITIMER_REAL, signal.SIGALRM, 30 * seconds))
    before = [signal.signal(number, out_of_time) for _, number, _ in clocks]
    for timer, _, limit in clocks:
        signal.setitimer(timer, limit)
    try:
        yield
    finally:
        for timer, _, _ in clocks:
            signal.setitimer(timer, 0)
        for (_, number, _), handler in zip(clocks, before, strict=True):
            signal.signal(number, handler)


def _large(setup: Setup) -> bool:
    if not setup.experiments:
        rounds = [problem.rounds(method.algorithm) for problem in setup.problems.values() for method in setup.methods]
        size = max((problem.x0.size for problem in setup.problems.values()), default=0)
        trials = sum(len(method.candidates(setup.topology)) for method in setup.methods)
        return max(rounds, default=0) > 2000 or size > LARGE or trials > 60
    first = setup.experiments[0]
    numbers = sum(math.prod(shape) for shape in first.task.tensors.values())
    workers = max(graph.n for graph in setup.topologies or (setup.topology,))
    networks = sum(len(grid) for grid in setup.grids.values())
    cases = len(setup.topologies or (1,)) * len(setup.seeds or (1,))
    return (
        numbers * workers > LARGE
        or workers > 200
        or first.steps * networks * cases > 2000
        or first.steps > 50
        or first.task.batch > 2000
    )


def _unhelpful(err: str, file: Path, case: Case) -> str:
    """Return what a line lacks: it stands alone, and names the file, the key and what would be right."""
    said = [line for line in err.splitlines() if line.startswith("netsim: ")]
    if "Traceback" in err or len(said) != 1 or err.splitlines()[-1] != said[0]:
        return f"not one line: {err[-500:]!r}"
    line = said[0]
    if len(line) > LONGEST:
        return f"a line of {len(line)} characters: {line[:200]}"
    if str(file) not in line:
        return f"does not name the file: {line}"
    names = [str(key) for key in case.path if isinstance(key, str)]
    unread = case.raw in UNREAD and re.search(r": line \d+: ", line)  # what the parser refuses has no key yet
    if not unread and not any(name in line for name in names[-2:]):
        return f"does not name the key: {line}"
    return "" if REMEDY.search(line.split(str(file), 1)[1]) else f"names no remedy: {line}"


def _nonsense(found: dict[str, Any]) -> str:
    """Return what makes no sense in the results of a command."""
    rows = found.get("table", [])
    if not rows:
        return "no results"
    for row in rows:
        for key, value in row.items():
            if (
                isinstance(value, int | float)
                and key in ("seconds_per_epoch", "seconds_to_target", "speedup", "megabytes", "rounds")
                and value < 0
            ):
                return f"{key} = {value}"
    return ""

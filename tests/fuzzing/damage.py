"""Files that are damaged in every way that disks, networks and people damage them, and what reads them."""

import contextlib
import gzip
import hashlib
import io
import lzma
import pickle
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import xarray as xr
from cifar_batches import python_2_batch
from fuzzing.files import OutOfTime, time_limit
from small_file import write

from netsim import Experiment, topology, train
from netsim.algorithms import DCDPSGD, StochasticQuantizer
from netsim.files import config
from netsim.models import MLP, digits
from netsim.models.data import cifar10, libsvm, mnist, olivetti, wikitext
from netsim.runs import pipeline, results
from netsim.runs.checkpoints import Checkpoints, checkpoints_in, read_newest

LIMIT = 10.0  # seconds of the processor to read a file


class Kind(NamedTuple):
    """A kind of file.

    Attributes
    ----------
    files
        {path in a folder: bytes}; those of ``targets`` are damaged.
    targets
        Some of the paths.
    read
        A folder -> (all that was read, in bytes; what was said about it). Raises ValueError, in one line that names the file, or what is wrong.
    known
        A context in which these files are what is expected.
    """

    files: dict[str, bytes]
    targets: tuple[str, ...]
    read: Callable[[Path], tuple[bytes, list[str]]]
    known: Callable[[], Any] = contextlib.nullcontext


class Case(NamedTuple):
    """A damage: of which kind of file, and the number from which it is drawn."""

    kind: str
    seed: int

    def __str__(self) -> str:
        return f"{self.kind}: damage {self.seed}"


def mutated(data: bytes, chance: random.Random, others: Sequence[bytes]) -> bytes:
    """Return the bytes of a file after one damage, or a few of one sort."""
    held, size = bytearray(data), len(data)
    start = chance.randrange(size)
    stop = min(size, start + chance.choice([1, 2, 8, 64, 512, 4096]))
    sort = chance.choice(
        ["bit", "bits", "zeros", "ones", "cut", "end", "double", "swap", "append", "insert", "noise", "header", "other"]
    )
    if sort == "bit":
        held[start] ^= 1 << chance.randrange(8)
    elif sort == "bits":
        for _ in range(chance.randrange(2, 30)):
            held[chance.randrange(size)] ^= 1 << chance.randrange(8)
    elif sort == "zeros":
        held[start:stop] = bytes(stop - start)
    elif sort == "ones":
        held[start:stop] = b"\xff" * (stop - start)
    elif sort == "cut":
        del held[start:]
    elif sort == "end":
        del held[size - min(size, chance.randrange(1, 100)) :]
    elif sort == "double":
        held[stop:stop] = held[start:stop]
    elif sort == "swap":
        other = chance.randrange(size)
        held[start], held[other] = held[other], held[start]
    elif sort == "append":
        held += chance.choice([b"\n", bytes(100), data[:100], chance.randbytes(50)])
    elif sort == "insert":
        held[start:start] = chance.randbytes(stop - start)
    elif sort == "noise":
        held[start:stop] = chance.randbytes(stop - start)
    elif sort == "header":
        held[chance.randrange(min(size, 512))] = chance.randrange(256)
    else:
        held[:] = chance.choice(others)
    return bytes(held)


def judge(case: Case, folder: Path) -> str:
    """Damage a file and read it; return what is wrong with what came of it, or "": it is refused in one line, or what it says is what it said."""
    kind, chance = kinds()[case.kind], random.Random(f"{case.kind} {case.seed}")
    target = chance.choice(kind.targets)
    others = [data for name, data in kind.files.items() if name != target] or [b"", b"text"]
    bad = mutated(kind.files[target], chance, others)
    for name, data in (kind.files | {target: bad}).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    try:
        with kind.known(), time_limit(LIMIT):
            found, said = kind.read(folder)
    except OutOfTime:
        return f"took more than {LIMIT:g} s"
    except ValueError as error:
        line = str(error)
        named = Path(target).name.removesuffix(".xz").removesuffix(".gz").removesuffix(".bin") in line
        return (
            ""
            if named and "\n" not in line and len(line) < 1200
            else f"does not name the file in one line: {line[:500]!r}"
        )
    except BaseException as error:
        return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
    return "" if found in intact(case.kind) and (found == intact(case.kind)[0] or said) else "used silently"


@cache
def intact(kind: str) -> tuple[bytes, ...]:
    """Return what may be read: of the files as they are, and of checkpoints what is before the newest one, or nothing."""
    found = []
    names = sorted(kinds()[kind].files, reverse=True) if kind == "checkpoints" else [""]
    with tempfile.TemporaryDirectory() as where:
        for left_out in range(len(names) + (kind == "checkpoints")):
            folder = Path(where) / str(left_out)
            for name, data in kinds()[kind].files.items():
                if name not in names[:left_out]:
                    (folder / name).parent.mkdir(parents=True, exist_ok=True)
                    (folder / name).write_bytes(data)
            folder.mkdir(exist_ok=True)
            with kinds()[kind].known():
                found.append(kinds()[kind].read(folder)[0])
    return tuple(found)


@cache
def kinds() -> dict[str, Kind]:
    """Return the kinds of files by name."""
    return {
        "results": Kind(_results(), ("results.nc",), _read_results),
        "checkpoints": _checkpoints(),
        **{
            f"CIFAR-10 {form}": _cifar10(ending)
            for form, ending in (("pickles", ""), ("pickles in .xz", ".xz"), ("binary", ".bin"))
        },
        "MNIST": _mnist(),
        "LIBSVM": _libsvm(),
        "WikiText": _wikitext(),
        "faces": _faces(),
    }


def _results() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as where:
        ds = pipeline.run(config.load(write(Path(where), ("steps = 22", "steps = 3\nevaluate_every = 1"))))
        return {"results.nc": results.save(ds, Path(where) / "results.nc").read_bytes()}


def _read_results(folder: Path) -> tuple[bytes, list[str]]:
    return _pickled(results.load(folder / "results.nc")), []


def _pickled(ds: xr.Dataset) -> bytes:
    return pickle.dumps(
        {
            name: (one.dims, one.values.tolist(), sorted(one.attrs.items(), key=str))
            for name, one in ds.variables.items()
        }
    )


def _checkpoints() -> Kind:
    one = Experiment(
        MLP(digits(), hidden=(4,), batch=4),
        DCDPSGD(StochasticQuantizer(8)),
        topology.ring(3),
        steps=4,
        lr=0.1,
        device="cpu",
    )
    with tempfile.TemporaryDirectory() as where:
        train(one, checkpoints=Checkpoints(Path(where), every=2))
        files = {path.name: path.read_bytes() for path in checkpoints_in(Path(where))}
    return Kind(files, tuple(files), _read_checkpoints)


def _read_checkpoints(folder: Path) -> tuple[bytes, list[str]]:
    said: list[str] = []
    tree = read_newest(folder, np, said.append)
    if any("\n" in line or not any(path.name in line for path in folder.iterdir()) for line in said):
        raise AssertionError(said)
    return repr(_plain(tree)).encode(), said


def _plain(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {key: _plain(value) for key, value in tree.items()}
    if isinstance(tree, list | tuple):
        return [_plain(value) for value in tree]
    if isinstance(tree, np.ndarray):
        return tree.dtype.str, tree.shape, hashlib.sha256(tree.tobytes()).hexdigest()
    return _plain(vars(tree)) if hasattr(tree, "__dict__") and not isinstance(tree, type) else repr(tree)


def _dataset(load: Callable[[Path], Any]) -> Callable[[Path], tuple[bytes, list[str]]]:
    def read(folder: Path) -> tuple[bytes, list[str]]:
        held = load(folder)
        arrays = [held] if isinstance(held, np.ndarray) else [one for one in held if isinstance(one, np.ndarray)]
        return hashlib.sha256(b"".join(one.tobytes() for one in arrays)).digest(), []

    return read


def _expected(module: Any, **values: Any) -> Callable[[], Any]:
    """Return a context in which a module expects other files than the published ones."""

    @contextlib.contextmanager
    def known() -> Iterator[None]:
        with contextlib.ExitStack() as patches:
            for name, value in values.items():
                patches.enter_context(
                    mock.patch.dict(getattr(module, name), value)
                    if isinstance(value, dict)
                    else mock.patch.object(module, name, value)
                )
            yield

    return known


def _md5(data: bytes) -> str:
    return hashlib.md5(data).hexdigest()


def _cifar10(ending: str) -> Kind:
    rng, files, known = np.random.default_rng(0), {}, {}
    for name in ("data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"):
        labels, pixels = rng.integers(0, 10, 2, dtype=np.uint8), rng.integers(0, 256, (2, 3072), dtype=np.uint8)
        raw, binary = python_2_batch(name.encode(), labels, pixels), np.column_stack([labels, pixels]).tobytes()
        files[f"{name}{ending}"] = {"": raw, ".xz": lzma.compress(raw, preset=0), ".bin": binary}[ending]
        known[name] = (len(raw), _md5(raw), _md5(binary))
    return Kind(files, tuple(files), _dataset(cifar10.cifar10), _expected(cifar10, _FILES=known, _BATCH=2))


def _mnist() -> Kind:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 28, 28), dtype=np.uint8)
    whole = {name: bytes(16) + pixels.tobytes() if "images" in name else bytes(8) + b"\7\0\2" for name in mnist._FILES}
    packed = {f"{name}.gz": gzip.compress(raw) for name, raw in list(whole.items())[:2]}
    files = packed | dict(list(whole.items())[2:])
    known = {name: (len(raw), _md5(raw), "") for name, raw in whole.items()}
    return Kind(files, tuple(files), _dataset(mnist.mnist), _expected(mnist, _FILES=known))


def _libsvm() -> Kind:
    lines = "".join(f"{y:+d} {i + 1}:1 {i + 40}:1 \n" for i, y in enumerate([1, -1, 1, -1, -1, 1])).encode()
    files = {"a9a": lines, "a9a.t.xz": lzma.compress(lines)}
    known = {"a9a": (len(lines), _md5(lines)), "a9a.t": (len(lines), _md5(lines))}
    return Kind(files, tuple(files), _dataset(libsvm.a9a), _expected(libsvm, _FILES=known))


def _wikitext() -> Kind:
    text = b" = A title = \n \n The cat sat on the mat . \n The dog did not . \n"
    parts = {part: text * times for part, times in (("train", 9), ("valid", 2), ("test", 3))}
    files = {"train.txt": parts["train"], "valid.txt.gz": gzip.compress(parts["valid"]), "test.txt": parts["test"]}
    known = {part: (len(raw), hashlib.sha256(raw).hexdigest()) for part, raw in parts.items()}
    return Kind(files, tuple(files), _dataset(wikitext.wikitext2), _expected(wikitext, _FILES=known))


def _faces() -> Kind:
    pixels, file = np.random.default_rng(0).integers(0, 243, (400, 64, 64), dtype=np.uint8), io.BytesIO()
    np.save(file, pixels)
    name = next(name for name in olivetti._FILES if name.endswith(".npy"))
    known = {name: (len(file.getvalue()), hashlib.sha256(file.getvalue()).hexdigest())}
    digest = hashlib.sha256(pixels.tobytes()).hexdigest()
    return Kind(
        {name: file.getvalue()},
        (name,),
        _dataset(olivetti.olivetti),
        _expected(olivetti, _FILES=known, _PIXELS_SHA256=digest),
    )

"""Available memory of a device; on a CPU Linux's figure, or less inside a container with a limit."""

from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np

ROOT = Path("/")


def available_bytes(xp: ModuleType, root: Path = ROOT) -> int | None:
    """Return the memory that a device has available, in bytes; None where it is unknown.

    Parameters
    ----------
    xp
        Array module of the device.
    root
        Root of the file system with ``proc`` and ``sys``.
    """
    if xp is not np:
        try:
            return int(xp.cuda.runtime.memGetInfo()[0]) + int(xp.get_default_memory_pool().free_bytes())
        except AttributeError:
            return None
    return min(
        (size for size in (machine_available(root), container_available(root)) if size is not None), default=None
    )


def machine_available(root: Path = ROOT) -> int | None:
    """Return the machine's available memory by ``/proc/meminfo``, in bytes; None where it is unknown."""
    return _fields(root / "proc/meminfo").get("MemAvailable:")


def container_available(root: Path = ROOT) -> int | None:
    """Return the memory left by control groups, version 2 or 1, in bytes; None: there is no limit.

    That is the limit less what is in use, of the process's group and of every parent; inactive cached files can be reclaimed and are not
    counted as in use. Inside a container the mounted tree may begin at the container's own group,
    whatever its path is called.
    """
    left = []
    for line in _lines(root / "proc/self/cgroup"):
        _, kinds, path = line.split(":", 2)
        if not kinds:
            tree, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in kinds.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            tree = root / "sys/fs/cgroup/memory"
        else:
            continue
        own = Path(*(part for part in path.split("/") if part not in ("", "..")))
        left += [size for group in (own, *own.parents) if (size := _left(tree / group, *names)) is not None]
    return min(left, default=None)


def _left(group: Path, limit: str, used: str, cached: str) -> int | None:
    """Return the memory left by one control group; None: it has no limit."""
    most, now = (next(iter(_lines(group / name)), "") for name in (limit, used))
    if not most.isdecimal() or not now.isdecimal():  # "max", or no such file
        return None
    return max(0, int(most) - max(0, int(now) - _fields(group / "memory.stat").get(cached, 0)))


def _fields(path: Path) -> dict[str, int]:
    """Return the lines ``name number`` of a file, those in kB as bytes."""
    words = [line.split() for line in _lines(path)]
    return {one[0]: int(one[1]) * (1024 if one[2:] == ["kB"] else 1) for one in words if len(one) > 1}


def _lines(path: Path) -> Iterator[str]:
    """Yield the lines of a kernel file; none where it does not exist."""
    try:
        yield from path.read_text("utf-8", "surrogateescape").splitlines()
    except OSError:
        return

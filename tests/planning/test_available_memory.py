"""Available memory of the machine and of containers with a limit, from files in Linux's format."""

from types import SimpleNamespace

import numpy as np
import pytest
from guard import guard

from netsim.planning.available_memory import available_bytes, container_available, machine_available

NO_LIMIT = 9223372036854771712  # as version 1 writes it
MEMINFO = (
    "MemTotal:       24000000 kB\nMemFree:         1000000 kB\nMemAvailable:    2000000 kB\nHugePages_Total:       0\n"
)


def tree(root, files):
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{content}\n")
    return root


def group(folder, limit, used, cached=None):
    """Return the files of a control group of version 2."""
    names = {"memory.max": limit, "memory.current": used, "memory.stat": f"anon 7\ninactive_file {cached}\nslab 8"}
    return {f"sys/fs/cgroup/{folder}{name}": value for name, value in names.items() if "None" not in str(value)}


def first_version(folder, limit, used, cached):
    names = {
        "memory.limit_in_bytes": limit,
        "memory.usage_in_bytes": used,
        "memory.stat": f"cache 9\ninactive_file 1\ntotal_inactive_file {cached}",
    }
    return {f"sys/fs/cgroup/memory/{folder}{name}": value for name, value in names.items()}


@pytest.mark.parametrize(
    ("own", "files", "left"),
    [
        ("0::/", {}, None),
        ("0::/", group("", 5000, 3000, 400), 2400),
        ("0::/", group("", "max", 3000, 400), None),
        ("0::/", group("", 5000, 3000), 2000),  # no statistics
        ("0::/", group("", 5000, 9000, 0), 0),
        ("0::/", group("", 5000, 300, 400), 5000),
        ("0::/job", group("job/", 5000, 3000, 400), 2400),
        ("0::/a/b/c", {**group("a/b/c/", "max", 1, 0), **group("a/b/", 5000, 3000, 0), **group("a/", 2500, 1000, 0)}, 1500),
        ("0::/job", {**group("job/", 5000, 3000, 0), **group("other/", 9, 9, 0)}, 2000),
        ("0::/docker/f00", group("", 5000, 3000, 400), 2400),  # the mounted tree begins at the container
        ("0::/../..", group("", 5000, 3000, 400), 2400),
        ("4:memory:/", first_version("", 5000, 3000, 400), 2400),
        ("4:memory:/", first_version("", NO_LIMIT, 3000, 0), NO_LIMIT - 3000),
        ("4:cpu,memory:/a\n0::/", first_version("a/", 5000, 3000, 400), 2400),
        ("5:cpu:/b\n4:memory:/a", {**first_version("a/", 5000, 3000, 0), **first_version("b/", 9, 9, 0)}, 2000),
        ("4:memory:/docker/f00\n0::/x", {**first_version("", 5000, 3000, 400), **group("x/", 900, 100, 0)}, 800),
        ("0::/odd:name", group("odd:name/", 5000, 3000, 0), 2000),
    ],
)  # fmt: skip
def test_what_a_container_leaves(tmp_path, own, files, left):
    root = tree(tmp_path, {"proc/self/cgroup": own, "proc/meminfo": MEMINFO, **files})
    assert container_available(root) == left
    assert machine_available(root) == 2_000_000 * 1024
    assert available_bytes(np, root) == min(left if left is not None else NO_LIMIT, 2_000_000 * 1024)


def test_a_machine_that_does_not_say(tmp_path):
    assert machine_available(tmp_path) is container_available(tmp_path) is available_bytes(np, tmp_path) is None
    tree(tmp_path, {"proc/self/cgroup": "0::/", **group("", 5000, 3000, 400)})
    assert available_bytes(np, tmp_path) == 2400


def test_this_machine_and_other_devices():
    free = available_bytes(np)
    assert free is None or free > 1e6
    assert available_bytes(guard) is None
    pool = SimpleNamespace(free_bytes=lambda: 5)
    runtime = SimpleNamespace(memGetInfo=lambda: (100, 200))
    gpu = SimpleNamespace(cuda=SimpleNamespace(runtime=runtime), get_default_memory_pool=lambda: pool)
    assert available_bytes(gpu) == 105

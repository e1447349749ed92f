"""Which arrays of two folders of results are equal bit for bit: ``python -m benchmarks.same_results OLD NEW``.

Every .nc file below OLD is held against that of the same name below NEW. A variable that was renamed is compared under its new name. A line for each
file says what differs, by how much, and what only one of the two has; exit code 1 where an array differs but that of the engine.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import xarray as xr

RENAMED = {"noise": "compression_error"}  # variables and attributes that have another name since
RENAMED_ATTRIBUTES = {**RENAMED, "by_recurrence": "by_compiled"}


def pairs(old: Path, new: Path) -> Iterator[tuple[str, Path, Path]]:
    """Yield the name and the two paths of every file that lies in both folders; print the others."""
    for name in sorted({path.relative_to(folder) for folder in (old, new) for path in folder.rglob("*.nc")}):
        if (old / name).is_file() and (new / name).is_file():
            yield str(name), old / name, new / name
        else:
            print(f"{name}: only in the {'old' if (old / name).is_file() else 'new'} folder")


def differences(one: xr.Dataset, other: xr.Dataset) -> Iterator[str]:
    """Yield what differs, in words; NaN equals NaN."""
    one = one.rename({was: now for was, now in RENAMED.items() if was in one.variables})
    for name in sorted(map(str, {*one.variables} | {*other.variables})):
        if (name in one.variables) != (name in other.variables):
            yield f"{name}: only in the {'old' if name in one.variables else 'new'}"
            continue
        a, b = one[name].values, other[name].values
        if a.shape != b.shape:
            yield f"{name}: shape {a.shape} and {b.shape}"
        elif a.dtype.kind in "fc" and not np.array_equal(a, b, equal_nan=True):
            apart = np.abs(a - b) / np.maximum(np.abs(a), 1e-300)
            yield f"{name}: {int(((a != b) & ~(np.isnan(a) & np.isnan(b))).sum())} of {a.size} numbers, by up to {np.nanmax(apart):.2g} of them"
        elif a.dtype.kind not in "fc" and not np.array_equal(a, b):
            at = np.flatnonzero((a != b).ravel())
            yield f"{name}: {len(at)} of {a.size}, the first {a.ravel()[at[0]]!r} and {b.ravel()[at[0]]!r}"
    attributes = {
        key if key in other.attrs else RENAMED_ATTRIBUTES.get(key, key): value for key, value in one.attrs.items()
    }
    for key in sorted(attributes.keys() | other.attrs.keys()):
        if key not in attributes or key not in other.attrs:
            yield f"attribute {key}: only in the {'old' if key in attributes else 'new'}"
        elif not np.array_equal(attributes[key], other.attrs[key]):
            yield f"attribute {key}"


def main(old: str, new: str) -> int:
    """Compare two folders; return the exit code."""
    different = False
    for name, a, b in pairs(Path(old), Path(new)):
        with xr.open_dataset(a, engine="h5netcdf") as one, xr.open_dataset(b, engine="h5netcdf") as other:
            found = list(differences(one.load(), other.load()))
        print(f"{name}: {'; '.join(found) or 'equal'}")
        different |= any(
            " of " in line or "shape" in line for line in found if not line.startswith(("engine:", "attribute"))
        )
    return int(different)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

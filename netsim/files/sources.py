"""Reading configuration files: presets, paths, and files with a base."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import tomli_w

from netsim.errors import NetsimError, as_written, hint
from netsim.files.toml import read_toml

PRESETS = Path(__file__).parent / "presets"


class Source(NamedTuple):
    """A file that was read.

    Attributes
    ----------
    path
        Its path; paths of data are relative to its folder.
    text
        Its text; with a base, the text of the merged file.
    table
        Its fields.
    folders
        Folders searched for users' modules: its own, those of its bases, and the current one.
    """

    path: Path
    text: str
    table: dict[str, Any]
    folders: tuple[Path, ...]


def presets() -> dict[str, str]:
    """Return {name: title} of the presets that come with netsim."""
    return {path.stem: tomllib.loads(path.read_text("utf-8"))["title"] for path in sorted(PRESETS.glob("*.toml"))}


def read(source: str | Path) -> Source:
    """Read a preset or a TOML file.

    A file with ``base = "tang2018"``, or the path of another file, relative to it, takes from there every field that it does not set
    (:func:`built_on`). Its words it does not take, unless it changes nothing: they are of the base's topology, training and network. Without a
    title and assumptions of its own a file says which fields of the base it changes.

    Raises
    ------
    NetsimError
        It, or its base, cannot be read or is not valid TOML; or bases go round in a circle.
    """
    path, text, table = _read(source)
    passed = [path.resolve()]  # each the base of the one before
    while "base" in table:
        name = table.pop("base")
        if not isinstance(name, str):
            raise NetsimError(f"{source}: base = {as_written(name)}: write a preset's name or a file's path")
        try:
            beneath, _, others = _read(passed[-1].parent / name if Path(name).suffix else name)
        except NetsimError as error:
            raise NetsimError(f"{source}: base: {error}") from None
        if beneath.resolve() in passed:
            raise NetsimError(f'{source}: base = "{name}": leads back to {beneath.name}; name another file')
        passed.append(beneath.resolve())
        if path.parent != PRESETS:
            own = _changed(table)
            table = _with_words(table, path.stem, name)
            others = {field: value for field, value in others.items() if not (own and field in _WORDS)}
        table = built_on(others, table)
        text = tomli_w.dumps(table)
    beside = [one.parent for one in passed if one.parent != PRESETS]
    return Source(path, text, table, (*beside, Path.cwd()))


def built_on(base: Mapping[str, Any], table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a base, overridden by a file's own.

    Tables are merged field by field, but one that says what it is (``kind``, ``model`` or ``name``) replaces the base's, for
    the fields of another kind would not fit it. Anything else, lists such as ``[[algorithm]]`` included, replaces the base's.
    """
    merged = dict(base)
    for field, value in table.items():
        old = base.get(field)
        whole = (
            not (isinstance(old, Mapping) and isinstance(value, Mapping)) or {"kind", "model", "name"} & value.keys()
        )
        merged[field] = value if whole else built_on(old, value)  # type: ignore[arg-type]
    return merged


_WORDS = ("title", "assumptions")


def _changed(table: Mapping[str, Any]) -> list[str]:
    return [field for field in table if field not in _WORDS]


def _with_words(table: Mapping[str, Any], stem: str, base: str) -> dict[str, Any]:
    """Return a file's fields with a title and assumptions, where it has none and changes something of its base."""
    if not _changed(table):
        return dict(table)
    of = Path(base).stem
    said = f"{of} with {', '.join(_changed(table))} of its own"
    words = {
        "title": f"{stem}: {said}",
        "assumptions": {"base": f"{said}; what {of} assumes of these need not hold here"},
    }
    return {**words, **table}


def _read(source: str | Path) -> tuple[Path, str, dict[str, Any]]:
    path = Path(source).expanduser()
    preset = PRESETS / f"{source}.toml"
    if not path.suffix and preset.name in {p.name for p in PRESETS.glob("*.toml")}:
        path = preset
    try:
        return path, *read_toml(path)
    except NetsimError as error:
        raise NetsimError(f"{source}: {error}") from None
    except FileNotFoundError:
        names = [p.stem for p in sorted(PRESETS.glob("*.toml"))]
        raise NetsimError(f"{source}: no such file, and no preset of this name; {hint(str(source), names)}") from None
    except OSError as error:
        raise NetsimError(f"{source}: cannot be read ({error.strerror}); write a TOML file") from None

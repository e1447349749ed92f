"""The reference of the configuration file, and commented files, made from what the fields declare (:mod:`netsim.fields`)."""

import re
import textwrap
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import tomli_w

from netsim.algorithms.ranges import kinds, said
from netsim.fields import Declared, declared, plain
from netsim.files.calls import COMPUTE, named_classes
from netsim.files.config import kind_of
from netsim.files.schedules import KINDS as SCHEDULES
from netsim.files.schema import FILES, TOP, Section
from netsim.files.sources import read
from netsim.files.tasks import MODELS
from netsim.files.topologies import KINDS as TOPOLOGIES

_TITLES = {"training": "A file that trains", "gossip": "A file of gossip alone"}
_FIRST = ("kind", "name", "model")
_GIVEN = ("data",)  # parameters that no file gives: another key says them
_WIDTH = 110


def reference() -> str:
    """Return every section and every key of a file, with its words, range, unit and default, as Markdown.

    Returns
    -------
    str
        Headings of the second level and below; no title.
    """
    parts = ["## Beside the sections", _table(TOP)]
    for kind, sections in FILES.items():
        parts.append(f"## {_TITLES[kind]}")
        for name, section in sections.items():
            header = f"[[{name}]]" if section.several else f"[{name}]"
            need = "" if section.required else " May be left out."
            parts.append(f"### `{header}`" + ("" if kind == "training" else " of gossip"))
            parts.append(f"{_sentence(section.words)}.{need}{_more(section)}")
            if section.fields:
                parts.append(_table(section.fields))
    for title, named, key in _registries():
        parts.append(f"## {title}")
        for name, factory in named.items():
            parts += [f"### `{key} = {_text(name)}`", plain(_first_line(factory)), _table(_fields_of(factory, name))]
    return "\n\n".join(filter(None, parts)) + "\n"


def template(name: str) -> str:
    """Return a preset, or a file, with every key explained; those that it leaves at their defaults are there as comments.

    Parameters
    ----------
    name
        As :func:`netsim.files.config.load` takes it.

    Returns
    -------
    str
        TOML, which loads to the same setup.
    """
    table = read(name).table
    lines = [f"# Made from {name}. Keys that stand behind a # have the default that they show.", ""]
    lines += _keys({"title": table.get("title", "")}, {"title": TOP["title"]})
    for section_name, section in FILES[kind_of(table)].items():
        each = table.get(section_name, [] if section.several else {})
        header = f"[[{section_name}]]" if section.several or isinstance(each, list) else f"[{section_name}]"
        lines += ["", "", *_comment(f"{section_name}: {_sentence(section.words)}.")]
        if not each and section.several:
            lines += [f"# {header}", *_commented(_keys({}, section.fields))]
        explained: set[str] = set()
        for one in each if isinstance(each, list) else [each]:
            fields = {**section.fields, **_own_fields(section, one)}
            lines += ["", header, *_keys(one, {key: field for key, field in fields.items() if key not in explained})]
            explained |= fields.keys()
    return "\n".join(lines) + "\n"


def _registries() -> Iterator[tuple[str, Mapping[str, Callable[..., Any]], str]]:
    yield "Topologies, by kind", TOPOLOGIES, "kind"
    yield "Models, by name", {name: factory for name, (factory, _) in MODELS.items()}, "model"
    yield "Algorithms, by name", named_classes("algorithm"), "name"
    yield "Compressors, by name", named_classes("compressor"), "name"
    yield "Projections, by name", named_classes("projection"), "name"
    yield "Learning rates, by kind", SCHEDULES, "kind"
    yield "Compute models, by kind", COMPUTE, "kind"


def _own_fields(section: Section, table: Mapping[str, Any]) -> Mapping[str, Declared]:
    """Return the further keys of a table, which what it names decides about; none of a user's class."""
    name = table.get(section.others) or (
        section.fields[section.others].default if section.others in section.fields else ""
    )
    known = {"kind": TOPOLOGIES, "model": {k: v[0] for k, v in MODELS.items()}, "name": named_classes("algorithm")}
    factory = known.get(section.others, {}).get(str(name))
    return {} if factory is None else _fields_of(factory, str(name))


def _fields_of(factory: Callable[..., Any], name: str) -> dict[str, Declared]:
    """Return the keys of what a file names, with the defaults that it has under this name."""
    made, usual = MODELS.get(name, (None, {}))
    defaults = usual if made is factory else {}
    return {
        key: one._replace(default=defaults.get(key, one.default))
        for key, one in declared(factory).items()
        if key not in _GIVEN
    }


# --- Markdown ---------------------------------------------------------------------------------------------------------------


def _table(fields: Mapping[str, Declared]) -> str:
    if not fields:
        return "It has no keys of its own."
    rows = [
        f"| `{name}` | {_cell(_words(one))} | {_cell(_allowed(one))} | {'required' if one.required else _cell(_code(_default(one)))} |"
        for name, one in fields.items()
    ]
    return "\n".join(["| key | what it is | may be | default |", "| --- | --- | --- | --- |", *rows])


def _more(section: Section) -> str:
    decides = {"kind": "topologies", "model": "models", "name": "algorithms"}
    if section.others == "anything":
        return " Any keys, with texts."
    return (
        f" Its other keys are decided by `{section.others}`: see the {decides[section.others]} below."
        if section.others
        else ""
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _code(text: str) -> str:
    return f"`{text}`" if text else "left out"


def _sentence(words: str) -> str:
    return words[:1].upper() + words[1:]


def _first_line(factory: Callable[..., Any]) -> str:
    return (factory.__doc__ or "").strip().split("\n\n")[0].replace("\n", " ")


def _words(one: Declared) -> str:
    return re.sub(r"\bNone\b", "left out", plain(one.words))


def _allowed(one: Declared) -> str:
    return said(one.hint, file=True).replace("None", "left out")


# --- TOML -------------------------------------------------------------------------------------------------------------------


def _keys(table: Mapping[str, Any], fields: Mapping[str, Declared]) -> list[str]:
    """Return the lines of a table: what it says, and as comments what it leaves at its default, each below its words."""
    lines: list[str] = []
    unknown = {name: None for name in table if name not in fields}  # of a user's class, or what a kind is
    for name, one in {**{name: one for name, one in unknown.items() if name in _FIRST}, **fields, **unknown}.items():
        if one is not None and (words := _words(one)):
            allowed = "" if _allowed(one).removesuffix(", or left out") == "text" else _allowed(one)
            lines += [
                "",
                *_comment(f"{words}{'' if words.endswith('.') else '.'} {_sentence(allowed)}." if allowed else words),
            ]
        key = tomli_w.dumps({name: 0}).split(" = ")[0]
        if name in table:
            lines.append(f"{key} = {_text(table[name])}")
        elif one is not None and not one.required and one.words:
            lines.append(f"# {key} = {_default(one)}".rstrip())
    return lines


def _comment(text: str) -> list[str]:
    return [f"# {line}" for line in textwrap.wrap(text, _WIDTH, break_long_words=False, break_on_hyphens=False)]


def _commented(lines: list[str]) -> list[str]:
    return [line if line.startswith("#") or not line else f"# {line}" for line in lines]


def _default(one: Declared) -> str:
    """Return a default as a file would write it; "" where the key is left out."""
    value = one.default
    if one.required or value is None:
        return ""
    show = next((found for kind in kinds(one.hint) if (found := kind.mark("show"))), None)
    if show and isinstance(value, int | float):
        return _text(show(value))
    if isinstance(value, tuple) and len(value) == 1:
        value = value[0]
    return _text(list(value)) if isinstance(value, tuple) else _text(value)


def _text(value: Any) -> str:
    """Return a value in TOML, tables within the line."""
    if isinstance(value, Mapping):
        inside = (f"{tomli_w.dumps({name: 0}).split(' = ')[0]} = {_text(one)}" for name, one in value.items())
        return f"{{ {', '.join(inside)} }}" if value else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_text, value))}]"
    try:
        return tomli_w.dumps({"key": value}).removeprefix("key = ").rstrip("\n")
    except TypeError:  # an object, which a file says by a table of its own
        return repr(value)

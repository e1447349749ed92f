"""[task] of a configuration file: the data set and the model."""

import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from netsim.errors import NetsimError, as_written, hint
from netsim.files.calls import call, user_made, user_object
from netsim.files.schema import TRAINING_FILE, TaskSection, own
from netsim.models import MLP, Dataset, SoftmaxRegression
from netsim.models.cnn import CNN
from netsim.models.data import datasets
from netsim.models.data.wikitext import wikitext2
from netsim.models.language import LanguageModel
from netsim.models.resnet import ResNet

TEXT = "wikitext2"
MODELS: Mapping[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "mlp": (MLP, {}),
    "softmax": (SoftmaxRegression, {}),
    "cnn": (CNN, {}),
    "resnet20": (ResNet, {}),
    "resnet18": (ResNet, {"widths": (64, 128, 256, 512), "blocks": 2}),
    "lstm": (LanguageModel, {}),
}
"""By the name in a file: what makes the task, and what it is given unless the file says otherwise."""


def make_task(
    table: dict[str, Any],
    folder: Path,
    data: str | Path | None = None,
    download: bool = False,
    folders: Sequence[Path] = (),
) -> Any:
    """Load the data of a [task] section and return the task.

    Parameters
    ----------
    table
        The section; the fields that it does not know are the fields of the model's task.
    folder
        Of the configuration file: the section's path is relative to it.
    data
        Folder of the data files, instead of the section's.
    download
        Allow a download.
    folders
        Folders searched for users' modules.

    Raises
    ------
    NetsimError
        One line with the field, what is wrong, and what would be right.
    """
    fields = own(table, TRAINING_FILE["task"])
    section = TaskSection(**{name: table[name] for name in TRAINING_FILE["task"].fields})
    if ":" in section.model:
        return _users_task(section, fields, folder, data, download, folders)
    if section.model not in MODELS:
        raise NetsimError(f'task.model = "{section.model}": unknown model; {hint(section.model, MODELS)}')
    factory, usual = MODELS[section.model]
    if (section.data == TEXT) != (factory is LanguageModel):
        right = f'data = "{TEXT}"' if factory is LanguageModel else f'model = "lstm", or other data than "{TEXT}"'
        raise NetsimError(f'task.model = "{section.model}": does not learn "{section.data}"; write {right}')
    loaded = _load(section, folder, data, download, folders)
    return call(factory, {**usual, **fields}, "task", data=loaded)


def _users_task(
    section: TaskSection,
    fields: dict[str, Any],
    folder: Path,
    data: str | Path | None,
    download: bool,
    folders: Sequence[Path],
) -> Any:
    """Return a user's task; it gets the data set of the section if it has a parameter ``data``, else all fields are its own."""
    usual = TaskSection(section.model)
    said = {name: value for name, value in vars(section).items() if value != getattr(usual, name)} | fields
    try:
        found = user_object(section.model, folders)
        parameters = inspect.signature(found).parameters if callable(found) else {}
    except NetsimError as error:
        raise NetsimError(f"task.model: {error}") from None
    if "data" in parameters:
        loaded = {"data": _load(section, folder, data, download, folders)}
        return user_made(section.model, fields, "task", "task", folders, "model", **loaded)
    if data is not None:
        raise NetsimError(f"--data: {section.model} has no parameter data; leave it out")
    return user_made(section.model, said, "task", "task", folders, "model")


def check_shards(task: Any, n: int) -> None:
    """Raise, before any training, if there are too few data for n workers.

    Raises
    ------
    NetsimError
        There are too few.
    """
    if not hasattr(getattr(task, "data", None), "train_y") or not hasattr(task, "batch"):
        return
    images = len(task.data.train_y)
    if n > images:
        raise NetsimError(f"topology.n = {n}: more workers than the {images} training images of {task.data.name}")
    if task.batch > images // n:
        raise NetsimError(
            f"task.batch = {task.batch}: more than the {images // n} training images of {task.data.name} that a worker has"
        )


def _users_data(section: TaskSection, path: str | Path | None, folders: Sequence[Path]) -> Any:
    """Return what a user's function returns, which is called with the keys of the section that it has parameters for."""
    said = {"path": path and str(path), "train": section.train, "test": section.test}
    given = {name: value for name, value in said.items() if value is not None}
    try:
        found = user_object(section.data, folders)
        loaded = call(found, given, "task", folders) if callable(found) else found
    except NetsimError as error:
        raise NetsimError(f"task.data: {error}" if not str(error).startswith("task.") else str(error)) from None
    for lacking in [name for name in Dataset._fields if not hasattr(loaded, name)]:
        raise NetsimError(
            f'task.data = "{section.data}": not a data set: it has no {lacking}; return a netsim.models.Dataset'
        )
    return loaded


def _load(section: TaskSection, folder: Path, data: str | Path | None, download: bool, folders: Sequence[Path]) -> Any:
    path = data if data is not None else section.path and folder / Path(section.path).expanduser()
    if ":" in section.data:
        return _users_data(section, path, folders)
    field = "--data" if data is not None else "task.path" if path else "task.data"
    download = section.download or download
    of_text = {
        name: value for name in ("vocabulary", "lower", "tokens") if (value := getattr(section, name)) is not None
    }
    try:
        if section.data in (*datasets.NAMES[1:], TEXT) and path is None and not download:
            raise NetsimError(
                f'"{section.data}" comes from files: add --data PATH (the folder that holds them), or --download to fetch them once'
            )
        if section.data == TEXT:
            if section.test is not None:
                raise NetsimError(f'task.test: not a key of data = "{TEXT}"; leave it out')
            return wikitext2(path, train=section.train, download=download, **of_text)
        for field in of_text:
            raise NetsimError(f'task.{field}: not a key of data = "{section.data}"; leave it out')
        return datasets.load(section.data, path, section.train, download, section.test)
    except OSError as error:  # such as a name that no file can have
        raise NetsimError(
            f"{field} = {as_written(str(path))}: {error.strerror}; write the folder of the data files"
        ) from None
    except ValueError as error:
        said = re.sub(r"(netsim[\w.]*\.)?\w+\(download=True\)", "--download", str(error))  # the same in a file's words
        own = said.startswith(("train = ", "test = ", "vocabulary = ", "tokens = "))
        raise NetsimError(said if said.startswith("task.") else f"task.{said}" if own else f"{field}: {said}") from None

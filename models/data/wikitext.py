"""WikiText-2: text for language models, from its original files."""

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from netsim.models.data.files import fetch, find_file, find_folder, read_verified

END, UNKNOWN, PADDING = "<eos>", "<unk>", "<pad>"
# part: (bytes, sha256)
_FILES = {
    "train": (10_797_148, "9e9fa1ad55b1c2c95b08e37dd8e653f638fac2c6de904b79e813611eefbc985f"),
    "valid": (1_121_681, "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8"),
    "test": (1_256_449, "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0"),
}
_URL = "https://raw.githubusercontent.com/pytorch/examples/main/word_language_model/data/wikitext-2/"
_REMEDY = "netsim.models.data.wikitext.wikitext2(download=True) fetches the files from pytorch/examples on GitHub"
TOKENS = ("file", "spacy")


class Corpus(NamedTuple):
    """A text as whole numbers.

    Attributes
    ----------
    name
        Name, and what was left out of it in brackets.
    words
        The vocabulary: word k is what the number k stands for.
    train, valid, test
        (tokens,) int32, in the order of the text.
    """

    name: str
    words: tuple[str, ...]
    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray

    def __repr__(self) -> str:
        return self.name


def wikitext2(
    path: str | Path | None = None,
    vocabulary: int | None = None,
    train: int | None = None,
    lower: bool = False,
    tokens: str = "file",
    download: bool = False,
) -> Corpus:
    """Return WikiText-2: 2,088,628 + 217,646 + 245,569 tokens, 33,278 distinct (Merity, Xiong, Bradbury, Socher 2016).

    Parameters
    ----------
    path
        The folder with ``train.txt``, ``valid.txt`` and ``test.txt``, or ``wiki.train.tokens`` and so on, as they are or with ``.gz`` or
        ``.xz``; a subfolder ``wikitext-2`` of it is found too.
    vocabulary
        Keep only so many words, the most frequent ones of the training text (of equal ones, those that come first); the others are read as
        ``<unk>``. None keeps every word of the training text.
    train
        Take only the first so many tokens of the training text. They alone make the vocabulary.
    lower
        Read capitals as small letters: 28,912 words. Always so with ``tokens="spacy"``.
    tokens
        ``"file"``: words are what stands between spaces, and ``<eos>`` ends a line, as the files are meant to be read. ``"spacy"``: each line is cut
        again by the rules of spaCy's English tokenizer and made of small letters, and ``<pad>`` is a word, as torchtext makes it in the
        program behind Vogels, Karimireddy, Jaggi 2020: with spaCy 3.8, 28,869 words and 2,127,402 tokens of training text. Takes a minute.
    download
        Without a path: download the files (13 MB), once, into pooch's cache.

    Raises
    ------
    ValueError
        There is neither path nor download, a file is missing, cut short or not the published one, a parameter is out of range, or spaCy is wanted
        and not installed.
    """
    if path is None:
        if not download:
            raise ValueError(
                f"wikitext2: no path was given; name the folder of train.txt, valid.txt and test.txt; {_REMEDY}"
            )
        for part, (_, sha256) in _FILES.items():
            path = fetch(f"{_URL}{part}.txt", sha256, f"wiki.{part}.tokens")
    assert path is not None
    names = {part: _names(part) for part in _FILES}
    folder = find_folder(path, ["wikitext-2"], [name for part in names.values() for name in part], _REMEDY)
    read = {
        part: read_verified(find_file(folder, names[part], _REMEDY), sha256, size, _REMEDY).decode()
        for part, (size, sha256) in _FILES.items()
    }
    return corpus("wikitext2", read["train"], read["valid"], read["test"], vocabulary, train, lower, tokens)


def corpus(
    name: str,
    train_text: str,
    valid_text: str,
    test_text: str,
    vocabulary: int | None = None,
    train: int | None = None,
    lower: bool = False,
    tokens: str = "file",
) -> Corpus:
    """Read three texts as :func:`wikitext2` reads its files; its parameters and errors.

    ``<unk>`` is number 0; the others are numbered by their frequency in the training text, equally frequent ones in the order in which they come.
    """
    if tokens not in TOKENS:
        raise ValueError(f"tokens = {tokens!r} is unknown (known: {', '.join(TOKENS)})")
    cut = _spacy() if tokens == "spacy" else str.split
    parts = [_tokens(text, cut, lower or tokens == "spacy") for text in (train_text, valid_text, test_text)]
    if train is not None and not 1 <= train <= len(parts[0]):
        raise ValueError(f"train = {train}: write a number of training tokens from 1 to {len(parts[0]):,}")
    parts[0] = parts[0][:train]
    counts = Counter(parts[0])
    specials = (UNKNOWN, PADDING) if tokens == "spacy" else (UNKNOWN,)
    ranked = [*specials, *(word for word, _ in counts.most_common() if word not in specials)]
    found = len(ranked)
    if vocabulary is not None and not 2 <= vocabulary <= found:
        raise ValueError(f"vocabulary = {vocabulary}: write a number of words from 2 to {found:,}")
    words = tuple(ranked[:vocabulary])
    number = {word: k for k, word in enumerate(words)}
    ids = [np.fromiter((number.get(word, 0) for word in part), np.int32, len(part)) for part in parts]
    said = [
        *([] if train is None else [f"{train:,} tokens"]),
        *([] if vocabulary is None else [f"{vocabulary:,} words"]),
        *(["spacy"] if tokens == "spacy" else ["lower"] if lower else []),
    ]
    return Corpus(f"{name}[{', '.join(said)}]" if said else name, words, *ids)


def _names(part: str) -> list[str]:
    return [f"{stem}{ending}" for stem in (f"{part}.txt", f"wiki.{part}.tokens") for ending in ("", ".gz", ".xz")]


def _tokens(text: str, cut: Callable[[str], Iterable[str]], lower: bool) -> list[str]:
    found: list[str] = []
    for line in text.removesuffix("\n").split("\n"):
        found += [word.lower() for word in cut(line)] if lower else cut(line)
        found.append(END)
    return found


def _spacy() -> Callable[[str], list[str]]:
    """Return spaCy's rules for English, with three words kept whole."""
    try:
        import spacy
        from spacy.symbols import ORTH
    except ImportError:
        raise ValueError(
            'tokens = "spacy": spaCy is not installed (pip install spacy); tokens = "file" needs none'
        ) from None
    tokenizer = spacy.blank("en").tokenizer
    for word in (END, "<bos>", UNKNOWN):
        tokenizer.add_special_case(word, [{ORTH: word}])
    return lambda line: [token.text for token in tokenizer(line)]

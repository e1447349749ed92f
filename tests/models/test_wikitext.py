"""WikiText-2: vocabulary, encoding, the published files."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest

from netsim.models.data.wikitext import corpus, wikitext2
from netsim.models.language import LanguageModel

DATA = Path(os.environ.get("NETSIM_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
TRAIN, VALID, TEST = " = A b = \n \n a b <unk> b a \n", " A a c \n", " b \n"


def test_a_text_is_its_words_with_an_end_for_every_line():
    text = corpus("small", TRAIN, VALID, TEST)
    said = [[text.words[k] for k in part] for part in (text.train, text.valid, text.test)]
    assert said[0] == ["=", "A", "b", "=", "<eos>", "<eos>", "a", "b", "<unk>", "b", "a", "<eos>"]
    assert said[1:] == [["A", "a", "<unk>", "<eos>"], ["b", "<eos>"]]
    assert text.words == ("<unk>", "b", "<eos>", "=", "a", "A")  # by frequency, then by first occurrence
    assert text.train.dtype == np.int32 and repr(text) == "small"


def test_a_vocabulary_is_cut_to_the_most_frequent_words():
    text = corpus("small", TRAIN, VALID, TEST, vocabulary=3, lower=True)
    assert text.words == ("<unk>", "b", "a") or text.words == ("<unk>", "a", "b")
    assert len(text.train) == 12 and (text.train == 0).sum() == 6 and repr(text) == "small[3 words, lower]"
    assert len(corpus("small", TRAIN, VALID, TEST, lower=True).words) == 5
    short = corpus("small", TRAIN, VALID, TEST, train=4)
    assert short.words == ("<unk>", "=", "A", "b") and repr(short) == "small[4 tokens]"
    for wrong in ({"vocabulary": 1}, {"vocabulary": 7}, {"train": 0}, {"train": 13}, {"tokens": "bytes"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            corpus("small", TRAIN, VALID, TEST, **wrong)


def test_a_missing_or_damaged_file_is_named_with_its_remedy(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere: does not exist.*pytorch/examples"):
        wikitext2(tmp_path / "nowhere")
    with pytest.raises(ValueError, match=r"train.txt: missing; expected train.txt .* wiki.train.tokens"):
        wikitext2(tmp_path)
    (tmp_path / "wiki.train.tokens").write_text(" cut short \n")
    with pytest.raises(ValueError, match=r"wiki.train.tokens: truncated: 12 bytes, expected 10,797,148"):
        wikitext2(tmp_path)
    (tmp_path / "wiki.train.tokens").write_bytes(bytes(10_797_148))
    with pytest.raises(ValueError, match=r"wiki.train.tokens: .*sha256"):
        wikitext2(tmp_path)


def test_a_download_is_asked_for_and_checked(monkeypatch, tmp_path):
    with pytest.raises(ValueError, match="no path was given"):
        wikitext2()
    fetched = []

    def fetch(url, checksum, name):
        fetched.append((url.rsplit("/", 1)[1], len(checksum), name))
        return tmp_path

    monkeypatch.setattr("netsim.models.data.wikitext.fetch", fetch)
    with pytest.raises(ValueError, match="missing"):
        wikitext2(download=True)
    assert fetched == [(f"{part}.txt", 64, f"wiki.{part}.tokens") for part in ("train", "valid", "test")]


@pytest.mark.skipif(
    not (DATA / "wikitext-2" / "train.txt").is_file(), reason=f"no wikitext-2/train.txt in {DATA}; set NETSIM_DATA"
)
def test_wikitext2_has_its_published_figures():
    text = wikitext2(DATA)
    assert len(text.words) == 33_278
    unknown = text.words.index("<unk>")
    figures = [(len(p), len(np.unique(p)), int((p == unknown).sum())) for p in (text.train, text.valid, text.test)]
    assert figures == [(2_088_628, 33_278, 54_625), (217_646, 13_777, 11_718), (245_569, 14_143, 15_218)]
    ends = [int((p == text.words.index("<eos>")).sum()) for p in (text.train, text.valid, text.test)]
    assert ends == [36_718, 3_760, 4_358]
    assert LanguageModel(text, width=2, layers=1).bind(16, 0).steps_per_epoch == 68


def test_spacy_is_asked_for_by_name_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(ValueError, match="pip install spacy"):
        corpus("small", TRAIN, VALID, TEST, tokens="spacy")


def test_spacy_cuts_again_in_small_letters():
    pytest.importorskip("spacy")
    text = corpus("small", " It's <unk> \n", VALID, TEST, tokens="spacy")
    assert [text.words[k] for k in text.train] == [" ", "it", "'s", "<unk>", "<eos>"]
    assert text.words[:2] == ("<unk>", "<pad>") and repr(text) == "small[spacy]"

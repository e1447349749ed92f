"""Reading published files: search, size and checksum, and the messages for a wrong file."""

import bz2
import gzip
import hashlib
import io
import lzma
import zipfile

import numpy as np
import pooch
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from netsim.models import olivetti
from netsim.models.data.files import fetch, find_file, find_folder, read_verified

CONTENT = bytes(range(256)) * 8
MD5 = hashlib.md5(CONTENT).hexdigest()
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PACK = {"": bytes, ".gz": gzip.compress, ".xz": lzma.compress}


def refused(path, *parts):
    with pytest.raises(ValueError, match=r"buy a new one$") as error:
        read_verified(path, MD5, len(CONTENT), "buy a new one")
    message = str(error.value)
    assert message.startswith(f"{path}: ") and "\n" not in message
    for part in (*parts, MD5):
        assert part in message, message


@pytest.mark.parametrize("ending", PACK)
@pytest.mark.parametrize("checksum", [MD5, SHA256])
def test_the_right_file_comes_back(tmp_path, ending, checksum):
    path = tmp_path / f"data{ending}"
    path.write_bytes(PACK[ending](CONTENT))
    assert read_verified(path, checksum, len(CONTENT), "") == CONTENT


@settings(deadline=None, max_examples=40)
@given(ending=st.sampled_from(list(PACK)), at=st.integers(0, len(CONTENT) - 1), bit=st.integers(0, 7))
def test_one_flipped_bit_is_told(tmp_path_factory, ending, at, bit):
    path = tmp_path_factory.mktemp("flipped") / f"data{ending}"
    changed = CONTENT[:at] + bytes([CONTENT[at] ^ 1 << bit]) + CONTENT[at + 1 :]
    path.write_bytes(PACK[ending](changed))
    refused(path, "damaged or another file", f"its md5 is {hashlib.md5(changed).hexdigest()}, the published one {MD5}")


@settings(deadline=None, max_examples=40)
@given(ending=st.sampled_from(list(PACK)), part=st.floats(0, 1, exclude_max=True))
@example(ending=".gz", part=0.00390625)  # one byte is left: too short for gzip to know its own format
def test_a_file_cut_short_is_told(tmp_path_factory, ending, part):
    path = tmp_path_factory.mktemp("cut") / f"data{ending}"
    whole = PACK[ending](CONTENT)
    path.write_bytes(whole[: int(part * len(whole))])
    refused(path, "truncated: ", "expected 2,048")


@pytest.mark.parametrize("ending", PACK)
def test_a_file_cut_anywhere_is_told(tmp_path, ending):
    """At every length, from no byte at all to all but the last."""
    whole = PACK[ending](CONTENT)
    for length in range(len(whole)):
        (tmp_path / f"data{ending}").write_bytes(whole[:length])
        refused(tmp_path / f"data{ending}", "truncated: ", "expected 2,048")


@pytest.mark.parametrize(
    ("ending", "content", "said"),
    [
        (".gz", b"\x1e", "not an intact .gz file"),
        ("", b"", "truncated: 0 bytes, expected 2,048, md5"),
        (".gz", b"", "truncated: 0 bytes, expected 2,048 unpacked, md5"),
        (".xz", b"", "truncated: the compressed data ends early (expected 2,048 bytes unpacked, md5"),
        ("", gzip.compress(CONTENT), "bytes (it begins like a .gz file), expected 2,048"),
        ("", lzma.compress(CONTENT), "bytes (it begins like an .xz file), expected 2,048"),
        ("", bz2.compress(CONTENT), "bytes (it begins like a .bz2 file), expected 2,048"),
        (".xz", gzip.compress(CONTENT), "not an intact .xz file (Input format not supported by decoder) (it begins like a .gz file)"),
        (".gz", lzma.compress(CONTENT), "(it begins like an .xz file); expected 2,048 bytes unpacked"),
        ("", b"<html>no</html>", "truncated: 15 bytes (it begins like a web page)"),
        ("", b"<" * 2048, "damaged or another file (it begins like a web page): its md5 is"),
        ("", b"version https://git-lfs.github.com/spec/v1\noid sha256:", "(it begins like a pointer of Git LFS"),
        (".gz", CONTENT, "not an intact .gz file"),
        (".xz", CONTENT, "not an intact .xz file"),
        ("", CONTENT + b"\0\0", "another file: 2,050 bytes, expected 2,048, md5"),
        (".gz", gzip.compress(CONTENT + b"\0"), "another file: over 2,048 bytes, expected 2,048 unpacked"),
        (".gz", gzip.compress(bytes(10**7)), "another file: over 2,048 bytes, expected 2,048 unpacked"),
        (".xz", lzma.compress(bytes(10**7)), "another file: over 2,048 bytes, expected 2,048 unpacked"),
    ],
)  # fmt: skip
def test_what_is_said_of_a_wrong_file(tmp_path, ending, content, said):
    path = tmp_path / f"data{ending}"
    path.write_bytes(content)
    refused(path, said)


@pytest.mark.parametrize("length", [0, 1, 2, 3, 4, 10])
@pytest.mark.parametrize("pack", [gzip.compress, lzma.compress, bz2.compress, bytes])
def test_the_beginning_of_another_format_is_told(tmp_path, pack, length):
    """Under an ending that promises the bytes as they are; what is left of an archive is never unpacked."""
    (tmp_path / "data").write_bytes(pack(CONTENT)[:length])
    refused(tmp_path / "data", f"truncated: {length} bytes")


def test_a_zip_is_recognised(tmp_path):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("data", CONTENT)
    (tmp_path / "data").write_bytes(packed.getvalue())
    refused(tmp_path / "data", "it begins like a .zip file")


def test_what_cannot_be_read_is_told(tmp_path):
    with pytest.raises(ValueError, match="data: cannot be read \\(No such file or directory\\); buy a new one"):
        read_verified(tmp_path / "data", MD5, 1, "buy a new one")


def test_folders_and_files_are_found(tmp_path):
    with pytest.raises(ValueError, match="nowhere: does not exist; expected the folder that holds a; buy"):
        find_folder(tmp_path / "nowhere", ["sub"], ["a"], "buy")
    (tmp_path / "a").mkdir()  # a folder of the file's name is not the file
    with pytest.raises(ValueError, match=r"a: missing; expected a or a.gz in this folder; buy"):
        find_file(tmp_path, ["a", "a.gz"], "buy")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "a.gz").write_bytes(b"")
    folder = find_folder(tmp_path, ["sub"], ["a", "a.gz"], "buy")
    assert folder == tmp_path / "sub"
    assert find_file(folder, ["a", "a.gz"], "buy") == folder / "a.gz"
    (tmp_path / "sub" / "a").write_bytes(b"")
    assert find_file(folder, ["a", "a.gz"], "buy") == folder / "a"
    with pytest.raises(ValueError, match="a: is a file; expected the folder that holds a"):
        find_folder(tmp_path / "sub" / "a", [], ["a"], "buy")


# --- downloads -------------------------------------------------------------------------------------------------------


def test_a_copy_in_the_cache_is_used_and_checked(tmp_path, monkeypatch):
    """pooch itself: no net is asked where the file is there, and a wrong copy is not taken."""
    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / name)
    (tmp_path / "netsim").mkdir()
    (tmp_path / "netsim" / "data").write_bytes(CONTENT)
    for checksum in (MD5, SHA256):
        assert fetch("https://nowhere.invalid/data", checksum) == tmp_path / "netsim"
        assert fetch("https://nowhere.invalid/1", checksum, "data") == tmp_path / "netsim"
    (tmp_path / "netsim" / "data").write_bytes(CONTENT[:-1])
    with pytest.raises(
        ValueError, match=r"https://nowhere.invalid/data: the download failed .*fetch it by hand"
    ) as error:
        fetch("https://nowhere.invalid/data", MD5)
    assert "\n" not in str(error.value)


def test_faces_are_downloaded_when_asked_to(tmp_path, monkeypatch):
    from scipy.io import savemat

    with pytest.raises(ValueError, match=r"olivetti: no path was given; name the folder of olivetti_faces_u8.npy or"):
        olivetti()
    asked = []

    def retrieve(url, known_hash, fname, path, processor, progressbar):
        asked.append((url, known_hash))
        savemat(tmp_path / fname, {"faces": faces.reshape(400, 64, 64).transpose(0, 2, 1).reshape(400, 4096).T})
        return str(tmp_path / fname)

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    faces = np.random.default_rng(0).integers(0, 243, (400, 4096), dtype=np.uint8)
    with pytest.raises(ValueError, match="other faces: the sha256 of their pixels is"):
        olivetti(download=True)
    monkeypatch.setitem(olivetti.__globals__, "_PIXELS_SHA256", hashlib.sha256(faces.tobytes()).hexdigest())
    np.testing.assert_array_equal(
        olivetti(download=True).reshape(400, 4096), faces.astype(np.float32) / np.float32(242)
    )
    assert asked[0] == (
        "https://ndownloader.figshare.com/files/5976027",
        "sha256:b612fb967f2dc77c9c62d3e1266e0c73d5fca46a4b8906c18e454d41af987794",
    )

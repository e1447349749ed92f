"""Files are written whole or not at all, verified before they are used, and what a dead process left is removed."""

import errno
import os
import resource
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import forks
import numpy as np
import pytest
import xarray as xr

from netsim import NetsimError
from netsim.runs import results, storage
from netsim.runs.storage import Busy, owned, read_sealed, remove_leftovers, write_sealed, write_whole

WHOLE = xr.Dataset({"loss": ("step", np.linspace(2, 1, 50))}, {"step": np.arange(50)}, {"title": "é" * 40})


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return results.save(WHOLE, tmp_path / "results.nc")


@contextmanager
def owner(folder: Path) -> Iterator[None]:
    """Another process owns the folder and writes there, until it is killed at the end."""

    def own() -> None:
        with owned(folder) as aside:
            (aside / "half").mkdir()
            (aside / "half" / "x").write_text("x")
            print("owned", flush=True)
            time.sleep(60)

    child = forks.fork(own)
    assert child.stdout.readline() == "owned\n"
    yield
    os.kill(child.pid, signal.SIGKILL)
    forks.ended(child)


# --- writing -------------------------------------------------------------------------------------------------------------


def test_a_file_has_its_bytes_and_the_rights_of_any_other(tmp_path: Path) -> None:
    path = write_whole(tmp_path / "new" / "file", b"one", b"two")
    (tmp_path / "plain").write_bytes(b"")
    assert path.read_bytes() == b"onetwo" and list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_what_is_written_aside_cannot_be_planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a link in place of the hidden folder nor, if the name were guessed, one in place of the file is followed."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / ".file.writing").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NetsimError, match=r"file: cannot be written .*not a folder of netsim's own"):
        write_whole(tmp_path / "file", b"x")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    monkeypatch.setattr(storage.secrets, "token_hex", lambda size: "guessed")
    (tmp_path / "guessed").symlink_to(tmp_path / "mine")
    with pytest.raises(FileExistsError):
        storage.create(tmp_path)
    assert not (tmp_path / "mine").exists()


def test_a_disk_that_is_full_is_one_line_and_the_old_file_stays(file: Path) -> None:
    """In a process of its own, whose files may not grow past some bytes, as a disk's may not."""
    before = file.read_bytes()

    def save() -> None:
        ds = results.read(file)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
        try:
            results.save(ds, file)
        except NetsimError as error:
            print(error)

    assert forks.done(save) == (0, f"{file}: cannot be written ({os.strerror(errno.EFBIG)})\n", "")
    assert file.read_bytes() == before and list(file.parent.iterdir()) == [file]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_a_file_moves_to_another_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    for folder in (one, other):
        folder.mkdir()
    (one / "file").write_bytes(b"new")
    (other / "file").write_bytes(b"old")
    replace = os.replace

    def refused(source: Path | str, target: Path | str) -> None:
        if Path(source).is_relative_to(one) != Path(target).is_relative_to(one):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        replace(source, target)

    monkeypatch.setattr(os, "replace", refused)
    storage.move(one / "file", other / "file")
    assert (other / "file").read_bytes() == b"new" and list(one.iterdir()) == [] and len(list(other.iterdir())) == 1


# --- folders of one process ----------------------------------------------------------------------------------------------


def test_a_folder_is_owned_by_one_and_left_by_the_dead(tmp_path: Path) -> None:
    folder = tmp_path / ".netsim"
    with owner(folder):
        with pytest.raises(Busy), owned(folder, wait=False):
            pass
        remove_leftovers(folder)
        assert (folder / "half" / "x").exists()  # it is alive
    assert (folder / "half" / "x").exists()
    with owned(folder, wait=False) as aside:
        assert [path.name for path in aside.iterdir()] == ["lock"]
        with pytest.raises(Busy), owned(folder, wait=False):
            pass
    assert list(tmp_path.iterdir()) == []


def test_leftovers_are_removed_without_following_links(tmp_path: Path) -> None:
    folder, mine = tmp_path / ".netsim", tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.tex").write_text("x")
    with owner(folder):
        pass
    (folder / "link").symlink_to(mine)
    (folder / "half" / "link").symlink_to(mine / "thesis.tex")
    remove_leftovers(folder)
    assert list(tmp_path.iterdir()) == [mine] and (mine / "thesis.tex").read_text() == "x"
    remove_leftovers(mine / "gone")
    (tmp_path / "link").symlink_to(mine)
    remove_leftovers(tmp_path / "link")
    assert (mine / "thesis.tex").exists()


def test_a_folder_of_the_users_own_with_that_name_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / ".netsim" / "mine.toml"
    mine.parent.mkdir()
    mine.write_text("mine")
    with pytest.raises(FileExistsError, match="not a folder of netsim's own"), owned(mine.parent, wait=False):
        pass
    remove_leftovers(mine.parent)
    assert mine.read_text() == "mine"


def test_several_processes_take_turns(tmp_path: Path) -> None:
    """Each one writes the same file thirty times; nobody fails, and the file is one of theirs."""

    def write(letter: bytes) -> None:
        for _ in range(30):
            write_whole(tmp_path / "file", letter * 5000)

    writers = [forks.fork(partial(write, letter)) for letter in (b"a", b"b", b"c")]
    assert [forks.ended(one) for one in writers] == [(0, "", "")] * 3
    assert (tmp_path / "file").read_bytes() in [letter * 5000 for letter in (b"a", b"b", b"c")]
    assert len(list(tmp_path.iterdir())) == 1


# --- checksums -----------------------------------------------------------------------------------------------------------


def test_other_programs_read_the_file_too(file: Path) -> None:
    xr.testing.assert_identical(xr.load_dataset(file, engine="h5netcdf"), WHOLE)
    xr.testing.assert_identical(results.read(file), WHOLE)


def test_five_hundred_damages_are_found_before_a_library_opens_the_file(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, rng = file.read_bytes(), np.random.default_rng(0)
    monkeypatch.setattr(xr, "open_dataset", lambda *_, **__: pytest.fail("opened"))
    for number in range(500):
        data, at = bytearray(whole), int(rng.integers(len(whole)))
        if number % 5 == 0:
            data = data[:at]
        elif number % 5 == 1:
            data[at : at + 64] = bytes(len(data[at : at + 64]))
        elif number % 5 == 2:
            data[at:at] = rng.bytes(int(rng.integers(1, 9)))
        else:
            data[at] ^= 1 << int(rng.integers(8))
        if bytes(data) == whole:
            continue
        file.write_bytes(data)
        with pytest.raises(NetsimError, match=r"results\.nc: .*write it again") as caught:
            results.read(file)
        assert "\n" not in str(caught.value)


def test_what_is_damaged_is_told(file: Path) -> None:
    whole = file.read_bytes()
    for data, said in {
        whole[:-1]: "cut short, or written by another program",
        whole[: len(whole) // 2]: "cut short, or written by another program",
        whole.replace(b"loss", b"l0ss"): "damaged: its bytes are not those that were written",
        whole + b"\n": "cut short, or written by another program",
        b"": "not a whole netCDF file, but something else",
        b"CDF\1" + whole[4:]: "not a whole netCDF file, but something else",
    }.items():
        file.write_bytes(data)
        with pytest.raises(NetsimError, match=said):
            results.read(file)


def test_a_file_that_declares_more_than_it_holds_is_refused(tmp_path: Path) -> None:
    import h5netcdf

    with h5netcdf.File(tmp_path / "raw", "w") as raw:
        raw.dimensions = {"step": 2**40}
        raw.create_variable("loss", ("step",), "f8", chunks=(1024,))
    path = write_sealed(tmp_path / "results.nc", (tmp_path / "raw").read_bytes())
    with pytest.raises(
        NetsimError, match=r"results.nc: not a netCDF file of netsim \(it declares 8,796,093,022,208 bytes"
    ):
        results.read(path)


def test_what_is_no_file_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(NetsimError, match="pipe: not a file"):
        results.read(tmp_path / "pipe")
    with pytest.raises(NetsimError, match="not a file"):
        results.read("/dev/zero")
    monkeypatch.setattr(storage, "LARGEST", 3)
    (tmp_path / "large").write_bytes(b"four")
    with pytest.raises(NetsimError, match="large: 4 bytes, more than results have"):
        read_sealed(tmp_path / "large", b"f", "get another")


def test_a_large_file_without_a_seal_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "results.nc"
    path.write_bytes(b"\x89HDF\r\n\x1a\n")
    os.truncate(path, storage.LARGEST - 1)
    monkeypatch.setattr(storage, "_BLOCK", -1)  # whoever reads on takes all of it
    with pytest.raises(NetsimError, match="without the checksum at its end"):
        results.read(path)

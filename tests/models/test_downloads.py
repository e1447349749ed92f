"""Downloads by pooch from a local server: the published file arrives, or one line says why not."""

import hashlib
import io
import socket
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace

import pooch
import pytest

from netsim.commands import app as cli
from netsim.models.data import files
from netsim.models.data.datasets import mnist
from netsim.models.data.files import fetch, untar

CONTENT = bytes(range(256)) * 40
MD5 = hashlib.md5(CONTENT).hexdigest()


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A server of ``files``, {name: bytes}, that lists what was asked for; pooch's cache is ``cache``, an empty folder."""
    served: dict[str, bytes] = {}
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            name = self.path.removeprefix("/")
            asked.append(name)
            content = served.get(name.removesuffix("-cut"))
            if content is None:
                self.send_error(404)
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content[: len(content) // 2] if name.endswith("-cut") else content)

        def log_message(self, *words):
            pass

    monkeypatch.setattr(pooch, "os_cache", lambda name: tmp_path / "cache" / name)
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(variable, "127.0.0.1")
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        url = f"http://127.0.0.1:{running.server_port}/"
        yield SimpleNamespace(url=url, files=served, asked=asked, cache=tmp_path / "cache" / "netsim")
        running.shutdown()
        thread.join()


@pytest.fixture
def nowhere():
    """The address of a host that does not answer."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/"


def refused(url, *said, checksum=MD5):
    with pytest.raises(ValueError, match=r"\(--data PATH\)$") as error:
        fetch(url, checksum)
    message = str(error.value)
    assert message.startswith(f"{url}: the download failed (") and "\n" not in message
    for words in (*said, f"expected {url.rsplit('/', 1)[1]}, md5 {checksum}"):
        assert words in message, message


def everything_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_file_arrives_once(server):
    server.files["data"] = CONTENT
    for _ in range(2):
        assert fetch(f"{server.url}data", MD5) == server.cache
    assert (server.cache / "data").read_bytes() == CONTENT
    assert fetch(f"{server.url}data", MD5, "other") == server.cache
    assert (server.asked, everything_in(server.cache)) == (["data", "data"], ["data", "other"])


def test_another_file_is_refused_and_not_kept(server):
    server.files["data"] = CONTENT[:-1]
    refused(f"{server.url}data", f"another file: its md5 is {hashlib.md5(CONTENT[:-1]).hexdigest()}")
    assert everything_in(server.cache) == []
    server.files["data"] = CONTENT  # and the right one is taken when it is there
    assert (fetch(f"{server.url}data", MD5) / "data").read_bytes() == CONTENT


def test_a_copy_that_was_damaged_is_replaced(server):
    server.files["data"] = CONTENT
    fetch(f"{server.url}data", MD5)
    (server.cache / "data").write_bytes(CONTENT[1:])
    assert (fetch(f"{server.url}data", MD5) / "data").read_bytes() == CONTENT and len(server.asked) == 2


def test_a_transfer_that_breaks_off_leaves_nothing(server):
    server.files["data"] = CONTENT
    refused(f"{server.url}data-cut", "5120 bytes read, 5120 more expected")
    assert everything_in(server.cache) == []


def test_what_is_not_there_or_cannot_be_reached(server, nowhere):
    refused(f"{server.url}data", "404 Client Error: Not Found")
    refused(f"{nowhere}data", "(Connection refused)")
    try:
        raise KeyError("something else")
    except KeyError:
        refused(f"{nowhere}data", "(Connection refused)")
    assert everything_in(server.cache) == []


def archive(**members):
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as tar:
        for name, content in members.items():
            entry = tarfile.TarInfo(f"folder/{name}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    return packed.getvalue()


def test_an_archive_is_unpacked_whole_or_not_at_all(server, monkeypatch):
    packed = archive(a=CONTENT, b=CONTENT[::-1])
    server.files["data.tar.gz"] = packed
    url, checksum = f"{server.url}data.tar.gz", hashlib.md5(packed).hexdigest()
    whole = ["data.tar.gz", *(f"data.tar.gz.untar{part}" for part in ("", "/folder", "/folder/a", "/folder/b"))]

    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "replace", stop)
        with pytest.raises(KeyboardInterrupt):
            fetch(url, checksum, processor=untar)
    assert everything_in(server.cache) == ["data.tar.gz"]
    for _ in range(2):
        folder = fetch(url, checksum, processor=untar)
        assert folder == server.cache / "data.tar.gz.untar" / "folder" and (folder / "b").read_bytes() == CONTENT[::-1]
        assert everything_in(server.cache) == whole
    assert server.asked == ["data.tar.gz"]


@pytest.mark.parametrize("kept", [0, 1, 2, 10, 100])
def test_an_archive_that_was_published_cut_short_is_refused(server, kept):
    """Its checksum is right, and what is inside ends early: one line says so, and nothing is left unpacked."""
    packed = archive(a=CONTENT, b=CONTENT[::-1])[:kept]
    server.files["data.tar.gz"] = packed
    checksum = hashlib.md5(packed).hexdigest()
    with pytest.raises(ValueError, match=r"data.tar.gz: the download failed \(.*\(--data PATH\)$") as error:
        fetch(f"{server.url}data.tar.gz", checksum, processor=untar)
    assert "\n" not in str(error.value)
    assert everything_in(server.cache) == ["data.tar.gz"]


RUN = (
    "run",
    "tang2018-mnist",
    "--download",
    "--algorithm",
    1,
    "--latency",
    "1 ms",
    "--bandwidth",
    "1 Gbit/s",
    "--steps",
    1,
)


def run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        cli.main([str(word) for word in RUN])
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_a_run_that_cannot_reach_the_host_ends_with_one_line(nowhere, server, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(mnist.__globals__, "_URL", nowhere)
    code, out, said = run(tmp_path, monkeypatch, capsys)
    (line,) = [line for line in said.splitlines() if not line.startswith("Downloading data from")]
    assert (code, out) == (2, "")
    assert line.startswith(
        f"netsim: tang2018-mnist: task.data: {nowhere}train-images-idx3-ubyte.gz: the download failed"
    )
    assert line.endswith("(--data PATH)")


def test_a_run_downloads_the_real_files_once(server, data_folder, tmp_path, monkeypatch, capsys):
    names = [
        f"{part}-ubyte.gz"
        for part in ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    ]
    server.files |= {name: (data_folder / "mnist" / name).read_bytes() for name in names}
    monkeypatch.setitem(mnist.__globals__, "_URL", server.url)
    for _ in range(2):
        code, out, _ = run(tmp_path, monkeypatch, capsys)
        assert code == 0 and "AllReduceSGD() on ring(8)" in out
    assert server.asked == names

"""Files at an address: archives on a web server of this process, and addresses that are wrong."""

import hashlib
import io
import socket
import sys
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import fsspec
import pytest

from competition.data.remote import remote_files
from competition.data.remote.remote_files import is_address, without_secrets
from competition.data.remote.staging import stage
from competition.errors import CompetitionError
from competition.file_listing import find_relative_paths
from competition.workspace import Workspace, staged_index_file

FILES = {f"train/p{person}/x.png": bytes([person]) * 5000 for person in (1, 2, 3)} | {"labels.csv": b"name,label\n"}


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "work", "hands")


def content(folder):
    return {name: (folder / name).read_bytes() for name in find_relative_paths(folder)}


@pytest.mark.parametrize(
    ("address", "sentence"),
    [
        ("memory://nowhere/at/all", "not found: memory://nowhere/at/all. Check the address"),
        ("memory://bucket/hands/labels.csv", "this is one file: .*labels.csv. Give the folder"),
        ("https://example.com/hands/", "web servers don't list their folders.*: https://example.com/hands/. Give the"),
        ("https://u:p@example.com/x?key=1", r"web servers .*: https://example\.com/x\. Give"),
        ("nothing://bucket/x", "unknown kind of address 'nothing://': nothing://bucket/x. Give s3://"),
        (
            "s3://bucket/x",
            f"s3:// needs the package s3fs, which is not installed: .* {sys.executable} -m pip install s3fs",
        ),
        ("gs://bucket/x", f"gs:// needs the package gcsfs, .* {sys.executable} -m pip install gcsfs"),
    ],
)
def test_a_wrong_address_is_one_sentence(workspace, monkeypatch, address, sentence):
    fsspec.filesystem("memory").pipe_file("/bucket/hands/labels.csv", b"x")
    monkeypatch.setitem(sys.modules, "s3fs", None)
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(CompetitionError, match=sentence):
        stage(address, workspace)
    assert not workspace.root.exists()


def test_an_address_is_told_from_a_path():
    assert all(map(is_address, ("s3://b/x", "gs://b", "HTTPS://host/x.zip", "file:///data", "memory://x")))
    assert not any(map(is_address, ("/data", "data", "~/x", "C:\\data", "c:/data", "s3:/b", "a b://x", "./s3://x")))


def test_users_passwords_and_queries_are_removed():
    text = "GET 'https://me:p@ss@host:80/a/x.zip?sign=1&key=2' and s3://key:secret@bucket/a@b failed?"
    assert without_secrets(text) == "GET 'https://host:80/a/x.zip' and s3://bucket/a@b failed?"


class Server(BaseHTTPRequestHandler):
    """Sends the one file of its server, by ranges if ``ranges``; notes what was sent."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self):
        self.answer(False)

    def do_GET(self):
        self.answer(True)

    def answer(self, body):
        server = self.server
        if not self.path.startswith("/x.zip"):
            self.send_error(404)
            return
        data, wanted = server.data, self.headers.get("Range")
        self.send_response(206 if wanted and server.ranges else 200)
        if wanted and server.ranges:
            first, last = (int(number or len(data) - 1) for number in wanted.removeprefix("bytes=").split("-"))
            self.send_header("Content-Range", f"bytes {first}-{last}/{len(data)}")
            data = data[first : last + 1]
        if server.ranges:
            self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", hashlib.md5(server.data).hexdigest())
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.ranges, server.data = True, archive(FILES)
    server.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def archive(contents, names=None):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in contents.items():
            made.writestr((names or {}).get(name, name), data)
    return file.getvalue()


def test_an_archive_on_a_web_server_is_staged_member_by_member(workspace, server, capsys):
    folder = stage(f"{server.address}/x.zip?key=secret", workspace)
    assert content(folder) == FILES
    before = {name: (folder / name).stat().st_ino for name in FILES}
    server.data = archive(FILES | {"labels.csv": b"name,label\nx1,1\n", "more.png": b"more"})
    assert stage(f"{server.address}/x.zip?key=other", workspace) == folder
    assert {name for name in FILES if (folder / name).stat().st_ino != before[name]} == {"labels.csv"}
    assert (folder / "more.png").read_bytes() == b"more"
    said = capsys.readouterr().out
    assert "secret" not in said + staged_index_file(folder).read_text() + str(folder)
    assert f"{server.address}/x.zip: 2 files downloaded, 3 unchanged" in said


def test_an_archive_of_one_folder_is_that_folder(workspace, server, capsys):
    server.data = archive({f"hands/{name}": data for name, data in FILES.items()})
    folder = stage(f"{server.address}/x.zip", workspace)
    assert (folder.name, content(folder)) == ("hands", FILES)
    assert "all files of the archive lie in its folder hands, which is taken as the data" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["../out.png", "a/../../out.png", "/out.png/../x"])
def test_an_archive_whose_names_lead_elsewhere_is_refused(workspace, server, tmp_path, name):
    server.data = archive(FILES | {"bad": b"x"}, {"bad": name})
    with pytest.raises(CompetitionError, match=r"can't be staged, because a part of it .*x\.zip"):
        stage(f"{server.address}/x.zip", workspace)
    assert not list(tmp_path.glob("**/*.png"))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"ranges": False}, r"does not send parts of a file, as .*x\.zip\. Download and unpack it"),
        ({"data": b"no archive" * 100}, r"can't be read \(File is not a zip file\): .*x\.zip"),
        ({"data": archive({".hidden": b"x"})}, r"no files found: .*x\.zip"),
    ],
)
def test_an_archive_that_can_not_be_read_is_one_sentence(workspace, server, change, sentence):
    vars(server).update(change)
    with pytest.raises(CompetitionError, match=sentence):
        stage(f"{server.address}/x.zip", workspace)


def test_a_missing_archive_and_a_closed_port_are_one_sentence(workspace, server):
    with pytest.raises(CompetitionError, match=r"not found: http://127.*/other\.zip\. Check the address"):
        stage(f"{server.address}/other.zip", workspace)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        with pytest.raises(CompetitionError, match=r"no answer .*: http://127\S+/x\.zip\. Check"):
            stage(f"http://127.0.0.1:{closed.getsockname()[1]}/x.zip", workspace)


def test_an_address_that_does_not_answer_is_given_up(workspace, monkeypatch):
    assert remote_files.ANSWER_SECONDS <= 15
    monkeypatch.setattr(remote_files, "ANSWER_SECONDS", 1)
    monkeypatch.setattr(remote_files._reached, "__defaults__", (1,))
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        start = time.monotonic()
        with pytest.raises(CompetitionError, match=r"no answer within 1 s: http://127\S+/x\.zip\. Check the address"):
            stage(f"http://127.0.0.1:{silent.getsockname()[1]}/x.zip?key=secret", workspace)
        assert time.monotonic() - start < 5


def test_a_web_server_without_its_package_is_one_sentence(workspace, monkeypatch):
    def missing(address):
        raise ImportError('HTTPFileSystem requires "requests" and "aiohttp" to be installed')

    monkeypatch.setattr(fsspec, "url_to_fs", missing)
    with pytest.raises(CompetitionError, match=r"https:// needs the package aiohttp, .* -m pip install aiohttp"):
        stage("https://example.com/x.zip", workspace)

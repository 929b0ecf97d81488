"""Data that is staged, from a bucket that is a dictionary in memory."""

import errno
import hashlib
import json
import multiprocessing
import os
import signal
import time

import fsspec
import pytest

from competition.data.remote import staging
from competition.data.remote.staging import read_staged_index, stage
from competition.data.sources import content_of
from competition.errors import CompetitionError
from competition.file_listing import find_relative_paths
from competition.files import file_lock
from competition.workspace import Workspace, staged_index_file

FILES = {f"train/p{person}/x{number}.png": bytes([person, number]) * 50 for person in (1, 2) for number in (1, 2)}
FILES |= {"labels.csv": b"name,label\n"}
ADDRESS = "memory://bucket/hands"


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "work", "hands")


@pytest.fixture
def bucket():
    """The bucket: path below the address -> content, to be changed by the test."""
    files = fsspec.filesystem("memory")

    class Bucket:
        def put(self, contents):
            for name, content in contents.items():
                files.pipe_file(f"/bucket/hands/{name}", content)

        def remove(self, name):
            files.rm_file(f"/bucket/hands/{name}")

    files.store.clear()
    bucket = Bucket()
    bucket.put(FILES)
    yield bucket
    files.store.clear()


@pytest.fixture
def fetched(monkeypatch):
    """Paths that were downloaded."""
    paths = []
    original = staging._fetch

    def fetch(remote, file, *rest):
        paths.append(file.name)
        return original(remote, file, *rest)

    monkeypatch.setattr(staging, "_fetch", fetch)
    return paths


def content(folder):
    return {name: (folder / name).read_bytes() for name in find_relative_paths(folder)}


def test_everything_is_copied_once_with_its_checksum(workspace, bucket, fetched, capsys):
    folder = stage(ADDRESS, workspace)
    assert content(folder) == FILES
    lines = [json.loads(line) for line in staged_index_file(folder).read_text().splitlines()]
    digests = dict(content_of(line["file"])[::-1] for line in lines)
    assert digests == {name: hashlib.sha256(content).hexdigest() for name, content in FILES.items()}
    assert (folder / ".gitignore").read_text() == "*\n"
    assert f"{ADDRESS}: 5 files downloaded, 0 unchanged in {folder}" in capsys.readouterr().out
    assert stage(ADDRESS + "/", workspace) == folder
    assert sorted(fetched) == sorted(FILES)
    assert f"{ADDRESS}/: 0 files downloaded, 5 unchanged in {folder}" in capsys.readouterr().out


def test_what_is_new_or_changed_is_downloaded_and_named(workspace, bucket, fetched, capsys):
    folder = stage(ADDRESS, workspace)
    fetched.clear()
    changed = {"train/p1/x1.png": b"other", "train/p2/x1.png": FILES["train/p2/x1.png"][::-1], "test/t.png": b"new"}
    bucket.put(changed)
    assert content(stage(ADDRESS, workspace)) == FILES | changed
    assert sorted(fetched) == sorted(changed)
    said = capsys.readouterr().out
    assert "*** 2 files changed since it was staged: train/p1/x1.png, train/p2/x1.png ***" in said
    assert "3 files downloaded, 3 unchanged" in said
    stage(ADDRESS, workspace)
    assert len(fetched) == 3
    assert folder == stage(ADDRESS, workspace)


def test_what_has_vanished_is_removed_and_named_and_what_others_put_there_stays(workspace, bucket, fetched, capsys):
    folder = stage(ADDRESS, workspace)
    (folder / "exclude.txt").write_text("ID1/x1\n")
    bucket.remove("train/p2/x2.png")
    stage(ADDRESS, workspace)
    assert content(folder).keys() == FILES.keys() - {"train/p2/x2.png"} | {"exclude.txt"}
    assert f"*** 1 staged file removed, no longer at {ADDRESS}: train/p2/x2.png ***" in capsys.readouterr().out
    stage(ADDRESS, workspace)
    assert "removed" not in capsys.readouterr().out
    assert len(fetched) == len(FILES)


def test_an_address_that_is_empty_now_removes_nothing(workspace, bucket):
    folder = stage(ADDRESS, workspace)
    for name in FILES:
        bucket.remove(name)
    with pytest.raises(CompetitionError, match=r"(no files|not) found: memory://bucket/hands\. Check the address"):
        stage(ADDRESS, workspace)
    assert content(folder) == FILES


def test_staged_files_that_were_damaged_or_deleted_are_downloaded_again(workspace, bucket, fetched):
    folder = stage(ADDRESS, workspace)
    fetched.clear()
    damaged, deleted, touched = sorted(FILES)[:3]
    size = len(FILES[damaged])
    (folder / damaged).write_bytes(bytes(size))
    (folder / deleted).unlink()
    os.utime(folder / touched)
    assert content(stage(ADDRESS, workspace)) == FILES
    assert sorted(fetched) == sorted([damaged, deleted])


def test_a_line_of_the_index_that_was_cut_off_costs_one_download(workspace, bucket, fetched):
    folder = stage(ADDRESS, workspace)
    index = staged_index_file(folder)
    index.write_text(index.read_text()[:-20] + '\n[]\n"x"\n')
    fetched.clear()
    assert content(stage(ADDRESS, workspace)) == FILES
    assert len(fetched) == 1


@pytest.mark.slow
def test_a_download_killed_in_the_middle_continues(workspace, bucket, fetched, tmp_path, monkeypatch):
    bucket.put({f"many/{number:02}.png": bytes([number]) * 10_000 for number in range(40)})

    def slow(files, path, target, **options):
        with open(target, "wb") as file:
            file.write(files.cat_file(path)[:5000])
            file.flush()
            time.sleep(0.02)
            file.write(files.cat_file(path)[5000:])

    process = multiprocessing.get_context("fork").Process(target=stage, args=(ADDRESS, workspace))
    with monkeypatch.context() as patch:
        patch.setattr(type(fsspec.filesystem("memory")), "get_file", slow)
        patch.setattr(staging, "THREADS", 2)
        process.start()
        folder = tmp_path / "work" / "data" / ".staged"
        while sum(len(read_staged_index(path)) for path in folder.glob("*/.staged.jsonl")) < 10:
            time.sleep(0.005)
        os.kill(process.pid, signal.SIGKILL)
        process.join()
    left, kept = content(next(folder.glob("*"))), read_staged_index(next(folder.glob("*/.staged.jsonl")))
    assert all(len(data) == 10_000 for name, data in left.items() if name.startswith("many"))
    folder = stage(ADDRESS, workspace)
    assert len(content(folder)) == 45
    assert len(fetched) == 45 - len(kept)
    assert not list(folder.glob("**/*.part"))


def test_a_download_that_arrives_incomplete_is_not_kept(workspace, bucket, monkeypatch):
    def short(files, path, target, **options):
        with open(target, "wb") as file:
            file.write(files.cat_file(path)[:7])

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "get_file", short)
    with pytest.raises(
        CompetitionError, match=r"7 of 1\d+ bytes have arrived: .* of memory://bucket/hands\. Run the s"
    ):
        stage(ADDRESS, workspace)
    assert not list(workspace.root.glob("data/.staged/*/train/**/*.*"))


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError(errno.ENOSPC, "No space left"), r"can't write \(No space left\): .*make room"),
        (ConnectionResetError("reset"), r"can't be downloaded \(reset\): \S+ of memory://bucket/hands\. Run the same"),
        (ValueError("at s3://me:key@b/x?sign=y"), r"can't be downloaded \(at s3://b/x\)"),
    ],
)
def test_a_download_that_fails_is_one_sentence(workspace, bucket, monkeypatch, error, sentence):
    def failing(*_, **__):
        raise error

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "get_file", failing)
    with pytest.raises(CompetitionError, match=sentence):
        stage(ADDRESS, workspace)


@pytest.mark.parametrize("name", ["../out.png", "a/../../out.png", "a\\..\\out.png", "a//b.png", "a/\n.png", "x" * 300])
def test_a_name_that_leads_elsewhere_is_refused(workspace, bucket, name):
    fsspec.filesystem("memory").store[f"/bucket/hands/{name}"] = fsspec.filesystem("memory").store[
        "/bucket/hands/labels.csv"
    ]
    with pytest.raises(CompetitionError, match=r"can't be staged, because a part of it .*: memory://bucket/hands"):
        stage(ADDRESS, workspace)
    assert not list(workspace.root.glob("**/*.png"))


def test_hidden_files_can_not_replace_the_index(workspace, bucket):
    bucket.put({".staged.jsonl": b"{}", "train/.DS_Store": b"", "__MACOSX/x.png": b"", ".gitignore": b""})
    assert content(stage(ADDRESS, workspace)) == FILES


def test_folders_that_a_bucket_keeps_as_empty_files_are_left_out(workspace, bucket):
    store = fsspec.filesystem("memory").store
    store["/bucket/hands/train/"] = store["/bucket/hands/"] = store["/bucket/hands/labels.csv"]
    assert content(stage(ADDRESS, workspace)) == FILES


def test_two_addresses_have_two_folders(workspace, bucket):
    bucket.put({"inner/hands/x.png": b"1"})
    assert content(stage(f"{ADDRESS}/inner/hands", workspace)) == {"x.png": b"1"}
    assert content(stage(ADDRESS, workspace)) == FILES | {"inner/hands/x.png": b"1"}


def test_a_second_process_is_refused_meanwhile(workspace, bucket):
    folder = stage(ADDRESS, workspace)
    with (
        file_lock(folder / ".lock"),
        pytest.raises(CompetitionError, match="memory://bucket/hands is being downloaded by another process"),
    ):
        stage(ADDRESS, workspace)


def test_too_little_space_is_seen_before_anything_is_downloaded(workspace, bucket, fetched, monkeypatch):
    monkeypatch.setattr(staging, "_bytes", lambda files: 1 << 60)
    with pytest.raises(CompetitionError, match=r"MB are to be downloaded, and [\d,]+ MB are free"):
        stage(ADDRESS, workspace)
    assert not fetched

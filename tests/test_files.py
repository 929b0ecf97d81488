"""Left-overs of killed writers, rights of access, and files that are looked at before they are opened."""

import json
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from competition import files
from competition.errors import CompetitionError
from competition.files import (
    check_file,
    file_lock,
    keep_out_of_git,
    make_folder,
    read_text,
    sweep_below,
    whole_file,
    whole_folder,
    write_json,
    write_text,
)
from competition.formats.csv_files import read_csv
from competition.formats.json_files import read_json, read_json_object

BEGIN = """
import os, sys, time
from pathlib import Path
from competition.files import whole_file, whole_folder
folder = Path(sys.argv[1])
with whole_folder(folder / "run", "*.txt") as run, whole_file(run / "a.txt") as inner, whole_file(folder / "a") as a:
    inner.write_text("half")
    a.write_text("half")
    print("begun", flush=True)
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def fresh_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test sweeps as a process of its own would."""
    monkeypatch.setattr(files, "_swept", set())


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has begun two files and a folder and goes on for a minute."""
    process = subprocess.Popen([sys.executable, "-c", BEGIN, str(tmp_path)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    yield process
    process.kill()
    process.wait()


def names(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_what_a_killed_writer_left_goes_with_the_next_write(tmp_path: Path, writer: subprocess.Popen[bytes]) -> None:
    assert len(names(tmp_path)) == 3
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    assert len(names(tmp_path)) == 3
    write_text(tmp_path / "other.txt", "x")
    assert names(tmp_path) == ["other.txt"]


def test_folders_that_are_written_once_are_swept_from_above(tmp_path: Path, writer: subprocess.Popen[bytes]) -> None:
    folders = [tmp_path / "submissions" / name for name in ("killed", "killed_late", "empty", "whole")]
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    left = [path.name for path in tmp_path.iterdir()]
    for folder in folders:
        folder.mkdir(parents=True)
    for folder in folders[:2]:
        for name in left:
            (folder / name).touch()
    for folder in (folders[1], folders[3]):
        (folder / "submission.csv").touch()
    sweep_below(tmp_path / "submissions")
    assert names(tmp_path / "submissions") == [
        "empty",
        "killed_late",
        "killed_late/submission.csv",
        "whole",
        "whole/submission.csv",
    ]
    sweep_below(tmp_path / "none")


def test_what_another_process_writes_right_now_is_left_alone(tmp_path: Path, writer: subprocess.Popen[bytes]) -> None:
    before = names(tmp_path)
    write_text(tmp_path / "a.txt", "mine")
    assert names(tmp_path) == sorted([*before, "a.txt"])


def test_a_writer_of_another_machine_has_a_week(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    old, new = (tmp_path / f".{name}.txt.0123abcd-{dead.pid}-00000000.part" for name in ("old", "new"))
    for path, days in ((old, 8), (new, 6)):
        path.touch()
        os.utime(path, (time.time() - days * 86400,) * 2)
    write_text(tmp_path / "a.txt", "x")
    assert names(tmp_path) == [new.name, "a.txt"]


def test_hidden_files_of_others_are_no_left_overs(tmp_path: Path) -> None:
    for name in (".download.part", ".a.txt.abcdefgh.part", ".x.0123abcd-1.part", "a.0123abcd-1-00000000.part"):
        (tmp_path / name).touch()
        os.utime(tmp_path / name, (0, 0))
    before = names(tmp_path)
    write_text(tmp_path / "a.txt", "x")
    assert names(tmp_path) == sorted([*before, "a.txt"])


@pytest.mark.parametrize("there", [False, True])
def test_a_folder_that_was_killed_between_its_renames_comes_back(tmp_path: Path, there: bool) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    with whole_file(tmp_path / "x") as part:  # to learn how parts are named
        match = re.fullmatch(r"\.x\.([0-9a-f]{8})-\d+-[0-9a-f]{8}\.part", part.name)
    assert match
    (tmp_path / "x").unlink()
    files._swept.clear()
    old = tmp_path / f".run.{match[1]}-{dead.pid}-00000000.old"
    old.mkdir()
    (old / "kept.txt").write_text("old")
    if there:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "fresh.txt").write_text("new")
    write_text(tmp_path / "a.txt", "x")
    assert names(tmp_path) == ["a.txt", "run", "run/fresh.txt" if there else "run/kept.txt"]


@pytest.mark.parametrize(
    ("umask", "file", "folder"), [(0o022, 0o644, 0o755), (0o077, 0o600, 0o700), (0o002, 0o664, 0o775)]
)
def test_the_umask_is_honoured(tmp_path: Path, umask: int, file: int, folder: int) -> None:
    before = os.umask(umask)
    try:
        write_text(tmp_path / "a.txt", "x")
        with whole_folder(tmp_path / "folder", "*.txt") as part:
            write_text(part / "b.txt", "x")
    finally:
        os.umask(before)
    modes = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    assert modes == {"a.txt": file, "folder": folder, "b.txt": file}


def test_a_link_to_a_folder_is_replaced_and_what_it_points_to_stays(tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "kept.txt").touch()
    (tmp_path / "run").symlink_to(tmp_path / "disk")
    with whole_folder(tmp_path / "run", "*.txt") as part:
        (part / "fresh.txt").touch()
    assert names(tmp_path) == ["disk", "disk/kept.txt", "run", "run/fresh.txt"]


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CompetitionError, match=r"can't write \(Not a directory\)"):
        make_folder(tmp_path / "file" / "run")
    make_folder(tmp_path / "a" / "b")
    make_folder(tmp_path / "a" / "b")


@pytest.mark.parametrize("name", ["x" * 300, "a" * 250])
def test_a_name_that_is_too_long_for_the_disk_is_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(CompetitionError, match="File name too long"):
        write_text(tmp_path / name, "x")
    assert names(tmp_path) == []


def read_any(path: Path) -> list[str]:
    """The sentences of all readers of text files."""
    sentences = []
    for read in (read_text, read_csv, lambda path: read_json(path, "Run tune"), check_file):
        with pytest.raises(CompetitionError) as caught:
            read(path)
        sentences.append(str(caught.value))
    return sentences


def test_a_pipe_a_folder_and_a_huge_file_are_refused_before_they_are_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(5 << 30)  # takes no room on the disk
    assert all("a pipe or a device, not a file" in sentence for sentence in read_any(tmp_path / "pipe"))
    assert all("a folder, not a file" in sentence for sentence in read_any(tmp_path / "folder"))
    assert all("the file has 5,120 MB, the limit is" in sentence for sentence in read_any(tmp_path / "huge"))
    assert all("a pipe or a device" in sentence for sentence in read_any(Path("/dev/zero")))


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "[" + "9" * 5000 + "]"])
def test_json_that_python_chokes_on_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(CompetitionError, match=r"can't be read as JSON \(.*a\.json\. Run tune\."):
        read_json(tmp_path / "a.json", "Run tune")


def test_an_object_has_its_keys(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for value in ([], "text", {"a": 1}, None):
        path.write_text(json.dumps(value))
        with pytest.raises(CompetitionError, match=r"one of the keys a, b is missing: .*a\.json\. Run tune\."):
            read_json_object(path, ("a", "b"), "Run tune")
    path.write_text('{"a": 1, "b": 2, "c": 3}')
    assert read_json_object(path, ("a", "b"), "") == {"a": 1, "b": 2, "c": 3}


def test_paths_that_are_not_utf8_come_back_from_json(tmp_path: Path) -> None:
    value = {"path": os.fsdecode(b"/data/\xff"), "name": "Ärztin"}
    write_json(tmp_path / "a.json", value)
    assert (tmp_path / "a.json").read_bytes().isascii()
    assert read_json(tmp_path / "a.json", "") == value


def test_memory_that_does_not_suffice_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> str:
        raise MemoryError

    (tmp_path / "a.txt").write_text("a")
    monkeypatch.setattr(Path, "read_text", fail)
    with pytest.raises(CompetitionError, match=r"does not fit into memory: .*a\.txt"):
        read_text(tmp_path / "a.txt")


def hold(folder, held):
    with file_lock(folder / ".lock", "held"):
        held.set()
        time.sleep(60)


def test_a_folder_is_held_by_one_process_and_free_when_that_is_killed(tmp_path):
    context = multiprocessing.get_context("fork")
    held = context.Event()
    process = context.Process(target=hold, args=(tmp_path / "fold3", held), daemon=True)
    process.start()
    try:
        assert held.wait(30)
        with (
            pytest.raises(CompetitionError, match=r"it is taken: .*fold3"),
            file_lock(tmp_path / "fold3" / ".lock", "it is taken"),
        ):
            pass
        with file_lock(tmp_path / "fold4" / ".lock", "it is taken"):
            pass
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.join(30)
    with file_lock(tmp_path / "fold3" / ".lock", "it is taken"):
        pass


def test_a_folder_is_free_after_an_error(tmp_path):
    with pytest.raises(ValueError, match="inside"), file_lock(tmp_path / ".lock", "it is taken"):
        raise ValueError("inside")
    with file_lock(tmp_path / ".lock", "it is taken"):
        pass


def test_git_ignores_a_folder_that_is_kept_out_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "predicted"
    folder.mkdir()
    (folder / "patient.png").touch()
    keep_out_of_git(folder)
    for words in (["init", "--quiet"], ["add", "."]):
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True)
    listed = subprocess.run(["git", "-C", str(tmp_path), "ls-files"], check=True, capture_output=True, text=True)
    assert listed.stdout == ""

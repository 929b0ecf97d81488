"""Changes of raw files, seen by content; times and inodes only save reading."""

import os
import shutil
import time
from pathlib import Path

import pytest

from competition.data import sources
from competition.data.sources import changed_sources, content_of, describe_source, find_data_files


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("a b.png", "deep/c.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(name.encode())
    return tmp_path


def describe(root: Path) -> list[str]:
    return [describe_source(root, name) for name in ("a b.png", "deep/c.png", "absent.png")]


def test_what_is_as_it_was_has_not_changed_and_is_not_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = describe(root)
    monkeypatch.setattr(sources, "_digest", lambda path: pytest.fail(f"{path} was read"))
    assert changed_sources(root, known) == []
    monkeypatch.setattr(sources, "_digests", {})
    assert describe_source(root, "a b.png", known) == known[0]


def test_an_edit_of_equal_size_and_time_is_seen(root: Path) -> None:
    known = describe(root)
    path = root / "a b.png"
    status = path.stat()
    time.sleep(0.02)  # the clock of file systems ticks every 4 ms
    path.write_bytes(b"A b.png")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size
    assert path.stat().st_mtime_ns == status.st_mtime_ns
    assert changed_sources(root, known) == ["a b.png"]
    again = describe_source(root, "a b.png", known)
    assert content_of(again)[0] != content_of(known[0])[0]
    assert content_of(again)[1] == "a b.png"


def test_copies_and_touched_files_are_the_same(root: Path) -> None:
    known = describe(root)
    os.utime(root / "a b.png")
    (root / "deep/c.png").chmod(0o600)
    shutil.copy(root / "a b.png", root / "new")
    (root / "new").replace(root / "a b.png")
    assert changed_sources(root, known) == []
    copied = root.with_name("copied")
    shutil.copytree(root, copied)
    assert changed_sources(copied, known) == []


def test_what_is_gone_or_new_has_changed(root: Path) -> None:
    known = describe(root)
    (root / "deep/c.png").unlink()
    (root / "absent.png").write_bytes(b"x")
    assert changed_sources(root, known) == ["deep/c.png", "absent.png"]


def test_tables_and_pictures_are_found_in_every_folder_but_hidden_ones(root: Path) -> None:
    for name in ("train.csv", "deep/B.XLSX", "deep/exclude.txt", ".git/x.csv", "._train.csv"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("x")
    tables, pictures = find_data_files(root)
    assert tables == ["deep/B.XLSX", "deep/exclude.txt", "train.csv"]
    assert pictures == ["a b.png", "deep/c.png"]
    assert find_data_files(root, [root / "deep", root / "trai"])[0] == ["train.csv"]
    assert find_data_files(root / "deep", [root]) == ([], [])

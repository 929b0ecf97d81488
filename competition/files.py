"""Files and folders are written whole or not at all, and text files are checked before they are opened."""

import csv
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from competition.errors import CompetitionError

LARGEST_TEXT = 64 << 20
"""Bytes of a JSON file or another text of our own; the index of 100,000 maps takes 3 MB."""

CHECKSUM = "sha256"
"""The key under which an object of ``write_sealed_json`` carries its checksum."""

GITIGNORE = ".gitignore"
"""The file that ``keep_out_of_git`` writes."""

_PART = re.compile(
    r"\.(?P<name>.+)\.(?P<machine>[0-9a-f]{8})-(?P<process>[0-9]{1,9})-[0-9a-f]{8}\.(?P<kind>part|old)", re.DOTALL
)
_ABANDONED_SECONDS = 7 * 24 * 3600
"""After so long without a change, the leftovers of a process of another machine are abandoned."""
_swept: set[Path] = set()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Raise a CompetitionError where the block can't write a file or folder."""
    try:
        yield
    except OSError as error:
        repair = "Nothing was changed; make room or choose another --workspace DIR, then run the same command again"
        raise CompetitionError(f"can't write ({error.strerror or error})", path, repair) from error


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; renamed to it when the block ends well, removed otherwise.

    Raises:
        CompetitionError: The disk is full or the folder can't be written; the old file, if any, is untouched.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        part = _part(path)
        os.close(os.open(part, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))  # less what the umask takes away
    try:
        with writing(path):
            yield part
            os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path, ours: str) -> Iterator[Path]:
    """Like ``whole_file`` for an empty folder to fill; an old folder of that name is replaced at the end.

    Args:
        path: The folder to write.
        ours: Pattern of a file of such folders: only a folder that contains one, or an empty one, is replaced.

    Raises:
        CompetitionError: As for ``whole_file``, or another folder is there; then nothing was written or deleted.
    """
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path.parent)
        _check_ours(path, (ours,))
        part = _part(path)
        part.mkdir()
    try:
        with writing(path):
            yield part
            old = part.with_suffix(".old")
            if path.exists():
                os.replace(path, old)
            try:
                os.replace(part, path)
            except OSError:
                if old.exists():
                    os.replace(old, path)
                raise
            _delete(old)
    finally:
        _delete(part)


def copy_file(source: Path, target: Path) -> None:
    """Give a file that is never changed in place a second path, without a second copy where the disk allows that.

    Raises:
        CompetitionError: The disk is full or the folder can't be written.
    """
    with whole_file(target) as part:
        part.unlink()
        try:
            os.link(source, part)
        except OSError:
            shutil.copyfile(source, part)


def keep_out_of_git(folder: Path) -> None:
    """Make git ignore a folder of images or patients, wherever it is; ``git add .`` would commit them."""
    (folder / GITIGNORE).write_text("*\n")


def remove_folder(path: Path, *ours: str) -> None:
    """Delete a folder that this program made, or an empty one; a missing folder is no error.

    Args:
        path: The folder.
        ours: Patterns of files, of which it contains one if this program made it.

    Raises:
        CompetitionError: Something else is there; then nothing was deleted.
    """
    _check_ours(path, ours)
    _delete(path)


def make_folder(path: Path) -> None:
    """Make a folder and its parents unless it exists; raise a CompetitionError if that fails."""
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)


def _check_ours(path: Path, ours: Sequence[str]) -> None:
    if not path.exists():
        return
    if not path.is_dir():
        raise CompetitionError("a file is where a folder is to be written", path, "Move it away")
    if any(path.iterdir()) and not any(next(path.glob(pattern), None) for pattern in ours):
        what = f"this folder contains no {' or '.join(ours)}, so this program did not make it and will not delete it"
        raise CompetitionError(what, path, "Choose another folder, or check its content and move it away")


def _delete(path: Path) -> None:
    if path.is_symlink():
        path.unlink(missing_ok=True)
    else:
        shutil.rmtree(path, ignore_errors=True)


def _part(path: Path) -> Path:
    """Return a temporary name for a file or folder, which identifies the process that writes it."""
    return path.parent / f".{path.name}.{_machine()}-{os.getpid()}-{secrets.token_hex(4)}.part"


@cache
def _machine() -> str:
    """Return eight characters for this machine since it was started, and for this container on it.

    Only among processes of equal characters does a process number reveal whether the process still runs.
    """
    identity = platform.node()
    with suppress(OSError):  # Linux has both, macOS neither
        identity += Path("/proc/sys/kernel/random/boot_id").read_text() + os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(identity.encode()).hexdigest()[:8]


def sweep_below(folder: Path) -> None:
    """Remove leftovers of killed processes in the folders of a folder, each of which is written only once.

    A folder that held nothing else is removed too. One that is merely empty may be another process's next.
    """
    for inner in folder.glob("*/"):
        if _sweep(inner):
            with suppress(OSError):  # it is not empty
                inner.rmdir()


def _sweep(folder: Path) -> int:
    """Remove leftovers of killed processes in a folder, once per folder and process; return how many there were.

    A folder whose process was killed between its two renames is put back: the old one is all there is.
    """
    if folder in _swept:
        return 0
    _swept.add(folder)
    swept = 0
    for found in list(os.scandir(folder)):
        match = _PART.fullmatch(found.name)
        if match is None or not _is_abandoned(match, folder / found.name):
            continue
        swept += 1
        with suppress(OSError):  # another process sweeps too
            if match["kind"] == "old" and not (folder / match["name"]).exists():
                os.replace(found.path, folder / match["name"])
            elif found.is_dir():
                _delete(folder / found.name)
            else:
                os.unlink(found.path)
    return swept


def _is_abandoned(match: re.Match[str], path: Path) -> bool:
    if match["machine"] != _machine():
        try:
            return time.time() - path.lstat().st_mtime > _ABANDONED_SECONDS
        except OSError:
            return False
    try:
        os.kill(int(match["process"]), 0)
    except ProcessLookupError:
        return True
    except OSError:  # it runs and belongs to another user
        pass
    return False


@contextmanager
def file_lock(path: Path, busy: str | None = None) -> Iterator[None]:
    """Hold a lock file for one process; the lock ends with the process, even if it is killed.

    Args:
        path: The lock file; its folder is made.
        busy: The error if another process holds the lock; None waits for it.

    Raises:
        CompetitionError: Another process holds the lock, or the file can't be written.
    """
    lock = FileLock(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(blocking=busy is None)
        except Timeout as error:
            raise CompetitionError(busy or "", path.parent) from error
    try:
        yield
    finally:
        lock.release()


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file whole or not at all."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all, paths that are not UTF-8 as escapes; NaN is an error."""
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False)
    if not text.isascii() and any("\ud800" <= sign <= "\udfff" for sign in text):
        text = json.dumps(value, indent=2, allow_nan=False)
    write_text(path, text + "\n")


def write_sealed_json(path: Path, value: dict[str, Any]) -> None:
    """Like ``write_json``, for an object that ``read_json`` compares with the checksum that it carries."""
    plain: dict[str, Any] = json.loads(json.dumps(value))  # as it will be read: tuples are lists there, and keys text
    write_json(path, plain | {CHECKSUM: json_checksum(plain)})


def json_checksum(value: dict[str, Any]) -> str:
    """Return the SHA-256 of the content of a JSON object, whatever its white space and the order of its keys."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of one set of columns, whole or not at all."""
    with whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def check_file(path: Path, largest: int = LARGEST_TEXT) -> None:
    """Make sure, before it is opened, that a path is an ordinary file of at most ``largest`` bytes.

    Opening a named pipe would wait forever, and a file without end would fill the memory. A path that can't be examined
    is left to whoever opens it.

    Raises:
        CompetitionError: It is a folder, a pipe or a device, or larger.
    """
    try:
        status = path.stat()
    except (OSError, ValueError):
        return
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe or a device"
        raise CompetitionError(f"can't be read: this is {kind}, not a file", path)
    if status.st_size > largest:
        size, most = (f"{number / (1 << 20):,.0f} MB" for number in (status.st_size, largest))
        raise CompetitionError(f"can't be read: the file has {size}, the limit is {most}", path)


def read_text(path: Path, largest: int = LARGEST_TEXT) -> str:
    """Read a UTF-8 text file of at most ``largest`` bytes, with or without a byte order mark.

    Raises:
        OSError: It is missing or can't be read.
        UnicodeDecodeError: It is not UTF-8.
        CompetitionError: As ``check_file``, or it does not fit into memory.
    """
    check_file(path, largest)
    try:
        return path.read_text(encoding="utf-8-sig")
    except MemoryError as error:
        raise CompetitionError("the file does not fit into memory", path) from error

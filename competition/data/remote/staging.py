"""Data at an address, copied into the workspace once: later only what is new or changed there is downloaded."""

import errno
import hashlib
import json
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import suppress
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from competition.console import progress, say, shout
from competition.data.remote.remote_files import RemoteFile, RemoteFiles, list_remote, reason_of, without_secrets
from competition.data.sources import changed_sources, content_of, describe_source
from competition.errors import CompetitionError
from competition.files import file_lock, keep_out_of_git, make_folder, whole_file, write_text, writing
from competition.machine import MB
from competition.names import shortened_name
from competition.text import counted, few
from competition.workspace import Workspace, staged_index_file

THREADS = 16
"""Files that are downloaded at once: most of the time of a small one is spent waiting for the answer."""

_AGAIN = "Run the same command again: what was downloaded is kept"
_LOCAL = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)

Index = dict[str, tuple[str, str]]
"""Path of a staged file -> its version at the address, and its description (``sources.describe_source``)."""


def stage(address: str, workspace: Workspace) -> Path:
    """Download what is new or changed at an address, and return the folder in which all of it then lies.

    A file that has vanished from the address is removed, with a warning. Files that others put into the folder stay.
    An index beside the files has a line for each with its version and the SHA-256 of its content; a download that was
    killed continues with the next file.

    Raises:
        CompetitionError: As ``list_remote``, a download fails, the disk has too little space, or another process is
            downloading the same.
    """
    remote, place = list_remote(address), without_secrets(address)
    folder = workspace.staged_folder(_folder_name(place))
    index_file = staged_index_file(folder)
    make_folder(folder)
    keep_out_of_git(folder)
    with file_lock(folder / ".lock", f"{place} is being downloaded by another process; wait for it"):
        index = read_staged_index(index_file)
        _remove_vanished(folder, index, remote.files, place)
        damaged = set(changed_sources(folder, [description for _, description in index.values()]))
        wanted = [
            file for file in remote.files if index.get(file.name, ("",))[0] != file.version or file.name in damaged
        ]
        if changed := [file.name for file in wanted if file.name in index]:
            shout(f"{counted(len(changed), 'file')} changed since it was staged: {few(changed)}")
        _check_space(folder, wanted)
        _write_index(index_file, index)
        _download(remote, wanted, folder, index_file, place)
    kept = len(remote.files) - len(wanted)
    say(f"{place}: {counted(len(wanted), 'file')} downloaded, {kept:,} unchanged in {folder}")
    return folder / _only_folder(remote) if remote.archive else folder


def _folder_name(place: str) -> str:
    """Return a readable name that differs for each address."""
    digest = hashlib.sha256(place.rstrip("/").encode()).hexdigest()[:10]
    end = PurePosixPath(urlsplit(place).path).name or urlsplit(place).netloc
    return shortened_name(f"{end}-{digest}")


def _only_folder(remote: RemoteFiles) -> str:
    """Return the folder that holds all files of an archive; "" where there is none."""
    tops = {file.name.partition("/")[0] for file in remote.files}
    if len(tops) > 1 or any("/" not in file.name for file in remote.files):
        return ""
    (top,) = tops
    say(f"all files of the archive lie in its folder {top}, which is taken as the data")
    return top


def _remove_vanished(folder: Path, index: Index, files: list[RemoteFile], place: str) -> None:
    if vanished := sorted(index.keys() - {file.name for file in files}):
        for name in vanished:
            with writing(folder / name):
                (folder / name).unlink(missing_ok=True)
            del index[name]
        shout(f"{counted(len(vanished), 'staged file')} removed, no longer at {place}: {few(vanished)}")


def _check_space(folder: Path, wanted: list[RemoteFile]) -> None:
    needed, free = _bytes(wanted), shutil.disk_usage(folder).free
    if needed > free:
        what = f"{needed / MB:,.0f} MB are to be downloaded, and {free / MB:,.0f} MB are free"
        raise CompetitionError(what, folder, "Make room or choose another --workspace DIR")


def _bytes(files: list[RemoteFile]) -> int:
    return sum(file.size or 0 for file in files)


def _download(remote: RemoteFiles, wanted: list[RemoteFile], folder: Path, index: Path, place: str) -> None:
    """Download files, and add each to the index as soon as it is whole."""
    total, done = _bytes(wanted), 0
    pool = ThreadPoolExecutor(1 if remote.archive else THREADS)
    with progress("downloading", len(wanted)) as ticker, index.open("a", encoding="utf-8") as lines:
        try:
            running = {pool.submit(_fetch, remote, file, folder, place): file for file in wanted}
            for finished in as_completed(running):
                file = running[finished]
                lines.write(_line(file.version, finished.result()))
                lines.flush()
                done += _bytes([file])
                ticker.advance(f"{done / MB:,.0f} of {total / MB:,.0f} MB")
        finally:
            pool.shutdown(cancel_futures=True)


def _fetch(remote: RemoteFiles, file: RemoteFile, folder: Path, place: str) -> str:
    """Download a file; return its description."""
    where = f"{file.name} of {place}"
    with whole_file(folder / file.name) as part:
        try:
            remote.fetch(file.path, str(part))
        except Exception as error:  # every protocol raises its own
            if isinstance(error, OSError) and error.errno in _LOCAL:
                raise  # the disk here is full or can't be written
            raise CompetitionError(f"can't be downloaded ({reason_of(error)})", where, _AGAIN) from error
        if file.size is not None and (size := part.stat().st_size) != file.size:
            raise CompetitionError(f"{size:,} of {file.size:,} bytes have arrived", where, _AGAIN)
    return describe_source(folder, file.name)


def _line(version: str, description: str) -> str:
    return json.dumps({"version": version, "file": description}) + "\n"


def read_staged_index(path: Path) -> Index:
    """Read an index; a line that a killed process has cut off is left out, so that its file is downloaded again."""
    index: Index = {}
    for line in _lines(path):
        with suppress(AttributeError, KeyError, RecursionError, TypeError, ValueError):
            entry = json.loads(line)
            index[content_of(entry["file"])[1]] = str(entry["version"]), entry["file"]
    return index


def _lines(path: Path) -> Iterator[str]:
    if path.exists():
        with path.open(encoding="utf-8", errors="replace") as file:
            yield from file


def _write_index(path: Path, index: Index) -> None:
    write_text(path, "".join(_line(*entry) for entry in index.values()))

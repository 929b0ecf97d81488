"""Data at an address instead of in a folder: s3://, gs://, https:// and whatever else fsspec reads."""

import re
import sys
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Thread
from typing import Any, TypeVar

from competition.errors import CompetitionError
from competition.file_listing import is_litter
from competition.names import file_fault
from competition.text import shown

T = TypeVar("T")

# Seconds until an address must have answered once; a listing of a million files takes minutes after that.
ANSWER_SECONDS = 15.0

_ADDRESS = re.compile(r"(?P<protocol>[a-zA-Z][a-zA-Z0-9+.-]+)://")
_SECRETS = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]+://)(?:[^/\s'\"]*@)?([^\s?'\"]*)(?:\?[^\s'\"]*)?")
# Where a protocol's package has another name than its module in fsspec's registry.
_PACKAGES = {"http": "aiohttp", "https": "aiohttp"}
# What reveals that a file changed, the most reliable first; the names are those of S3, Google, Azure, zip and disks.
_VERSIONS = ("ETag", "etag", "md5Hash", "CRC", "LastModified", "last_modified", "mtime", "created")


@dataclass(frozen=True)
class RemoteFile:
    """One file at an address."""

    name: str  # path below the address, with "/"
    path: str  # in the terms of its file system
    size: int | None  # bytes; None where the address does not say
    version: str  # changes with its content


@dataclass(frozen=True)
class RemoteFiles:
    """All files at an address.

    Attributes:
        files: Sorted by name; hidden files and leftovers of operating systems are left out.
        archive: Whether they are the members of a zip archive, which are read one after the other.
        fetch: Writes the file of a path in the terms of its file system to a path on this disk.
    """

    files: list[RemoteFile]
    archive: bool
    fetch: Callable[[str, str], None]


def is_address(text: str) -> bool:
    """Return whether a text is an address and no path."""
    return _ADDRESS.match(text) is not None


def without_secrets(text: str) -> str:
    """Return a text whose addresses have lost user, password and query, in which keys and signatures are given."""
    return _SECRETS.sub(r"\1\2", text)


def list_remote(address: str) -> RemoteFiles:
    """List all files of a folder, or the members of a zip archive, of which only what is needed is downloaded.

    Raises:
        CompetitionError: The address is wrong or does not answer, holds nothing or a name that leads elsewhere, or its
            protocol's package is not installed.
    """
    protocol = str(_ADDRESS.match(address)["protocol"]).lower()  # type: ignore[index]
    archive = address.partition("?")[0].lower().endswith(".zip")
    place = without_secrets(address)
    if protocol in ("http", "https") and not archive:
        repair = "Give the address of a .zip archive, or a folder in a bucket (s3://, gs://)"
        raise CompetitionError("web servers don't list their folders, so this must be a .zip archive", place, repair)
    files, top, kind = _reached(lambda: _open(address), protocol, place)
    if archive:
        files, top = _reached(lambda: _open_archive(files, top, place), protocol, place, seconds=None), ""
    elif kind == "file":
        raise CompetitionError("this is one file", place, "Give the folder that holds it, or a .zip archive")
    found = _reached(lambda: files.find(top, detail=True), protocol, place, seconds=None)
    # S3 keeps folders that were made by hand as empty files whose names end in a slash.
    there = {path: facts for path, facts in found.items() if facts["type"] == "file" and not path.endswith("/")}
    named = {_name(path, top, place): (path, facts) for path, facts in there.items()}
    kept = [
        RemoteFile(name, path, facts.get("size"), _version(facts))
        for name, (path, facts) in sorted(named.items())
        if not any(map(is_litter, name.split("/")))
    ]
    if not kept:
        raise CompetitionError("no files found", place, "Check the address")
    return RemoteFiles(kept, archive, files.get_file)


def reason_of(error: BaseException) -> str:
    """Return the message of an error of a file system on one line, without secrets."""
    return without_secrets(" ".join(str(error).split()))[:200] or type(error).__name__


def _open(address: str) -> tuple[Any, str, str]:
    """Return the file system of an address, the path in it, and whether that is a file or a directory."""
    import fsspec  # here, because other stages should not wait for it

    files, path = fsspec.url_to_fs(address)
    files.invalidate_cache()
    return files, path, files.info(path)["type"]


def _open_archive(files: Any, path: str, place: str) -> Any:
    import fsspec

    try:
        return fsspec.filesystem("zip", fo=files.open(path, "rb"))
    except ValueError as error:
        if "range requests" not in str(error):
            raise
        repair = "Download and unpack it, then give --data DIR"
        raise CompetitionError(
            "this server does not send parts of a file, as an archive needs", place, repair
        ) from error


def _reached(call: Callable[[], T], protocol: str, place: str, seconds: float | None = ANSWER_SECONDS) -> T:
    """Return what a call to a file system returns, and raise a CompetitionError where it fails or takes too long.

    Every protocol has time limits and errors of its own. The thread does not keep the program from ending.
    """
    answer: Future[T] = Future()

    def ask() -> None:
        try:
            answer.set_result(call())
        except BaseException as error:  # it is raised where the answer is awaited
            answer.set_exception(error)

    Thread(target=ask, daemon=True).start()
    again = "Check the address and the network, then run the same command again"
    try:
        return answer.result(seconds)
    except CompetitionError:
        raise
    except TimeoutError as error:
        raise CompetitionError(f"no answer within {ANSWER_SECONDS:.0f} s", place, again) from error
    except ImportError as error:
        package = _package(protocol)
        what = f"{protocol}:// needs the package {package}, which is not installed"
        raise CompetitionError(what, place, f"Run {sys.executable} -m pip install {package}") from error
    except FileNotFoundError as error:
        if isinstance(error.__cause__, OSError):  # of the connection; fsspec takes any failure for a missing file
            raise CompetitionError(f"no answer ({reason_of(error.__cause__)})", place, again) from error
        raise CompetitionError("not found", place, "Check the address") from error
    except Exception as error:  # as every protocol raises its own
        what = f"can't be read ({reason_of(error)})"
        if str(error).startswith("Protocol not known"):
            what, again = (
                f"unknown kind of address '{protocol}://'",
                "Give s3://, gs://, https://, another kind that fsspec reads, or a folder",
            )
        raise CompetitionError(what, place, again) from error


def _package(protocol: str) -> str:
    from fsspec.registry import known_implementations

    return _PACKAGES.get(protocol) or known_implementations[protocol]["class"].partition(".")[0]


def _name(path: str, top: str, place: str) -> str:
    """Return a file's path below the address; reject one that could not be written below a folder."""
    name = path.removeprefix(top).lstrip("/")
    for part in name.split("/"):
        if fault := file_fault(part):
            raise CompetitionError(f"the name {shown(name)} can't be staged, because a part of it {fault}", place)
    return name


def _version(facts: dict[str, Any]) -> str:
    newest = next((facts[key] for key in _VERSIONS if facts.get(key) is not None), "")
    return f"{facts.get('size')} {newest}"

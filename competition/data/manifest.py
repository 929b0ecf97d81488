"""The manifest: one row per sample, the table every later stage joins on."""

import hashlib
import os
import shlex
from collections import Counter
from collections.abc import Hashable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from competition.checksums import stored_checksum
from competition.console import say
from competition.data.sources import changed_sources, content_of, find_data_files
from competition.errors import CompetitionError
from competition.file_listing import stem
from competition.files import write_sealed_json
from competition.formats.json_files import read_json_object
from competition.formats.parquet_tables import read_table, write_table
from competition.tracks.track import Split, Track
from competition.workspace import Workspace

# Raised when the cached form of a sample or the manifest changes, so that an old cache is made again.
CACHE_VERSION = 11


@dataclass(frozen=True)
class Entry:
    """One prepared sample."""

    sample: str  # unique key
    name: str  # its name in the submission
    split: Split  # "train" or "test"
    group: str  # what may never be on both sides of a fold
    stratum: str  # the kind of image, which folds can balance and a score can be split by; empty where unknown
    present: tuple[bool, ...]  # per view, whether it could be read; the cached image of an absent view is black
    # native size of the first view that could be read, in pixels
    height: int
    width: int
    # per view, grey statistics of the image as read (0..255), which standardise the network's input. Per view, because
    # exposure differs from view to view by more than a vessel from its background
    mean: tuple[float, ...]
    std: tuple[float, ...]
    # 0/1 per class: classification targets, or whether the class has any pixel; empty for test samples. A teacher's
    # probabilities where it labelled a test sample for its student
    targets: tuple[float, ...]
    pixels: str  # hash of the decoded pixels of all views
    labels: str  # hash of the label planes; empty where there are none
    fingerprint: str  # hash of the source files' paths and contents; a sample is cached again when it changes
    side: str = ""  # "right" or "left" of a paired organ; empty where unknown or meaningless
    # distance of pixel centres between rows and columns of the first view; None where unknown
    spacing_mm: tuple[float, float] | None = None
    # per view, hash of its decoded pixels, to find one image in two groups; "" where it is absent
    view_pixels: tuple[str, ...] = ()
    # of a training sample, the result of ``Track.read_traits``; empty where the track has none
    traits: tuple[float, ...] = ()
    areas: tuple[int, ...] = ()  # of a sample with masks, the pixels of each class; else empty
    # per class of a labelled sample, the median area of its components in pixels; 0 where it has none
    object_areas: tuple[float, ...] = ()
    sources: tuple[str, ...] = ()  # the raw files it was read from as they were then, see ``sources.describe_source``
    cached: tuple[str, ...] = ()  # of each of its files in the cache "SHA-256 path", the path below the cache folder
    remarks: tuple[str, ...] = ()  # about its label and its grey range, see ``sample_problems.sample_remarks``


@dataclass(frozen=True)
class Manifest:
    """All prepared samples of a data set, in the organiser's order."""

    data_root: Path  # folder of the raw data
    entries: tuple[Entry, ...]  # one per sample
    # the tables below the root as they were when they were read, see ``sources.describe_source``
    tables: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()  # paths of the images below the root that no entry was read from

    def of(self, split: Split) -> list[Entry]:
        """Return the entries of one split, in order."""
        return [entry for entry in self.entries if entry.split == split]

    def by_sample(self) -> dict[str, Entry]:
        """Return the entries by their key."""
        return {entry.sample: entry for entry in self.entries}


def write_manifest(workspace: Workspace, track: Track, manifest: Manifest) -> None:
    """Write manifest.parquet and prepared.json (what the cache was made from), each whole or not at all."""
    about = {"track": track.name, "classes": list(track.classes), "version": CACHE_VERSION}
    about |= {"data_root": str(manifest.data_root), "data_form": track.data_form, "tables": list(manifest.tables)}
    about |= {"unused": list(manifest.unused), "declaration": _declaration(track)}
    write_sealed_json(_about_file(workspace), about)
    _write_entries(workspace.manifest_file(), manifest.entries)


def read_manifest(workspace: Workspace, track: Track) -> Manifest:
    """Read the manifest, and make sure that the raw data and the cache are unchanged since prepare.

    Raises:
        CompetitionError: Nothing is prepared, it was prepared for other classes, or an image, label or table has
            changed since.
    """
    command = prepare_command(workspace, track)
    if not workspace.manifest_file().exists():
        raise CompetitionError("no prepared data", workspace.manifest_file(), f"Run {command}")
    about = _read_about(_about_file(workspace), ("classes", "version", "data_root"), f"Run {command}")
    _check_declaration(workspace, track, about)
    if tuple(about["classes"]) != track.classes or about["version"] != CACHE_VERSION:
        folder = workspace.cache_folder()
        raise CompetitionError("prepared for other classes or by another version", folder, f"Run {command}")
    if about.get("data_form", "") != track.data_form:
        what = "the declaration of the data has changed since it was prepared"
        raise CompetitionError(what, track.declaration or f"track {track.name}", f"Run {command}")
    entries = _read_entries(workspace.manifest_file(), f"Run {command}")
    manifest = Manifest(Path(about["data_root"]), entries, tuple(about["tables"]), tuple(about["unused"]))
    _check_unchanged(workspace, manifest, f"Run {command}")
    return manifest


def check_namesake(workspace: Workspace, track: Track) -> None:
    """Reject a competition in the place of another whose YAML file has the same name and still exists."""
    about: dict[str, Any] = {}
    with suppress(CompetitionError):  # nothing is prepared, or nothing that could be used
        about = _read_about(_about_file(workspace), ("data_root",), "")
    _check_declaration(workspace, track, about)


def _check_declaration(workspace: Workspace, track: Track, about: dict[str, Any]) -> None:
    other, own = about.get("declaration", ""), _declaration(track)
    if other and own and os.path.isfile(other) and not os.path.samefile(other, own):
        what = f"the name {track.name} is taken: {workspace.cache_folder()} was declared by {other}"
        raise CompetitionError(what, own, "Rename one of the two, because a track takes its name from its file")


def _declaration(track: Track) -> str:
    """Return where the track's YAML file lies, "" for a built-in track."""
    return str(track.declaration.resolve()) if track.declaration else ""


def read_columns(workspace: Workspace, columns: Sequence[str]) -> pd.DataFrame:
    """Read columns of the manifest alone, for stages that need no image; errors as of ``read_table``."""
    return read_table(workspace.manifest_file(), "Run ./run.sh prepare", columns)


def image_sizes(*workspaces: Workspace) -> dict[str, tuple[int, int]]:
    """Return rows and columns of every prepared image by its name; later workspaces take precedence."""
    sizes = {}
    for workspace in workspaces:
        if workspace.manifest_file().exists():
            manifest = read_columns(workspace, ["name", "height", "width", "split"])
            # Test images last: a training image of the same name is not the one that is submitted.
            ordered = manifest.sort_values("split", ascending=False, kind="stable")
            for name, height, width in ordered[["name", "height", "width"]].dropna().itertuples(index=False):
                sizes[str(name)] = (int(height), int(width))
    return sizes


def _check_unchanged(workspace: Workspace, manifest: Manifest, repair: str) -> None:
    """Reject data that has changed since it was prepared; 46 ms of processor time for 800 images with labels."""
    folder = workspace.cache_folder()
    for line in (line for entry in manifest.entries for line in entry.cached):
        checksum, path = line.split(" ", 1)
        if stored_checksum(folder / path, repair) != checksum:
            raise CompetitionError("a cached file has changed since the data was prepared", folder / path, repair)
    if not os.path.isdir(manifest.data_root):  # False for an impossible path too, where Path.is_dir raises
        say(f"{manifest.data_root} is missing, so changes to the raw data since prepare can't be detected")
        return
    sources = [*manifest.tables, *(source for entry in manifest.entries for source in entry.sources)]
    if changed := changed_sources(manifest.data_root, sources):
        more = f", and {len(changed) - 1} more" if len(changed) > 1 else ""
        where = f"{manifest.data_root / changed[0]}{more}"
        raise CompetitionError("the raw data has changed since it was prepared", where, repair)
    _, pictures = find_data_files(manifest.data_root, workspace.written_folders())
    known = {content_of(source)[1] for source in sources}.union(manifest.unused)
    if added := [picture for picture in pictures if picture not in known]:
        what = f"images were added since the data was prepared ({len(added)} in all)"
        raise CompetitionError(what, manifest.data_root / added[0], f"{repair}, or move them out of the folder")


def _entry(row: dict[Hashable, Any]) -> Entry:
    kinds: dict[str, type] = {"present": bool, "mean": float, "std": float, "targets": int, "areas": int}
    kinds |= {"view_pixels": str, "traits": float, "object_areas": float, "sources": str, "cached": str, "remarks": str}
    lists = {name: tuple(map(kind, row[name])) for name, kind in kinds.items()}
    spacing = {"spacing_mm": None if row["spacing_mm"] is None else tuple(map(float, row["spacing_mm"]))}
    return Entry(**{str(name): value for name, value in row.items()} | lists | spacing)


def prepared_root(workspace: Workspace) -> Path | None:
    """Return the raw data folder of a prepared data set of any version, None where nothing is prepared."""
    if not workspace.manifest_file().exists() or not _about_file(workspace).exists():
        return None
    repair = "Delete it and run prepare --data DIR"
    return Path(_read_about(_about_file(workspace), ("data_root",), repair)["data_root"])


def remember_decoded(workspace: Workspace, track: Track, entries: Sequence[Entry]) -> None:
    """Note what is in the cache, so that nothing is read twice even if prepare then stops on a bad sample."""
    table, about = _decoded_files(workspace)
    write_sealed_json(about, {"classes": list(track.classes), "version": CACHE_VERSION})
    _write_entries(table, entries)


def reusable_entries(workspace: Workspace, track: Track) -> dict[str, Entry]:
    """Return the samples of ``remember_decoded`` by key; none where another version or other classes are cached."""
    table, description = _decoded_files(workspace)
    if not table.exists():
        return {}
    about = _read_about(description, ("classes", "version"), "Delete the cache folder and run prepare")
    if tuple(about["classes"]) != track.classes or about["version"] != CACHE_VERSION:
        return {}
    try:
        return {entry.sample: entry for entry in _read_entries(table, "Run prepare")}
    except CompetitionError as error:
        say(f"everything is read again: {error}")
        return {}


def _read_about(path: Path, keys: Sequence[str], repair: str) -> dict[str, Any]:
    """Read the description of a cache and reject missing keys and values of the wrong type."""
    about = read_json_object(path, keys, repair)
    lists = [about.setdefault(name, []) for name in ("classes", "tables", "unused")]
    texts = [about.get(name, "") for name in ("data_root", "data_form", "declaration")]
    texts += [text for one in lists if isinstance(one, list) for text in one]
    right = all(isinstance(one, list) for one in lists) and all(isinstance(text, str) for text in texts)
    if right and all(len(table.split(" ", 5)) == 6 for table in about["tables"]):
        return about
    raise CompetitionError("not a description of prepared data", path, repair)


def _write_entries(path: Path, entries: Sequence[Entry]) -> None:
    frame = pd.DataFrame([asdict(entry) for entry in entries], columns=[field.name for field in fields(Entry)])
    write_table(path, frame)


def _read_entries(path: Path, repair: str) -> tuple[Entry, ...]:
    try:
        return tuple(_entry(row) for row in read_table(path, repair).to_dict("records"))
    except (KeyError, OverflowError, TypeError, ValueError) as error:
        raise CompetitionError("not a table of prepared samples", path, repair) from error


def _decoded_files(workspace: Workspace) -> tuple[Path, Path]:
    """Return the table of what is in the cache, and its description."""
    return workspace.cache_folder() / "decoded.parquet", workspace.cache_folder() / "decoded.json"


def prepare_command(workspace: Workspace, track: Track) -> str:
    """Return the command that prepares this data set."""
    name = shlex.quote(str(track.declaration or track.name))
    return f"./run.sh prepare --track {name}" + (" --phantom" if workspace.phantom else "")


def data_hash(entries: Sequence[Entry]) -> str:
    """Return ten characters that change with any image, label or target of the samples, not with their order."""
    rows = sorted((e.sample, e.group, e.pixels, e.labels, e.targets, e.present) for e in entries)
    return hashlib.sha256(repr(rows).encode()).hexdigest()[:10]


def entries_by_name(entries: Sequence[Entry]) -> dict[str, Entry]:
    """Return the entries by key, by the submission's name, and by that name without its ending if it fits only one."""
    short = Counter(stem(entry.name) for entry in entries)
    found = {stem(entry.name): entry for entry in entries if short[stem(entry.name)] == 1}
    return found | {entry.name: entry for entry in entries} | {entry.sample: entry for entry in entries}


def target_matrix(entries: Sequence[Entry]) -> NDArray[np.int64]:
    """Return the targets as a table (n, classes) int64."""
    return np.array([entry.targets for entry in entries], dtype=np.int64)


def _about_file(workspace: Workspace) -> Path:
    return workspace.cache_folder() / "prepared.json"

"""What is to be predicted: images and folders of them, or the folder of a test set for a track of several views."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from competition.console import say, shout
from competition.errors import CompetitionError
from competition.file_listing import join_part, part_key
from competition.formats.images import READABLE
from competition.inference.failures import Failure, failure
from competition.inference.images import find_images, image_name
from competition.inference.outputs import result_endings
from competition.inference.result_names import Place, place_of, result_names
from competition.inference.summary import MARK, README, SUMMARY
from competition.text import counted
from competition.tracks.track import Problem, Sample, Track


@dataclass(frozen=True)
class Source:
    """An image, or a patient of several views, that gets one prediction.

    Attributes:
        name: Of its results; that of no other source.
        path: Its file, or the folder of a patient's files.
        root: The folder that ``sample.images`` are below.
        sample: As a listing of test samples describes it.
    """

    name: str
    path: Path
    root: Path
    sample: Sample


def split_missing(given: Sequence[Path]) -> tuple[list[Path], list[Failure]]:
    """Return the arguments that exist, "~" replaced by the home folder, and a failure for each other one."""
    paths = [Path(os.path.expanduser(path)) for path in given]
    there = [path for path in paths if os.path.exists(path)]  # of a name too long Path.exists raises OSError
    gone = [path for path in paths if path not in there]
    error = "there is no such file or folder"
    return there, [failure(path, CompetitionError(error, path, "Check its spelling")) for path in gone]


def find_sources(track: Track, given: Sequence[Path]) -> tuple[list[Source], list[Failure]]:
    """Find everything that was given on the command line.

    Images are files, or below folders that are searched recursively, earlier predictions left out. For a track of
    several views each argument is a folder as the track lists late test sets. What is given twice is found once.

    Returns:
        What is predicted, in the given order, and the arguments in which nothing can be found.
    """
    find = _images_of if len(track.views) == 1 else _patients_of
    found: dict[str, tuple[Place, Source]] = {}
    failures: list[Failure] = []
    for path in given:
        try:
            there = find(track, path)
        except CompetitionError as error:
            failures.append(failure(path, error))
            continue
        new = {key: one for key, one in there.items() if key not in found}
        if len(new) < len(there):
            say(f"{path}: {counted(len(there) - len(new), 'sample')} given twice, predicted once")
        found |= new
    if not found:
        return [], failures
    endings = result_endings(track.classes) if track.task == "segmentation" else ()
    names = result_names([place for place, _ in found.values()], endings, (SUMMARY, README, MARK))
    return [replace(source, name=name) for name, (_, source) in zip(names, found.values(), strict=True)], failures


def _images_of(track: Track, path: Path) -> dict[str, tuple[Place, Source]]:
    """Return the images of an argument, and the slices of volumes, by their absolute paths."""
    if not path.is_dir():
        return dict(_images(track, path, path.parent))
    found, others = find_images(path)
    images = [image for image in found if not _is_predicted(image, path)]
    if len(images) < len(found):
        say(f"{path}: {counted(len(found) - len(images), 'picture')} of earlier predictions left out")
    if not images:
        what = f"this folder holds no readable image ({counted(len(others), 'other file')})"
        raise CompetitionError(what, path, f"Give {READABLE} files")
    if others:
        say(f"{path}: {counted(len(others), 'unreadable file')} left out (first: {others[0].name})")
    return dict(each for image in images for each in _images(track, image, path))


def _is_predicted(image: Path, given: Path) -> bool:
    """Return whether a picture lies in a folder of earlier predictions, at any depth."""
    return any((folder / MARK).exists() for folder in image.parents if folder.is_relative_to(given))


def _images(track: Track, file: Path, given: Path) -> Iterator[tuple[str, tuple[Place, Source]]]:
    try:
        parts = [""] if track.list_parts is None else track.list_parts(file)
    except CompetitionError:
        parts = [""]  # predicting the file fails for the same reason, and goes on with the next
    for part in parts:
        name, path = part_key(image_name(file), part), Path(join_part(str(file), part))
        sample = Sample(name, name, "test", name, (path.name,))
        yield os.path.abspath(path), (place_of(path, given, name), Source(name, path, path.parent, sample))


def _patients_of(track: Track, folder: Path) -> dict[str, tuple[Place, Source]]:
    """Return the patients of an argument by the absolute paths that a folder of each would have."""
    if not folder.is_dir():
        what = f"track {track.name} has {len(track.views)} views of a patient, so this must be a folder of patients"
        raise CompetitionError(what, folder, "Give the folder of their views, named as in the test set")
    root = folder.resolve()
    listing = track.list_test(root)
    for remark in listing.remarks:
        say(remark)
    keys = {sample.key for sample in listing.samples}
    for problem in listing.problems:
        shout(_sentence(problem, problem.key in keys))
    if not listing.samples:
        raise CompetitionError("no patient found", folder)
    return {
        str(root / sample.key): (
            place_of(folder / sample.name, folder, sample.name),
            Source(sample.name, folder, root, sample),
        )
        for sample in listing.samples
    }


def _sentence(problem: Problem, listed: bool) -> str:
    return f"{problem.path}: {problem.reason}" + ("" if listed or problem.note else "; it is left out")

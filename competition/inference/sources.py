"""What is to be predicted: images and folders of them, or the folder of a test set for a track of several views."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from competition.console import say, shout
from competition.errors import CompetitionError
from competition.inference.images import find_images, image_name
from competition.inference.summary import MARK
from competition.text import counted
from competition.tracks.track import Problem, Sample, Track


@dataclass(frozen=True)
class Source:
    """An image, or a patient of several views, that gets one prediction.

    Attributes:
        name: Of its results.
        path: Its file, or the folder of a patient's files.
        root: The folder that ``sample.images`` are below.
        sample: As a listing of test samples describes it.
    """

    name: str
    path: Path
    root: Path
    sample: Sample


@dataclass(frozen=True)
class Failure:
    """Something that can't be predicted, and the reason in one sentence."""

    path: str
    reason: str


def failure(path: Path, error: CompetitionError) -> Failure:
    """Return the failure of an error."""
    return Failure(str(path), str(error))


def find_sources(track: Track, given: Sequence[Path]) -> tuple[list[Source], list[Failure]]:
    """Find everything that was given on the command line.

    Images are files, or below folders that are searched recursively, earlier predictions left out. For a track of
    several views each argument is a folder as the track lists late test sets.

    Returns:
        What is predicted, in the given order, and the arguments in which nothing can be found.
    """
    find = _images_of if len(track.views) == 1 else _patients_of
    sources: list[Source] = []
    failures: list[Failure] = []
    for path in (path.expanduser() for path in given):
        try:
            sources += find(track, path)
        except CompetitionError as error:
            failures.append(failure(path, error))
    return sources, failures


def _images_of(track: Track, path: Path) -> list[Source]:
    if not path.exists():
        raise CompetitionError("there is no such file or folder", path)
    if not path.is_dir():
        return [_image(path)]
    found, others = find_images(path)
    images = [image for image in found if not (image.parent / MARK).exists()]
    if len(images) < len(found):
        say(f"{path}: {counted(len(found) - len(images), 'picture')} of earlier predictions left out")
    if not images:
        what = f"this folder holds no readable image ({counted(len(others), 'other file')})"
        raise CompetitionError(what, path, "Give PNG, JPEG, TIFF, BMP, DICOM or .npy files")
    if others:
        say(f"{path}: {counted(len(others), 'file')} that is no readable image left out (first: {others[0].name})")
    return [_image(image) for image in images]


def _image(path: Path) -> Source:
    name = image_name(path)
    return Source(name, path, path.parent, Sample(name, name, "test", name, (path.name,)))


def _patients_of(track: Track, folder: Path) -> list[Source]:
    if not folder.is_dir():
        what = f"track {track.name} has {len(track.views)} views of a patient, so this must be a folder of patients"
        raise CompetitionError(what, folder, "Give a folder as ensemble --test takes it")
    root = folder.resolve()
    listing = track.list_test(root)
    for remark in listing.remarks:
        say(remark)
    keys = {sample.key for sample in listing.samples}
    for problem in listing.problems:
        shout(_sentence(problem, problem.key in keys))
    if not listing.samples:
        raise CompetitionError("no patient found", folder)
    return [Source(sample.name, folder, root, sample) for sample in listing.samples]


def _sentence(problem: Problem, listed: bool) -> str:
    return f"{problem.path}: {problem.reason}" + ("" if listed or problem.note else "; it is left out")

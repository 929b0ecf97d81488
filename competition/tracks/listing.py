"""What listings share: no two images of one name, and a word about skipped pictures and unknown patients."""

from collections.abc import Callable, Collection, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from competition.errors import CompetitionError
from competition.file_listing import find_files, find_pictures_beside, plain_name, stem
from competition.tracks.track import WARNING, Problem, Split


def skipped_pictures(
    root: Path,
    split: Split,
    patterns: Sequence[str],
    keys: Collection[str],
    *,
    taken: Collection[Path] = (),
    labelled: Collection[str] = (),
    repair: str = "Convert these files, or move them out of the folder",
) -> list[Problem]:
    """List the pictures in the searched folders that are no sample.

    If only its ending excludes a picture, a sample is lost: any test image, and a training image that has a label. All
    others are notes: a pattern may be narrow on purpose, and a picture that shares its name with a sample may be a
    preview.

    Args:
        root: The data folder.
        split: Whose images they would be.
        patterns: Of the images of the split; see ``find_files``.
        keys: Of its samples.
        taken: Files that are something else, such as masks.
        labelled: Keys that have a label.
        repair: What the user can do.
    """
    wanted, other_files = " or ".join(patterns), set(taken)
    problems = []
    for path in find_pictures_beside(root, patterns):
        if path in other_files:
            continue
        key, lost = stem(path.name), False
        if key in keys:
            reason = f"left out, because another file of this name fits {wanted}"
        elif any(_fits_but_for_ending(path, pattern) for pattern in patterns):
            reason = f"left out, because {wanted} takes no {path.suffix} files"
            lost = split == "test" or key in labelled
        else:
            reason = f"left out, because its name does not fit {wanted}"
        where = path.relative_to(root).as_posix()
        problems.append(Problem(key, split, where, reason, note=not lost, repair=repair))
    return problems


def find_late_images(
    folder: Path, patterns: Sequence[str], key_of: Callable[[Path], str] = lambda image: stem(image.name)
) -> tuple[list[Path], list[str]]:
    """List the images of a late test set, sorted, and a remark on the pictures that are skipped, if any.

    Args:
        folder: Of the test set.
        patterns: Of the images.
        key_of: Image -> key, which no two may share.

    Raises:
        CompetitionError: There is no image, two have one key, or a picture has another ending.
    """
    images = sorted(path for pattern in patterns for path in find_files(folder, pattern))
    check_names(images, folder, key_of)
    problems = skipped_pictures(folder, "test", patterns, {stem(image.name) for image in images})
    if lost := [problem for problem in problems if not problem.note]:
        what = f"test images are {lost[0].reason} ({len(lost)} in all)"
        raise CompetitionError(what, folder / lost[0].path, lost[0].repair)
    number = f"{len(problems)} such pictures below {folder}"
    return images, [f"{first.path} is {first.reason} ({number})" for first in problems[:1]]


def unknown_patients(unknown: int, total: int, repair: str) -> list[str]:
    """Return a warning if some training images name no patient, else nothing; ``repair`` is its last sentence."""
    what = f"{unknown} of {total} training images name no patient, so each of them is a group of its own"
    effect = "images of one person may lie in two folds, and scores then come out too high"
    return [f"{WARNING}{what}: {effect}. {repair}"] if unknown else []


def _fits_but_for_ending(path: Path, pattern: str) -> bool:
    wanted = PurePosixPath(plain_name(pattern)).name
    name = plain_name(path.name).removesuffix(path.suffix.lower()) + PurePosixPath(wanted).suffix
    return fnmatchcase(name, wanted)


def check_names(
    images: Sequence[Path], folder: Path, key_of: Callable[[Path], str] = lambda image: stem(image.name)
) -> None:
    """Raise CompetitionError if there is no test image or two have one key, which a submission can't distinguish."""
    if not images:
        raise CompetitionError("no test image found", folder)
    names = NamesInUse("test images")
    for image in images:
        if clash := names.clash_of(key_of(image), str(image)):
            raise CompetitionError(clash, image)


class NamesInUse:
    """The keys of images so far, which have to differ in more than capital letters, as some file systems require."""

    def __init__(self, things: str, called: str = "name") -> None:
        """Start without names; ``things`` and ``called`` are the words for images ("X-rays") and keys in messages."""
        self._things, self._called = things, called
        self._first: dict[str, tuple[str, str]] = {}

    def clash(self, name: str, path: str) -> str:
        """Add the name of a file; return what is wrong if an earlier one is equal without ending, else ""."""
        return self.clash_of(stem(name), path)

    def clash_of(self, key: str, path: str) -> str:
        """Add a key and the path of its image; return what is wrong if an earlier key is equal, else ""."""
        other, where = self._first.setdefault(key.casefold(), (key, path))
        if where == path:
            return ""
        if other == key:
            return f"two {self._things} share the {self._called} {key} (the other is {where})"
        return f"the {self._called}s of two {self._things} differ in capital letters only (the other is {where})"

"""Pictures that lie where images are searched for and that no pattern takes: named, so that no sample just vanishes."""

from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from competition.errors import CompetitionError
from competition.file_listing import find_pictures_beside, plain_name, stem
from competition.tracks.track import Problem, Split

REPAIR = "Convert these files, or move them out of the folder"


def skipped_pictures(
    root: Path,
    split: Split,
    patterns: Sequence[str],
    keys: Collection[str],
    *,
    taken: Collection[Path] = (),
    labelled: Collection[str] = (),
    repair: str = REPAIR,
) -> list[Problem]:
    """Name the pictures in the searched folders that are no sample.

    Where only the ending keeps a picture out, a sample is lost: every one of the test, and of the training part those
    that have a label. Anything else is only worth knowing: a pattern may be narrow on purpose, and a picture that
    shares its name with a sample (a preview, for example) is no sample of its own.

    Args:
        root: The data folder.
        split: Whose images they would be.
        patterns: What the split takes; see ``find_files``.
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


def refuse_lost(problems: Sequence[Problem], folder: Path) -> list[str]:
    """Return a remark on the pictures of a late test set whose absence loses nothing.

    Raises:
        CompetitionError: Among them is a test image.
    """
    if lost := [problem for problem in problems if not problem.note]:
        first = lost[0]
        raise CompetitionError(
            f"test images are {first.reason} ({len(lost)} in all)", folder / first.path, first.repair
        )
    if not problems:
        return []
    return [f"{problems[0].path} is {problems[0].reason} ({len(problems)} such pictures below {folder})"]


def _fits_but_for_ending(path: Path, pattern: str) -> bool:
    wanted = PurePosixPath(plain_name(pattern)).name
    name = plain_name(path.name).removesuffix(path.suffix.lower()) + PurePosixPath(wanted).suffix
    return fnmatchcase(name, wanted)

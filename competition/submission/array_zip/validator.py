"""Would the organiser take a submission of arrays? Everything that is wrong with it, at once, file by file."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from competition.errors import CompetitionError
from competition.submission.array_zip.files import PlaneFiles, open_plane_files, plane_file_name
from competition.submission.validator import CheckResult, compare_names


def check_planes_submission(
    path: Path,
    classes: Sequence[str],
    size_hw: tuple[int, int] | None = None,
    expected: Sequence[str] | None = None,
    sizes: Mapping[str, tuple[int, int]] | None = None,
) -> CheckResult:
    """Checks a zip of .npy files, or the folder of them.

    Args:
        path: The zip or folder.
        classes: In the order of the planes; the background follows them.
        size_hw: Rows and columns of every image that ``sizes`` does not know; None checks no sizes there.
        expected: Names of the images; None takes any.
        sizes: Image name -> rows and columns.

    Returns:
        All that was found; ``rows`` counts the files. A zip that can't be read at all is one error.
    """
    result = CheckResult()
    try:
        with open_plane_files(path) as files:
            _check(result, files, classes, size_hw, expected, sizes or {})
    except CompetitionError as error:
        result.refuse(str(error))
    return result


def _check(
    result: CheckResult,
    files: PlaneFiles,
    classes: Sequence[str],
    size_hw: tuple[int, int] | None,
    expected: Sequence[str] | None,
    sizes: Mapping[str, tuple[int, int]],
) -> None:
    path, names = files.path, files.names
    result.rows = result.images = len(names)
    result.size_bytes = path.stat().st_size if path.is_file() else sum((path / name).stat().st_size for name in names)
    size_of = {plane_file_name(name): size for name, size in sizes.items()}
    if not names:
        result.refuse("there is no file in it")
    if expected is not None:
        compare_names(result, "files", names, [plane_file_name(name) for name in expected])
    counts = Counter(names)
    for name in sorted(name for name, count in counts.items() if count > 1):
        result.refuse(f"{name} appears twice", "appears twice")
    non_empty = np.zeros(len(classes), np.int64)
    for name in counts:
        try:
            array = files.read(name, len(classes), size_of.get(name, size_hw))
        except CompetitionError as error:
            result.refuse(error.what, error.what.removeprefix(name))
        else:
            non_empty += array[..., :-1].any(axis=(0, 1))
    result.positive_share = dict(zip(classes, (non_empty / max(len(names), 1)).tolist(), strict=True))
    if names:
        result.warnings += [
            f"class {name!r} is empty in every image"
            for name, count in zip(classes, non_empty, strict=True)
            if not count
        ]

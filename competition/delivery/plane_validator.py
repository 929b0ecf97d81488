"""Would the organiser take a submission of arrays? Everything that is wrong with it, at once, file by file."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from competition.delivery.plane_files import list_plane_files, plane_fault, plane_file_name, read_plane_file
from competition.delivery.validator import CheckResult, wrong_names
from competition.errors import CompetitionError


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
        names = list_plane_files(path)
    except CompetitionError as error:
        result.errors.append(str(error))
        return result
    result.rows = result.images = len(names)
    result.size_bytes = path.stat().st_size if path.is_file() else sum((path / name).stat().st_size for name in names)
    size_of = {plane_file_name(name): size for name, size in (sizes or {}).items()}
    if not names:
        result.errors.append("there is no file in it")
    if expected is not None:
        result.errors += wrong_names("files", names, [plane_file_name(name) for name in expected])
    result.errors += [f"{name} stands twice" for name in sorted({name for name in names if names.count(name) > 1})]
    non_empty = np.zeros(len(classes), np.int64)
    for name in dict.fromkeys(names):
        try:
            array = read_plane_file(path, name)
        except CompetitionError as error:
            result.errors.append(str(error))
            continue
        if fault := plane_fault(array, len(classes), size_of.get(name, size_hw)):
            result.errors.append(f"{name} {fault}")
        else:
            non_empty += array[..., :-1].any(axis=(0, 1))
    result.positive_share = dict(zip(classes, (non_empty / max(len(names), 1)).tolist(), strict=True))
    if names:
        result.warnings += [
            f"class {name!r} is empty in every image"
            for name, count in zip(classes, non_empty, strict=True)
            if not count
        ]
    return result

"""Check a zip of arrays: all that is wrong with it at once, file by file."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from competition.errors import CompetitionError
from competition.submission.array_zip.files import PlaneFiles, open_plane_files, plane_file_name
from competition.submission.check_result import CheckResult, compare_names
from competition.submission.known_images import NOTHING_KNOWN, KnownImages


def check_planes_submission(path: Path, classes: Sequence[str], images: KnownImages = NOTHING_KNOWN) -> CheckResult:
    """Check a zip of .npy files, or the folder of them.

    Args:
        path: The zip or folder.
        classes: In the order of the planes; the background follows them.
        images: Their names, where known; without them any files are taken. Where a size is known it has to fit.

    Returns:
        All that was found; ``rows`` counts the files. A zip that can't be read at all is one error.
    """
    result = CheckResult()
    parts = ["form", "values", "background"]
    result.enter_scope(parts, images, unbounded="the sizes of arrays", ordered=False)
    try:
        with open_plane_files(path) as files:
            _check(result, files, classes, images.renamed(plane_file_name))
    except CompetitionError as error:
        result.refuse(str(error))
    return result


def _check(result: CheckResult, files: PlaneFiles, classes: Sequence[str], images: KnownImages) -> None:
    path, names = files.path, files.names
    result.rows = result.images = len(names)
    result.size_bytes = path.stat().st_size if path.is_file() else sum((path / name).stat().st_size for name in names)
    if not names:
        result.refuse("there is no file in it")
    if images.names is not None:
        compare_names(result, "files", names, images.names)
    counts = Counter(names)
    for name in sorted(name for name, count in counts.items() if count > 1):
        result.refuse(f"{name} appears twice", "appears twice")
    non_empty = np.zeros(len(classes), np.int64)
    for name in counts:
        try:
            array = files.read(name, len(classes), images.size_of(name))
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

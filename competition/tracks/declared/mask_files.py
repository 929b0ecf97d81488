"""Masks as pictures: a file per image or per image and class, found and read as a folder track declares them."""

import glob
import re
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.file_listing import find_files, label_files
from competition.formats.label_values import SHOWN, check_one_class, describe_values, show_value
from competition.formats.pictures import read_colours, read_ordered_values, read_values
from competition.masks.bit_planes import pack_masks
from competition.text import near_pairs, same_spelling, size_text

SOFT_EDGES = (
    "labels: {count} of {labelled} have pixels between 0 and their maximum (soft or compressed edges), which were "
    "thresholded at half of it ({names})"
)


def read_masks(
    path: Path,
    size_hw: tuple[int, int],
    classes: dict[str, int] | list[str],
    background: Sequence[int] = (0,),
    colours: bool = False,
) -> NDArray[np.uint8]:
    """Read the mask of one image into label planes.

    Args:
        path: The mask file (with "{class}" where each class has a file of its own).
        size_hw: Rows and columns of the image.
        classes: Names, or names and pixel values.
        background: Pixel values that belong to no class.
        colours: Whether values are colours, 0xRRGGBB.

    Returns:
        Label planes (H, W, ceil(C/8)) uint8.

    Raises:
        CompetitionError: A file is missing or damaged, its size is not the image's, a value belongs to no class, a mask
            of one class holds other labels, or a palette has no index that is clearly the class.
    """
    read = read_ordered_values if isinstance(classes, list) else read_colours if colours else read_values
    files, values = label_files(path, tuple(classes)), list[NDArray[np.integer]]()
    for file in files:
        values.append(read(file))
        if values[-1].shape != size_hw:
            found, wanted = size_text(values[-1].shape), size_text(size_hw)
            raise CompetitionError(f"mask is {found} pixels, its image {wanted} (rows x columns)", file)
    if isinstance(classes, list):
        return pack_masks(np.stack([binarise(mask, file) for mask, file in zip(values, files, strict=True)]))
    names = list(classes)
    for index, (stored, file) in enumerate(zip(values, files, strict=True)):
        here = names if len(files) == 1 else names[index : index + 1]
        _refuse_strange(stored, {name: classes[name] for name in here}, background, colours, file)
    at = range(len(names)) if len(files) > 1 else [0] * len(names)
    return pack_masks(np.stack([values[which] == classes[name] for which, name in zip(at, names, strict=True)]))


def _refuse_strange(
    stored: NDArray[np.integer], classes: dict[str, int], background: Sequence[int], colours: bool, file: Path
) -> None:
    """Raise CompetitionError if a pixel value belongs to neither a class nor the background."""
    known = np.isin(stored, [*background, *classes.values()])
    if known.all():
        return
    strange = stored[~known]
    values, kind = np.unique(strange), "colour" if colours else "value"
    which = ", ".join(f"{name} {show_value(value, colours)}" for name, value in classes.items())
    listed = ", ".join(f'"{show_value(value, True)}"' if colours else str(value) for value in values[:SHOWN].tolist())
    repair = f"If they are background, add to the track's YAML: background: [{listed}]"
    if file.suffix.lower() in (".jpg", ".jpeg"):
        repair = "Save labels as PNG, because JPG changes their values (with one class, classes: [name] thresholds it)"
    what = f"pixel {kind} that belongs to no class ({which}): {describe_values(strange, colours)}"
    raise CompetitionError(what, file, repair)


def binarise(values: NDArray[np.integer], where: Path | str) -> NDArray[np.bool_]:
    """Threshold a mask (H, W) at half of its maximum, which suits {0, 1}, {0, 255} and soft edges; all zero is empty.

    Raises:
        CompetitionError: The values are several labels instead of one class with soft edges.
    """
    check_one_class(values, str(where))
    return values.astype(np.int64) * 2 > int(values.max(initial=0))


def count_between(path: Path, classes: dict[str, int] | list[str]) -> int:
    """Count the pixels between 0 and a picture's maximum, which ``binarise`` decides; 0 if classes have values."""
    if isinstance(classes, dict):
        return 0
    masks = [read_ordered_values(file) for file in label_files(path, classes)]
    return sum(int(np.count_nonzero((mask > 0) & (mask < mask.max()))) for mask in masks)


def find_masks(folder: Path, template: str, classes: Sequence[str]) -> dict[str, list[Path]]:
    """Find the masks below any folder that are named like the training masks.

    Args:
        folder: Searched with all folders below it.
        template: The track's ``masks``, of which the part from the first "{" counts: "{class}/{stem}_mask.png".
        classes: All of them.

    Returns:
        Image name without ending -> mask paths, with "{class}" where each class has a file of its own.

    Raises:
        CompetitionError: Two masks of one class differ only in spelling.
    """
    parts = PurePosixPath(template).parts
    tail = "/".join(parts[next(at for at, part in enumerate(parts) if "{" in part) :])
    return _by_stem(folder, tail, classes, find_files(folder, "**/*"))


def list_masks(root: Path, template: str, classes: Sequence[str]) -> dict[str, list[Path]]:
    """Find the masks below the data folder at the paths of the template; otherwise as ``find_masks``."""
    return _by_stem(root, template, classes, find_files(root, mask_pattern(template)))


def mask_pattern(template: str) -> str:
    """Return the glob pattern of all masks of a template."""
    return glob.escape(template).replace("{stem}", "*").replace("{class}", "*")


def near_masks(missing: Sequence[Path], there: Sequence[Path]) -> dict[Path, Path]:
    """Return, for each missing mask, the file of the same folder that was probably meant."""
    wanted, names = defaultdict[Path, list[str]](list), defaultdict[Path, list[str]](list)
    for paths, by_folder in ((missing, wanted), (there, names)):
        for path in paths:
            by_folder[path.parent].append(path.name)
    pairs = ((folder, near_pairs(keys, names[folder])) for folder, keys in wanted.items())
    return {folder / name: folder / near for folder, meant in pairs for name, near in meant.items()}


def _by_stem(folder: Path, tail: str, classes: Sequence[str], files: Sequence[Path]) -> dict[str, list[Path]]:
    """Return those of the files whose path ends like the template."""
    tail = same_spelling(tail)
    depth, regex = len(PurePosixPath(tail).parts), re.compile(f"(?:^|/){_regex(tail, classes)}$")
    found: dict[str, dict[Path, None]] = {}
    first: dict[tuple[Path, str], Path] = {}
    for path in files:
        match = regex.search(same_spelling(path.relative_to(folder).as_posix()))
        if match is None:
            continue
        stem, of_class = match["stem"], match.groupdict().get("class", "")
        label = path.parents[depth - 1] / tail.replace("{stem}", stem)
        other = first.setdefault((label, of_class), path)
        if other != path:
            reason = f"the names of two masks differ in spelling only (the other is {other})"
            raise CompetitionError(reason, path, "Remove one of them")
        found.setdefault(stem, {})[label if "{class}" in tail else path] = None
    return {stem: list(paths) for stem, paths in found.items()}


def _regex(template: str, classes: Sequence[str]) -> str:
    """Return a template as a regular expression with the groups "stem" and "class"; the case of its ending is free."""
    ending = PurePosixPath(template).suffix
    ending = "" if "{" in ending else ending
    regex = re.escape(template.removesuffix(ending))
    for name, allowed in (("stem", "[^/]+"), ("class", "|".join(map(re.escape, map(same_spelling, classes))))):
        field = re.escape(f"{{{name}}}")
        regex = regex.replace(field, f"(?P<{name}>{allowed})", 1).replace(field, f"(?P={name})")
    return f"{regex}(?i:{re.escape(ending)})"

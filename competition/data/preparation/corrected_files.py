"""The files of a folder of corrections: one of labelme per image, one of COCO for all, or a table of targets."""

from collections.abc import Sequence
from pathlib import Path

from competition.errors import CompetitionError
from competition.formats.coco import read_coco
from competition.formats.csv_files import read_columns
from competition.formats.drawn_objects import DrawnImage, require_known
from competition.formats.json_files import read_json
from competition.formats.labelme import read_labelme
from competition.text import nearest_hint, shown

TABLE, SAMPLE, CORRECTED = "review.csv", "sample", "corrected"
SEPARATOR, NONE = ";", "none"
"""Between the names of the positive classes, and in place of them."""

Targets = tuple[int, ...]


def read_drawn_images(folder: Path, classes: Sequence[str]) -> dict[str, DrawnImage]:
    """Read all JSON files of a folder: sample -> what is drawn on its image.

    Raises:
        CompetitionError: There is none, one is neither of labelme nor of COCO, a class is unknown, or a sample is in
            two files.
    """
    images: dict[str, DrawnImage] = {}
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise CompetitionError("no JSON file of labelme or COCO", folder, "Give the folder of ./run.sh review --out")
    for path in paths:
        content = read_json(path, "Save it again in labelme, or remove it: its labels then stay as they were")
        coco = isinstance(content, dict) and "annotations" in content
        found = read_coco(path) if coco else {path.name: read_labelme(path)}
        for name, image in found.items():
            key = Path(name).stem
            if key in images:
                raise CompetitionError(f"sample {key!r} is corrected twice", path, "Remove one of the two files")
            require_known((drawn.label for drawn in image.objects), classes, f" of sample {key!r}", path)
            images[key] = image
    return images


def read_targets(folder: Path, classes: Sequence[str]) -> dict[str, Targets]:
    """Read the rows of review.csv whose column "corrected" is filled in: sample -> 0 or 1 for each class.

    Raises:
        CompetitionError: There is no such table, a class is unknown, or a sample is in two rows.
    """
    path = folder / TABLE
    targets: dict[str, Targets] = {}
    for line, (sample, corrected) in read_columns(path, (SAMPLE, CORRECTED)):
        if not corrected:
            continue
        if sample in targets:
            raise CompetitionError(f"sample {sample!r} is corrected twice", f"{path}, row {line}")
        targets[sample] = parse_targets(corrected, classes, f"{path}, row {line}")
    return targets


def parse_targets(text: str, classes: Sequence[str], where: str) -> Targets:
    """Return 0 or 1 for each class of "Aneurysm;L_ICA" or "none".

    Raises:
        CompetitionError: A class is unknown; the nearest are given.
    """
    names = [] if text.strip() == NONE else [name.strip() for name in text.split(SEPARATOR)]
    for name in names:
        if name not in classes:
            repair = f"Write the positive classes with {SEPARATOR!r} between them, or {NONE}"
            raise CompetitionError(f"unknown class {shown(name)}{nearest_hint(name, classes)}", where, repair)
    return tuple(int(name in names) for name in classes)


def format_targets(targets: Sequence[float], classes: Sequence[str]) -> str:
    """Return targets as ``parse_targets`` reads them."""
    return SEPARATOR.join(name for name, target in zip(classes, targets, strict=True) if target) or NONE

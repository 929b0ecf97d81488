"""The masks of a folder track: which file or row belongs to which image, and what is missing or too much."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from competition.errors import CompetitionError
from competition.file_listing import find_files, find_pictures_beside, label_files, stem
from competition.text import difference
from competition.tracks.declared import run_length_table
from competition.tracks.declared.declaration import FolderTrack
from competition.tracks.declared.mask_files import list_masks, mask_pattern, near_masks
from competition.tracks.declared.run_length_table import RunLengthTable
from competition.tracks.track import Problem, Sample


@dataclass(frozen=True)
class Masks:
    """What there is of masks, whether an image asks for it or not.

    Attributes:
        keys: Of the images that they belong to.
        files: Where they are pictures.
    """

    keys: frozenset[str]
    files: frozenset[Path] = frozenset()


def list_labels(
    root: Path, samples: Sequence[Sample], declaration: FolderTrack
) -> tuple[dict[str, str], list[Problem], Masks]:
    """Join training images and their masks.

    Args:
        root: The data folder.
        samples: Of both splits, without labels.
        declaration: The track.

    Returns:
        Label path below the root of each training sample by its key, what is missing or too much, and all masks.

    Raises:
        CompetitionError: The CSV of run lengths can't be read, or the training images hold masks.
    """
    classes, masks = tuple(declaration.classes), declaration.masks
    training = [sample for sample in samples if sample.split == "train"]
    images = find_files(root, declaration.train)
    if isinstance(masks, RunLengthTable):
        table = run_length_table.read_table(root / masks.csv, masks, classes)
        labels = {sample.key: f"{masks.csv}#{table.written(Path(str(sample.images[0])).name)}" for sample in training}
        problems = run_length_table.find_problems(table, images, masks, classes)
        return labels, problems, Masks(frozenset(map(stem, table.rows)))
    found = list_masks(root, masks, classes)
    labels = {}
    for sample in training:
        label = found.get(sample.key, [root / masks.replace("{stem}", sample.key)])[0]
        labels[sample.key] = label.relative_to(root).as_posix()
    _refuse_masks_as_images(root, training, labels, declaration)
    problems = _missing_and_unused(root, labels, found, {stem(image.name) for image in images}, masks, classes)
    files = {file for paths in found.values() for path in paths for file in label_files(path, classes)}
    return labels, problems, Masks(frozenset(found), frozenset(files))


def _refuse_masks_as_images(
    root: Path, training: Sequence[Sample], labels: dict[str, str], declaration: FolderTrack
) -> None:
    """Raise where the pattern of training images takes their masks too."""
    image_of = {root / str(sample.images[0]): sample for sample in training}
    for sample in training:
        for file in label_files(root / labels[sample.key], tuple(declaration.classes)):
            if file in image_of:
                mask, image = (str(taken.images[0]) for taken in (image_of[file], sample))
                reason = f"train: {declaration.train} takes masks too: {mask} is the mask of {image}"
                raise CompetitionError(reason, root, "Write train: so that it fits images only")


def _missing_and_unused(
    root: Path,
    labels: dict[str, str],
    found: dict[str, list[Path]],
    known: Collection[str],
    template: str,
    classes: Sequence[str],
) -> list[Problem]:
    """Masks that are not there, each with the file that was probably meant, and masks that no image asks for."""
    missing = {
        path: key for key, label in labels.items() for path in label_files(root / label, classes) if not path.exists()
    }
    strays = {
        file: key
        for key, paths in found.items()
        if key not in known
        for path in paths
        for file in label_files(path, classes)
        if file.exists()
    }
    meant = near_masks(list(missing), [*strays, *find_pictures_beside(root, [mask_pattern(template)])])
    problems = []
    for path, key in missing.items():
        reason, kind = "annotation missing", ""
        if path in meant:
            kind = f"annotation missing: {difference(meant[path].name, path.name)}"
            reason += f", did you mean {meant[path].name}, which differs in its {kind.partition(': ')[2]}?"
        problems.append(Problem(key, "train", path.relative_to(root).as_posix(), reason, kind=kind))
    for path, key in strays.items():
        if path not in meant.values():
            where = path.relative_to(root).as_posix()
            problems.append(Problem(key, "train", where, "a mask without training image", note=True))
    return problems

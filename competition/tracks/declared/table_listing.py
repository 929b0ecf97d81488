"""The samples of a track of images with a table of labels: images, views and rows, and what is wrong with them."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from competition.errors import CompetitionError
from competition.file_listing import stem, without_picture_ending
from competition.submission.sample import other_test_images, read_sample
from competition.text import same_spelling
from competition.tracks.declared.folder_listing import REPAIR_NAMES, no_test_image, no_training_image
from competition.tracks.declared.found_images import FoundImage, find_images, key_of, with_parts
from competition.tracks.declared.image_sources import list_parts
from competition.tracks.declared.places import PathFaultError
from competition.tracks.declared.table import LabelTable, find_row_problems, read_label_table
from competition.tracks.declared.table_declaration import ONE_VIEW, TableTrack
from competition.tracks.listing import NamesInUse, find_late_images, skipped_pictures
from competition.tracks.track import Listing, Problem, Sample, Split

NO_TABLE = LabelTable({}, [])
"""Of test images."""


@dataclass(frozen=True)
class _Pictures:
    """The images of a sample."""

    key: str
    split: Split
    of_view: dict[str, FoundImage]

    @property
    def first(self) -> FoundImage:
        """Return the first image, whose path names group and stratum."""
        return next(iter(self.of_view.values()))

    @property
    def file_name(self) -> str:
        """Return the first image's name, as it is compared."""
        return same_spelling(PurePosixPath(self.first.relative).name)


def list_table(root: Path, declaration: TableTrack) -> Listing:
    """List the samples of both splits: training by path, test by path or in the order of the sample submission.

    Raises:
        CompetitionError: There is no training image, a CSV can't be read, or the sample submission has other ids or
            columns.
    """
    form, found = declaration.table, with_parts(find_images(root, declaration), declaration)
    pictures, problems = _join_views(found.images, declaration)
    training = [one for one in pictures if one.split == "train"]
    if not training:
        raise no_training_image(root, problems, declaration)
    table = read_label_table(root / form.csv, form, declaration.names, declaration.task)
    samples, unplaced = _samples(pictures, table, declaration)
    written = {_written(one, table, declaration): one.key for one in training}
    others = {*_excluded_keys(found.excluded, declaration), *(one.key for one in pictures if one.split == "test")}
    problems = [*found.problems, *problems, *unplaced, *find_row_problems(table, written, form, others)]
    problems += _skipped(root, [*found.images, *found.excluded], pictures, table, declaration)
    remarks = [*found.remarks]
    if not any(one.split == "test" for one in pictures):
        remarks.append(no_test_image(root, declaration))
    return Listing(_in_order(samples, declaration), problems, remarks)


def list_test_table(folder: Path, declaration: TableTrack) -> Listing:
    """List a late test set: every file below ``folder`` that is named as the declaration's test images are.

    Raises:
        CompetitionError: There is none, two have one name, or an image has another ending than the test images.
    """

    def found(image: Path) -> FoundImage:
        relative = image.relative_to(folder).as_posix()
        return FoundImage("test", image, relative, declaration.places.fields_of(relative))

    try:
        images, remarks = find_late_images(
            folder, [f"**/{Path(declaration.test).name}"], lambda image: _file_key(found(image), declaration)
        )
        parts = [replace(found(image), part=part) for image in images for part in list_parts(image, declaration.images)]
        pictures, problems = _join_views(parts, declaration)
        samples, missing = _samples(pictures, NO_TABLE, declaration, late=True)
    except PathFaultError as fault:
        raise CompetitionError(f"a test image can't be named: {fault.reason}", folder, fault.repair or None) from fault
    return Listing(samples, [*problems, *missing], remarks)


def _excluded_keys(images: Sequence[FoundImage], declaration: TableTrack) -> Iterator[str]:
    """Yield the keys of images that are left out on demand, whose rows are no mistake."""
    for image in images:
        place = declaration.view_of(image.file.name)
        with suppress(PathFaultError):
            if place is not None:
                yield place[0] if declaration.views != ONE_VIEW else key_of(image, declaration)


def _file_key(image: FoundImage, declaration: TableTrack) -> str:
    """Return what no two images may share: the key, or with several views the name without ending."""
    return key_of(image, declaration) if declaration.views == ONE_VIEW else stem(image.file.name)


def _join_views(images: Sequence[FoundImage], declaration: TableTrack) -> tuple[list[_Pictures], list[Problem]]:
    """Return the images of each sample, and the problems of images whose names clash or fit no view.

    Raises:
        CompetitionError: A sample has training and test images.
    """
    names, problems = NamesInUse("images", "key" if declaration.key else "name"), list[Problem]()
    found = defaultdict[tuple[Split, str], dict[str, FoundImage]](dict)
    for image in images:
        place = declaration.view_of(image.file.name)
        if place is None:
            reason = f"the name fits none of the views {', '.join(declaration.views.values())}"
            problems.append(Problem(stem(image.file.name), image.split, image.relative, reason, kind="views"))
            continue
        try:
            own = _file_key(image, declaration)
        except PathFaultError as fault:
            problems.append(Problem(place[0], image.split, image.relative, fault.reason, repair=fault.repair))
            continue
        key = own if declaration.views == ONE_VIEW else place[0]
        if clash := names.clash_of(own, image.path):
            problems.append(Problem(key, image.split, image.relative, clash, kind="names", repair=REPAIR_NAMES))
        else:
            found[image.split, key][place[1]] = image
    if both := sorted(key for split, key in found if split == "test" and ("train", key) in found):
        where = next(iter(found["test", both[0]].values())).file
        raise CompetitionError(
            f"sample {both[0]!r} has training and test images", where, "Give one of them another name"
        )
    return [_Pictures(key, split, of_view) for (split, key), of_view in found.items()], problems


def _written(pictures: _Pictures, table: LabelTable, declaration: TableTrack) -> str:
    """Return the id of a sample in the table."""
    own = declaration.views != ONE_VIEW or declaration.key is not None or pictures.first.part
    return pictures.key if own else table.written(pictures.file_name)


def _samples(
    pictures: Sequence[_Pictures], table: LabelTable, declaration: TableTrack, late: bool = False
) -> tuple[list[Sample], list[Problem]]:
    """Return the samples, and those whose group or view is missing as problems; late ones may have no group."""
    samples, problems, places = list[Sample](), list[Problem](), declaration.places
    for one in pictures:
        relative, fields = one.first.relative, one.first.fields or {}
        row = table.rows.get(_written(one, table, declaration)) if one.split == "train" else None
        group = one.key if row is None or row.group is None else row.group
        try:
            if declaration.group is not None:
                group = places.group_of(relative, fields)
            stratum = places.stratum_of(relative, fields)
        except PathFaultError as fault:
            if not late:
                problems.append(Problem(one.key, one.split, relative, fault.reason, repair=fault.repair))
                continue
            stratum = ""
        effect = "it is masked" if one.split == "test" else "the sample is left out"
        for view in declaration.views.keys() - one.of_view.keys():
            path = str(PurePosixPath(relative).with_name(declaration.views[view].replace("{stem}", one.key)))
            problems.append(Problem(one.key, one.split, path, f"view {view} is missing; {effect}", one.split == "test"))
        images = tuple(one.of_view[view].path if view in one.of_view else None for view in declaration.views)
        name = one.file_name if declaration.submission.ending else one.key
        targets = None if row is None else row.targets
        samples.append(Sample(one.key, name, one.split, group, images, targets=targets, stratum=stratum))
    return samples, problems


def _in_order(samples: Sequence[Sample], declaration: TableTrack) -> list[Sample]:
    """Return samples with those of the test in the order of the sample submission, which is checked."""
    training = [sample for sample in samples if sample.split == "train"]
    test = {sample.name: sample for sample in samples if sample.split == "test"}
    if declaration.sample is None:
        return [*training, *test.values()]
    form, official = declaration.form, read_sample(Path(declaration.sample))
    official.check_columns(form.layout.header(declaration.names))
    ids = list(dict.fromkeys(form.names(official.path)))
    if test and (error := other_test_images(list(test), ids, official)) is not None:
        raise error
    return [*training, *(test[name] for name in ids if test)]


def _skipped(
    root: Path, found: Sequence[FoundImage], pictures: Sequence[_Pictures], table: LabelTable, declaration: TableTrack
) -> list[Problem]:
    """Return the pictures beside the images of each split that belong to neither."""
    problems, taken = list[Problem](), {image.file for image in found}
    labelled = set(map(without_picture_ending, table.rows))
    for split, pattern in declaration.patterns.items():
        repair = f"Let {split}: in the track's YAML file take them, convert them, or move them away"
        keys = {one.key for one in pictures if one.split == split}
        problems += skipped_pictures(root, split, [pattern], keys, taken=taken, labelled=labelled, repair=repair)
    return problems

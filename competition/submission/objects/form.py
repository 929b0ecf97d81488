"""The form of objects: a CSV of run lengths with one row per object, as of the Data Science Bowl 2018."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from competition.console import progress
from competition.console import track as shown
from competition.errors import CompetitionError
from competition.masks.bit_planes import unpack_planes
from competition.masks.object_splitting import PLAIN, ObjectRule, split_planes
from competition.masks.objects import Objects, planes_of
from competition.masks.run_length_votes import Quorum
from competition.metrics.masks import ImageMasks
from competition.metrics.metric import Metric
from competition.submission.check_result import CheckResult, compare_names
from competition.submission.csv_submission import compare_order
from competition.submission.form import Form, Score
from competition.submission.known_images import NOTHING_KNOWN, KnownImages, Truth, same_rows
from competition.submission.mask_counts import MaskDifferences, compare_counts, count_pixels, stack_counts
from competition.submission.mask_scores import ReadTruth, given_size, label_masks, score_masks
from competition.submission.objects.files import (
    ObjectColumns,
    ObjectFile,
    check_same_images,
    empty_beside_objects,
    overlaps,
    read_object_file,
    write_object_csv,
)
from competition.submission.objects.voting import vote_objects
from competition.submission.run_lengths.files import Row
from competition.submission.sample import OfficialSample, check_ids, open_checked_csv
from competition.text import nearest_hint


@dataclass(frozen=True)
class ObjectDifferences:
    """Two submissions of objects side by side."""

    masks: MaskDifferences  # of all objects of a class together
    first: int  # objects of the one
    second: int  # objects of the other
    equal: int  # that have the same pixels in both

    def figures(self) -> dict[str, Any]:
        """Return those of the masks, and objects_a, objects_b and equal_objects."""
        counts = {"objects_a": self.first, "objects_b": self.second, "equal_objects": self.equal}
        return self.masks.figures() | counts

    def tables(self) -> list[Any]:
        """Return those of the masks."""
        return self.masks.tables()

    def summary(self) -> str:
        """Return how many objects are equal, and how the masks differ."""
        objects = f"{self.equal} of {self.first} and {self.second} objects are equal"
        return f"{objects}; all objects of a class together: {self.masks.summary()}"


@dataclass(frozen=True)
class ObjectForm(Form):
    """A CSV with a row per object."""

    columns: ObjectColumns
    rules: tuple[ObjectRule, ...] = ()  # of each class; without any, objects are connected components
    sample: OfficialSample | None = None  # whose ids and columns are written in its order, and checked against

    of_objects: ClassVar[bool] = True

    def splitting(self, rules: Sequence[ObjectRule]) -> "ObjectForm":
        """Return the form that splits masks by these rules, one per class."""
        return replace(self, rules=tuple(rules))

    def describe(self, classes: Sequence[str]) -> str:
        """Return the header, and how pixels are counted."""
        return f"CSV {','.join(self.columns.header(classes))}, a row per object, {self.columns.counting}"

    def write(self, path: Path, classes: Sequence[str], predictions: Iterable[tuple[str, NDArray[np.uint8]]]) -> None:
        """Split each image's masks into objects and write a row for each."""
        rules = self.rules or (PLAIN,) * len(classes)
        images = ((image, split_planes(planes, rules)) for image, planes in predictions)
        write_object_csv(path, images, classes, self.columns, self.sample)

    def check(self, path: Path, classes: Sequence[str], images: KnownImages = NOTHING_KNOWN) -> CheckResult:
        """Check the images, the run lengths, that no pixel is in two rows of a class, and the order of the images."""
        header, id_columns = self.columns.header(classes), self.columns.id_columns(classes)
        result, lines = open_checked_csv(path, header, id_columns, self.sample, self.columns.if_more)
        parts = ["form", "classes", "run lengths", "overlap of objects"]
        result.enter_scope(parts, images, unbounded="whether runs leave their image")
        if not lines:
            return result
        rows: dict[str, list[Row]] = {}
        known = frozenset(images.names or ())
        for number, cells in lines:
            for image, name, cell in self.columns.masks(cells, classes, known):
                if name not in classes:
                    result.refuse(f"row {number}: unknown class {name!r}{nearest_hint(name, classes)}", "unknown class")
                else:
                    rows.setdefault(image, []).append(Row(number, image, name, cell))
        filled = dict.fromkeys(classes, 0)
        for image, own in rows.items():
            for name in classes:
                of_class = [row for row in own if row.class_name == name]
                filled[name] += self._check_image(result, path, of_class, images.pixels_of(image), classes)
        result.images = len(rows)
        result.positive_share = {name: count / max(len(rows), 1) for name, count in filled.items()}
        found = list(rows)
        sample = self.sample
        alike = sample is None or check_ids(result, *sample.both_ids(lines, id_columns, header), sample)
        if alike and images.names is not None:
            compare_names(result, "images", found, images.names)
        if sample is None and images.names is not None:
            compare_order(result, found, images.names, "image {0!r}".format, lambda one: rows[one][0].line)
        if rows and (empty := [name for name, count in filled.items() if not count]):
            result.warnings.append(f"there is no object of class {', '.join(empty)} in any image")
        return result

    def _check_image(
        self, result: CheckResult, path: Path, rows: Sequence[Row], pixels: int | None, classes: Sequence[str]
    ) -> bool:
        """Record what is wrong with the objects of one image and class; return whether there are any."""
        file, whole, runs = ObjectFile(path, self.columns, classes, {}), list[Row](), list[NDArray[np.int64]]()
        for row in rows:
            try:
                where = f"row {row.line}, {row.image}, {row.class_name}"
                if self.columns.check(row.rle, where, pixels):
                    runs.append(file.runs(row, pixels))
                    whole.append(row)
            except CompetitionError as error:
                result.refuse(str(error), error.what)
        cells = [row._replace(rle="") if self.columns.is_empty(row.rle) else row for row in rows]
        for fault in empty_beside_objects(cells):
            result.refuse(fault, "is empty beside objects")
        for fault in overlaps(whole, runs):
            result.refuse(fault, "shares pixels with another row")
        return any(row.rle for row in cells)

    def score(self, path: Path, truth: Truth, classes: Sequence[str], images: KnownImages, metric: Metric) -> Score:
        """Return the score: by a count metric of all objects of a class together."""
        file = read_object_file(path, classes, self.columns)
        names = list(file.rows)
        if isinstance(truth, Path):
            right = read_object_file(truth, classes, self.columns)
            same_rows([(name,) for name in right.rows], [(name,) for name in names], path, "not in the truth")
            names = list(right.rows)
            theirs: ReadTruth = partial(_masks, right)
        else:
            theirs = label_masks(truth, names, len(classes), metric)
        return score_masks(names, classes, partial(_masks, file), theirs, images, metric)

    def vote(self, paths: list[Path], election: Quorum, classes: Sequence[str], images: KnownImages, out: Path) -> int:
        """Vote on pixels, and split what is elected as the first of the greatest weight does."""
        files = [read_object_file(path, classes, self.columns) for path in paths]
        names = check_same_images(files)
        with progress("voting", len(names)) as ticker:
            voted = (
                (name, vote_objects([_objects(file, images, name) for file in files], election, len(classes)))
                for name in names
            )
            return write_object_csv(out, ticker.ticking(voted, 1), classes, self.columns, self.sample)

    def compare(self, first: Path, second: Path, classes: Sequence[str], images: KnownImages) -> ObjectDifferences:
        """Compare objects, and the masks of all objects of a class together."""
        files = [read_object_file(path, classes, self.columns) for path in (first, second)]
        names, counts, equal, totals = check_same_images(files), [], 0, np.zeros(2, np.int64)
        for name in shown(names, "comparing"):
            one, other = (_objects(file, images, name) for file in files)
            counts.append(count_pixels(planes_of(one, len(classes)), planes_of(other, len(classes)), len(classes)))
            equal += len(_contents(one) & _contents(other))
            totals += (len(one), len(other))
        masks = compare_counts(stack_counts(names, classes, counts))
        return ObjectDifferences(masks, int(totals[0]), int(totals[1]), equal)

    def read_predictions(
        self, path: Path, classes: Sequence[str], size_of: Callable[[str], tuple[int, int]]
    ) -> dict[str, Callable[[], NDArray[np.uint8]]]:
        """Open the objects of each image, those of a class together, as a map of 0 and 255."""
        file = read_object_file(path, classes, self.columns)

        def draw(image: str) -> NDArray[np.uint8]:
            planes = planes_of(file.objects(image, size_of(image)), len(classes))
            return unpack_planes(planes, len(classes)).view(np.uint8) * np.uint8(255)

        return {image: partial(draw, image) for image in file.rows}


def _objects(file: ObjectFile, images: KnownImages, name: str) -> Objects:
    return file.objects(name, given_size(images.size_of(name), name))


def _masks(file: ObjectFile, name: str, size_hw: tuple[int, int] | None) -> ImageMasks:
    objects, classes = file.objects(name, given_size(size_hw, name)), len(file.classes)
    return ImageMasks(planes_of(objects, classes), classes, objects)


def _contents(objects: Objects) -> set[tuple[int, bytes]]:
    """Return class and pixels of each object, which are equal for equal objects."""
    return {(int(index), own.tobytes()) for index, own in zip(objects.class_of, objects.pixels, strict=True)}

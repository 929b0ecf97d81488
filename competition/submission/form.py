"""The interface of a submission form: a kind of file that is written, read, checked, scored, voted on and compared.

A track has one form, and the stages ask it. A new form is a subclass, entered in ``competition.submission.FORMS``.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

from competition.formats.csv_files import read_csv
from competition.masks.object_splitting import ObjectRule
from competition.masks.run_length_votes import Quorum
from competition.metrics.metric import Metric
from competition.metrics.tables import TableMetric
from competition.submission.check_result import CheckResult
from competition.submission.known_images import KnownImages, Truth


@dataclass(frozen=True)
class ScoredTable:
    """What was scored of a table, from which the score of any draw of its samples follows."""

    names: tuple[str, ...]  # (n,)
    truth: NDArray[np.int64]  # 0/1 (n, C)
    outputs: NDArray[Any]  # (n, C)
    metric: TableMetric


@dataclass(frozen=True)
class Score:
    """The score of a submission."""

    metric: str  # its name: "dice"
    score: float  # what the competition ranks by
    per_class: dict[str, float | None]  # class -> its score, or AUROC of the column (None with only one kind of truth)
    rows: int  # scored (image, class) pairs, or patients
    beside: dict[str, float] = field(default_factory=dict)  # further figures by name
    # image -> mean over the classes; empty where the score is no plain mean over images
    per_image: dict[str, float] = field(default_factory=dict)
    # unit of a count metric (image, or group whose images it pools) -> value whose mean is the score
    per_unit: dict[str, float] = field(default_factory=dict)
    # for AUROC, id without leading zeros -> truth and probability of the ranked class; empty for masks
    ranked: dict[str, tuple[int, float]] = field(default_factory=dict)
    table: ScoredTable | None = None  # of any table but that of the aneurysm track
    note: str = ""  # the further figures in a sentence
    # image -> rows and columns at which its truth was read; empty where that is of no consequence
    label_sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def figures(self) -> dict[str, Any]:
        """Return the keys that ``score --json`` promises."""
        figures = {"metric": self.metric, "score": self.score, "per_class": self.per_class, "rows": self.rows}
        return figures | self.beside


@dataclass(frozen=True)
class ComparisonTable:
    """A table of a comparison, as it is printed."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[object]]


class Comparison(Protocol):
    """Where two submissions differ."""

    def figures(self) -> dict[str, Any]:
        """Return the keys that ``compare --json`` promises."""
        ...

    def tables(self) -> list[ComparisonTable]:
        """Return what is printed about the differences; empty where there are none."""
        ...

    def summary(self) -> str:
        """Return the result in one sentence."""
        ...


class Form(ABC):
    """A form of submission."""

    ending: ClassVar[str] = ".csv"  # of the submitted file
    unit: ClassVar[str] = "rows"  # what ``CheckResult.rows`` and a vote count: "rows" or "files"
    item: ClassVar[str] = "image"  # what a submission predicts
    of_masks: ClassVar[bool] = True  # whether it holds masks of a segmentation; else scores of a classification
    of_objects: ClassVar[bool] = False  # whether single objects are submitted, into which masks are split

    @abstractmethod
    def describe(self, classes: Sequence[str]) -> str:
        """Return what the file looks like, for the table of tracks."""

    def accepts(self, path: Path) -> bool:
        """Return whether there is something at a path that can be opened as a submission."""
        return path.is_file()

    def names(self, path: Path) -> list[str]:
        """Return the name of every row or file of a submission, unchecked: the first cells of a CSV.

        Raises:
            CompetitionError: The file is missing or damaged.
        """
        return [cells[0] for _, cells in read_csv(path)[1]]

    def name_in_file(self, image_name: str) -> str:
        """Return what a submission calls an image or patient."""
        return image_name

    def name_in_score(self, image_name: str) -> str:
        """Return the name by which a submission and its truth are joined."""
        return self.name_in_file(image_name)

    @property
    def elects(self) -> bool:
        """Return whether a vote elects pixels or cells by its threshold, instead of averaging values."""
        return True

    def splitting(self, rules: Sequence[ObjectRule]) -> "Form":
        """Return the form that splits masks into objects by these rules, one per class; only one of objects does."""
        return self

    @abstractmethod
    def write(self, path: Path, classes: Sequence[str], predictions: Iterable[tuple[str, NDArray[Any]]]) -> None:
        """Write a submission, whole or not at all.

        Args:
            path: The file; an old one is replaced only when the new one is whole.
            classes: Of the track.
            predictions: Image name and its label planes uint8 (H, W, ceil(C / 8)) or, in a table, its row float64
                (C,); in the organiser's order.

        Raises:
            CompetitionError: A value is out of its range, or the file can't be written.
        """

    def write_bytes(self, classes: int, size_hw: tuple[int, int]) -> int:
        """Return how many bytes of memory ``write`` takes for an image beside its label planes."""
        return 0

    @abstractmethod
    def check(self, path: Path, classes: Sequence[str], images: KnownImages) -> CheckResult:
        """Find everything that makes a submission invalid or would be scored wrongly."""

    @abstractmethod
    def score(self, path: Path, truth: Truth, classes: Sequence[str], images: KnownImages, metric: Metric) -> Score:
        """Score a submission.

        Args:
            path: The submission.
            truth: A file in submission form, or labels in the track's own form.
            classes: Of the track.
            images: Whose sizes and groups are known.
            metric: Of the track.

        Raises:
            CompetitionError: A file is damaged, or an image is missing on either side.
        """

    @abstractmethod
    def vote(self, paths: list[Path], election: Quorum, classes: Sequence[str], images: KnownImages, out: Path) -> int:
        """Write the weighted vote of several submissions, joined by name.

        Args:
            paths: Two or more submissions of the same images.
            election: Weights, one per submission, and threshold.
            classes: Of the track.
            images: Whose sizes are known.
            out: The submission to write, in the order of the first.

        Returns:
            How many rows or files were written.

        Raises:
            CompetitionError: A submission is damaged, or lacks what another one has.
        """

    @abstractmethod
    def compare(self, first: Path, second: Path, classes: Sequence[str], images: KnownImages) -> Comparison:
        """Compare two submissions; arguments and errors as those of ``vote``."""

    @abstractmethod
    def read_predictions(
        self, path: Path, classes: Sequence[str], size_of: Callable[[str], tuple[int, int]]
    ) -> dict[str, Callable[[], NDArray[Any]]]:
        """Open a submission as predictions, each of which is read when it is asked for.

        Args:
            path: The submission.
            classes: Of the predictions, in the order wanted.
            size_of: Returns rows and columns of the image of a name.

        Returns:
            Image name, with or without its ending -> function that returns its map uint8 (C, H, W) of 0 and 255 or, in
            a table, its row float64 (C,).

        Raises:
            CompetitionError: The file is damaged or incomplete.
        """

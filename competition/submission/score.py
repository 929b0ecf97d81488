"""The score of a submission."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Score:
    """What a submission is worth.

    Attributes:
        metric: Its name: "dice".
        score: What the competition ranks by.
        per_class: Class -> its score, or AUROC of the column (None with only one kind of truth).
        rows: Scored (image, class) pairs, or patients.
        beside: Further figures: of a table what the organiser prints, of arrays plane accuracy; empty for run lengths.
        per_image: Image -> mean over the classes; empty where the score is no plain mean over images.
        per_unit: Unit of a count metric (image, or group whose images it pools) -> value whose mean is the score.
        ranked: For AUROC, id without leading zeros -> truth and probability of the ranked class; empty for masks.
        note: The further figures in a sentence; empty where there are none.
        label_sizes: Image -> rows and columns at which its label was read, where only the labels tell the size of an
            image; else empty.
    """

    metric: str
    score: float
    per_class: dict[str, float | None]
    rows: int
    beside: dict[str, float] = field(default_factory=dict)
    per_image: dict[str, float] = field(default_factory=dict)
    per_unit: dict[str, float] = field(default_factory=dict)
    ranked: dict[str, tuple[int, float]] = field(default_factory=dict)
    note: str = ""
    label_sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def figures(self) -> dict[str, Any]:
        """Return the keys that ``score --json`` promises."""
        return {
            "metric": self.metric,
            "score": self.score,
            "per_class": self.per_class,
            "rows": self.rows,
            **self.beside,
        }

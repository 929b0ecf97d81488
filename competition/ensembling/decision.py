"""What was chosen on out-of-fold predictions, frozen: ``tune`` writes it and ``ensemble`` applies it."""

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import AliasChoices, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from competition.ensembling.classification.rules import TableRule
from competition.ensembling.segmentation.postprocessing import OPERATIONS
from competition.ensembling.voting.blend import WHOLE
from competition.ensembling.voting.class_votes import Voters, find_voters
from competition.ensembling.voting.combination import Combination
from competition.errors import CompetitionError
from competition.files import write_sealed_json
from competition.formats.json_files import read_json
from competition.masks.object_splitting import ObjectRule
from competition.prediction.probability_maps import threshold_of
from competition.runs.members import Member
from competition.text import shortened

Level = Annotated[int, Field(ge=0, le=254)]
Threshold = Annotated[float, Field(ge=0, le=1)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class WeightedMember(Member):
    """A member with its weight in thousandths; where class groups have their own, the mean over the classes."""

    weight: int = Field(ge=0, le=WHOLE)


class ClassGroup(_Frozen):
    """Classes with weights of their own: member -> thousandths, 1000 in sum."""

    classes: tuple[str, ...] = Field(min_length=1)
    weights: dict[str, int]


class Scores(_Frozen):
    """The scores; None where one is not defined."""

    fold_mean: float | None  # at threshold 0.5 and equal weights
    fold_sd: float | None  # standard deviation over folds; None with one fold
    oof: float | None  # out-of-fold after tuning: optimistic
    oof_crossfit: float | None  # tuned on the other folds, scored on the left-out one: rank by this
    interval_low: float | None  # of the 95 % group-bootstrap interval of oof_crossfit
    interval_high: float | None
    # ``oof_crossfit`` (``oof`` where that is None) with the strata in the shares that they have in the organiser's test
    # set, over the samples whose stratum is known.
    oof_reweighted: float | None = None
    # ``oof_crossfit`` less the score of equal weights at threshold 0.5 (for classification of the mean of probabilities
    # at equal weights) on the same samples; its 95 % interval is by drawing groups for both at once.
    gain: float | None = None
    gain_low: float | None = None
    gain_high: float | None = None


class AloneScore(_Frozen):
    """The score of a member alone, or of the vote beside them: before post-processing, cross-fitted where possible."""

    score: float  # of the metric; a member of some classes on those
    low: float | None  # of the 95 % group-bootstrap interval; None where nothing can be cross-fitted
    high: float | None
    # ``score`` less the vote's, with its 95 % interval by drawing groups for both at once; None for the vote itself,
    # and for a member of some classes only.
    over_vote: float | None = None
    over_vote_low: float | None = None
    over_vote_high: float | None = None


class ObjectSplit(_Frozen):
    """How the mask of a class becomes objects (``masks.object_splitting.ObjectRule``)."""

    distance: float | None = Field(gt=0)  # None does not split connected components
    smoothing: float = Field(ge=0)
    smallest: int = Field(ge=0)


class ObjectPrecision(_Frozen):
    """Average precision of objects over IoU 0.5:0.95 on the tuning samples, over the classes that occur."""

    crossfit: float  # by rules that were chosen on the other folds, where there are any
    components: float  # of plain connected components


class Decision(_Frozen):
    """Everything that ``ensemble`` needs; fields with a default may be missing in decisions of earlier versions."""

    track: str
    dataset: str  # "phantom_..." for synthetic data
    task: Literal["segmentation", "classification"]
    classes: tuple[str, ...] = Field(min_length=1)  # in the track's order
    members: tuple[WeightedMember, ...] = Field(min_length=1)  # with weights that sum to 1000
    # Class -> level, which is what the vote applies; for classification empty. "cuts" before version 0.2.0.
    levels: dict[str, Level] = Field(validation_alias=AliasChoices("levels", "cuts"))
    # Class -> probability above which it is positive; for segmentation (level + 0.5) / 255, a readable copy of
    # ``levels``; for classification only the classes that are submitted as 0 or 1.
    thresholds: dict[str, Threshold]
    operations: dict[str, str]  # class -> post-processing, for segmentation all classes, for classification empty
    scores: Scores
    coverage: int = Field(ge=0)  # samples that all members cover, on which the choice was made
    reason: str  # why these weights and thresholds
    # For classification: all classes of ``thresholds`` are 0 where the first class's probability is not greater; None
    # lets every sample pass.
    gate: Threshold | None = None
    # For classification, how a blend becomes what is submitted; None for the thresholds and gate of the aneurysm track,
    # and in decisions of earlier versions.
    rule: TableRule | None = None
    combine: Combination = "mean"  # for segmentation always: maps are 8-bit
    # Classes with weights of their own, each in exactly one; empty where all have the members' weights.
    class_groups: dict[str, ClassGroup] = Field(default_factory=dict)
    method: str = "optuna"  # how the weights were searched
    trials: int = Field(default=300, ge=1)  # weight vectors that the method "optuna" tries
    threshold_search: str = "sweep"  # how the thresholds of masks were searched
    window: tuple[Threshold, Threshold] | None = None  # lowest and highest threshold allowed; None for the default
    # Classes of which no scored image has a pixel; the scores leave them out, because the Dice of two empty masks is 1.
    unmeasured: tuple[str, ...] = ()
    # Whether it was tuned on all runs trained until then (tune without --members): ``ensemble`` tunes again when there
    # are more.
    everything: bool = False
    trained: dict[str, tuple[int, ...]] = Field(default_factory=dict)  # run -> folds trained by then, voting or not
    data_hash: str = ""  # of the training samples it was tuned on
    metric: str = ""  # what was maximised, with its options
    # Of a metric that is not searched exactly, the scores of the same decision by the count metric that proposed it,
    # and that metric. ``vote`` and ``alone`` are by the count metric.
    count_scores: Scores | None = None
    proposed_by: str = ""
    # Class -> how its mask becomes objects; empty unless single objects are submitted.
    objects: dict[str, ObjectSplit] = Field(default_factory=dict)
    object_precision: ObjectPrecision | None = None
    vote: AloneScore | None = None  # what ``alone`` is compared with; None where no sample is covered by all members
    alone: dict[str, AloneScore] = Field(default_factory=dict)  # member -> its score alone; empty likewise
    created: AwareDatetime = Field(default_factory=lambda: datetime.now().astimezone())

    @model_validator(mode="after")
    def _fits_together(self) -> "Decision":
        if sum(member.weight for member in self.members) != WHOLE:
            raise ValueError(f"the members' weights do not sum to {WHOLE}")
        if len({member.fold_hash for member in self.members}) > 1:
            raise ValueError("the members were trained on different fold files")
        try:
            self.voters()
        except CompetitionError as error:
            raise ValueError(str(error)) from error
        if unknown := set(self.operations.values()) - set(OPERATIONS):
            raise ValueError(f"unknown operations {sorted(unknown)}; known: {', '.join(OPERATIONS)}")
        self._check_classes()
        self._check_class_groups()
        if self.objects and set(self.objects) != set(self.classes):
            raise ValueError("objects and classes differ")
        return self

    def _check_classes(self) -> None:
        if self.task == "classification":
            self._check_table()
            return
        if self.rule is not None:
            raise ValueError("a segmentation has levels, no rule of a table")
        if self.gate is not None:
            raise ValueError("a segmentation has no gate")
        if self.combine != "mean":
            raise ValueError(f"a segmentation is combined by the mean of its maps, not by {self.combine!r}")
        for name, given in (("levels", self.levels), ("thresholds", self.thresholds), ("operations", self.operations)):
            if set(given) != set(self.classes):
                odd = sorted(set(given) ^ set(self.classes))
                raise ValueError(f"{name} and classes differ in {', '.join(odd)}")
        expected = threshold_of(self.level_array())
        if not np.allclose([self.thresholds[name] for name in self.classes], expected, rtol=0, atol=1e-9):
            raise ValueError("thresholds do not equal (level + 0.5) / 255")

    def _check_table(self) -> None:
        if self.levels or self.operations or not set(self.thresholds) <= set(self.classes):
            raise ValueError("a classification has thresholds of its own classes, no levels and no operations")
        if self.rule is not None and (fault := self.rule.fault(len(self.classes))) is not None:
            raise ValueError(fault)
        if self.rule is not None and self.gate is not None:
            raise ValueError("a gate is for the locations of the aneurysm track")

    def _check_class_groups(self) -> None:
        grouped = [name for group in self.class_groups.values() for name in group.classes]
        if self.class_groups and sorted(grouped) != sorted(self.classes):
            odd = sorted(name for name in {*grouped, *self.classes} if grouped.count(name) != self.classes.count(name))
            raise ValueError(f"{', '.join(odd)} must be in exactly one of class_groups")
        names = [member.name for member in self.members]
        for name, group in self.class_groups.items():
            if sorted(group.weights) != sorted(names):
                raise ValueError(f"the weights of {name} are not those of the members {', '.join(names)}")
            if min(group.weights.values()) < 0 or sum(group.weights.values()) != WHOLE:
                raise ValueError(f"the weights of {name} do not sum to {WHOLE}")

    def class_weights(self) -> NDArray[np.int64]:
        """Return every class's weights int64 (C, M) in thousandths, in the order of ``classes`` and ``members``."""
        weights = np.tile(np.array(self.weights(), dtype=np.int64), (len(self.classes), 1))
        for group in self.class_groups.values():
            rows = [self.classes.index(name) for name in group.classes]
            weights[rows] = [group.weights[member.name] for member in self.members]
        return weights

    def weights(self) -> list[int]:
        """Return the members' weights in thousandths, in the order of ``members``."""
        return [member.weight for member in self.members]

    def voters(self) -> Voters:
        """Return who votes on which class."""
        return find_voters(self.classes, [member.classes for member in self.members])

    def level_array(self) -> NDArray[np.int64]:
        """Return the levels int64 (C,) in the order of ``classes``."""
        return np.array([self.levels[name] for name in self.classes], dtype=np.int64)

    def object_rules(self) -> tuple[ObjectRule, ...]:
        """Return how masks become objects in the order of ``classes``; empty unless single objects are submitted."""
        return tuple(ObjectRule(**dict(self.objects[name])) for name in self.classes if self.objects)

    def operation_list(self) -> list[str]:
        """Return the operations in the order of ``classes``."""
        return [self.operations[name] for name in self.classes]


def save_decision(path: Path, decision: Decision) -> None:
    """Write decision.json, whole or not at all."""
    content = decision.model_dump(mode="json")
    if decision.rule is None:  # a key that came later
        del content["rule"]
    write_sealed_json(path, content)


def load_decision(path: Path) -> Decision:
    """Read decision.json.

    Raises:
        CompetitionError: It is missing, or not a file of ``tune``.
    """
    repair = "Run ./run.sh tune"
    content = read_json(path, repair)
    try:
        json.dumps(content, ensure_ascii=False).encode()
        return Decision.model_validate(content)
    except UnicodeEncodeError as error:  # "\ud800" is half of a character, which nothing after this can write
        raise CompetitionError("not a decision of tune (a text in it is not valid Unicode)", path, repair) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = "".join(f"{shortened(str(part), 60)}." for part in first["loc"]).rstrip(".")
        reason = shortened(first["msg"], 500)
        raise CompetitionError(
            f"not a decision of tune ({place + ': ' if place else ''}{reason})", path, repair
        ) from error

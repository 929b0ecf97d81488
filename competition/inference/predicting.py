"""The loop over everything that is to be predicted: one image or patient in memory at a time, results in one folder."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

from competition.console import progress, say, shout
from competition.data.cache import cache_sample, read_cached_image
from competition.data.manifest import Entry
from competition.errors import CompetitionError
from competition.files import whole_folder
from competition.inference.failures import Failure, failure, failures_as_error
from competition.inference.images import for_any_image
from competition.inference.outputs import MaskAnswer, TableAnswer, write_mask_answer
from competition.inference.sources import Source
from competition.inference.summary import (
    MARK,
    Row,
    check_replaceable,
    mask_rows,
    readme,
    table_row,
    write_summary,
)
from competition.inference.voting import LoadedVote, predict_patient, vote_masks, vote_table
from competition.masks.object_splitting import split_planes
from competition.tracks.track import Track
from competition.workspace import Workspace

Result = TypeVar("Result")

ONE_FOLD = "one fold votes, so there is no disagreement of folds: its columns are empty and its pictures are missing"


@dataclass(frozen=True)
class OpenedModel:
    """A decision that can predict.

    Attributes:
        track: What is competed in.
        dataset: What it was trained on.
        name: Of the decision.
        load: A workspace, in whose cache images are predicted -> the members.
    """

    track: Track
    dataset: str
    name: str
    load: Callable[[Workspace], LoadedVote]


@dataclass(frozen=True)
class Predictions:
    """What was predicted: the rows of summary.csv, and everything that could not be predicted."""

    rows: list[Row]
    failures: list[Failure]


@dataclass(frozen=True)
class _Job:
    """What is predicted, by whom, and where the image in work is cached."""

    track: Track
    vote: LoadedVote
    images: Workspace
    sources: Sequence[Source]
    failures: list[Failure]


def predict_sources(
    model: OpenedModel, sources: Sequence[Source], folder: Path, missing: Sequence[Failure] = ()
) -> Predictions:
    """Predict images or patients and write the results into a folder, whole or not at all.

    A source that can't be read does not stop the others.

    Args:
        model: Who votes, and how; prepared data is not needed.
        sources: What is predicted.
        folder: Is made, or replaced if it holds an earlier prediction and nothing else.
        missing: What was asked for beside the sources and can't be predicted, listed with the others.

    Raises:
        CompetitionError: The folder holds something else, a member is missing, or nothing could be read.
    """
    track, masks = model.track, model.track.task == "segmentation"
    check_replaceable(folder)
    reading = for_any_image(track) if len(track.views) == 1 else track
    with TemporaryDirectory(prefix="medcomp-predict-") as place, whole_folder(folder, MARK) as part:
        images = Workspace(Path(place), model.dataset)
        vote = model.load(images)
        if vote.folds == 1:
            say(ONE_FOLD)
        job = _Job(reading, vote, images, sources, [*missing])
        files: list[str] = []
        rows = _write_masks(job, part, files) if masks else _table_rows(job)
        about = {
            "track": track.name,
            "dataset": model.dataset,
            "decision": model.name,
            "classes": track.classes,
            "failures": [vars(failure) for failure in job.failures],
        }
        write_summary(part, rows, files, about, readme(track.task, track.classes, model.dataset))
    return Predictions(rows, job.failures)


def _write_masks(job: _Job, folder: Path, files: list[str]) -> list[Row]:
    """Write the files of each image and add their names to ``files``; return the rows of all."""
    classes = job.track.classes

    def answer(source: Source, entry: Entry) -> MaskAnswer:
        image = read_cached_image(job.images, entry.sample, job.track.views[0])
        voted = vote_masks(job.vote, entry)
        rules = job.vote.decision.object_rules()
        return MaskAnswer(
            name=source.name,
            image=image,
            planes=voted.planes,
            disagreement=voted.disagreement,
            fold_dice=voted.fold_dice,
            spacing_mm=entry.spacing_mm,
            source=source.path,
            objects=split_planes(voted.planes, rules) if rules else None,
        )

    rows: list[Row] = []
    for _, one in _each(job, answer):
        files += write_mask_answer(folder, one, classes)
        rows += mask_rows(one, classes)
    return rows


def _table_rows(job: _Job) -> list[Row]:
    """Return the row of each patient."""
    predicted = list(_each(job, lambda _, entry: predict_patient(job.vote, entry)))
    decision = job.vote.decision
    table = vote_table(decision, [scores for _, scores in predicted], job.track.one_of_classes)
    located = decision.rule is None  # the first class is ranked, the others are decided
    decided = table.outputs[:, 1:] if located else table.outputs
    if decision.rule is not None and decision.rule.kind == "none":
        decided = decided[:, :0]
    if decision.combine == "rank":
        first = job.track.classes[0]
        say(f"{first}: the mean of ranks among these {len(predicted)} patients, comparable only within them")
    rows = []
    for number, (source, scores) in enumerate(predicted):
        answer = TableAnswer(
            name=source.name,
            score=float(table.outputs[number, 0]) if located else None,
            probabilities=table.probabilities[number],
            decisions=decided[number] > 0,
            deviations=scores.deviations,
            source=source.path,
        )
        rows.append(table_row(answer, job.track.classes))
    return rows


def _each(job: _Job, predict: Callable[[Source, Entry], Result]) -> Iterator[tuple[Source, Result]]:
    """Yield what is predicted of each source that can be read; the others are added to the failures.

    Raises:
        CompetitionError: None could be read.
    """
    done = 0
    with progress("predicting", len(job.sources)) as ticker:
        for source in job.sources:
            try:
                entry, masked = cache_sample(job.images, job.track, source.root, source.sample)
                for problem in masked:
                    shout(f"{problem.path}: {problem.reason}")
                result = predict(source, entry)
            except CompetitionError as error:
                job.failures.append(failure(source.path, error))
            except MemoryError as error:
                what = f"it needs more memory than there is ({' '.join(str(error).split())[:200] or 'none is free'})"
                repair = "Save it smaller, or predict it on a machine with more memory"
                job.failures.append(failure(source.path, CompetitionError(what, source.path, repair)))
            else:
                done += 1
                yield source, result
            shutil.rmtree(job.images.cache_folder(), ignore_errors=True)
            ticker.advance(source.name)
    if not done:
        raise failures_as_error(job.failures, len(job.failures))

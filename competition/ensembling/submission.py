"""The submission of a vote: written in the track's form, validated, scored where the truth is known, and recorded."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from competition.console import progress, say, shout
from competition.data.evenly_spread import spread
from competition.data.manifest import Entry, Manifest
from competition.drawing.contact_sheet import SHOWN, outlined_tile, tile_sheet
from competition.drawing.outlines import write_png
from competition.ensembling.decision import Decision
from competition.ensembling.segmentation.postprocessing import decide_image
from competition.ensembling.voted_table import vote_tables
from competition.ensembling.voting.masks import vote_bytes
from competition.errors import CompetitionError
from competition.machine import MB, peak_memory_mb
from competition.masks.object_splitting import split_planes
from competition.masks.objects import separated_planes
from competition.phantoms import PHANTOMS
from competition.prediction.opened_maps import OpenedMap, open_map
from competition.prediction.probability_maps import read_scores
from competition.submission.known_images import KnownImages
from competition.submission.leaderboard import Row
from competition.text import counted, size_text
from competition.tracks.label_folder import LabelFolder
from competition.tracks.track import Track
from competition.workspace import PHANTOM, Workspace, git_commit


def write_submission(
    track: Track, decision: Decision, prepared: Workspace, folders: Sequence[Path], entries: Sequence[Entry], path: Path
) -> None:
    """Vote on one image at a time, write the submission with a preview of some masks beside it, and validate it.

    Args:
        track: Its submission form.
        decision: Weights, thresholds and post-processing.
        prepared: The workspace of the cached test images.
        folders: Each member's test maps (or scores), in the decision's order.
        entries: The test samples, in the organiser's order.
        path: The file to write.

    Raises:
        CompetitionError: A member lacks a sample, or the submission is invalid.
    """
    preview: list[NDArray[np.uint8]] = []
    votes: Iterable[tuple[str, NDArray[Any]]]
    if track.task == "classification":
        names = [entry.name for entry in entries]
        votes = zip(names, _voted_table(track, decision, folders, entries), strict=True)
    else:
        votes = _voted_planes(track, decision, prepared, folders, entries, preview)
    track.form.splitting(decision.object_rules()).write(path, track.classes, votes)
    if preview:
        title = f"{prepared.dataset}: test samples with what {path.parent.name} PREDICTS"
        try:
            write_png(path.with_name("preview.png"), tile_sheet(preview, title, track.classes))
        except CompetitionError as error:  # the submission is complete without it
            shout(f"warning: no preview was written: {error}")
    _validate(track, path, entries)


def _voted_planes(
    track: Track,
    decision: Decision,
    workspace: Workspace,
    folders: Sequence[Path],
    entries: Sequence[Entry],
    preview: list[NDArray[np.uint8]],
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Yield voted label planes, one image in memory at a time; append small pictures of some to ``preview``."""
    shown = {entry.sample for entry in spread(entries, SHOWN)}
    rules, classes = decision.object_rules(), len(decision.classes)
    voters = decision.voters()
    weights = voters.weights_by_class(decision.class_weights())
    _say_memory(track, decision, entries)
    with progress("voting", len(entries)) as ticker:
        for entry in entries:
            maps = [_open_test_map(folder, entry) for folder in folders]
            planes = decide_image(maps, voters, weights, decision.level_array(), decision.operation_list())
            if entry.sample in shown:
                drawn = separated_planes(split_planes(planes, rules), classes) if rules else planes
                preview.append(outlined_tile(workspace, track, entry, drawn))
            yield entry.name, planes
            ticker.advance(entry.name)


def _say_memory(track: Track, decision: Decision, entries: Sequence[Entry]) -> None:
    """Print the memory of the vote on the largest image; the number of images does not matter."""
    height, width = max(((entry.height, entry.width) for entry in entries), key=lambda size: size[0] * size[1])
    members, classes = len(decision.members), len(decision.classes)
    needed = vote_bytes(members, classes, (height, width)) + track.form.write_bytes(classes, (height, width))
    what = f"{counted(members, 'member')}, {counted(classes, 'class', 'classes')} of {height}x{width} (rows x columns)"
    in_all = peak_memory_mb() + needed / MB
    say(f"voting: {what}: about {in_all:.0f} MB of memory, {needed / MB:.0f} MB of them for the vote")


def _open_test_map(folder: Path, entry: Entry) -> OpenedMap:
    opened = open_map(folder, entry.sample)
    if opened.shape[1:] != (entry.height, entry.width):
        what = (
            f"the map has {size_text(opened.shape[1:])} pixels, image {entry.name} has "
            f"{entry.height}x{entry.width} (rows x columns)"
        )
        raise CompetitionError(what, opened.path, "Predict the image again at its native size")
    return opened


def _voted_table(
    track: Track, decision: Decision, folders: Sequence[Path], entries: Sequence[Entry]
) -> NDArray[np.float64]:
    """Return what is submitted (n, C), by the decision's rule."""
    samples = [entry.sample for entry in entries]
    tables = np.stack([read_scores(folder, samples, track.classes) for folder in folders])
    if decision.combine == "rank":
        what = track.classes[0] if decision.rule is None else "every class"
        say(f"{what}: the mean of ranks among these {len(samples)} samples, comparable only within them")
    return vote_tables(decision, tables, track.one_of_classes).outputs


def _validate(track: Track, path: Path, entries: Sequence[Entry]) -> None:
    """Validate the written file as ``./run.sh check`` does; an invalid one is never copied or recorded."""
    result = track.form.check(path, track.classes, KnownImages([entry.name for entry in entries], _sizes(entries)))
    for warning in result.warnings:
        say(f"warning: {warning}")
    if not result.ok:
        raise CompetitionError(f"invalid submission ({result.errors[0].removesuffix('.')})", path)
    say(f"submission is valid: {counted(result.rows, track.form.unit.removesuffix('s'))}")


def score_phantom(track: Track, manifest: Manifest, path: Path) -> float:
    """Return the score on synthetic test samples, whose truth is known."""
    place, entries = manifest.data_root / PHANTOMS[track.name].truth, manifest.of("test")
    sizes = _sizes(entries)
    images = KnownImages(sizes=sizes, groups={entry.name: entry.group for entry in entries})
    truth = place if place.is_file() else LabelFolder(track, place, sizes=sizes)
    return track.form.score(path, truth, track.classes, images, track.metric).score


def _sizes(entries: Sequence[Entry]) -> dict[str, tuple[int, int]]:
    return {entry.name: (entry.height, entry.width) for entry in entries}


def leaderboard_row(
    submission_id: str, moment: datetime, decision: Decision, decision_file: Path, path: Path, test_score: float | None
) -> Row:
    """Return the row of the submission at ``path``; ``test_score`` is on test samples whose truth is known."""
    scores = decision.scores
    return Row(
        id=submission_id,
        time=moment.isoformat(timespec="seconds"),
        track=decision.track,
        phantom=decision.dataset.startswith(PHANTOM),
        members="+".join(member.with_folds() for member in decision.members),
        weights=_written_weights(decision),
        cv_fold_mean=scores.fold_mean,
        cv_fold_sd=scores.fold_sd,
        cv_oof=scores.oof,
        cv_crossfit=scores.oof_crossfit,
        cv_low=scores.interval_low,
        cv_high=scores.interval_high,
        cv_reweighted=scores.oof_reweighted,
        test_score=test_score,
        git_commit=git_commit(),
        config_hash=hashlib.sha256(decision_file.read_bytes()).hexdigest()[:10],
        file_sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def _written_weights(decision: Decision) -> str:
    """Return the members' weights joined by "+"; for class groups "fingers 0.5+0.5, carpals 1+0"."""

    def joined(weights: Iterable[int]) -> str:
        return "+".join(f"{weight / 1000:g}" for weight in weights)

    groups = decision.class_groups.items()
    by_group = [f"{name} {joined(group.weights[m.name] for m in decision.members)}" for name, group in groups]
    return ", ".join(by_group) or joined(decision.weights())

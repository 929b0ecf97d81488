"""The images to look at next: test images on which the members disagree, or training images that are unsure."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from competition.console import progress
from competition.data.cache import read_cached_image
from competition.data.grid import grid_size, resize_image
from competition.data.manifest import Entry
from competition.drawing.outlines import as_rgb, outline
from competition.ensembling.segmentation.postprocessing import SURE_LEVEL
from competition.ensembling.voting.masks import vote_image
from competition.errors import CompetitionError
from competition.masks.bit_planes import set_class
from competition.prediction.histograms import LEVELS
from competition.prediction.opened_maps import ClassMap, open_map
from competition.prediction.probability_maps import HALF_LEVEL, index_file, read_index, read_scores
from competition.reporting.case_pictures import differing_picture
from competition.reporting.ensemble.agreement import mask_dice
from competition.reporting.inputs import ReportInputs, spread_within
from competition.reporting.page import Figure, html_table
from competition.reporting.pictures import gallery
from competition.reporting.results.vote_histograms import vote_histograms
from competition.reporting.sample_pictures import COLOURS, patient_picture, titled
from competition.runs.imports.member import imported_test_maps
from competition.runs.members import Member, is_imported, split_member

SHOWN, LISTED = 8, 20
BUDGET = 1_000_000_000
"""Values of test maps that are read: some five seconds."""
UNSURE_LEVELS = slice(LEVELS - 1 - SURE_LEVEL, SURE_LEVEL + 1)
"""Probability 0.2 to 0.8."""
SIDE = 360
FIND_MORE = "Look at the first ones: images like them are rare in the training set, so find more of them."
CHECK_LABEL = "Look at the first ones: where a label is right, images like them are rare in the training set."


@dataclass(frozen=True)
class Ranking:
    """Samples in the order in which they should be looked at.

    Attributes:
        entries: All that were compared, the most doubtful first.
        doubt: (n,) 0 to 1, of ``entries``.
        measure: What ``doubt`` is, in a word or two.
        meaning: The same as a sentence, and what to do about it.
    """

    entries: Sequence[Entry]
    doubt: NDArray[np.float64]
    measure: str
    meaning: str


def images_to_look_at(inputs: ReportInputs) -> list[Figure]:
    """Return the most doubtful samples as a gallery and a table.

    Raises:
        CompetitionError: There is no decision, its data has changed, or a member has not predicted the test set.
    """
    several = len(inputs.decision.members) > 1
    test = inputs.manifest.of("test")
    if several and test:
        folders = [test_folder(inputs, member, test) for member in inputs.decision.members]
        ranking = _members_disagree(inputs, folders, test)
    else:
        folders = []
        ranking = _unsure(inputs)
    items = []
    for entry, doubt in list(zip(ranking.entries, ranking.doubt, strict=True))[:SHOWN]:
        items.append((_picture(inputs, entry, folders), f"{titled(entry)}: {ranking.measure} {doubt:.3f}"))
    table = pd.DataFrame(
        {
            "sample": [entry.sample for entry in ranking.entries],
            "name": [entry.name for entry in ranking.entries],
            "group": [entry.group for entry in ranking.entries],
            ranking.measure: ranking.doubt,
        }
    )
    sentence = f"{ranking.meaning} The CSV ranks all {len(table):,}."
    body = gallery(items) + html_table(table.head(LISTED))
    return [Figure("look-next", "The images to look at next", sentence, body, table)]


def test_folder(inputs: ReportInputs, member: Member, entries: Sequence[Entry]) -> Path:
    """Return the folder of a member's stored predictions of the prepared test set.

    Raises:
        CompetitionError: It has not predicted them yet.
    """
    workspace, run = inputs.workspace, split_member(member.name)[0]
    if is_imported(workspace, member.name):
        return imported_test_maps(workspace, member, entries)
    wanted = {entry.sample for entry in entries}
    folders = sorted(workspace.test_maps_folder(run, "*").parent.glob("*"))
    for folder in folders:
        if not index_file(folder).exists():
            continue
        index = read_index(folder, f"Delete {folder} and run ./run.sh ensemble")
        made = index.made_by
        same = made.get("folds") == list(member.folds) and made.get("config_hash") == member.config_hash
        if same and wanted <= set(index.samples):
            return folder
    name = inputs.decision_file.parent.name if inputs.decision_file is not None else ""
    raise CompetitionError(
        f"member {member.name!r} has not predicted the test images yet, on which members could disagree",
        workspace.run_folder(run),
        f"Run ./run.sh ensemble --decision {shlex.quote(name)}",
    )


def _members_disagree(inputs: ReportInputs, folders: Sequence[Path], entries: Sequence[Entry]) -> Ranking:
    """Rank test samples by the distance of the members' masks, or of their probabilities."""
    members, classes = len(folders), inputs.track.classes
    if inputs.track.task == "classification":
        samples = [entry.sample for entry in entries]
        tables = np.stack([read_scores(folder, samples, classes[: inputs.shown_classes]) for folder in folders])
        spread = (tables.max(axis=0) - tables.min(axis=0)).max(axis=1)
        of = f"of {classes[0]}" if inputs.located else "of any class"
        meaning = f"Test samples by how far apart the {members} members' probabilities {of} lie (0 to 1)."
        return _ranked(entries, spread, "distance", f"{meaning} {FIND_MORE}")
    some = spread_within(entries, members * len(classes), BUDGET)
    voters, doubt = inputs.decision.voters(), []
    with progress("disagreement", len(some)) as ticker:
        for entry in some:
            dice = mask_dice(_test_maps(folders, entry), voters)
            doubt.append(1 - float(np.nanmean(dice[np.triu_indices(members, 1)])))
            ticker.advance(entry.name)
    which = "" if len(some) == len(entries) else f" ({len(some)} of {len(entries):,}, evenly spread)"
    drawn = ", ".join(
        f"{member.name} {colour}" for member, colour in zip(inputs.decision.members, COLOURS, strict=False)
    )
    meaning = (
        f"Test images{which} by 1 less the mean Dice between the members' masks ({drawn}). On the right is the framed "
        f"part, where they differ most. {FIND_MORE}"
    )
    return _ranked(some, np.array(doubt), "disagreement", meaning)


def _unsure(inputs: ReportInputs) -> Ranking:
    """Rank training samples by how unsure their out-of-fold prediction is."""
    why = "the folds' predictions of single test images are not stored"
    if not inputs.manifest.of("test"):
        why = "no test images are prepared"
    if inputs.track.task == "classification":
        probabilities = inputs.combined.probs[:, : inputs.shown_classes]
        if inputs.track.one_of_classes:
            second, first = np.sort(probabilities, axis=1)[:, -2:].T
            doubt, near = 1 - (first - second), "the two most probable classes lie (1 is equal)"
        else:
            doubt = (1 - np.abs(2 * probabilities - 1)).max(axis=1)
            near = "their out-of-fold probability lies to 0.5 (1 is 0.5)"
        meaning = f"Training samples by how near {near}, because {why}."
        return _ranked(inputs.tuning.entries, doubt, "doubt", f"{meaning} {CHECK_LABEL}")
    found = vote_histograms(inputs)
    meaning = (
        "Training images, the vote outlined in blue, by the share of their predicted area whose out-of-fold "
        f"probability lies between 0.2 and 0.8, because {why}. {CHECK_LABEL}"
    )
    return _ranked(found.entries, unsure_share(found.histograms), "unsure share", meaning)


def unsure_share(histograms: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return, for images with histograms (n, C, 2, 256), unsure pixels among those with at least probability 0.2."""
    pixels = histograms[:, :, 0].sum(axis=1)
    unsure = pixels[:, UNSURE_LEVELS].sum(axis=1)
    area = pixels[:, UNSURE_LEVELS.start :].sum(axis=1)
    share: NDArray[np.float64] = np.divide(unsure, area, out=np.zeros(len(pixels)), where=area > 0)
    return share


def _ranked(entries: Sequence[Entry], doubt: NDArray[np.float64], measure: str, meaning: str) -> Ranking:
    order = np.argsort(-doubt, kind="stable")
    return Ranking([entries[index] for index in order], doubt[order], measure, meaning)


def _picture(inputs: ReportInputs, entry: Entry, folders: Sequence[Path]) -> NDArray[np.uint8]:
    """Return a sample: all views, or an image with the masks of each member, or with the vote."""
    if inputs.track.task == "classification":
        return patient_picture(inputs.track, inputs.workspace, entry)
    image = read_cached_image(inputs.workspace, entry.sample, inputs.track.views[0])
    voters, members = inputs.decision.voters(), inputs.decision.members
    if not folders:
        held_out = [open_map(folder_of[entry.sample], entry.sample) for folder_of in inputs.tuning.folders]
        weights = voters.weights_by_class(inputs.decision.class_weights())
        planes = vote_image(held_out, voters, weights, inputs.decision.level_array())
        picture = as_rgb(resize_image(image, grid_size(image.shape[:2], SIDE)))
        outline(picture, planes, len(voters.rows), colour_of_all=COLOURS["blue"])
        return picture
    maps, drawn = _test_maps(folders, entry), []
    for position, colour in zip(range(len(members)), COLOURS.values(), strict=False):
        alone = 1000 * np.eye(len(members), dtype=np.int64)[position]
        planes = vote_image(maps, voters, voters.weights_by_class(alone), [HALF_LEVEL] * len(voters.rows))
        for index in np.flatnonzero(voters.rows[:, position] < 0).tolist():  # the others voted on it
            set_class(planes, index, np.zeros(planes.shape[:2], dtype=np.bool_))
        drawn.append((planes, colour))
    return differing_picture(image, drawn, len(voters.rows))


def _test_maps(folders: Sequence[Path], entry: Entry) -> list[ClassMap]:
    return [open_map(folder, entry.sample) for folder in folders]

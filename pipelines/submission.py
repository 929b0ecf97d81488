"""The submission of a vote: written in the organiser's form, checked, and scored where the truth is known."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.console import progress, say
from competition.data.manifest import Entry, Manifest
from competition.delivery.scoring import score_rle, score_table, truth_from_folder
from competition.delivery.submissions import ID_COLUMN, read_table_csv, write_rle_csv, write_table_csv
from competition.delivery.validator import check_rle_submission, check_table_submission
from competition.ensembling.decision import Decision
from competition.ensembling.postprocessing import apply
from competition.ensembling.voting import blend, blend_scores, decide
from competition.errors import CompetitionError
from competition.imaging.runlengths import encode_planes
from competition.prediction.probability_maps import read_map, read_scores
from competition.reporting.contact_sheet import outlined_tile, spread, tile_sheet, write_png
from competition.tracks.phantoms import PHANTOMS
from competition.tracks.track import Track
from competition.workspace import Workspace


def write_submission(
    track: Track, decision: Decision, prepared: Workspace, folders: Sequence[Path], entries: Sequence[Entry], path: Path
) -> None:
    """Votes and writes, image by image, then checks the file.

    Args:
        track: Its submission form.
        decision: Weights, thresholds and post-processing.
        prepared: Where the cached test images are.
        folders: Each member's test maps (or scores), in the decision's order.
        entries: The test samples, in the organiser's order.
        path: The file to write; a picture of some votes on images is put beside it.

    Raises:
        CompetitionError: A member lacks a sample, or the organiser would refuse the file.
    """
    if track.submission == "rle":
        with progress("voting", len(entries)) as ticker:
            preview: list[NDArray[np.uint8]] = []
            rows = _voted_rows(track, decision, prepared, folders, entries, preview)
            write_rle_csv(path, ticker.ticking(rows, len(track.classes)))
        write_png(path.with_name("preview.png"), tile_sheet(preview))
    else:
        names = [entry.name for entry in entries]
        write_table_csv(path, ID_COLUMN, names, track.classes, _voted_table(track, decision, folders, entries))
    _validate(track, path, entries)


def _voted_rows(
    track: Track,
    decision: Decision,
    workspace: Workspace,
    folders: Sequence[Path],
    entries: Sequence[Entry],
    preview: list[NDArray[np.uint8]],
) -> Iterator[tuple[str, str, str]]:
    """Submission rows, one image in memory at a time; small pictures of some of them are added to ``preview``."""
    shown = {entry.sample for entry in spread(entries)}
    for entry in entries:
        maps = [read_map(folder, entry.sample) for folder in folders]
        planes = apply(decide(blend(maps, decision.weights()), decision.cut_array()), decision.operation_list())
        if entry.sample in shown:
            preview.append(outlined_tile(workspace, track, entry, planes))
        for name, rle in zip(track.classes, encode_planes(planes, len(track.classes)), strict=True):
            yield entry.name, name, rle


def _voted_table(
    track: Track, decision: Decision, folders: Sequence[Path], entries: Sequence[Entry]
) -> NDArray[np.float64]:
    """(n, C): the first class as a probability, the others cut at their thresholds."""
    samples = [entry.sample for entry in entries]
    probs = blend_scores([read_scores(folder, samples, track.classes) for folder in folders], decision.weights())
    thresholds = np.array([decision.thresholds[name] for name in track.classes[1:]])
    return np.column_stack([probs[:, 0], probs[:, 1:] > thresholds])


def _validate(track: Track, path: Path, entries: Sequence[Entry]) -> None:
    """Checks the written file as ``./run.sh check`` would; a file that fails is never copied or entered."""
    names = [entry.name for entry in entries]
    if track.submission == "rle":
        sizes = {entry.name: (entry.height, entry.width) for entry in entries}
        result = check_rle_submission(path, track.classes, None, names, sizes)
    else:
        result = check_table_submission(path, ID_COLUMN, track.classes, names)
    for warning in result.warnings:
        say(f"warning: {warning}")
    if not result.ok:
        raise CompetitionError(f"the organiser would refuse this submission ({result.errors[0]})", path)
    say(f"validated: {result.rows} rows, nothing speaks against handing it in")


def score_phantom(track: Track, manifest: Manifest, path: Path) -> float:
    """The score on drawn test samples, whose truth is known; real organisers keep theirs."""
    truth = manifest.data_root / PHANTOMS[track.name].truth
    if track.submission == "table":
        return score_table(path, read_table_csv(truth, ID_COLUMN, track.classes), track.classes).score
    entries = manifest.of("test")
    sizes = {entry.name: (entry.height, entry.width) for entry in entries}
    labels, _ = truth_from_folder(track, truth, [entry.name for entry in entries], None, sizes)
    return score_rle(path, labels, track.classes, sizes).score

"""Imported members: another team's predictions, checked and kept as an ordinary run without checkpoints."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from competition.console import Ticker, progress, say
from competition.data.cache import read_cached_planes
from competition.data.folds import FULL, Fold, Folds, find_folds
from competition.data.manifest import Entry, data_hash, read_manifest
from competition.errors import CompetitionError
from competition.files import whole_folder, write_sealed_json
from competition.formats.json_files import read_json
from competition.masks.bit_planes import select_classes
from competition.names import check_run_name
from competition.prediction.histograms import histograms_file, image_histogram, save_histograms
from competition.prediction.probability_maps import MapFolder, read_index, write_index, write_map, write_scores
from competition.runs.finished import write_finished
from competition.runs.imports.folds import match_folds, read_imported_folds
from competition.runs.imports.predictions import FoundPredictions, files_hash, open_imported_maps, read_imported_scores
from competition.runs.members import Member
from competition.runs.out_of_fold_scores import stored_score
from competition.text import nearest_hint
from competition.tracks.track import Track
from competition.training.checkpoints import Identity
from competition.workspace import IMPORTED, Workspace, out_of_fold_folder

AGAIN = "Import it again with --force"


@dataclass(frozen=True)
class Imported:
    """What an imported member was made from; the import is done again only where this differs."""

    content_hash: str  # of their files and their classes, in place of the hash of an experiment
    folds: tuple[Fold, ...]  # ours whose groups theirs held out; FULL alone without out-of-fold predictions
    fold_hash: str  # of the current fold file
    data_hash: str  # of the training samples
    pictures: dict[str, str]  # test sample they predicted -> hash of its picture


def write_imported(path: Path, imported: Imported) -> None:
    """Write imported.json, whole or not at all."""
    write_sealed_json(path, asdict(imported))


def read_imported(workspace: Workspace, run: str) -> Imported:
    """Read what an imported member was made from.

    Raises:
        CompetitionError: It is not what ``write_imported`` writes.
    """
    path = workspace.imported_file(run)
    stored = read_json(path, AGAIN)
    try:
        return Imported(**stored | {"folds": tuple(stored["folds"])})
    except (KeyError, TypeError) as error:
        raise CompetitionError("this does not describe an imported member", path, AGAIN) from error


@dataclass(frozen=True)
class ImportedPredictions:
    """Another team's predictions, checked and not yet read."""

    name: str
    track: Track
    workspace: Workspace
    folds: Folds  # the current fold file
    classes: tuple[str, ...]  # of their arrays, in their order
    training: list[Entry]  # the prepared training samples
    held_out: dict[int, list[Entry]]  # our fold -> samples it holds out, as theirs did; empty without --oof
    test: list[Entry]  # the test samples they predicted
    oof: FoundPredictions  # their out-of-fold predictions
    late: FoundPredictions  # their predictions of the test samples

    def kept_classes(self) -> tuple[str, ...]:
        """Return their classes in the track's order, in which they are kept."""
        return tuple(name for name in self.track.classes if name in self.classes)

    def voting(self) -> tuple[Fold, ...]:
        """Return our folds that they represent; without out-of-fold predictions one that is never scored."""
        return tuple(self.held_out) or (FULL,)


def open_import(
    track: Track,
    workspace: Workspace,
    name: str,
    oof: Sequence[Path] = (),
    folds: Path | None = None,
    test: Path | None = None,
    classes: Sequence[str] | None = None,
) -> ImportedPredictions:
    """Find all predictions and check all that can be checked before a map is read.

    Args:
        track: What is competed in.
        workspace: Of the data set.
        name: What the member is called.
        oof: Out-of-fold predictions, as ``open_imported_maps`` or ``read_imported_scores`` take them.
        folds: CSV of the folds that ``oof`` is of.
        test: Predictions of the test images.
        classes: Of the arrays, in their order; None means the track's.

    Raises:
        CompetitionError: The name is taken, nothing is given, or what is given doesn't fit the prepared data.
    """
    check_run_name(name)
    folder = workspace.run_folder(name)
    if folder.exists() and not workspace.imported_file(name).exists():
        raise CompetitionError(f"the name {name!r} is taken by a trained run", folder, "Give another --name")
    if not oof and not test:
        raise CompetitionError("nothing to import: neither --oof nor --test is given")
    if bool(oof) != bool(folds):
        raise CompetitionError("--oof and --folds go together: the folds show what each model has learned from")
    manifest = read_manifest(workspace, track)
    training, test_samples = manifest.of("train"), manifest.of("test") if test else []
    if test and not test_samples:
        raise CompetitionError("the prepared data has no test images", workspace.manifest_file(), "Leave out --test")
    current = find_folds(workspace)
    assert current is not None  # a prepared data set has a fold file
    matched = match_folds(read_imported_folds(folds, training), folds, current, training) if folds else []
    held_out = {fold: current.held_out(training, fold) for fold in matched}
    named = _check_classes(track, classes)
    read = read_imported_scores if track.task == "classification" else open_imported_maps
    return ImportedPredictions(
        name=name,
        track=track,
        workspace=workspace,
        folds=current,
        classes=named,
        training=training,
        held_out=held_out,
        test=test_samples,
        oof=read(oof, named, [entry for entries in held_out.values() for entry in entries], track.form),
        late=read([test] if test else [], named, test_samples, track.form),
    )


def _check_classes(track: Track, names: Sequence[str] | None) -> tuple[str, ...]:
    if names is None:
        return track.classes
    for name in names:
        if name not in track.classes or names.count(name) > 1:
            what = "appears twice" if name in track.classes else f"is unknown{nearest_hint(name, track.classes)}"
            raise CompetitionError(f"--classes: {name!r} {what}")
    if track.task == "classification" and len(names) < len(track.classes):
        raise CompetitionError(f"--classes: a member of a classification predicts all {len(track.classes)} classes")
    return tuple(names)


def import_member(found: ImportedPredictions, force: bool) -> None:
    """Write predictions as a member of tune and ensemble, unless that was done before.

    Raises:
        CompetitionError: Another import has that name and ``force`` is not set, or a map can't be used.
    """
    imported = Imported(
        content_hash=files_hash([*found.oof.files, *found.late.files], ",".join(found.classes)),
        folds=found.voting(),
        fold_hash=found.folds.hash(),
        data_hash=data_hash(found.training),
        pictures={entry.sample: entry.pixels for entry in found.test},
    )
    folder = found.workspace.run_folder(found.name)
    if force or not folder.exists():
        _write_member(found, imported)
        return
    if read_imported(found.workspace, found.name) != imported:
        raise CompetitionError(
            f"{found.name!r} was imported before from other files or for other folds", folder, "--force replaces it"
        )
    say(f"{found.name}: already imported and unchanged (--force imports it again)")


def _write_member(found: ImportedPredictions, imported: Imported) -> None:
    """Write the member, whole or not at all."""
    workspace = found.workspace
    samples = sum(map(len, found.held_out.values())) + len(found.test)
    made_by = {"imported": imported.content_hash}
    with (
        whole_folder(workspace.run_folder(found.name), IMPORTED) as part,
        progress(f"importing {found.name}", samples) as ticker,
    ):
        for fold, entries in found.held_out.items():
            folder = out_of_fold_folder(workspace.fold_folder(part.name, fold))
            _write(found, folder, entries, found.oof, made_by, ticker)
        if found.test:
            _write(found, workspace.imported_test_folder(part.name), found.test, found.late, made_by, ticker)
        # The marks of finished folds come last: no reader takes an interrupted import for a run.
        write_imported(workspace.imported_file(part.name), imported)
        for voting in imported.folds:
            identity = Identity(
                dataset=workspace.dataset,
                classes=found.kept_classes(),
                config_hash=imported.content_hash,
                fold_hash=imported.fold_hash,
                data_hash=imported.data_hash,
                fold=voting,
            )
            write_finished(workspace.fold_folder(part.name, voting), identity)


def _write(
    found: ImportedPredictions,
    folder: Path,
    entries: Sequence[Entry],
    predictions: FoundPredictions,
    made_by: dict[str, Any],
    ticker: Ticker,
) -> None:
    """Write predictions in our form, one image in memory at a time, with histograms where the truth is known."""
    kept, samples = found.kept_classes(), [entry.sample for entry in entries]
    if found.track.task == "classification":
        write_scores(folder, samples, found.classes, np.stack([predictions.read[sample]() for sample in samples]))
    else:
        order = [found.classes.index(name) for name in kept]
        bits = [found.track.classes.index(name) for name in kept]
        histograms = []
        for entry in entries:
            values = predictions.read[entry.sample]()[order]
            write_map(folder, entry.sample, values)
            if entry.split == "train":
                truth = select_classes(read_cached_planes(found.workspace, entry.sample), bits)
                histograms.append(image_histogram(values, truth))
            ticker.advance(entry.sample)
        if histograms:
            save_histograms(histograms_file(folder), samples, np.stack(histograms))
    write_index(folder, MapFolder(kept, tuple(samples), made_by))


def imported_scores(found: ImportedPredictions) -> dict[int, float]:
    """Return fold -> score of what was imported, Dice or AUROC at threshold 0.5."""
    track = replace(found.track, classes=found.kept_classes())
    folders = {fold: found.workspace.fold_folder(found.name, fold) for fold in found.held_out}
    return {fold: stored_score(track, out_of_fold_folder(folders[fold]), found.held_out[fold]) for fold in folders}


def imported_test_maps(runs: Workspace, member: Member, entries: Sequence[Entry]) -> Path:
    """Return the folder of an imported member's test maps, or scores; there is one of each for all of its folds.

    Raises:
        CompetitionError: It is not the one that was tuned, only some of its folds are to vote, or it has not predicted
            a sample.
    """
    imported, place = read_imported(runs, member.name), runs.run_folder(member.name)
    if imported.content_hash != member.config_hash:
        raise CompetitionError(
            f"member {member.name!r} was imported again since it was tuned", place, "Run ./run.sh tune"
        )
    if imported.folds != member.folds:
        what = (
            f"member {member.name!r} was imported with one prediction of each test sample, so its folds can't vote "
            "alone"
        )
        raise CompetitionError(what, place, "Leave out --folds")
    folder = runs.imported_test_folder(member.name)
    if missing := [entry.sample for entry in entries if imported.pictures.get(entry.sample) != entry.pixels]:
        what = (
            f"member {member.name!r} was imported and has not predicted {len(missing)} of these {len(entries)} test "
            f"images (first: {missing[0]})"
        )
        raise CompetitionError(what, folder, "Import it again with predictions of them as --test, or tune without it")
    read_index(folder, AGAIN)
    return folder

"""The report's first part: the data as the pipeline reads it, and what may be wrong with it."""

from collections.abc import Sequence

from competition.data.checks.label_maps import map_labels
from competition.data.evenly_spread import spread
from competition.data.folds import Folds, find_folds
from competition.data.manifest import Entry, Manifest
from competition.ensembling.decision import Decision
from competition.ensembling.segmentation.true_objects import TrueObjects, read_drawn_labels
from competition.ensembling.tuning_data import TuningData
from competition.errors import CompetitionError
from competition.reporting.image_figures import fold_figure, image_figure
from competition.reporting.inputs import ReportInputs
from competition.reporting.label_figures import overlap_figure, position_figure, prevalence_figure, size_figure
from competition.reporting.page import Figure, Section
from competition.reporting.parts import section_of
from competition.reporting.pictures import gallery
from competition.reporting.sample_pictures import outlined_picture, patient_picture, positive_classes, titled
from competition.reporting.suspicion_figures import (
    exact_duplicate_figure,
    near_duplicate_figure,
    shortcut_figure,
    suspicion_figure,
)
from competition.review.suspicious_labels import find_suspicious
from competition.tracks.track import Track
from competition.workspace import Workspace

SHOWN_SAMPLES, SHOWN_PATIENTS = 12, 8
MOST_READ = 500
"""Labels that are read for positions and overlaps: 7 seconds at 29 classes of 1024x1024."""


def data_section(inputs: ReportInputs) -> Section:
    """Describe the data; out-of-fold predictions help to find suspicious labels where there is a decision."""
    return section_of("data", "The data", inputs, [_figures_of])


def _figures_of(inputs: ReportInputs) -> Sequence[Figure]:
    manifest, folds = inputs.manifest, find_folds(inputs.workspace)
    if folds is None:
        raise CompetitionError("there is no fold file", inputs.workspace.fold_file(), "Run ./run.sh prepare")
    try:
        data, decision = inputs.tuning, inputs.decision
    except CompetitionError:  # the section on results says why there are none
        data, decision = None, None
    return data_figures(inputs.track, inputs.workspace, manifest, folds, data, decision, inputs.true_objects)


def data_figures(
    track: Track,
    workspace: Workspace,
    manifest: Manifest,
    folds: Folds,
    data: TuningData | None = None,
    decision: Decision | None = None,
    objects: TrueObjects | None = None,
) -> list[Figure]:
    """Describe the data of a track.

    Most comes from the manifest. At most 500 labels are read, and images of 6 gigapixels for near duplicates, so that
    10,000 images take under a minute.

    Args:
        track: The competition.
        workspace: Where the cache is.
        manifest: All samples.
        folds: Of the training samples.
        data: The out-of-fold predictions of the members of ``decision`` (``review.out_of_fold.open_decided``); None
            where nothing is tuned.
        decision: What the labels are compared with.
        objects: Of the labels (``find_true_objects``), to outline each by itself; None outlines masks.

    Raises:
        CompetitionError: A cached file or a prediction is missing or damaged.
    """
    training = manifest.of("train")
    figures = [_samples(track, workspace, training, objects)]
    maps = None
    if track.task == "segmentation":
        maps = map_labels(track, workspace, spread(training, MOST_READ))
        figures += [size_figure(track, training), position_figure(track, maps)]
        if len(track.classes) > 1:
            figures.append(overlap_figure(track, maps))
    figures += [prevalence_figure(track, training), image_figure(track, manifest.entries)]
    figures += [fold_figure(track, training, folds), exact_duplicate_figure(track, manifest.entries)]
    figures.append(near_duplicate_figure(track, workspace, manifest.entries))
    if (shortcut := shortcut_figure(training, folds)) is not None:
        figures.append(shortcut)
    ranked = find_suspicious(track, training, maps, data, decision)
    figures.append(suspicion_figure(track, workspace, training, ranked, data, decision))
    return figures


def _samples(track: Track, workspace: Workspace, training: Sequence[Entry], objects: TrueObjects | None) -> Figure:
    """Return some samples as they are read, with their labels."""
    masks, several = track.task == "segmentation", len(track.views) > 1
    items = []
    for entry in spread(training, SHOWN_PATIENTS if several else SHOWN_SAMPLES):
        caption = titled(entry)
        if masks:
            planes = read_drawn_labels(track, workspace, entry.sample, objects)
            caption += "" if planes.any() else ", nothing labelled"
            items.append((outlined_picture(track, workspace, entry, planes), caption))
        else:
            absent = [view for view, present in zip(track.views, entry.present, strict=True) if not present]
            missing = f"; without {', '.join(absent)}" if absent else ""
            picture = patient_picture(track, workspace, entry)
            items.append((picture, f"{caption}: {positive_classes(track, entry)}{missing}"))
    what, fault = ("with their positive classes", "an image is upside down or belongs to another patient")
    if masks:
        what, fault = ("with their labels outlined", "an outline lies beside its object or an image is upside down")
    sentence = (
        f"Training samples spread evenly over the data, {what}, as the pipeline reads them. If {fault}, correct that "
        "first: every later figure depends on it."
    )
    return Figure("samples", "Samples", sentence, gallery(items))

"""The report's second part: what the network sees of the data after preprocessing, augmentation and shrinking."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from competition.data.boxes import Box
from competition.data.cache import read_cached_image, read_label_planes
from competition.data.datasets import Drawn, TrainingSet
from competition.data.evenly_spread import spread
from competition.data.grid import grid_size, oversampling, picture_on_grid, resize_image
from competition.data.manifest import Entry
from competition.data.preprocessing import by_grid, preprocess
from competition.drawing.outlines import as_rgb, outline
from competition.errors import CompetitionError
from competition.masks.bit_planes import class_areas, sample_planes, unpack_class, unpack_planes
from competition.masks.soft_targets import soft_targets
from competition.reporting.inputs import ReportInputs
from competition.reporting.page import Figure, Section
from competition.reporting.parts import section_of
from competition.reporting.sample_pictures import strips, surroundings, tiled
from competition.runs.members import finished_folds, is_imported, split_member, trained_runs
from competition.runs.roi_run import find_boxes
from competition.runs.run import Run, first_stage, open_run
from competition.settings import load_experiment
from competition.text import shortened_middle, size_text
from competition.workspace import settings_file

DRAWS = 6
SHOWN_SAMPLES = 3
SHOWN_VIEWS = 4
SIDE = 180
"""Pixels of one draw."""

ENLARGED = 320
"""Pixels of a part that is enlarged to show single pixels."""


def network_input_section(inputs: ReportInputs) -> Section:
    """Show what the heaviest trained member's experiment, or that of the first run, makes of some training samples."""
    return section_of("input", "What the network sees", inputs, [lambda inputs: input_figures(_shown_run(inputs))])


def _shown_run(inputs: ReportInputs) -> Run:
    workspace = inputs.workspace
    if inputs.decision_file is None:
        names = trained_runs(workspace)
    else:
        members = sorted(inputs.decision.members, key=lambda member: -member.weight)
        names = [split_member(member.name)[0] for member in members]
    trained = [name for name in names if not is_imported(workspace, name) and finished_folds(workspace, name)]
    if not trained:
        raise CompetitionError("no run is trained yet", repair="Run ./run.sh train")
    fold = finished_folds(workspace, trained[0])[0]
    experiment = load_experiment(settings_file(workspace.fold_folder(trained[0], fold)))
    return open_run(trained[0], inputs.track, workspace, experiment)


def input_figures(run: Run) -> list[Figure]:
    """Show what a run's experiment makes of some training samples.

    Raises:
        CompetitionError: A cached file is missing, or the run that gives the boxes can't be used.
    """
    shown = spread(run.learned(), SHOWN_SAMPLES)
    stage = first_stage(run)
    boxes = None if stage is None else find_boxes(stage, stage.folder_of, shown)
    figures = [_augmentations(run, shown, boxes)]
    if run.experiment.data.preprocess:
        figures.append(_preprocessing(run, shown))
    figures.append(_training_grid(run, shown[0], boxes))
    if run.track.task == "segmentation":
        labelled = [entry for entry in shown if any(entry.targets)]
        if labelled:
            figures.append(_soft_targets(run, labelled[0], boxes))
    return figures


def _augmentations(run: Run, shown: Sequence[Entry], boxes: Mapping[str, Box] | None) -> Figure:
    drawing = TrainingSet(shown, run.workspace, run.track, run.experiment, boxes=boxes)
    items = []
    for index, entry in enumerate(shown):
        draws = [drawing[index, seed] for seed in range(DRAWS)]
        views = [number for number, present in enumerate(entry.present) if present]
        rows = spread(views, SHOWN_VIEWS)
        tiles = [_drawn_picture(draw, view, len(run.track.classes)) for view in rows for draw in draws]
        names = ", ".join(run.track.views[view] for view in rows) if len(run.track.views) > 1 else ""
        items.append((tiled(tiles, DRAWS), f"{shortened_middle(entry.name)}{': ' if names else ''}{names}"))
    data = run.experiment.data
    more = [f"flip {'on' if data.flip else 'off'}"]
    more += [f"copy-paste in {data.copy_paste:.0%} of the draws"] if data.copy_paste else []
    more += [f"crops of {data.crop} pixels"] if data.crop else []
    rows_are = " Each row is a view." if len(run.track.views) > 1 else ""
    fits = ", and every outline should still fit" if run.track.task == "segmentation" else ""
    sentence = (
        f"The same samples drawn {DRAWS} times for training by the augmentation {data.augmentation!r} "
        f"({', '.join(more)}).{rows_are} Every picture should be one that a scanner could have made on another "
        f"day{fits}; if not, choose a weaker data.augmentation."
    )
    return Figure("augmentations", "Augmentations", sentence, strips(items))


def _drawn_picture(draw: Drawn, view: int, classes: int) -> NDArray[np.uint8]:
    image = draw.images[view].transpose(1, 2, 0)
    image = image[..., 0] if image.shape[2] == 1 else image
    picture = as_rgb(resize_image(np.ascontiguousarray(image), grid_size((image.shape[0], image.shape[1]), SIDE)))
    if draw.planes is not None:
        outline(picture, draw.planes, classes)
    square = np.zeros((SIDE, SIDE, 3), np.uint8)
    square[: picture.shape[0], : picture.shape[1]] = picture
    return square


def _preprocessing(run: Run, shown: Sequence[Entry]) -> Figure:
    native, on_grid = by_grid(run.experiment.data.preprocess)
    size, items = run.experiment.data.size, []
    for entry in shown:
        view = entry.present.index(True)
        before = read_cached_image(run.workspace, entry.sample, run.track.views[view])
        after = picture_on_grid(preprocess(before, native), size, 1, on_grid)
        pair = [
            as_rgb(resize_image(image, grid_size((before.shape[0], before.shape[1]), SIDE * 2)))
            for image in (before, after)
        ]
        items.append((tiled(pair, 2), f"{shortened_middle(entry.name)}: before and after"))
    names = ", ".join(run.experiment.data.preprocess)
    sentence = (
        f"Images before and after the preprocessing ({names}), which is the same in training and at inference. What "
        "you look for in an image should be easier to see, and nothing of it should be lost."
    )
    return Figure("preprocessing", "Preprocessing", sentence, strips(items))


def _training_grid(run: Run, entry: Entry, boxes: Mapping[str, Box] | None) -> Figure:
    view = entry.present.index(True)
    image = read_cached_image(run.workspace, entry.sample, run.track.views[view])
    whole = Box(0, 0, image.shape[0], image.shape[1]) if boxes is None else boxes[entry.sample]
    image = np.ascontiguousarray(image[whole.window])
    small = resize_image(image, grid_size((image.shape[0], image.shape[1]), run.experiment.data.size))
    window = (slice(None), slice(None))
    if run.track.task == "segmentation":
        planes = read_label_planes(run.workspace, run.track, entry.sample)[whole.window]
        window = surroundings([unpack_class(planes, smallest_class(planes, len(run.track.classes)))])
    step = max(image.shape[:2]) / max(small.shape[:2])
    coarse = small[tuple(_scaled(part, step, side) for part, side in zip(window, small.shape[:2], strict=True))]
    pair = [_enlarged(np.ascontiguousarray(part)) for part in (image[window], coarse)]
    sentence = (
        f"A part of {shortened_middle(entry.name)} at its native size of {size_text(image.shape[:2])} and on the "
        f"training grid of {size_text(small.shape[:2])}, single pixels enlarged. "
    )
    if step > 1:
        sentence += (
            f"One pixel of the grid covers {step:.1f} native ones in each direction: what can't be seen in the second "
            "picture can't be learned, so raise data.size or set data.crop."
        )
    else:
        sentence += "Nothing is lost, because a pixel of the grid covers no more than a native one."
    return Figure(
        "training-grid", "The training grid", sentence, strips([(tiled(pair, 2), "native size and training grid")])
    )


def _scaled(part: slice, step: float, side: int) -> slice:
    if part.start is None:
        return part
    first = min(int(part.start / step), side - 1)
    return slice(first, max(first + 1, round(part.stop / step)))


def _enlarged(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return a picture of a fixed size whose pixels stay visible as squares."""
    scale = ENLARGED / max(image.shape[:2])
    rows, columns = (
        np.minimum((np.arange(round(side * scale)) / scale).astype(int), side - 1) for side in image.shape[:2]
    )
    picture = as_rgb(np.ascontiguousarray(image[np.ix_(rows, columns)]))
    square = np.zeros((ENLARGED, ENLARGED, 3), np.uint8)
    square[: picture.shape[0], : picture.shape[1]] = picture[:ENLARGED, :ENLARGED]
    return square


def smallest_class(planes: NDArray[np.uint8], classes: int) -> int:
    """Return the class with the fewest pixels, at least one, of label planes; 0 where all are empty."""
    areas = class_areas(planes, classes)
    return int(np.argmin(np.where(areas > 0, areas, np.iinfo(np.int64).max)))


def _soft_targets(run: Run, entry: Entry, boxes: Mapping[str, Box] | None) -> Figure:
    classes = len(run.track.classes)
    whole = Box(0, 0, entry.height, entry.width) if boxes is None else boxes[entry.sample]
    planes = np.ascontiguousarray(read_label_planes(run.workspace, run.track, entry.sample)[whole.window])
    size_hw = grid_size((planes.shape[0], planes.shape[1]), run.experiment.data.size)
    finer = oversampling([entry], run.track, run.experiment.data, boxes)
    fine = torch.from_numpy(sample_planes(planes, (finer * size_hw[0], finer * size_hw[1])).copy())
    soft = soft_targets(fine[None], classes, size_hw)[0]
    nearest = torch.from_numpy(unpack_planes(sample_planes(planes, size_hw), classes)).float()
    truth = unpack_planes(planes, classes)
    frame = pd.DataFrame(
        {
            "class": run.track.classes,
            "pixels": truth.sum(axis=(1, 2)),
            "Dice of soft targets": _ceilings(soft, truth),
            "Dice of nearest targets": _ceilings(nearest, truth),
        }
    )
    index = smallest_class(planes, classes)
    window = surroundings([truth[index]])
    step = max(planes.shape[:2]) / max(size_hw)
    grid = tuple(_scaled(part, step, side) for part, side in zip(window, size_hw, strict=True))
    parts = [truth[index][window].astype(np.uint8) * 255]
    parts += [(each[index].numpy()[grid] * 255).round().astype(np.uint8) for each in (nearest, soft)]
    best, worse = (float(np.nanmean(frame[f"Dice of {kind} targets"])) for kind in ("soft", "nearest"))
    sentence = (
        f"The label of {run.track.classes[index]}, the smallest class of {shortened_middle(entry.name)}: at native "
        "size, shrunk to the training grid by nearest neighbour, and as the soft targets that are learned, the share "
        "of each pixel that the class covers. A network that learned its targets perfectly would reach a mean Dice of "
        f"{best:.4f} at native size with soft targets and of {worse:.4f} with nearest ones; no training goes beyond "
        f"that{', but a larger data.size does' if step > 1 else ''}."
    )
    picture = tiled([_enlarged(part) for part in parts], 3)
    caption = f"{run.track.classes[index]}: native, nearest, soft"
    return Figure("soft-targets", "Soft and nearest targets", sentence, strips([(picture, caption)]), frame)


def _ceilings(targets: torch.Tensor, truth: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the Dice (C,) of perfectly learned targets (C, h, w), brought to native size as predictions are.

    NaN of a class that is absent.
    """
    scores = np.full(len(truth), np.nan)
    for index, mask in enumerate(truth):
        if mask.any():
            native = F.interpolate(targets[None, index : index + 1], size=mask.shape, mode="bilinear")
            seen = native[0, 0].numpy() > 0.5
            scores[index] = 2 * np.count_nonzero(seen & mask) / (np.count_nonzero(seen) + np.count_nonzero(mask))
    return scores.round(5)

"""Explain what a member says on a sample, with the networks that have not learned from it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from competition.console import progress
from competition.data.boxes import Box
from competition.data.cache import read_cached_image, read_label_planes
from competition.data.folds import Fold
from competition.data.manifest import Entry
from competition.errors import CompetitionError
from competition.explanation.energy import Share, energy_shares
from competition.explanation.held_out_networks import open_held_out
from competition.explanation.network_maps import cam_maps, network_input, occlusion_steps, occlusions
from competition.explanation.occlusion import Occlusion, agreement, mean_occlusion
from competition.masks.bit_planes import unpack_class
from competition.metrics.tables import AneurysmMetric
from competition.prediction.predictor import Predictor, predict_map, predict_scores
from competition.prediction.probability_maps import HALF_LEVEL
from competition.runs.members import Member
from competition.text import nearest_hint
from competition.tracks.track import Track
from competition.workspace import Workspace

Map = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Explanation:
    """Why a member says what it says on one class of one sample.

    Attributes:
        sample: Its key.
        name: Its name in the submission.
        class_name: What is explained.
        score: The probability that the member's networks give; for masks the mean over the predicted mask, or the
            largest where it is empty.
        truth: Whether the class is there; None where that is not known.
        folds: Whose networks were asked; a training sample's is the one that held it out.
        out_of_fold: Whether it is a training sample.
        views: Names of the views that are there; the following lists have one item for each.
        images: (H, W) or (H, W, 3) uint8 at native size.
        grad_cam: (H, W) float32 at native size, at most 1; the mean over the networks.
        occlusion: (H, W) float32 at native size, by how much the score falls when the place is hidden.
        truth_mask: (H, W) bool of a training sample with masks, else None.
        predicted_mask: (H, W) bool of a segmentation, else None.
        rank_correlation: Of Grad-CAM and occlusion; NaN where one of them is the same everywhere.
        energy: Region ("target", "text", "margin") -> share of Grad-CAM's energy.
    """

    sample: str
    name: str
    class_name: str
    score: float
    truth: bool | None
    folds: tuple[Fold, ...]
    out_of_fold: bool
    views: tuple[str, ...]
    images: tuple[NDArray[np.uint8], ...]
    grad_cam: tuple[Map, ...]
    occlusion: tuple[Map, ...]
    truth_mask: Mask | None
    predicted_mask: Mask | None
    rank_correlation: float
    energy: dict[str, Share]


def explain_sample(
    track: Track,
    workspace: Workspace,
    member: Member,
    entry: Entry,
    class_names: Sequence[str] | None = None,
    images: Workspace | None = None,
) -> list[Explanation]:
    """Explain the member's answer for some classes of a sample.

    Args:
        track: What is competed in.
        workspace: Of the member's run.
        member: A trained run.
        entry: A training sample, which is explained by the network that held it out, or another one, by all folds.
        class_names: None means the class with the largest predicted mask, or of a table the most probable one, of the
            aneurysm track beside the first.
        images: The workspace whose cache holds the sample; None means ``workspace``.

    Raises:
        CompetitionError: A class is not one of the member's, no network has not learned from the sample, or the network
            has no features that Grad-CAM could explain.
    """
    predictor, folds = open_held_out(track, workspace, member, entry, images)
    classes = predictor.track.classes
    for name in class_names or ():
        if name not in classes:
            raise CompetitionError(f"member {member.name!r} has no class {name!r}{nearest_hint(name, classes)}")
    asked = _Asked(predictor, images or workspace, entry, folds)
    views = predictor.experiment.predict.views
    if predictor.track.task == "classification":
        scores = predict_scores(predictor, entry, views)
        return _explain_table(asked, scores, class_names or _default_classes(predictor.track, scores))
    levels = predict_map(predictor, entry, views)
    return _explain_masks(asked, levels, class_names or [classes[_largest_class(levels)]])


@dataclass(frozen=True)
class _Asked:
    """A sample, the workspace of its cached images, and the networks of some folds."""

    predictor: Predictor
    source: Workspace
    entry: Entry
    folds: tuple[Fold, ...]


def _default_classes(track: Track, scores: NDArray[np.float64]) -> list[str]:
    """Return the most probable class; of the aneurysm track the first and the most probable of its locations."""
    if not isinstance(track.metric, AneurysmMetric):
        return [track.classes[int(np.argmax(scores))]]
    first, *others = track.classes
    return [first, *([others[int(np.argmax(scores[1:]))]] if others else [])]


def _largest_class(levels: NDArray[np.uint8]) -> int:
    """Return the class with the largest mask in a map (C, H, W); where all are empty, that of the highest level."""
    areas = (levels > HALF_LEVEL).sum(axis=(1, 2))
    return int(np.argmax(areas if areas.any() else levels.max(axis=(1, 2))))


def _explain_table(asked: _Asked, scores: NDArray[np.float64], class_names: Sequence[str]) -> list[Explanation]:
    entry, track = asked.entry, asked.predictor.track
    there = [view for view, present in enumerate(entry.present) if present]
    names = tuple(track.views[view] for view in there)
    pictures = tuple(read_cached_image(asked.source, entry.sample, view) for view in names)
    sizes = [(picture.shape[0], picture.shape[1]) for picture in pictures]
    indices = [track.classes.index(name) for name in class_names]
    found = []
    for index, (maps, hidden) in zip(indices, _mean_maps(asked, indices, there), strict=True):
        cams = tuple(at_native_size(values, size_hw) for values, size_hw in zip(maps, sizes, strict=True))
        drops = tuple(at_native_size(one.as_map(), size_hw) for one, size_hw in zip(hidden, sizes, strict=True))
        found.append(
            Explanation(
                sample=entry.sample,
                name=entry.name,
                class_name=track.classes[index],
                score=float(scores[index]),
                truth=bool(entry.targets[index]) if entry.targets else None,
                folds=asked.folds,
                out_of_fold=entry.split == "train",
                views=names,
                images=pictures,
                grad_cam=cams,
                occlusion=drops,
                truth_mask=None,
                predicted_mask=None,
                rank_correlation=agreement(maps, hidden),
                energy=energy_shares(cams, pictures),
            )
        )
    return found


def _explain_masks(asked: _Asked, levels: NDArray[np.uint8], class_names: Sequence[str]) -> list[Explanation]:
    entry, track = asked.entry, asked.predictor.track
    indices = [track.classes.index(name) for name in class_names]
    labelled = entry.split == "train"
    planes = read_label_planes(asked.source, track, entry.sample) if labelled else None
    picture = read_cached_image(asked.source, entry.sample, track.views[0])
    box, native = asked.predictor.reader.box(entry), (entry.height, entry.width)
    found = []
    for index, ((cam,), (hidden,)) in zip(indices, _mean_maps(asked, indices, [0]), strict=True):
        predicted = levels[index] > HALF_LEVEL
        truth = None if planes is None else unpack_class(planes, index)
        at_native = at_native_size(cam, native, box)
        score = levels[index][predicted].mean() if predicted.any() else levels[index].max()
        target = truth if truth is not None and truth.any() else predicted
        found.append(
            Explanation(
                sample=entry.sample,
                name=entry.name,
                class_name=track.classes[index],
                score=float(score) / 255,
                truth=None if truth is None else bool(truth.any()),
                folds=asked.folds,
                out_of_fold=labelled,
                views=track.views,
                images=(picture,),
                grad_cam=(at_native,),
                occlusion=(at_native_size(hidden.as_map(), native, box),),
                truth_mask=truth,
                predicted_mask=predicted,
                rank_correlation=agreement([cam], [hidden]),
                energy=energy_shares([at_native], [picture], [target]),
            )
        )
    return found


def _mean_maps(
    asked: _Asked, indices: Sequence[int], views: Sequence[int]
) -> Iterator[tuple[list[Map], list[Occlusion]]]:
    """Yield each class's Grad-CAM and occlusion of the views on the training grid, the mean over the networks."""
    predictor = asked.predictor
    sample = network_input(predictor, asked.entry)
    steps = len(predictor.models) * occlusion_steps(sample, views)
    with progress(f"{asked.entry.name}: occlusion", steps) as ticker:
        hidden = [
            occlusions(predictor, network, sample, indices, views, ticker.advance) for network in predictor.models
        ]
    for place, index in enumerate(indices):
        maps = [cam_maps(predictor, network, sample, index) for network in predictor.models]
        cams = [np.stack([of_views[view] for of_views in maps]).mean(axis=0) for view in views]
        yield (
            cams,
            [mean_occlusion(of_view) for of_view in zip(*(of_network[place] for of_network in hidden), strict=True)],
        )


def at_native_size(values: Map, size_hw: tuple[int, int], box: Box | None = None) -> Map:
    """Bring a map of the training grid (h, w) to native size (H, W), bilinearly; it is 0 outside of the ``box``."""
    inside = size_hw if box is None else box.size_hw
    enlarged = F.interpolate(torch.from_numpy(values)[None, None], size=inside, mode="bilinear", align_corners=False)
    native = np.zeros(size_hw, np.float32)
    native[... if box is None else box.window] = enlarged[0, 0].numpy()
    return native

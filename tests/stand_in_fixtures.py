"""Stand-ins for out-of-fold predictions: maps and scores made of the truth, without any training."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from competition.data.cache import read_cached_planes
from competition.data.manifest import Entry
from competition.masks.bit_planes import select_classes

if TYPE_CHECKING:
    from competition.ensembling.decision import Decision
    from competition.ensembling.tuning_data import TuningData

NO_SCORES = dict.fromkeys(("fold_mean", "fold_sd", "oof", "oof_crossfit", "interval_low", "interval_high"))


@dataclass(frozen=True)
class StandIn:
    """Members whose predictions are made by hand, and a decision on them."""

    data: "TuningData"
    decision: "Decision"


@pytest.fixture
def decided_masks(tmp_path: Path) -> Callable[..., StandIn]:
    """Stores maps ``draw(member, entry)`` (C, H, W) of some members and decides at levels 127, 90 and 150."""
    # Here, because tests that need no network should not wait for torch.
    from competition.ensembling.decision import Decision, Scores, WeightedMember
    from competition.ensembling.segmentation.thresholds import threshold_of
    from competition.ensembling.tuning_data import TuningData
    from competition.prediction.histograms import histograms_file, image_histogram, save_histograms
    from competition.prediction.probability_maps import write_map

    def make(
        prepared,
        draw: Callable[[int, Entry], np.ndarray],
        weights: Sequence[int] = (1000,),
        own: Sequence[tuple[str, ...] | None] = (None,),
    ) -> StandIn:
        entries, classes = prepared.train(), prepared.track.classes
        members, folders = [], []
        for number, (weight, names) in enumerate(zip(weights, own, strict=True)):
            folder = tmp_path / f"member{number}"
            kept = [classes.index(name) for name in names or classes]
            histograms = []
            for entry in entries:
                values = draw(number, entry)[kept]
                truth = select_classes(read_cached_planes(prepared.workspace, entry.sample), kept)
                write_map(folder, entry.sample, values)
                histograms.append(image_histogram(values, truth))
            save_histograms(histograms_file(folder), [entry.sample for entry in entries], np.stack(histograms))
            folders.append({entry.sample: folder for entry in entries})
            members.append(
                WeightedMember(
                    name=f"m{number}", folds=(0,), weight=weight, config_hash="c", fold_hash="f", classes=names
                )
            )
        levels = dict(zip(classes, (127, 90, 150), strict=True))
        decision = Decision(
            track=prepared.track.name,
            dataset=prepared.workspace.dataset,
            task="segmentation",
            classes=classes,
            members=tuple(members),
            levels=levels,
            thresholds={name: float(threshold_of(np.array(level))) for name, level in levels.items()},
            operations=dict.fromkeys(classes, "none"),
            scores=Scores(**NO_SCORES),
            coverage=len(entries),
            reason="made by hand",
        )
        folds = np.array([prepared.folds.fold_of[entry.group] for entry in entries])
        return StandIn(
            TuningData(prepared.track, prepared.workspace, members, folders, entries, entries, folds), decision
        )

    return make


@pytest.fixture
def decided_table(tmp_path: Path) -> Callable[..., StandIn]:
    """Stores a table of probabilities (n, C) of the training patients."""
    from competition.ensembling.decision import Decision, Scores, WeightedMember
    from competition.ensembling.tuning_data import TuningData
    from competition.prediction.probability_maps import write_scores

    def make(prepared, probabilities: np.ndarray) -> StandIn:
        entries, classes = prepared.train(), prepared.track.classes
        folder = tmp_path / "table"
        folder.mkdir()
        samples = [entry.sample for entry in entries]
        write_scores(folder, samples, classes, probabilities)
        member = WeightedMember(name="m", folds=(0,), weight=1000, config_hash="c", fold_hash="f")
        decision = Decision(
            track=prepared.track.name,
            dataset=prepared.workspace.dataset,
            task="classification",
            classes=classes,
            members=(member,),
            levels={},
            thresholds=dict.fromkeys(classes[1:], 0.5),
            operations={},
            scores=Scores(**NO_SCORES),
            coverage=len(entries),
            reason="made by hand",
        )
        folds = np.array([prepared.folds.fold_of[entry.group] for entry in entries])
        folders = [dict.fromkeys(samples, folder)]
        return StandIn(
            TuningData(prepared.track, prepared.workspace, [member], folders, entries, entries, folds), decision
        )

    return make

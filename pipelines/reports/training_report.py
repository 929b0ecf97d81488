"""What train prints: the network's view of the images, the scores of the folds, and leak alarms."""

import shlex
from collections.abc import Sequence

import numpy as np

from competition.console import say, shout, table
from competition.data.folds import FULL, Fold
from competition.data.resolution import describe_grid, warn_small_objects
from competition.metrics.masks import MaskMetric
from competition.metrics.tables import AneurysmMetric
from competition.models.layers import STRIDE
from competition.runs.leak_alarm import judge_shuffled, too_good
from competition.runs.out_of_fold_scores import not_measured, ranked, unmeasured_classes
from competition.runs.run import Run
from competition.tracks.track import Track, fold_metric
from competition.workspace import out_of_fold_folder


def report_training(run: Run, track: Track, scores: dict[Fold, float]) -> None:
    """Print the scores of folds with their caveats.

    Args:
        run: The run of the folds.
        track: Not narrowed to the run's classes.
        scores: Fold -> score of its held-out samples; NaN where there is none.
    """
    _say_scores(track, run.name, scores)
    _say_unmeasured(run, list(scores))
    if FULL in scores:
        say(_how_full_votes(run))
    if track.task == "classification":
        _say_leaks(run, scores)


def say_grid(run: Run) -> None:
    """Print the size at which the network sees the images, with a warning where objects nearly vanish."""
    if run.track.task == "classification" or run.experiment.data.crop_to is not None:
        return
    training, size = run.manifest.of("train"), run.experiment.data.size
    say(describe_grid(training, size, STRIDE))
    if warning := warn_small_objects(training, run.track, size):
        shout(warning)


def _say_scores(track: Track, name: str, scores: dict[Fold, float]) -> None:
    metric = fold_metric(track)
    measure = metric.label
    rows = [[fold, "-" if np.isnan(score) else f"{score:.4f}"] for fold, score in scores.items()]
    table(f"{name}: {metric.title} of held-out samples at native size", ["fold", measure], rows)
    if isinstance(track.metric, MaskMetric):
        say(f"{measure} is counted in pixels; tune scores the vote by the metric of the track, {track.metric.label}")
    one_kind = [str(fold) for fold, score in scores.items() if fold != FULL and np.isnan(score)]
    if one_kind and track.task == "classification":
        say(f"fold {', '.join(one_kind)}: all held-out samples have the same label, so there is no {measure}")
    known = [score for score in scores.values() if not np.isnan(score)]
    if len(known) > 1:
        say(f"mean of {len(known)} folds: {np.mean(known):.4f} ± {np.std(known, ddof=1):.4f}")


def _say_unmeasured(run: Run, folds: Sequence[Fold]) -> None:
    """Name the classes that the Dice leaves out, the folds with the same ones in one line."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for fold in folds:
        if unmeasured := unmeasured_classes(run, fold):
            alike.setdefault(tuple(unmeasured), []).append(str(fold))
    for names, of in alike.items():
        shout(not_measured(names, run.track.classes, f"no image held out by fold {', '.join(of)}"))


def _how_full_votes(run: Run) -> str:
    """Return how the model of all samples votes, given the folds that are trained."""
    trained = [str(fold) for fold in range(run.folds.count) if run.is_finished(fold)]
    together = "--members " + shlex.quote(f"{run.name}:{','.join([*(trained or ['0']), FULL])}")
    how = "use" if trained else "train a fold too (--fold 0), then"
    return f"{FULL} was trained on every sample and has no score; it votes only with folds of its run: {how} {together}"


def _say_leaks(run: Run, scores: dict[Fold, float]) -> None:
    """Print the verdict on a leak for shuffled labels, or an alarm for a score that is too good."""
    if run.experiment.data.shuffle_labels:
        if numbered := [fold for fold in scores if fold != FULL]:
            pairs = [ranked(run.track, out_of_fold_folder(run.folder(fold)), run.held_out(fold)) for fold in numbered]
            targets, answers = zip(*pairs, strict=True)
            leak, verdict = judge_shuffled(np.concatenate(targets), np.concatenate(answers))
            (shout if leak else say)(verdict)
        return
    known = [score for score in scores.values() if not np.isnan(score)]
    of_angiograms = isinstance(run.track.metric, AneurysmMetric)  # of other data nobody knows what is too good
    if known and of_angiograms and (alarm := too_good(float(np.mean(known)), run.workspace.phantom)):
        shout(alarm)

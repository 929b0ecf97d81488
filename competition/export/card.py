"""The model card of a model file: for whom it is, how it was trained and scored, and where its limits are."""

from collections.abc import Mapping

from competition.data.manifest import Entry, data_hash, read_manifest
from competition.ensembling.decision import Decision
from competition.errors import CompetitionError
from competition.export.packages import RUNNING, program_version
from competition.settings import Experiment
from competition.text import counted
from competition.tracks.track import Track
from competition.workspace import Workspace


def model_card(
    track: Track,
    runs: Workspace,
    decision: Decision,
    experiments: Mapping[str, Experiment],
    file: str,
    remarks: str,
) -> str:
    """Return the card in Markdown. It counts samples and groups and names none of them.

    Args:
        track: What is competed in.
        runs: Where the runs are, and the prepared data if it is still there.
        decision: Who votes, and how.
        experiments: Member that votes -> its settings.
        file: Name of the model file.
        remarks: A paragraph about this export; "" for none.
    """
    synthetic = "**Trained on synthetic data: for tests only.**\n\n" if runs.phantom else ""
    extra = f"{remarks}\n\n" if remarks else ""
    return f"""\
# Model card: {track.name}

{synthetic}{extra}## What it does

{track.task.capitalize()} of {_views(track)} into {counted(len(track.classes), "class", "classes")}:
{", ".join(track.classes)}.

## Data

{_data(track, runs, decision)}

## Training

{_training(decision, experiments)}

Members vote by {decision.combine if track.task == "classification" else "the mean of their probability maps"}; weights
were chosen by the method {decision.method} on out-of-fold predictions ({decision.reason}).

## Scores

{_scores(track, decision)}

## Thresholds

{_thresholds(decision)}

## Limits

- The scores hold for images like those it was trained on: the same devices, views, patients and labels.
- It is research software and no medical device. Have a specialist look at every result.
- A region that no class covers is background to it, whatever it shows.

## Licence

To be filled in by whoever publishes this file. The program is under the MIT licence; the weights also depend on the
terms of the training data and of the pretrained weights.

## How to run it

    pip install {RUNNING}        # beside medical-image-competition {program_version()} or later
    medcomp predict {file} IMAGE... --out results
"""


def _views(track: Track) -> str:
    kind = "colour" if track.channels == 3 else f"grey ({track.colour} channel)" if track.colour else "grey"
    return f"a {kind} image" if len(track.views) == 1 else f"{len(track.views)} {kind} images of a patient"


def _data(track: Track, runs: Workspace, decision: Decision) -> str:
    training = _learned_from(track, runs, decision)
    if not training:
        changed = " Images or labels have changed since it was trained; the scores are from before."
        since = changed if runs.manifest_file().exists() else ""
        return f"{counted(decision.coverage, 'sample')} with out-of-fold predictions.{since}"
    groups = len({entry.group for entry in training})
    sizes = [max(entry.height, entry.width) for entry in training]
    sides = f"{min(sizes)}" if min(sizes) == max(sizes) else f"{min(sizes)} to {max(sizes)}"
    return (
        f"{counted(len(training), 'training sample')} of {counted(groups, 'group')} that folds keep together (such as "
        f"persons), long side {sides} pixels; {decision.coverage} of them have out-of-fold predictions of all members."
    )


def _learned_from(track: Track, runs: Workspace, decision: Decision) -> list[Entry]:
    """Return the training samples of a decision; none where nothing is prepared, or it has changed since."""
    try:
        training = read_manifest(runs, track).of("train")
    except CompetitionError:  # the stage has warned
        return []
    return training if decision.data_hash in ("", data_hash(training)) else []


def _training(decision: Decision, experiments: Mapping[str, Experiment]) -> str:
    rows = ["| member | weight | folds | network | pixels | epochs | loss | test-time views |", "|" + "---|" * 8]
    for member in decision.members:
        settings = experiments.get(member.name)
        if settings is None:
            continue  # it has no weight
        network = f"{settings.model.architecture} ({settings.model.encoder})"
        cells = [
            *(member.name, f"{member.weight / 1000:g}", ", ".join(map(str, member.folds)), network),
            *(settings.data.size, settings.train.epochs, settings.train.loss, ", ".join(settings.predict.views)),
        ]
        rows.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(rows)


def _scores(track: Track, decision: Decision) -> str:
    scores = decision.scores
    interval = ""
    if scores.interval_low is not None and scores.interval_high is not None:
        interval = f" (95 % interval {scores.interval_low:.4f} to {scores.interval_high:.4f})"
    rows = [
        ("fold mean at threshold 0.5", scores.fold_mean, ""),
        ("out-of-fold after tuning, optimistic", scores.oof, ""),
        ("out-of-fold, cross-fitted: compare by this", scores.oof_crossfit, interval),
        ("the same re-weighted to the test's mix of images", scores.oof_reweighted, ""),
    ]
    lines = [f"| {track.metric.label} | score |", "|---|---|"]
    return "\n".join(
        [
            *lines,
            *(f"| {what} | {'not known' if value is None else f'{value:.4f}{more}'} |" for what, value, more in rows),
        ]
    )


def _thresholds(decision: Decision) -> str:
    if decision.rule is not None and decision.rule.kind in ("argmax", "cut points"):
        values = ", ".join(f"{value:.4f}" for value in decision.rule.values)
        return f"Decided by {decision.rule.kind} (`TableRule`): {values}."
    if not decision.thresholds:
        return "None: probabilities are submitted."
    rows = ["| class | positive above | post-processing |", "|---|---|---|"]
    for name, value in decision.thresholds.items():
        rows.append(f"| {name} | {value:.4f} | {decision.operations.get(name, 'none')} |")
    gate = (
        "" if decision.gate is None else f"\n\nAll are 0 where {decision.classes[0]} is not above {decision.gate:.4f}."
    )
    return "\n".join(rows) + gate

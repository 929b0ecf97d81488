"""The section on training: what every fold of every member learned, epoch by epoch."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from competition.console import duration
from competition.data.folds import Fold
from competition.errors import CompetitionError
from competition.reporting.charts import as_svg, new_chart
from competition.reporting.inputs import ReportInputs
from competition.reporting.page import Figure, Section, html_table
from competition.reporting.parts import Part, section_of
from competition.reporting.stored_tables import read_stored_table
from competition.runs.members import finished_folds, is_imported, split_member, trained_runs
from competition.text import counted, few
from competition.workspace import history_file

NAME, TITLE = "training", "Training"
MOST_MEMBERS = 12
COLUMNS = ("epoch", "loss", "lr", "seconds", "score")
MEMORY = "memory_mb"  # older runs did not record it


def training_section(inputs: ReportInputs) -> Section:
    """Return a figure for each member of the decision, or for each trained run where nothing is tuned."""
    try:
        folds_of: dict[str, Sequence[Fold]] = {member.name: member.folds for member in inputs.decision.members}
    except CompetitionError:
        runs = trained_runs(inputs.workspace)
        folds_of = {run: finished_folds(inputs.workspace, run) for run in runs}
    if not folds_of:
        where = inputs.workspace.run_folder("*").parent
        missing = CompetitionError("No run is trained yet, so there are no curves", where, "Run ./run.sh train")
        return Section(NAME, TITLE, missing=str(missing))
    shown = list(folds_of.items())[:MOST_MEMBERS]
    parts = [_member_part(name, folds, number) for number, (name, folds) in enumerate(shown)]
    section = section_of(NAME, TITLE, inputs, parts)
    if len(folds_of) == len(shown):
        return section
    more = f"{len(folds_of) - len(shown)} more are trained; name those you want in ./run.sh tune --members."
    return Section(NAME, TITLE, section.figures, f"{section.missing}\n{more}".strip())


def _member_part(name: str, folds: Sequence[Fold], number: int) -> Part:
    """Return the part that shows one member; ``number`` makes its figure's name unique."""

    def part(inputs: ReportInputs) -> list[Figure]:
        if is_imported(inputs.workspace, name):
            raise CompetitionError(f"member {name!r} was imported as predictions, so its training is not known")
        return [_training_figure(name, read_histories(inputs, name, folds), f"training-{number + 1}")]

    return part


def read_histories(inputs: ReportInputs, name: str, folds: Sequence[Fold]) -> pd.DataFrame:
    """Return one row per fold and epoch of a member: fold, epoch, loss, lr, seconds, score, memory_mb and chosen.

    ``score`` is NaN in epochs that were not scored, ``memory_mb`` (the most so far) where training did not record it.
    ``chosen`` marks the epoch whose weights predict: the last, or that of a member RUN@EPOCH.

    Raises:
        CompetitionError: A history is missing or damaged.
    """
    run, epoch = split_member(name)
    tables = []
    for fold in folds:
        path = history_file(inputs.workspace.fold_folder(run, fold))
        table = read_stored_table(path, (), COLUMNS, f"Run {inputs.workspace.train_command(run, fold)} --force")
        table = table.reindex(columns=[*COLUMNS, MEMORY])
        table[MEMORY] = pd.to_numeric(table[MEMORY], errors="coerce")
        table.insert(0, "fold", str(fold))
        table["chosen"] = table["epoch"] == (table["epoch"].max() if epoch is None else epoch)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def _training_figure(name: str, histories: pd.DataFrame, figure: str) -> Figure:
    canvas, (loss, score, rate, seconds) = new_chart(7.6, 4.8, rows=2, columns=2)
    for fold, table in histories.groupby("fold", sort=False):
        loss.plot(table["epoch"], table["loss"], label=f"fold {fold}", linewidth=1.2)
        rate.plot(table["epoch"], table["lr"], linewidth=1.2)
        seconds.plot(table["epoch"], table["seconds"], linewidth=1.2)
        _draw_scores(score, table)
    for axis, label in ((loss, "training loss"), (score, "held-out score"), (rate, "learning rate")):
        axis.set(xlabel="epoch", ylabel=label)
    seconds.set(xlabel="epoch", ylabel="seconds per epoch", ylim=(0, None))
    score.set_xlim(loss.get_xlim())  # a single scored epoch would be shown from 7.6 to 8.4
    if loss.get_lines() and histories["loss"].min() > 0 and histories["loss"].max() > 20 * histories["loss"].min():
        loss.set_yscale("log")
    if histories["fold"].nunique() <= 10:
        lines, labels = loss.get_legend_handles_labels()
        canvas.legend(lines, labels, loc="outside upper right", ncols=5, frameon=False)
    description = f"Loss, held-out score, learning rate and seconds per epoch of {name}, one line per fold."
    body = as_svg(canvas, figure, description) + html_table(summary_of(histories))
    return Figure(figure, f"Training of {name}", _sentence(histories), body, histories)


def _draw_scores(axis: Axes, table: pd.DataFrame) -> None:
    """Draw the scored epochs, and a ring around the one that predicts."""
    scored = table.dropna(subset="score")
    (line,) = axis.plot(scored["epoch"], scored["score"], linewidth=1.2, marker=".", markersize=4)
    chosen = scored[scored["chosen"]]
    axis.plot(
        chosen["epoch"],
        chosen["score"],
        "o",
        markersize=9,
        markerfacecolor="none",
        color=line.get_color(),
        label="_chosen",
    )


def summary_of(histories: pd.DataFrame) -> pd.DataFrame:
    """Return one row per fold: epochs, the epoch that predicts, its score, the last loss, time and the most memory."""
    rows = []
    for fold, table in histories.groupby("fold", sort=False):
        chosen = table[table["chosen"]]
        score = float(chosen["score"].iloc[0]) if len(chosen) else np.nan
        rows.append(
            {
                "fold": str(fold),
                "epochs": len(table),
                "epoch that predicts": int(chosen["epoch"].iloc[0]) if len(chosen) else None,
                "held-out score there": score,
                "last loss": float(table["loss"].iloc[-1]),
                "time": duration(float(table["seconds"].sum())),
                "most memory": _gigabytes(float(table[MEMORY].max())),
            }
        )
    return pd.DataFrame(rows)


def _gigabytes(memory_mb: float) -> str:
    return "not recorded" if np.isnan(memory_mb) else f"{memory_mb / 1024:.1f} GB"


def _sentence(histories: pd.DataFrame) -> str:
    """Say what the curves show, and what to do about it."""
    folds = histories["fold"].nunique()
    scored = histories.dropna(subset="score")
    several = bool((scored.groupby("fold").size() > 1).any())
    text = (
        f"Loss and held-out score of {counted(folds, 'fold')} by epoch; a ring marks the weights that predict. The "
        "score is that of one network during training; those of the tuned vote are under Results. "
    )
    if scored.empty:
        return text + "Nothing was held out, so there is no score."
    if not several:
        return text + "Only one epoch was scored; train with --set train.validate_every=1 to see when the score peaks."
    peaks = scored.loc[scored.groupby("fold", sort=False)["score"].idxmax()].set_index("fold")["epoch"]
    early = peaks[peaks < histories.groupby("fold", sort=False)["epoch"].max()[peaks.index]]
    if len(early) * 2 < len(peaks):
        at_end = f"In {len(peaks) - len(early)} of {len(peaks)}"
        return text + f"{at_end} the last epoch is the best: train longer with --set train.epochs=N."
    return text + (
        f"The score peaks before the end (epoch {few([f'{epoch:.0f}' for epoch in sorted(set(early))])}): fewer epochs "
        "would do. The best epoch does not predict, because it would be chosen by the samples that it is scored on. "
        "Where the loss keeps falling while the score does not rise, use stronger augmentation or more data."
    )

"""What prepare finds wrong with samples once they are read, and whether it may go on."""

import argparse
from collections.abc import Sequence

from competition.console import say, table
from competition.data.manifest import Entry
from competition.delivery.submissions import few
from competition.errors import CompetitionError
from competition.tracks.track import Problem
from pipelines.unreadable import FILL_BAD, shout_unreadable

SHOWN_PROBLEMS = 20
SHOWN_ALIKE = 3
"""More problems of one kind than this are one row with their number."""


def cut_labels(entries: Sequence[Entry]) -> list[str]:
    """Says how many label pixels were neither background nor the class."""
    counts = [entry.between for entry in entries if entry.between]
    if not counts:
        return []
    return [
        f"labels: {sum(counts)} pixels of {len(counts)} label pictures lie between 0 and the maximum (soft or "
        "compressed edges) and were cut at half of it"
    ]


def turned_labels(entries: Sequence[Entry]) -> list[str]:
    """Names the images whose labels were transposed although their size fitted as it was."""
    turned = [entry.name for entry in entries if entry.turned]
    if not turned:
        return []
    return [f"labels: {len(turned)} square labels have rows and columns exchanged and were transposed ({few(turned)})"]


def settle_problems(problems: Sequence[Problem], entries: list[Entry], args: argparse.Namespace) -> list[Entry]:
    """Lists what is wrong, and stops unless the user has said how to go on.

    Args:
        problems: All that was found.
        entries: All that could be read.
        args: The stage's options --skip-bad and --fill-bad.

    Returns:
        The entries that are used.

    Raises:
        CompetitionError: A test sample can't be used, or a training sample can't and --skip-bad is not given.
    """
    serious = [problem for problem in problems if not problem.note]
    training = [problem for problem in serious if problem.split == "train"]
    masked = [problem for problem in serious if problem.split == "test" and problem.masked]
    lost = [problem for problem in serious if problem.split == "test" and not problem.masked]
    _list_problems("worth knowing", [problem for problem in problems if problem.note])
    _list_problems("problems", serious)
    if lost:
        first = lost[0]
        raise CompetitionError(
            f"{_samples(lost)} can't be used, and a missing row voids a submission; the first: {first.reason}",
            first.path,
            _repair(first)
            + ("" if args.fill_bad or first.repair else f", or {FILL_BAD}")
            + (" (and leave out bad training samples with --skip-bad)" if training and not args.skip_bad else ""),
        )
    if training and not args.skip_bad:
        first = training[0]
        raise CompetitionError(
            f"{_samples(training)} can't be used; the first is {first.key}: {first.reason}",
            first.path,
            f"{_repair(first)}, or leave those samples out with --skip-bad",
        )
    shout_unreadable(entries, len(masked))
    bad = {problem.key for problem in training}
    if training:
        say(f"--skip-bad: {_samples(training)} left out")
    return [entry for entry in entries if entry.split == "test" or entry.sample not in bad]


def _list_problems(title: str, problems: Sequence[Problem]) -> None:
    """Shows a row for each problem; those of one kind share a row where there are many of them."""
    if not problems:
        return
    kinds: dict[tuple[str, str], list[Problem]] = {}
    for problem in problems:
        kinds.setdefault((problem.split, problem.kind or problem.reason), []).append(problem)
    rows = [row for alike in kinds.values() for row in _rows(alike)]
    table(f"{title}: {len(problems)}", ["sample", "split", "file", "reason"], rows[:SHOWN_PROBLEMS])
    if len(rows) > SHOWN_PROBLEMS:
        say(f"... and {len(rows) - SHOWN_PROBLEMS} more rows")


def _rows(alike: Sequence[Problem]) -> list[list[str]]:
    if len(alike) <= SHOWN_ALIKE:
        return [[problem.key, problem.split, problem.path, problem.reason] for problem in alike]
    first = alike[0]
    keys = list(dict.fromkeys(problem.key for problem in alike))
    others = f"{first.reason} ({len(alike)} alike, the first is shown)"
    return [[few(keys), first.split, first.path, others]]


def _repair(problem: Problem) -> str:
    return problem.repair or "Fix the files"


def _samples(problems: Sequence[Problem]) -> str:
    """How many samples the problems of one split concern: "1 training sample"."""
    count = len({problem.key for problem in problems})
    kind = "training" if problems[0].split == "train" else "test"
    return f"{count} {kind} sample{'s' if count > 1 else ''}"

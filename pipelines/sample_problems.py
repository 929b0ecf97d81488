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


def narrow_ranges(entries: Sequence[Entry]) -> list[str]:
    """Names the pictures of which a few pixels decided the grey range."""
    narrow = [entry.name for entry in entries if entry.narrow]
    if not narrow:
        return []
    return [
        f"images: in {len(narrow)} of {len(entries)}, 99 % of the pixels fall into a tenth of the grey range, which a "
        f"few very bright or dark pixels decide ({few(narrow)}): look at the contact sheet"
    ]


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
    _list_problems("worth knowing, nothing is lost", [problem for problem in problems if problem.note])
    _list_problems("problems", serious)
    if lost:
        first = lost[0]
        raise CompetitionError(
            f"{_samples(lost)} can't be used, and a missing row voids a submission; the first: {first.reason}",
            first.path,
            ("Mend the files" if args.fill_bad else f"Mend the files, or {FILL_BAD}")
            + (" (and leave out bad training samples with --skip-bad)" if training and not args.skip_bad else ""),
        )
    if training and not args.skip_bad:
        first = training[0]
        raise CompetitionError(
            f"{_samples(training)} can't be used; the first is {first.key}: {first.reason}",
            first.path,
            "Mend the files, or leave those samples out with --skip-bad",
        )
    shout_unreadable(entries, len(masked))
    bad = {problem.key for problem in training}
    if training:
        say(f"--skip-bad: {_samples(training)} left out")
    return [entry for entry in entries if entry.split == "test" or entry.sample not in bad]


def _list_problems(title: str, problems: Sequence[Problem]) -> None:
    if not problems:
        return
    rows = [[problem.key, problem.split, problem.path, problem.reason] for problem in problems[:SHOWN_PROBLEMS]]
    table(f"{title}: {len(problems)}", ["sample", "split", "file", "reason"], rows)
    if len(problems) > SHOWN_PROBLEMS:
        say(f"... and {len(problems) - SHOWN_PROBLEMS} more")


def _samples(problems: Sequence[Problem]) -> str:
    """How many samples the problems of one split concern: "1 training sample"."""
    count = len({problem.key for problem in problems})
    kind = "training" if problems[0].split == "train" else "test"
    return f"{count} {kind} sample{'s' if count > 1 else ''}"

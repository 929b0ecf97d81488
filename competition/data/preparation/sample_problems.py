"""The problems of samples once they are read, and whether prepare may go on."""

import re
from collections.abc import Collection, Sequence

from competition.console import say, shout, table
from competition.data.manifest import Entry
from competition.errors import CompetitionError
from competition.text import few
from competition.tracks.track import WARNING, Problem, Sample

FILL_BAD = "predict black images in their place with --fill-bad"
SHOWN_KINDS = 20
# What differs between two problems of one kind: what is quoted or in brackets, and words with a digit or of a path.
_PARTICULAR = re.compile(r"'[^']*'|\([^()]*\)|\S*[\d/_#]\S*|\S+\.\w+")


def sample_remarks(entries: Sequence[Entry], kind: str = "") -> list[str]:
    """Return each remark on samples (or of ``kind`` WARNING, each warning) once, with the samples that share it."""
    names: dict[str, list[str]] = {}
    for entry in entries:
        for remark in entry.remarks:
            if remark.startswith(WARNING) == bool(kind):
                names.setdefault(remark.removeprefix(kind), []).append(entry.name)
    labelled = sum(bool(entry.areas) for entry in entries)
    return [
        remark.format(count=len(found), labelled=labelled, samples=len(entries), names=few(found))
        for remark, found in names.items()
    ]


def settle_problems(
    problems: Sequence[Problem], entries: list[Entry], skip_bad: bool = False, fill_bad: bool = False
) -> list[Entry]:
    """List all problems, and stop unless options of the user allow going on.

    Args:
        problems: All that were found.
        entries: All that could be read.
        skip_bad: Leave out training samples that can't be used.
        fill_bad: Whether unreadable test samples are black images.

    Returns:
        The entries that are used.

    Raises:
        CompetitionError: A test sample can't be used, or a training sample can't and ``skip_bad`` is not set.
    """
    serious = list_problems(problems, entries)
    training = [problem for problem in serious if problem.split == "train"]
    masked = [problem for problem in serious if problem.split == "test" and problem.masked]
    lost = [problem for problem in serious if problem.split == "test" and not problem.masked]
    if lost:
        first = lost[0]
        what = f"{_samples(lost)} can't be used, and a missing row voids a submission; the first: {first.reason}"
        repair = first.repair or ("Fix the files" if fill_bad else f"Fix the files, or {FILL_BAD}")
        skip = " (and leave out bad training samples with --skip-bad)" if training and not skip_bad else ""
        raise CompetitionError(what, first.path, repair + skip)
    bad = {problem.key for problem in training}
    if training and not skip_bad:
        first = training[0]
        left = any(entry.split == "train" and entry.sample not in bad for entry in entries)
        what = f"{_samples(training)} can't be used; the first is {first.key}: {first.reason}"
        skip = ", or leave those samples out with --skip-bad" if left else ""
        raise CompetitionError(what, first.path, (first.repair or "Fix the files") + skip)
    shout_unreadable(entries, len(masked))
    if training:
        say(f"--skip-bad: {_samples(training)} left out")
    return [entry for entry in entries if entry.split == "test" or entry.sample not in bad]


def list_problems(problems: Sequence[Problem], samples: Sequence[Entry | Sample]) -> list[Problem]:
    """Print the notes and the problems, those of a kind in one line; return the problems."""
    names = {text for each in samples for text in (each.name, each.group, _key(each))}
    serious = [problem for problem in problems if not problem.note]
    _list_problems("notes", [problem for problem in problems if problem.note], names)
    _list_problems("problems", serious, names)
    return serious


def _key(each: Entry | Sample) -> str:
    return each.sample if isinstance(each, Entry) else each.key


def shout_unreadable(entries: Sequence[Entry], masked_views: int) -> None:
    """Warn of test samples that are black and of views that are masked, after each was listed with its reason."""
    black = [entry.sample for entry in entries if entry.split == "test" and not any(entry.present)]
    if masked_views:
        views = f"{masked_views} view{'s' * (masked_views > 1)}"
        shout(f"{views} of test samples can't be read, so masked (listed above)")
    if black:
        shout(f"{few(black)} can't be read at all: black images are predicted instead and will score about 0")


def _list_problems(title: str, problems: Sequence[Problem], names: Collection[str]) -> None:
    """Print a row for each kind of problem, with a count, some samples and the first file."""
    if not problems:
        return
    kinds: dict[tuple[str, str], list[Problem]] = {}
    for problem in problems:
        kinds.setdefault((problem.split, problem.kind or _kind(problem.reason, names)), []).append(problem)
    shown = list(kinds.values())[:SHOWN_KINDS]
    rows = [
        [len(kind), few([each.key for each in kind]), kind[0].split, kind[0].path, kind[0].reason] for kind in shown
    ]
    table(f"{title}: {len(problems)}", ["count", "samples", "split", "first file", "its reason"], rows)
    if hidden := len(problems) - sum(map(len, shown)):
        say(f"... and {hidden} more of {len(kinds) - len(shown)} kinds")


def _kind(reason: str, names: Collection[str]) -> str:
    """Return the reason without what belongs to one sample only."""
    return " ".join(word for word in _PARTICULAR.sub("", reason).split() if word.strip(":,.?") not in names)


def _samples(problems: Sequence[Problem]) -> str:
    """Return how many samples the problems of one split concern: "1 training sample"."""
    count = len({problem.key for problem in problems})
    kind = "training" if problems[0].split == "train" else "test"
    return f"{count} {kind} sample{'s' if count > 1 else ''}"

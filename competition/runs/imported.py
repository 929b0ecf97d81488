"""Imported members: another team's predictions, kept as an ordinary run without checkpoints."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from competition.data.folds import Fold
from competition.data.manifest import Entry
from competition.errors import CompetitionError
from competition.files import write_sealed_json
from competition.formats.json_files import read_json
from competition.prediction.probability_maps import read_index
from competition.runs.members import Member
from competition.workspace import Workspace

AGAIN = "Import it again with --force"


@dataclass(frozen=True)
class Imported:
    """What an imported member was made from; the import is done again only where this differs.

    Attributes:
        content_hash: Of their files and their classes; it stands for the experiment of a trained run.
        folds: Our folds whose people theirs held out; ``FULL`` alone where no out-of-fold predictions were given.
        fold_hash: Of the current fold file.
        data_hash: Of the training samples.
        pictures: Test sample they predicted -> hash of its picture.
    """

    content_hash: str
    folds: tuple[Fold, ...]
    fold_hash: str
    data_hash: str
    pictures: dict[str, str]


def write_imported(path: Path, imported: Imported) -> None:
    """Write imported.json, whole or not at all."""
    write_sealed_json(path, asdict(imported))


def read_imported(workspace: Workspace, run: str) -> Imported:
    """Read what an imported member was made from.

    Raises:
        CompetitionError: It is not what ``write_imported`` writes.
    """
    path = workspace.imported_file(run)
    stored = read_json(path, AGAIN)
    try:
        return Imported(**stored | {"folds": tuple(stored["folds"])})
    except (KeyError, TypeError) as error:
        raise CompetitionError("this does not describe an imported member", path, AGAIN) from error


def imported_test_maps(runs: Workspace, member: Member, entries: Sequence[Entry]) -> Path:
    """Return the folder of an imported member's test maps, or scores.

    Args:
        runs: Where the member is kept.
        member: Whose folds vote; there is one map of all of them.
        entries: The test samples.

    Raises:
        CompetitionError: It is not the one that was tuned, only some of its folds are to vote, or it has not predicted
            a sample.
    """
    imported, place = read_imported(runs, member.name), runs.run_folder(member.name)
    if imported.content_hash != member.config_hash:
        raise CompetitionError(
            f"member {member.name!r} was imported again since it was tuned", place, "Run ./run.sh tune"
        )
    if imported.folds != member.folds:
        raise CompetitionError(
            f"member {member.name!r} was imported with one prediction of each test sample, so its folds can't vote "
            "alone",
            place,
            "Leave out --folds",
        )
    folder = runs.imported_test_folder(member.name)
    missing = [entry.sample for entry in entries if imported.pictures.get(entry.sample) != entry.pixels]
    if missing:
        raise CompetitionError(
            f"member {member.name!r} was imported and has not predicted {len(missing)} of these {len(entries)} test "
            f"pictures (first: {missing[0]})",
            folder,
            "Import it again with predictions of them as --test, or tune without it",
        )
    read_index(folder, AGAIN)
    return folder

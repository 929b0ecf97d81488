"""Every path the pipeline writes is built here and nowhere else, and every file is written whole or not at all."""

import csv
import json
import os
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from competition.errors import CompetitionError

REPOSITORY = Path(__file__).resolve().parent.parent
PHANTOM = "phantom_"

SHIPPED_FOLDS = {"hand_bone": "fe98a8b48c"}
"""Data set -> hash of the folds that are shipped in the repository, so that everybody's fold 0 is the same."""

# The csv module stops at 131,072 characters per field, and a smeared mask has more; no cell here is ever too long.
csv.field_size_limit(sys.maxsize)


@dataclass(frozen=True)
class Workspace:
    """Where one data set's files lie.

    Attributes:
        root: Everything written lies below it; by default the repository.
        dataset: The track's name, or "phantom_" + the track's name for drawn data, which never mixes with real data.
    """

    root: Path
    dataset: str

    @property
    def phantom(self) -> bool:
        """Whether the data is drawn."""
        return self.dataset.startswith(PHANTOM)

    def data_folder(self) -> Path:
        """Where raw data is looked for (and phantom data drawn) when no --data is given."""
        return self.root / "data" / self.dataset

    def cache_folder(self) -> Path:
        """Decoded images, label planes and the manifest."""
        return self.root / "cache" / self.dataset

    def written_folders(self) -> list[Path]:
        """All folders below the root that stages write to, of every data set."""
        return [self.root / name for name in ("cache", "contests", "folds", "runs", "submissions")]

    def manifest_file(self) -> Path:
        """One row per sample; made by prepare."""
        return self.cache_folder() / "manifest.parquet"

    def contact_sheet_file(self) -> Path:
        """Samples with their labels outlined, as the pipeline reads them."""
        return self.cache_folder() / "contact_sheet.png"

    def image_file(self, key: str, view: str) -> Path:
        """The cached image of one view of a sample."""
        return self.cache_folder() / "images" / f"{key}.{view}.b2"

    def label_file(self, key: str) -> Path:
        """The cached label planes of a sample."""
        return self.cache_folder() / "labels" / f"{key}.b2"

    def contested_folder(self) -> Path:
        """Pixels that votes of members can still decide, kept so that a tuning that was cut goes on where it was."""
        return self.cache_folder() / "contested"

    def fold_file(self) -> Path:
        """Group -> fold as prepare makes it; where folds are shipped the plain name is theirs and never written to."""
        return self.root / "folds" / self._fold_name()

    def committed_fold_file(self) -> Path:
        """The same in the repository, where a team commits it; also used when the workspace is elsewhere."""
        return REPOSITORY / "folds" / self._fold_name()

    def shipped_fold_file(self) -> Path | None:
        """Group -> fold as everybody has it; None where no folds are shipped."""
        return REPOSITORY / "folds" / f"{self.dataset}.csv" if self.dataset in SHIPPED_FOLDS else None

    def _fold_name(self) -> str:
        return f"{self.dataset}_own.csv" if self.dataset in SHIPPED_FOLDS else f"{self.dataset}.csv"

    def run_folder(self, run: str) -> Path:
        """All folds of one experiment."""
        return self.root / "runs" / self.dataset / run

    def finished_runs(self) -> list[str]:
        """Names of the runs of which any fold, or the model of all samples, is finished."""
        return sorted({path.parent.parent.name for path in self.run_folder("*").parent.glob("*/*/finished.json")})

    def train_command(self, run: str, fold: int | str) -> str:
        """The command that trains one more fold of a run, with the settings of those it has."""
        kept = sorted(self.run_folder(run).glob("*/config.yaml"))
        experiment = f" --experiment {shlex.quote(str(kept[0]))}" if kept else ""
        return f"./run.sh train{experiment} --name {run} --fold {fold}"

    def fold_folder(self, run: str, fold: int | str) -> Path:
        """One trained fold: config, history, checkpoints and out-of-fold maps; "full" learned from all samples."""
        return self.run_folder(run) / ("full" if fold == "full" else f"fold{fold}")

    def test_maps_folder(self, run: str, name: str) -> Path:
        """A member's probability maps of a test set, kept so that re-weighting never runs a network again."""
        return self.run_folder(run) / "test" / name

    def imported_file(self, run: str) -> Path:
        """What an imported member was made from; a run that was trained here has none."""
        return self.run_folder(run) / "imported.json"

    def imported_test_folder(self, run: str) -> Path:
        """The test predictions that came with an imported member."""
        return self.test_maps_folder(run, "imported")

    def search_file(self, name: str) -> Path:
        """The trials of a search over training settings, an SQLite database."""
        return self.root / "runs" / self.dataset / "search" / f"{name}.db"

    def trial_folder(self, name: str, settings: str) -> Path:
        """What one trial of a search trained; ``settings`` is the hash of its experiment."""
        return self.search_file(name).with_suffix("") / settings

    def ensembles_folder(self) -> Path:
        """All tuned decisions."""
        return self.root / "runs" / self.dataset / "ensembles"

    def ensemble_folder(self, name: str) -> Path:
        """One tuned decision with its trials and tables."""
        return self.ensembles_folder() / name

    def submissions_folder(self) -> Path:
        """All submissions of this data set."""
        return self.root / "submissions" / self.dataset

    def submission_file(self, submission_id: str, ending: str = ".csv") -> Path:
        """The file to hand in."""
        return self.submissions_folder() / submission_id / f"submission{ending}"

    def latest_submission_file(self, ending: str = ".csv") -> Path:
        """Always a copy of the newest submission."""
        return self.submissions_folder() / f"submission{ending}"

    def leaderboard_file(self) -> Path:
        """All submissions of all tracks with their scores."""
        return self.root / "submissions" / "leaderboard.csv"


def contest_root(root: Path, name: str) -> Path:
    """The root of a workspace in which a contest draws its own data and trains its own runs, apart from all others."""
    return root / "contests" / name


def checkpoint_file(fold_folder: Path, epoch: int | None = None) -> Path:
    """The weights of a trained fold that predict: the best, or those that were kept after an epoch."""
    return fold_folder / ("best.pt" if epoch is None else f"epoch{epoch:03d}.pt")


def out_of_fold_folder(fold_folder: Path, epoch: int | None = None) -> Path:
    """What the weights of ``checkpoint_file`` say about the samples the fold held out."""
    return fold_folder / ("oof" if epoch is None else f"oof@{epoch}")


def training_scores_folder(fold_folder: Path) -> Path:
    """What the best weights of a fold say about the samples the fold learned from, where that was asked for."""
    return fold_folder / "training_scores"


def pseudo_labels_folder(fold_folder: Path) -> Path:
    """What the teacher of a fold says about the test samples, from which the fold learns."""
    return fold_folder / "pseudo"


def pseudo_label_file(pseudo_labels: Path, key: str) -> Path:
    """The label planes that a teacher gave to a test sample."""
    return pseudo_labels / f"{key}.b2"


def contested_file(contested: Path, members: str, cuts: str, key: str) -> Path:
    """The contested pixels of a sample, of members that are told apart by a hash, between two cuts."""
    return contested / members / cuts / f"{key}.npy"


def plane_files_folder(submission: Path) -> Path:
    """The single files of a submission that is handed in as a zip of them."""
    return submission.with_name("planes")


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Gives a temporary path beside ``path``; renamed to it when the block ends well, removed otherwise.

    Args:
        path: The file to write. Its folder is made.

    Yields:
        The path to write to.

    Raises:
        CompetitionError: The disk is full or the folder can't be written; the old file, if any, is untouched.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        os.close(descriptor)
    except OSError as error:
        raise _cannot_write(path, error) from error
    part = Path(name)
    try:
        yield part
        part.chmod(0o644)  # mkstemp makes private files; results are for the whole team
        os.replace(part, path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """Like ``whole_file`` for a folder; an old folder of that name is replaced at the end.

    Yields:
        An empty folder to write to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        part = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        yield part
        part.chmod(0o755)
        old = part.with_suffix(".old")
        if path.exists():
            os.replace(path, old)
        try:
            os.replace(part, path)
        except OSError:
            if old.exists():
                os.replace(old, path)
            raise
        shutil.rmtree(old, ignore_errors=True)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Writes a UTF-8 text file whole or not at all."""
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file whole or not at all; NaN is not JSON and is refused."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Writes rows of one set of columns, whole or not at all."""
    with whole_file(path) as part, part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def read_csv(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Reads a CSV without judging it.

    Args:
        path: UTF-8, with or without a byte order mark; any line ends; blank lines are no rows.

    Returns:
        The header, and for each row its line number in the file (the header is line 1) and its fields.

    Raises:
        CompetitionError: The file is missing, empty, separated by semicolons, or no CSV text at all.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = next(reader, None)
            lines = [(reader.line_num, fields) for fields in reader if fields]
    except OSError as error:
        raise CompetitionError(f"can't read the file ({error.strerror or error})", path) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise CompetitionError(f"this is not a CSV in UTF-8 ({error})", path) from error
    if header is None:
        raise CompetitionError("the file is empty", path)
    if len(header) == 1 and ";" in header[0]:
        raise CompetitionError("cells are separated by ';', not by ','", path)
    return header, lines


def read_json(path: Path, mend: str) -> Any:
    """Reads a JSON file.

    Raises:
        CompetitionError: It is missing or not JSON; ``mend`` says what makes it.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CompetitionError("file not found", path, mend) from error
    except (OSError, ValueError) as error:
        raise CompetitionError(f"can't be read as JSON ({error})", path, mend) from error


def _cannot_write(path: Path, error: OSError) -> CompetitionError:
    reason = error.strerror or str(error)
    mend = (
        "Nothing was changed; make room or choose another place with --workspace DIR, then run the same command again"
    )
    return CompetitionError(f"can't write ({reason})", path, mend)

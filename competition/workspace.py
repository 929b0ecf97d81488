"""Every path the pipeline writes is built here and nowhere else, and every file is written whole or not at all."""

import csv
import json
import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from competition.errors import CompetitionError
from competition.files import CHECKSUM, check_file, json_checksum
from competition.files import remove_folder as remove_folder
from competition.files import whole_file as whole_file
from competition.files import whole_folder as whole_folder
from competition.files import write_csv as write_csv
from competition.files import write_json as write_json
from competition.files import write_sealed_json as write_sealed_json
from competition.files import write_text as write_text
from competition.names import inside
from competition.spreadsheets import cut_by_excel, foreign_content, other_encoding, wrong_separator

REPOSITORY = Path(__file__).resolve().parent.parent
PHANTOM = "phantom_"

SHIPPED_FOLDS = {"hand_bone": "fe98a8b48c"}
"""Data set -> hash of the folds that are shipped in the repository, so that everybody's fold 0 is the same."""

LARGEST_TABLE = 4 << 30
"""Bytes of a CSV, which may hold the run lengths of a whole data set."""

# The csv module stops at 131,072 characters per field, and a smeared mask has more; no cell here is ever too long.
csv.field_size_limit(sys.maxsize)


@dataclass(frozen=True)
class Workspace:
    """Where one data set's files lie. No name leads out of the folder that it belongs to.

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
        return inside(self.root / "data", self.dataset)

    def cache_folder(self) -> Path:
        """Decoded images, label planes and the manifest."""
        return inside(self.root / "cache", self.dataset)

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
        return inside(self.cache_folder() / "images", f"{key}.{view}.b2")

    def label_file(self, key: str) -> Path:
        """The cached label planes of a sample."""
        return inside(self.cache_folder() / "labels", f"{key}.b2")

    def contested_folder(self) -> Path:
        """Pixels that votes of members can still decide, kept so that a tuning that was cut goes on where it was."""
        return self.cache_folder() / "contested"

    def fold_file(self) -> Path:
        """Group -> fold as prepare makes it; where folds are shipped the plain name is theirs and never written to."""
        return inside(self.root / "folds", self._fold_name())

    def committed_fold_file(self) -> Path:
        """The same in the repository, where a team commits it; also used when the workspace is elsewhere."""
        return inside(REPOSITORY / "folds", self._fold_name())

    def shipped_fold_file(self) -> Path | None:
        """Group -> fold as everybody has it; None where no folds are shipped."""
        return REPOSITORY / "folds" / f"{self.dataset}.csv" if self.dataset in SHIPPED_FOLDS else None

    def _fold_name(self) -> str:
        return f"{self.dataset}_own.csv" if self.dataset in SHIPPED_FOLDS else f"{self.dataset}.csv"

    def _runs_folder(self) -> Path:
        return inside(self.root / "runs", self.dataset)

    def run_folder(self, run: str) -> Path:
        """All folds of one experiment."""
        return inside(self._runs_folder(), run)

    def finished_runs(self) -> list[str]:
        """Names of the runs of which any fold, or the model of all samples, is finished."""
        names = {path.parent.parent.name for path in self._runs_folder().glob("*/*/finished.json")}
        return sorted(name for name in names if name[0] != ".")

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
        return inside(self.run_folder(run) / "test", name)

    def imported_file(self, run: str) -> Path:
        """What an imported member was made from; a run that was trained here has none."""
        return self.run_folder(run) / "imported.json"

    def imported_test_folder(self, run: str) -> Path:
        """The test predictions that came with an imported member."""
        return self.test_maps_folder(run, "imported")

    def search_file(self, name: str) -> Path:
        """The trials of a search over training settings, an SQLite database."""
        return inside(self._runs_folder() / "search", f"{name}.db")

    def trial_folder(self, name: str, settings: str) -> Path:
        """What one trial of a search trained; ``settings`` is the hash of its experiment."""
        return inside(self.search_file(name).with_suffix(""), settings)

    def ensembles_folder(self) -> Path:
        """All tuned decisions."""
        return self._runs_folder() / "ensembles"

    def ensemble_folder(self, name: str) -> Path:
        """One tuned decision with its trials and tables."""
        return inside(self.ensembles_folder(), name)

    def submissions_folder(self) -> Path:
        """All submissions of this data set."""
        return inside(self.root / "submissions", self.dataset)

    def submission_file(self, submission_id: str, ending: str = ".csv") -> Path:
        """The file to hand in."""
        return inside(self.submissions_folder(), submission_id) / f"submission{ending}"

    def latest_submission_file(self, ending: str = ".csv") -> Path:
        """Always a copy of the newest submission."""
        return self.submissions_folder() / f"submission{ending}"

    def leaderboard_file(self) -> Path:
        """All submissions of all tracks with their scores."""
        return self.root / "submissions" / "leaderboard.csv"


def contest_root(root: Path, name: str) -> Path:
    """The root of a workspace in which a contest draws its own data and trains its own runs, apart from all others."""
    return inside(root / "contests", name)


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
    return inside(pseudo_labels, f"{key}.b2")


def contested_file(contested: Path, members: str, cuts: str, key: str) -> Path:
    """The contested pixels of a sample, of members that are told apart by a hash, between two cuts."""
    return inside(contested / members / cuts, f"{key}.npy")


def plane_files_folder(submission: Path) -> Path:
    """The single files of a submission that is handed in as a zip of them."""
    return submission.with_name("planes")


def read_csv(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """Reads a CSV without judging it.

    Args:
        path: UTF-8, with or without a byte order mark; any line ends; blank lines are no rows.

    Returns:
        The header, and for each row its line number in the file (the header is line 1) and its fields.

    Raises:
        CompetitionError: The file is missing, empty, no CSV text in UTF-8 (packed, a workbook, another encoding),
            separated by semicolons or tabs, or its longest cells were cut by Excel.
    """
    try:
        check_file(path, LARGEST_TABLE)
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.reader(file)
            header = next(reader, None)
            lines = [(reader.line_num, fields) for fields in reader if fields]
    except MemoryError as error:
        raise CompetitionError("the file does not fit into memory", path) from error
    except OSError as error:
        raise CompetitionError(f"can't read the file ({error.strerror or error})", path) from error
    except UnicodeDecodeError as error:
        raise other_encoding(path, error.object) from error
    except csv.Error as error:
        raise CompetitionError(f"this is not a CSV in UTF-8 ({error})", path) from error
    if header is None:
        raise CompetitionError("the file is empty", path)
    fault = (
        foreign_content(path, ",".join(header).encode("utf-8", "replace"))
        or wrong_separator(path, header)
        or cut_by_excel(path, lines)
    )
    if fault is not None:
        raise fault
    return header, lines


def read_json(path: Path, repair: str) -> Any:
    """Reads a JSON file, with or without a byte order mark, and compares it with its checksum, where it has one.

    Files of earlier versions and of other programs have none.

    Raises:
        CompetitionError: It is missing, not JSON, or not what was written; ``repair`` says what makes it.
    """
    check_file(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        stored = content.pop(CHECKSUM, None) if isinstance(content, dict) else None
        unchanged = stored is None or stored == json_checksum(content)
    except FileNotFoundError as error:
        raise CompetitionError("file not found", path, repair) from error
    except UnicodeDecodeError as error:
        reason = other_encoding(path, error.object).what
        raise CompetitionError(f"can't be read as JSON ({reason})", path, repair) from error
    except (OSError, ValueError) as error:
        raise CompetitionError(f"can't be read as JSON ({error})", path, repair) from error
    except RecursionError as error:
        raise CompetitionError("can't be read as JSON (too many brackets inside of brackets)", path, repair) from error
    except MemoryError as error:
        raise CompetitionError("the file does not fit into memory", path, repair) from error
    if not unchanged:
        raise CompetitionError("the file is not as it was written: it was edited or is damaged", path, repair)
    return content


def read_json_object(path: Path, keys: Sequence[str], repair: str) -> dict[str, Any]:
    """Reads a JSON file that holds an object with some keys.

    Args:
        path: The file.
        keys: What it must have; more is no error.
        repair: What makes it.

    Raises:
        CompetitionError: As ``read_json``, or a key is missing.
    """
    stored = read_json(path, repair)
    if not isinstance(stored, dict) or not stored.keys() >= set(keys):
        raise CompetitionError(f"one of the keys {', '.join(keys)} is missing", path, repair)
    return stored

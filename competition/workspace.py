"""Every path that the pipeline writes; none is built elsewhere."""

import re
import shlex
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from competition.installation import CHECKOUT, PACKAGE, REPOSITORY
from competition.names import inside

PHANTOM = "phantom_"
DECISION, IMPORTED = "decision.json", "imported.json"
"""The files that mark a folder as a tuned decision and as an imported run."""

SHIPPED_FOLDS = {"hand_bone": "fe98a8b48c"}
"""Data set -> hash of the shipped folds, so that fold 0 is the same in every installation."""


@dataclass(frozen=True)
class Workspace:
    """The paths of one data set's files. No name leads out of the folder that it belongs to."""

    # the parent of everything that is written; by default the checkout, or the current folder where there is none
    root: Path
    # the track's name, or "phantom_" + the track's name for synthetic data, which never mixes with real data
    dataset: str

    @property
    def phantom(self) -> bool:
        """Return whether the data is synthetic."""
        return self.dataset.startswith(PHANTOM)

    def data_folder(self) -> Path:
        """Return where raw data is looked for (and synthetic data written) without --data."""
        return inside(self.root / "data", self.dataset)

    def staged_folder(self, name: str) -> Path:
        """Return the folder of data that was downloaded; hidden, because it may lie in a folder of other data."""
        return inside(self.root / "data" / ".staged", name)

    def cache_folder(self) -> Path:
        """Return the folder of decoded images, label planes and the manifest."""
        return inside(self.root / "cache", self.dataset)

    def grids_folder(self) -> Path:
        """Return the folder of samples on training grids, which processes share."""
        return self.cache_folder() / "grids"

    def written_folders(self) -> list[Path]:
        """Return all folders below the root that stages write to, of every data set."""
        names = ("cache", "comparisons", "folds", "jobs", "reports", "runs", "submissions", "tracking")
        return [self.root / name for name in names]

    def manifest_file(self) -> Path:
        """Return the table of prepare, one row per sample."""
        return self.cache_folder() / "manifest.parquet"

    def contact_sheet_file(self) -> Path:
        """Return the image of samples with outlined labels, as the pipeline reads them."""
        return self.cache_folder() / "contact_sheet.png"

    def image_file(self, key: str, view: str) -> Path:
        """Return the cached image of one view of a sample."""
        return inside(self.cache_folder() / "images", f"{key}.{view}.b2")

    def label_file(self, key: str) -> Path:
        """Return the cached label planes of a sample."""
        return inside(self.cache_folder() / "labels", f"{key}.b2")

    def corrections_file(self) -> Path:
        """Return the record of the labels that corrections changed in the last preparation."""
        return self.cache_folder() / "corrections.csv"

    def contested_folder(self) -> Path:
        """Return the contested pixels, kept so that an interrupted tuning continues."""
        return self.cache_folder() / "contested"

    def fold_file(self) -> Path:
        """Return the data set's own fold file of prepare; a shipped one has another name and is never written to."""
        return inside(self.root / "folds", self._fold_name())

    def committed_fold_file(self) -> Path:
        """Return the same in the repository, where a team commits it; also used by other workspaces."""
        return inside(REPOSITORY / "folds", self._fold_name())

    def shipped_fold_file(self) -> Path | None:
        """Return the fold file that is the same in every installation; None where none is shipped."""
        if self.dataset not in SHIPPED_FOLDS:
            return None
        # The package's file is a link to the one in folds/, of which pip installs a copy.
        packaged = PACKAGE / "tracks" / self.dataset / "folds.csv"
        return REPOSITORY / "folds" / f"{self.dataset}.csv" if CHECKOUT else packaged

    def _fold_name(self) -> str:
        return f"{self.dataset}_own.csv" if self.dataset in SHIPPED_FOLDS else f"{self.dataset}.csv"

    def _runs_folder(self) -> Path:
        return inside(self.root / "runs", self.dataset)

    def run_folder(self, run: str) -> Path:
        """Return the folder of all folds of one run."""
        return inside(self._runs_folder(), run)

    def finished_runs(self) -> list[str]:
        """Return the names of the runs of which any fold, or the model of all samples, is finished."""
        # A hidden folder is what an import that was killed has left.
        names = sorted({path.parent.parent.name for path in self._runs_folder().glob("[!.]*/*/finished.json")})
        return [run for run in names if self.folds_with(finished_file, run)]

    def folds_with(self, file_of: Callable[[Path], Path], run: str) -> list[int | Literal["full"]]:
        """Return the folds of a run whose folders have a file, "full" last; a copy, "fold0_old", is no fold."""
        names = [path.name for path in self.run_folder(run).glob("*") if file_of(path).exists()]
        numbers = sorted(int(name[4:]) for name in names if re.fullmatch("fold(0|[1-9][0-9]*)", name))
        return [*numbers, "full"] if "full" in names else [*numbers]

    def settings_files(self, run: str) -> list[Path]:
        """Return the settings that the folds of a run were trained with, by fold; an imported run has none."""
        return [settings_file(self.fold_folder(run, fold)) for fold in self.folds_with(settings_file, run)]

    def train_command(self, run: str, fold: int | str) -> str:
        """Return the command that trains one more fold of a run, with the settings of its other folds."""
        kept = self.settings_files(run)
        experiment = f" --experiment {shlex.quote(str(kept[0]))}" if kept else ""
        return f"./run.sh train{experiment} --name {shlex.quote(run)} --fold {fold}"

    def fold_folder(self, run: str, fold: int | str) -> Path:
        """Return the folder of one trained fold: config, history, checkpoints and out-of-fold maps."""
        return self.run_folder(run) / ("full" if fold == "full" else f"fold{fold}")

    def test_maps_folder(self, run: str, name: str) -> Path:
        """Return a member's probability maps of a test set, kept so that new weights need no network."""
        return inside(self.run_folder(run) / "test", name)

    def imported_file(self, run: str) -> Path:
        """Return the record of the sources of an imported member; a run trained here has none."""
        return self.run_folder(run) / IMPORTED

    def imported_test_folder(self, run: str) -> Path:
        """Return the test predictions that came with an imported member."""
        return self.test_maps_folder(run, "imported")

    def search_file(self, name: str) -> Path:
        """Return the trials of a search over training settings, a journal of Optuna."""
        return inside(self._runs_folder() / "search", f"{name}.journal")

    def trial_folder(self, name: str, settings: str) -> Path:
        """Return the folder of one trial of a search; ``settings`` is the hash of its experiment."""
        return inside(self.search_file(name).with_suffix(""), settings)

    def ensembles_folder(self) -> Path:
        """Return the folder of all decisions."""
        return self._runs_folder() / "ensembles"

    def ensemble_folder(self, name: str) -> Path:
        """Return the folder of one decision with its trials and tables."""
        return inside(self.ensembles_folder(), name)

    def decision_file(self, name: str) -> Path:
        """Return the file of one decision."""
        return self.ensemble_folder(name) / DECISION

    def decision_files(self) -> list[Path]:
        """Return the files of all decisions, sorted."""
        return sorted(self.ensembles_folder().glob(f"*/{DECISION}"))

    def report_folder(self, name: str) -> Path:
        """Return the folder of the report on one decision: a page, and its figures as CSV files."""
        return inside(inside(self.root / "reports", self.dataset), name)

    def submissions_folder(self) -> Path:
        """Return all submissions of this data set."""
        return inside(self.root / "submissions", self.dataset)

    def submission_file(self, submission_id: str, ending: str = ".csv") -> Path:
        """Return the file to submit."""
        return inside(self.submissions_folder(), submission_id) / f"submission{ending}"

    def latest_submission_file(self, ending: str = ".csv") -> Path:
        """Return the file that is always a copy of the newest submission."""
        return self.submissions_folder() / f"submission{ending}"

    def job_logs_folder(self, name: str) -> Path:
        """Return the folder of what the jobs of one call of a stage print, where they run on other machines."""
        return inside(inside(self.root / "jobs", self.dataset), name)

    def tracking_folder(self) -> Path:
        """Return where experiment trackers write, of all data sets."""
        return self.root / "tracking"

    def leaderboard_file(self) -> Path:
        """Return all submissions of all tracks with their scores."""
        return self.root / "submissions" / "leaderboard.csv"


def comparison_root(root: Path, name: str) -> Path:
    """Return the workspace root of a comparison, which has its own synthetic data and runs."""
    return inside(root / "comparisons", name)


def staged_index_file(folder: Path) -> Path:
    """Return the versions and checksums of the files in a folder of ``Workspace.staged_folder``."""
    return folder / ".staged.jsonl"


def search_lock_file(search_file: Path) -> Path:
    """Return the lock of a search, held while a process writes to its journal or takes a trial."""
    return search_file.with_suffix("") / ".lock"


def trial_lock_file(search_file: Path, number: int) -> Path:
    """Return the lock of a trial of a search, held by the process that trains it."""
    return search_file.with_suffix("") / f".trial{number}.lock"


def settings_lock_file(trial_folder: Path) -> Path:
    """Return the lock of a trial's folder, which trials of equal settings share."""
    return trial_folder.with_name(f".{trial_folder.name}.lock")


def finished_file(fold_folder: Path) -> Path:
    """Return the mark of a fold that is trained and has predicted its held-out samples; it holds its identity."""
    return fold_folder / "finished.json"


def settings_file(fold_folder: Path) -> Path:
    """Return the experiment that a fold was trained with, as YAML."""
    return fold_folder / "config.yaml"


def history_file(fold_folder: Path) -> Path:
    """Return the losses and scores of a fold, one row per epoch."""
    return fold_folder / "history.csv"


def last_checkpoint_file(fold_folder: Path) -> Path:
    """Return the state from which an interrupted fold continues."""
    return fold_folder / "last.pt"


def checkpoint_file(fold_folder: Path, epoch: int | None = None) -> Path:
    """Return the weights of a trained fold that predict: the last, or those kept after an epoch."""
    return fold_folder / ("weights.pt" if epoch is None else f"epoch{epoch:03d}.pt")


def out_of_fold_folder(fold_folder: Path, epoch: int | None = None, views: Sequence[str] | None = None) -> Path:
    """Return the predictions of the weights of ``checkpoint_file`` on the held-out samples.

    ``views`` are the test-time views where these are not those of the experiment.
    """
    name = "oof" if epoch is None else f"oof@{epoch}"
    return fold_folder / (name if views is None else f"{name}-{'+'.join(views)}")


def training_scores_folder(fold_folder: Path) -> Path:
    """Return the predictions of a fold's last weights on its training samples, where they were asked for."""
    return fold_folder / "training_scores"


def pseudo_labels_folder(fold_folder: Path) -> Path:
    """Return the predictions of a fold's teacher on the test samples, from which the fold learns."""
    return fold_folder / "pseudo"


def pseudo_label_file(pseudo_labels: Path, key: str) -> Path:
    """Return a teacher's label planes of a test sample."""
    return inside(pseudo_labels, f"{key}.b2")


def contested_file(contested: Path, members: str, levels: str, key: str) -> Path:
    """Return a sample's contested pixels between two levels, of members identified by a hash."""
    return inside(contested / members / levels, f"{key}.npy")


def plane_files_folder(submission: Path) -> Path:
    """Return the single files of a submission that is submitted as a zip of them."""
    return submission.with_name("planes")


def git_commit() -> str:
    """Return the commit of the code, with a + where files were changed since; empty outside of a git checkout."""
    if not CHECKOUT:  # an environment may lie in the checkout of another project
        return ""
    try:
        command = ["git", "-C", str(REPOSITORY), "describe", "--always", "--dirty=+", "--abbrev=10", "--exclude=*"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""

"""Every path the pipeline writes is built here and nowhere else."""

import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

from competition.installation import CHECKOUT, PACKAGE, REPOSITORY
from competition.names import inside

PHANTOM = "phantom_"

SHIPPED_FOLDS = {"hand_bone": "fe98a8b48c"}
"""Data set -> hash of the folds that are shipped, so that everybody's fold 0 is the same."""


@dataclass(frozen=True)
class Workspace:
    """Where one data set's files lie. No name leads out of the folder that it belongs to.

    Attributes:
        root: Everything written lies below it; by default the checkout, or the current folder where there is none.
        dataset: The track's name, or "phantom_" + the track's name for drawn data, which never mixes with real data.
    """

    root: Path
    dataset: str

    @property
    def phantom(self) -> bool:
        """Return whether the data is drawn."""
        return self.dataset.startswith(PHANTOM)

    def data_folder(self) -> Path:
        """Return where raw data is looked for (and phantom data drawn) when no --data is given."""
        return inside(self.root / "data", self.dataset)

    def cache_folder(self) -> Path:
        """Decoded images, label planes and the manifest."""
        return inside(self.root / "cache", self.dataset)

    def written_folders(self) -> list[Path]:
        """Return all folders below the root that stages write to, of every data set."""
        return [self.root / name for name in ("cache", "comparisons", "folds", "runs", "submissions")]

    def manifest_file(self) -> Path:
        """Return one row per sample; made by prepare."""
        return self.cache_folder() / "manifest.parquet"

    def contact_sheet_file(self) -> Path:
        """Samples with their labels outlined, as the pipeline reads them."""
        return self.cache_folder() / "contact_sheet.png"

    def image_file(self, key: str, view: str) -> Path:
        """Return the cached image of one view of a sample."""
        return inside(self.cache_folder() / "images", f"{key}.{view}.b2")

    def label_file(self, key: str) -> Path:
        """Return the cached label planes of a sample."""
        return inside(self.cache_folder() / "labels", f"{key}.b2")

    def contested_folder(self) -> Path:
        """Pixels that votes of members can still decide, kept so that a tuning that was cut goes on where it was."""
        return self.cache_folder() / "contested"

    def fold_file(self) -> Path:
        """Group -> fold as prepare makes it; where folds are shipped the plain name is theirs and never written to."""
        return inside(self.root / "folds", self._fold_name())

    def committed_fold_file(self) -> Path:
        """Return the same in the repository, where a team commits it; also used when the workspace is elsewhere."""
        return inside(REPOSITORY / "folds", self._fold_name())

    def shipped_fold_file(self) -> Path | None:
        """Group -> fold as everybody has it; None where no folds are shipped."""
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
        """Return all folds of one experiment."""
        return inside(self._runs_folder(), run)

    def finished_runs(self) -> list[str]:
        """Name of the runs of which any fold, or the model of all samples, is finished."""
        names = {path.parent.parent.name for path in self._runs_folder().glob("*/*/finished.json")}
        return sorted(name for name in names if name[0] != ".")

    def train_command(self, run: str, fold: int | str) -> str:
        """Return the command that trains one more fold of a run, with the settings of those it has."""
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
        """Return what an imported member was made from; a run that was trained here has none."""
        return self.run_folder(run) / "imported.json"

    def imported_test_folder(self, run: str) -> Path:
        """Return the test predictions that came with an imported member."""
        return self.test_maps_folder(run, "imported")

    def search_file(self, name: str) -> Path:
        """Return the trials of a search over training settings, an SQLite database."""
        return inside(self._runs_folder() / "search", f"{name}.db")

    def trial_folder(self, name: str, settings: str) -> Path:
        """Return what one trial of a search trained; ``settings`` is the hash of its experiment."""
        return inside(self.search_file(name).with_suffix(""), settings)

    def ensembles_folder(self) -> Path:
        """Return all tuned decisions."""
        return self._runs_folder() / "ensembles"

    def ensemble_folder(self, name: str) -> Path:
        """Return one tuned decision with its trials and tables."""
        return inside(self.ensembles_folder(), name)

    def decision_file(self, name: str) -> Path:
        """Return what one tuning chose."""
        return self.ensemble_folder(name) / "decision.json"

    def decision_files(self) -> list[Path]:
        """Return all tuned decisions."""
        return sorted(self.ensembles_folder().glob("*/decision.json"))

    def submissions_folder(self) -> Path:
        """Return all submissions of this data set."""
        return inside(self.root / "submissions", self.dataset)

    def submission_file(self, submission_id: str, ending: str = ".csv") -> Path:
        """Return the file to hand in."""
        return inside(self.submissions_folder(), submission_id) / f"submission{ending}"

    def latest_submission_file(self, ending: str = ".csv") -> Path:
        """Always a copy of the newest submission."""
        return self.submissions_folder() / f"submission{ending}"

    def leaderboard_file(self) -> Path:
        """Return all submissions of all tracks with their scores."""
        return self.root / "submissions" / "leaderboard.csv"


def comparison_root(root: Path, name: str) -> Path:
    """Return the root of the workspace in which a comparison draws its own data and trains its own runs."""
    return inside(root / "comparisons", name)


def finished_file(fold_folder: Path) -> Path:
    """Return the mark of a fold that is trained and has predicted what it held out; it holds the fold's identity."""
    return fold_folder / "finished.json"


def settings_file(fold_folder: Path) -> Path:
    """Return the experiment that a fold was trained with, as YAML."""
    return fold_folder / "config.yaml"


def history_file(fold_folder: Path) -> Path:
    """Return the losses and scores of a fold, one row per epoch."""
    return fold_folder / "history.csv"


def last_checkpoint_file(fold_folder: Path) -> Path:
    """Return everything that an interrupted fold continues from."""
    return fold_folder / "last.pt"


def checkpoint_file(fold_folder: Path, epoch: int | None = None) -> Path:
    """Return the weights of a trained fold that predict: the best, or those that were kept after an epoch."""
    return fold_folder / ("best.pt" if epoch is None else f"epoch{epoch:03d}.pt")


def out_of_fold_folder(fold_folder: Path, epoch: int | None = None) -> Path:
    """Return what the weights of ``checkpoint_file`` say about the samples the fold held out."""
    return fold_folder / ("oof" if epoch is None else f"oof@{epoch}")


def training_scores_folder(fold_folder: Path) -> Path:
    """Return what the best weights of a fold say about the samples the fold learned from, where that was asked for."""
    return fold_folder / "training_scores"


def pseudo_labels_folder(fold_folder: Path) -> Path:
    """Return what the teacher of a fold says about the test samples, from which the fold learns."""
    return fold_folder / "pseudo"


def pseudo_label_file(pseudo_labels: Path, key: str) -> Path:
    """Return the label planes that a teacher gave to a test sample."""
    return inside(pseudo_labels, f"{key}.b2")


def contested_file(contested: Path, members: str, cuts: str, key: str) -> Path:
    """Return the contested pixels of a sample, of members that are told apart by a hash, between two cuts."""
    return inside(contested / members / cuts, f"{key}.npy")


def plane_files_folder(submission: Path) -> Path:
    """Return the single files of a submission that is handed in as a zip of them."""
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

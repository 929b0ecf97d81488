"""What both sides of the race answer, and how it is scored: masks, or a table of probabilities.

The sides of a race are rivals, programs that read TASK.json and share nothing else with this project, and ours.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from competition.data.folds import Fold
from competition.data.manifest import Entry
from competition.ensembling.selection.bootstrap import Statistic
from competition.runs.run import Run
from competition.settings import Experiment
from competition.tracks.track import Track
from competition.workspace import Workspace


@dataclass(frozen=True)
class Answers(ABC):
    """The answers to a data set."""

    # rival -> its module, run as ``python -m MODULE TASK.json OUT``; ours is compared with the notebook
    rivals: ClassVar[Mapping[str, str]]

    track: Track
    truth: Path  # folder for files of the truth

    @property
    @abstractmethod
    def metric(self) -> str:
        """Return the name of the score."""

    @abstractmethod
    def write_truth(self, workspace: Workspace, entries: Sequence[Entry]) -> dict[str, dict[str, Any]]:
        """Write the truth; return what TASK.json has about that of each sample."""

    @abstractmethod
    def network(self, experiment: Experiment) -> dict[str, Any]:
        """Return the notebook's network as TASK.json has it."""

    @abstractmethod
    def write_ours(self, run: Run, fold: Fold, out: Path) -> None:
        """Write our out-of-fold predictions of a fold into the folder ``out``, in the notebook's form."""

    @abstractmethod
    def statistic(self, entries: Sequence[Entry], out: Path) -> Statistic:
        """Return the score of the answers in the folder ``out``.

        Raises:
            CompetitionError: An answer is missing or damaged.
        """

"""The leak alarm: runs that learn shuffled labels. What they predict must be worth no more than chance.

The labels of all training samples are dealt out once, before the folds are parted, and the held-out samples are scored
against what was dealt to them, as in a permutation test. A sample that reaches the training of the fold that holds it
out is learned by heart, and so lifts the score: with shuffled labels nothing else can.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from competition.config import Experiment, load_experiment
from competition.data.manifest import Entry
from competition.ensembling.members import TrainedMember, split_member
from competition.errors import CompetitionError
from competition.workspace import Workspace


def learned_entries(entries: Sequence[Entry], experiment: Experiment) -> list[Entry]:
    """The samples with the targets that an experiment learns: their own, or shuffled ones.

    Args:
        entries: All training samples of all folds, in the manifest's order.
        experiment: With ``data.shuffle_labels`` the targets are dealt out anew; the same ``train.seed`` deals the same.
    """
    if not experiment.data.shuffle_labels:
        return list(entries)
    order = np.random.default_rng(experiment.train.seed).permutation(len(entries))
    return [replace(entry, targets=entries[index].targets) for entry, index in zip(entries, order, strict=True)]


def learned_by(workspace: Workspace, members: Sequence[TrainedMember], training: Sequence[Entry]) -> list[Entry]:
    """The training samples with the targets that the members learned.

    Args:
        workspace: Where the runs are.
        members: Who votes.
        training: All prepared training samples.

    Returns:
        The samples as they are, or, for runs of the leak alarm, with the targets that were dealt to them.

    Raises:
        CompetitionError: The members learned different labels.
    """
    experiments = [
        load_experiment(workspace.fold_folder(split_member(member.name)[0], member.folds[0]) / "config.yaml")
        for member in members
        if not member.imported  # nobody deals out labels to others
    ]
    seeds = {each.train.seed if each.data.shuffle_labels else None for each in experiments}
    if len(seeds | {None for member in members if member.imported}) > 1:
        raise CompetitionError(
            "members trained on shuffled labels can't be weighed against others", mend="Tune --members without them"
        )
    return learned_entries(training, experiments[0]) if experiments else list(training)

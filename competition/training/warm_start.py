"""The weights that a training starts from (``model.init``)."""

from pathlib import Path

from torch import nn

from competition.console import say
from competition.data.folds import Fold
from competition.models.checkpoint_loading import (
    ABSENT,
    load_weights,
    loaded_parts,
    part_of,
    read_checkpoint,
    weights_in,
)
from competition.settings import Experiment
from competition.training.checkpoints import Identity, check_start, state_hash
from competition.workspace import Workspace


def start_file(workspace: Workspace, init: Path, fold: Fold) -> Path:
    """Return the checkpoint a fold starts from: ``model.init``, or the fold's own where it contains "{fold}"."""
    if "{fold}" not in str(init):
        return init
    own = workspace.fold_folder("*", fold)
    return own.parents[1] / str(init).replace("{fold}", own.name)


def start_hash(workspace: Workspace, experiment: Experiment, fold: Fold) -> str:
    """Return a hash of the weights that a fold starts from; empty where it starts from none.

    Raises:
        CompetitionError: The checkpoint is missing, damaged or holds no weights.
    """
    if experiment.model.init is None:
        return ""
    path = start_file(workspace, experiment.model.init, fold)
    return state_hash(weights_in(read_checkpoint(path), path))


def start_from(model: nn.Module, path: Path, identity: Identity) -> None:
    """Load what fits of a checkpoint into a network, and list the rest.

    Raises:
        CompetitionError: The checkpoint is missing or damaged, nothing of it fits, or it has learned from what the fold
            of ``identity`` holds out.
    """
    stored = read_checkpoint(path)
    check_start(stored, identity, path)
    loaded = load_weights(model, weights_in(stored, path), path)
    parts = loaded_parts(model, loaded)
    where = ", ".join(f"{got} of {count} tensors of {part}" for part, (got, count) in parts.items() if got)
    untouched = [part for part, (got, _) in parts.items() if not got]
    kept = f"; not touched: {', '.join(untouched)}" if untouched else ""
    say(f"warm start from {path}: {where} loaded, {len(loaded.changed)} of them reshaped{kept}")
    for remark in loaded.changed + loaded.unmatched:
        # A part without any tensor in the checkpoint is reported once.
        if not remark.endswith(ABSENT) or part_of(model, remark.split()[0]) not in untouched:
            say(f"  {remark}")

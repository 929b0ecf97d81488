"""Members whose folds have random weights, each fold its own: an explanation needs no training."""

from collections.abc import Callable

import pytest
import torch

from competition.data.manifest import data_hash
from competition.models.factory import build_model
from competition.runs.members import Member
from competition.training.checkpoints import Identity, TrainedWeights, save_trained
from competition.workspace import checkpoint_file


@pytest.fixture
def random_member() -> Callable[..., Member]:
    """Writes the weights of some folds of a run "random" into a workspace; gives the member."""

    def write(prepared, experiment, folds=(0, 1)) -> Member:
        workspace, classes = prepared.workspace, prepared.track.classes
        for fold in folds:
            seeded = experiment.model_copy(update={"train": experiment.train.model_copy(update={"seed": fold})})
            network = build_model(seeded, prepared.track)
            with torch.random.fork_rng(devices=[]), torch.no_grad():
                torch.manual_seed(fold)
                for parameter in network.parameters():  # heads start at a small prior, the same for all images
                    parameter += 0.05 * torch.randn_like(parameter)
            identity = Identity(
                workspace.dataset,
                classes,
                experiment.hash(),
                prepared.folds.hash(),
                data_hash(prepared.train()),
                fold,
            )
            path = checkpoint_file(workspace.fold_folder("random", fold))
            path.parent.mkdir(parents=True)
            save_trained(path, TrainedWeights(network.state_dict(), experiment, identity, "fp32", 1, 0.5))
        return Member(
            name="random",
            folds=folds,
            config_hash=experiment.hash(),
            fold_hash=prepared.folds.hash(),
            classes=classes,
        )

    return write

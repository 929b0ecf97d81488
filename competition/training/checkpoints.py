"""Checkpoints: plain dictionaries of tensors, numbers and text, loadable with ``weights_only=True``.

last.pt holds everything a cut run needs to go on as if it had not been cut; best.pt holds what predicts.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from competition.checksums import check_seal, sealed_file
from competition.data.folds import FULL, Fold
from competition.errors import CompetitionError
from competition.installation import PACKAGE
from competition.models.checkpoint_loading import read_checkpoint, weights_in
from competition.models.factory import build_model, place
from competition.settings import Experiment
from competition.tracks.track import Track
from competition.training.precision import AUTOCAST

RETRAIN = "Train the fold again with --force"


@dataclass(frozen=True)
class Identity:
    """What a trained fold belongs to; weights are never mixed across identities.

    Attributes:
        dataset: "hand_bone" or "phantom_hand_bone".
        classes: In order.
        config_hash: Of the experiment.
        fold_hash: Of the fold file.
        data_hash: Of the training data.
        fold: Which groups were held out.
        pseudo_hash: Of the teacher's weights and the test samples it labelled; empty where there was none.
        stage_hash: Of the weights of the run that told where to look; empty where whole images were seen.
        init_hash: Of the weights it started from (``model.init``); empty where it started from none.
    """

    dataset: str
    classes: tuple[str, ...]
    config_hash: str
    fold_hash: str
    data_hash: str
    fold: Fold
    pseudo_hash: str = ""
    stage_hash: str = ""
    init_hash: str = ""


@dataclass(frozen=True)
class Best:
    """The weights that predict, with where they come from.

    Attributes:
        weights: State dict.
        experiment: All settings.
        identity: What they belong to.
        precision: "fp32", "bf16" or "fp16".
        epoch: Number of epochs they were trained for.
        score: At native size on the held-out fold at threshold 0.5; NaN where it is undefined.
    """

    weights: dict[str, torch.Tensor]
    experiment: Experiment
    identity: Identity
    precision: str
    epoch: int
    score: float


def save_checkpoint(path: Path, content: dict[str, Any]) -> None:
    """Write a checkpoint with its checksum, whole or not at all.

    Raises:
        CompetitionError: The disk is full; an old checkpoint is untouched.
    """
    with sealed_file(path) as part:
        try:
            torch.save(content, part)
        except RuntimeError as error:  # torch's zip writer reports a full disk so
            raise OSError(f"torch.save: {error}") from error


def load_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint onto the CPU.

    Raises:
        CompetitionError: It is missing, damaged or not one of this project.
    """
    if path.exists():
        check_seal(path, RETRAIN)
    content = read_checkpoint(path, RETRAIN)
    if not isinstance(content, dict):
        raise CompetitionError("not a checkpoint of this project", path)
    return content


def save_best(path: Path, best: Best) -> None:
    """Write best.pt."""
    content = asdict(best) | {"experiment": best.experiment.model_dump(mode="json"), "weights": best.weights}
    content["identity"]["classes"] = list(best.identity.classes)
    save_checkpoint(path, content | {"code_hash": code_hash()})


def load_best(path: Path) -> Best:
    """Read best.pt.

    Raises:
        CompetitionError: It is missing, damaged or not one of this project.
    """
    content = load_checkpoint(path)
    try:
        return Best(
            weights=weights_in(content["weights"], path),
            experiment=Experiment.model_validate(content["experiment"]),
            identity=stored_identity(content, path),
            precision=_known_precision(content["precision"]),
            epoch=int(content["epoch"]),
            score=float(content["score"]),
        )
    except (CompetitionError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise CompetitionError("not a checkpoint of this project", path) from error


def _known_precision(name: object) -> str:
    if name not in AUTOCAST:
        raise ValueError(f"precision {name!r}")
    return str(name)


def stored_identity(content: dict[str, Any], path: Path) -> Identity:
    """Return what a loaded checkpoint belongs to.

    Raises:
        CompetitionError: It is not one of this project.
    """
    try:
        identity = content["identity"]
        return Identity(**identity | {"classes": tuple(identity["classes"])})
    except (KeyError, TypeError) as error:
        raise CompetitionError("not a checkpoint of this project", path) from error


def check_identity(found: Identity, expected: Identity, path: Path, settings: Sequence[str] = ()) -> None:
    """Reject a checkpoint that belongs to something else.

    Args:
        found: What the checkpoint belongs to.
        expected: What it has to belong to.
        path: The checkpoint.
        settings: What differs between the experiments of the two, where that is known.

    Raises:
        CompetitionError: With what differs, and what repairs it.
    """
    if found.dataset != expected.dataset:
        raise CompetitionError(f"checkpoint was trained on {found.dataset}, not {expected.dataset}", path)
    if found.classes != expected.classes:
        raise CompetitionError("checkpoint was trained for other classes", path)
    if found.fold_hash != expected.fold_hash:
        raise CompetitionError(
            f"checkpoint was trained with other folds (fold file {found.fold_hash}, now {expected.fold_hash})",
            path,
            "Restore that fold file, or train again under another name (--name NEW) or over it (--force)",
        )
    if found.data_hash != expected.data_hash:
        raise CompetitionError(
            f"images or labels have changed since this was trained (data {found.data_hash}, now {expected.data_hash})",
            path,
            "Train again under another name (--name NEW) or over it (--force)",
        )
    if found.config_hash != expected.config_hash:
        changes = "; ".join(settings) or f"{found.config_hash}, now {expected.config_hash}"
        raise CompetitionError(
            f"checkpoint was trained with other settings ({changes})",
            path,
            "Give the changed experiment a name of its own (--name NEW), or train over it (--force)",
        )
    if found.fold != expected.fold:
        raise CompetitionError(f"checkpoint holds out fold {found.fold}, not fold {expected.fold}", path)
    if found.pseudo_hash != expected.pseudo_hash:
        raise CompetitionError(
            f"the teacher or the test images it labelled have changed since this was trained "
            f"({found.pseudo_hash or 'none'}, now {expected.pseudo_hash or 'none'})",
            path,
            "Train again under another name (--name NEW) or over it (--force)",
        )
    if found.stage_hash != expected.stage_hash:
        raise CompetitionError(
            f"the run of data.crop_to, which tells where to look, was trained again since this was trained "
            f"({found.stage_hash or 'none'}, now {expected.stage_hash or 'none'})",
            path,
            "Train again under another name (--name NEW) or over it (--force)",
        )
    if found.init_hash != expected.init_hash:
        raise CompetitionError(
            f"the weights of model.init, from which this started, have changed since this was trained "
            f"({found.init_hash or 'not kept'}, now {expected.init_hash or 'none'})",
            path,
            "Train again under another name (--name NEW) or over it (--force)",
        )


def check_start(stored: object, expected: Identity, path: Path) -> None:
    """Reject to start a fold from weights that have learned from what it holds out.

    Args:
        stored: A checkpoint, of this project or another, which knows nothing of our folds.
        expected: What is to be trained. The model of all samples holds nothing out and may start from any.
        path: Where the checkpoint came from.

    Raises:
        CompetitionError: It learned from this data set, by other folds or with another fold held out.
    """
    if expected.fold == FULL or not isinstance(stored, dict) or "identity" not in stored:
        return
    found = stored_identity(stored, path)
    if found.dataset == expected.dataset and (found.fold_hash, found.fold) != (expected.fold_hash, expected.fold):
        raise CompetitionError(
            f"weights of fold {found.fold} (folds {found.fold_hash}) have learned from what fold {expected.fold} "
            f"(folds {expected.fold_hash}) holds out",
            path,
            "Start every fold from its own: --set model.init=RUN/{fold}/best.pt",
        )


def code_hash() -> str:
    """Ten characters that differ when the part of the program that shapes weights and maps differs."""
    digest = hashlib.sha256()
    for folder in ("formats", "masks", "tracks", "data", "models", "prediction", "training"):
        for path in sorted((PACKAGE / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:10]


def weights_hash(*checkpoints: Best) -> str:
    """Sixteen characters that differ when any weight of the checkpoints differs."""
    return state_hash(*(best.weights for best in checkpoints))


def state_hash(*weights: Mapping[str, torch.Tensor]) -> str:
    """As ``weights_hash``, of state dicts, whoever made them."""
    digest = hashlib.sha256()
    for state in weights:
        for name, tensor in state.items():
            # As bytes, because NumPy knows no bfloat16.
            digest.update(name.encode() + tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def load_network(best: Best, track: Track) -> nn.Module:
    """Build the network of a checkpoint with its weights, on the GPU where there is one, ready to predict."""
    network = build_model(best.experiment, track, pretrained=False)
    try:
        network.load_state_dict(best.weights)
    except RuntimeError as error:
        what = f"the weights of fold {best.identity.fold} do not fit the network of their settings"
        raise CompetitionError(what, None, RETRAIN) from error
    device = "cuda" if torch.cuda.is_available() else "cpu"
    return place(network, torch.device(device)).eval()

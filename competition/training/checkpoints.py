"""Checkpoints: plain dictionaries of tensors, numbers and text, loadable with ``weights_only=True``.

last.pt holds everything that an interrupted run needs to continue bit for bit; weights.pt holds what predicts.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from competition.checksums import check_seal, sealed_file
from competition.console import say
from competition.data.boxes import Box
from competition.data.folds import FULL, Fold
from competition.errors import CompetitionError
from competition.installation import source_hash
from competition.models.checkpoint_loading import read_checkpoint, weights_in
from competition.models.gpu import computing_device
from competition.prediction.predictor import Predictor, make_predictor
from competition.settings import Experiment, TrainSettings
from competition.tracks.track import Track
from competition.training.precision import AUTOCAST, predicting_precision
from competition.workspace import Workspace

RETRAIN = "Train the fold again with --force"


@dataclass(frozen=True)
class Identity:
    """What a trained fold belongs to; weights are never mixed across identities."""

    dataset: str  # "hand_bone" or "phantom_hand_bone"
    classes: tuple[str, ...]  # in order
    config_hash: str  # of the experiment
    fold_hash: str  # of the fold file
    data_hash: str  # of the training data
    fold: Fold  # which groups were held out
    pseudo_hash: str = ""  # of the teacher's weights and the test samples it labelled; empty without a teacher
    stage_hash: str = ""  # of the weights of the run whose maps give the boxes; empty where whole images are seen
    init_hash: str = ""  # of the weights it started from (``model.init``); empty where it started from none


@dataclass(frozen=True)
class TrainedWeights:
    """The weights that predict; ``score`` is at native size on the held-out fold at threshold 0.5, or NaN."""

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
    """Read a checkpoint of this project onto the CPU.

    Raises:
        CompetitionError: It is missing, damaged or not one of this project.
    """
    if path.exists():
        check_seal(path, RETRAIN)
    content = read_checkpoint(path, RETRAIN)
    if not isinstance(content, dict):
        raise CompetitionError("not a checkpoint of this project", path, RETRAIN)
    return content


def kept_epochs(settings: TrainSettings) -> range:
    """Return the epochs whose weights are kept beside the last."""
    return range(0) if settings.keep_every is None else range(settings.keep_every, settings.epochs, settings.keep_every)


def save_trained(path: Path, trained: TrainedWeights) -> None:
    """Write the weights of a fold after its last epoch, or after one that is kept."""
    content = asdict(trained) | {"experiment": trained.experiment.model_dump(mode="json"), "weights": trained.weights}
    content["identity"]["classes"] = list(trained.identity.classes)
    save_checkpoint(path, content | {"code_hash": code_hash()})


def load_trained(path: Path) -> TrainedWeights:
    """Read a file of ``save_trained``.

    Raises:
        CompetitionError: It is missing, damaged or not one of this project.
    """
    content = load_checkpoint(path)
    try:
        if content["precision"] not in AUTOCAST:
            raise ValueError(f"precision {content['precision']!r}")
        return TrainedWeights(
            weights=weights_in(content["weights"], path),
            experiment=Experiment.model_validate(content["experiment"]),
            identity=stored_identity(content, path),
            precision=content["precision"],
            epoch=int(content["epoch"]),
            score=float(content["score"]),
        )
    except (CompetitionError, KeyError, OverflowError, TypeError, ValueError) as error:
        raise CompetitionError("not a checkpoint of this project", path, RETRAIN) from error


def stored_identity(content: dict[str, Any], path: Path) -> Identity:
    """Return the identity in a loaded checkpoint.

    Raises:
        CompetitionError: It is not one of this project.
    """
    try:
        identity = content["identity"]
        return Identity(**identity | {"classes": tuple(identity["classes"])})
    except (KeyError, TypeError) as error:
        raise CompetitionError("not a checkpoint of this project", path, RETRAIN) from error


def check_identity(found: Identity, expected: Identity, path: Path, settings: Sequence[str] = ()) -> None:
    """Reject a checkpoint that belongs to something else.

    ``settings`` are the differences between the two experiments, where these are known.

    Raises:
        CompetitionError: With what differs, and what repairs it.
    """
    again = "Train again under another name (--name NEW) or over it (--force)"
    changes = "; ".join(settings) or f"{found.config_hash}, now {expected.config_hash}"
    reasons = {
        "dataset": (f"checkpoint was trained on {found.dataset}, not {expected.dataset}", None),
        "classes": ("checkpoint was trained for other classes", None),
        "fold_hash": (
            f"checkpoint was trained with other folds (fold file {found.fold_hash}, now {expected.fold_hash})",
            "Restore that fold file, or train again under another name (--name NEW) or over it (--force)",
        ),
        "data_hash": (
            f"images or labels have changed since this was trained (data {found.data_hash}, now {expected.data_hash})",
            again,
        ),
        "config_hash": (
            f"checkpoint was trained with other settings ({changes})",
            "Give the changed experiment a name of its own (--name NEW), or train over it (--force)",
        ),
        "fold": (f"checkpoint holds out fold {found.fold}, not fold {expected.fold}", None),
        "pseudo_hash": ("the teacher or the test images it labelled have changed", again),
        "stage_hash": ("the run of data.crop_to, which gives the boxes, was trained again", again),
        "init_hash": ("the weights of model.init, from which this started, have changed", again),
    }
    for name, (what, repair) in reasons.items():
        was, now = getattr(found, name), getattr(expected, name)
        if was != now:
            if name in ("pseudo_hash", "stage_hash", "init_hash"):
                before = was or ("not kept" if name == "init_hash" else "none")
                what += f" since this was trained ({before}, now {now or 'none'})"
            raise CompetitionError(what, path, repair)


def check_start(stored: object, expected: Identity, path: Path) -> None:
    """Reject weights to start from that have learned from what the fold holds out.

    The model of all samples holds nothing out and may start from any; a checkpoint of another program records no folds.

    Raises:
        CompetitionError: They learned from this data set, by other folds or with another fold held out.
    """
    if expected.fold == FULL or not isinstance(stored, dict) or "identity" not in stored:
        return
    found = stored_identity(stored, path)
    if found.dataset == expected.dataset and (found.fold_hash, found.fold) != (expected.fold_hash, expected.fold):
        what = (
            f"weights of fold {found.fold} (folds {found.fold_hash}) have learned from what fold {expected.fold} "
            f"(folds {expected.fold_hash}) holds out"
        )
        raise CompetitionError(what, path, "Start every fold from its own: --set model.init=RUN/{fold}/weights.pt")


def code_hash() -> str:
    """Return ten characters that differ when the code that shapes weights and maps differs: as of the first call."""
    return source_hash("formats", "masks", "tracks", "data", "models", "prediction", "training")


def weights_hash(*checkpoints: TrainedWeights) -> str:
    """Return sixteen characters that differ when any weight of the checkpoints differs."""
    return state_hash(*(trained.weights for trained in checkpoints))


def state_hash(*weights: Mapping[str, torch.Tensor]) -> str:
    """Return the same as ``weights_hash`` for state dicts."""
    digest = hashlib.sha256()
    for state in weights:
        for name, tensor in state.items():
            # As bytes, because NumPy has no bfloat16.
            digest.update(name.encode() + tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]


def load_network(trained: TrainedWeights, track: Track) -> nn.Module:
    """Build the network of a checkpoint with its weights, on the GPU where there is one, ready to predict."""
    # Here, because tune reads checkpoints and predicts nothing: timm and its architectures take 2 s to import.
    from competition.models.factory import build_model, place

    network = build_model(trained.experiment, track, pretrained=False)
    try:
        network.load_state_dict(trained.weights)
    except RuntimeError as error:
        what = f"the weights of fold {trained.identity.fold} do not fit the network of their settings"
        raise CompetitionError(what, None, RETRAIN) from error
    return place(network, computing_device()).eval()


def open_predictor(
    checkpoints: Sequence[TrainedWeights], track: Track, workspace: Workspace, boxes: Mapping[str, Box] | None = None
) -> Predictor:
    """Return a predictor that averages networks of several folds of a run, looking at ``boxes`` only where given."""
    networks = [load_network(trained, track) for trained in checkpoints]
    device = next(networks[0].parameters()).device
    precision = predicting_precision({trained.precision for trained in checkpoints}, device)
    others = [
        f"fold {trained.identity.fold} in {trained.precision}"
        for trained in checkpoints
        if trained.precision != precision
    ]
    if others:
        say(f"predicting in {precision}, which this machine computes fast; trained otherwise: {', '.join(others)}")
    return make_predictor(networks, checkpoints[0].experiment, track, workspace, AUTOCAST[precision], boxes)

"""From a decision and its runs to a model file."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import save
from torch import nn

from competition.console import progress
from competition.data.preprocessing import PREPROCESSINGS
from competition.ensembling.decision import Decision
from competition.ensembling.segmentation.postprocessing import OPERATIONS
from competition.errors import CompetitionError
from competition.export.card import model_card
from competition.export.networks import to_onnx
from competition.export.package import CARD, FORMAT, PackedMember, write_package
from competition.export.packages import program_version
from competition.inference.loaded_members import LoadedMember, load_vote
from competition.models.layers import stride_of
from competition.plugins import registered
from competition.tracks.track import Track
from competition.workspace import Workspace

Files = tuple[str, str]
"""Names in the zip of a network and its weights."""

Network = tuple[PackedMember, nn.Module, str]
"""A member, one of its networks and its architecture."""


def write_model(path: Path, track: Track, runs: Workspace, decision: Decision, name: str, remarks: str = "") -> None:
    """Write all networks of a decision, with what it takes to predict, as one file; whole or not at all.

    Args:
        path: The zip.
        track: What is competed in.
        runs: Where the runs are.
        decision: Who votes, and how.
        name: Of the decision.
        remarks: A paragraph for the model card.

    Raises:
        CompetitionError: A member has no weights, its network can't be held by ONNX, or a plugin is needed to predict.
    """
    declaration = _declaration(track)
    with TemporaryDirectory(prefix="medcomp-export-") as place:
        vote = load_vote(track, runs, Workspace(Path(place), runs.dataset), decision)
        loaded = [one if isinstance(one, LoadedMember) else None for one in vote.members]
        packed = [None if one is None else _pack(one) for one in loaded]
        _check_plugins(decision, [one for one in packed if one is not None])
        description: dict[str, Any] = {
            "format": FORMAT,
            "program": program_version(),
            "track": track.name,
            "declaration": declaration,
            "dataset": runs.dataset,
            "task": track.task,
            "classes": track.classes,
            "channels": track.channels,
            "views": track.views,
            "mirror": None if track.mirror is None else asdict(track.mirror),
            "name": name,
            "decision": decision.model_dump(mode="json"),
            "members": [None if one is None else one.model_dump(mode="json") for one in packed],
        }
        pairs = [(one, own) for one, own in zip(packed, loaded, strict=True) if one is not None and own is not None]
        experiments = {own.member.name: own.predictor.experiment for _, own in pairs}
        card = model_card(track, runs, decision, experiments, path.name, remarks)
        networks = dict(named for pair in pairs for named in _networks(*pair))  # each once: a first stage may serve two
        write_package(path, description, _files(track, card, networks))


def _pack(loaded: LoadedMember) -> PackedMember:
    predictor = loaded.predictor
    data, predict = predictor.experiment.data, predictor.experiment.predict
    stage, first = loaded.stage, None
    if stage is not None and isinstance(stage.member, LoadedMember):
        first = _pack(stage.member)
    return PackedMember(
        name=loaded.member.name,
        folds=loaded.member.folds,
        classes=predictor.track.classes,
        size=data.size,
        preprocess=data.preprocess,
        views=predict.views,
        tile=predict.tile,
        overlap=predict.overlap,
        stride=stride_of(predictor.models[0]),
        crop_to=None if stage is None else stage.settings,
        first_stage=first,
    )


def _networks(packed: PackedMember, loaded: LoadedMember) -> Iterator[tuple[Files, Network]]:
    """Yield the names of each fold's two files in the zip, and what they are made of."""
    for fold, network in zip(packed.folds, loaded.predictor.models, strict=True):
        files = packed.network_file(fold), packed.weights_file(fold)
        yield files, (packed, network, loaded.predictor.experiment.model.architecture)
    if packed.first_stage is not None and loaded.stage is not None and isinstance(loaded.stage.member, LoadedMember):
        yield from _networks(packed.first_stage, loaded.stage.member)


def _files(track: Track, card: str, networks: Mapping[Files, Network]) -> Iterator[tuple[str, bytes]]:
    """Yield the name and content of each file of the zip but its description."""
    yield CARD, card.encode()
    views = None if track.task == "segmentation" else (len(track.views), len(track.classes))
    with progress("exporting networks", len(networks)) as ticker:
        for (network_file, weights_file), (packed, network, architecture) in networks.items():
            try:
                content = to_onnx(network, packed.tile or packed.size, views, track.channels)
            except CompetitionError as error:
                what = f"ONNX can't hold the network of member {packed.name!r} ({architecture}: {error.what})"
                repair = "Tune without it (--members A,B --name OTHER) and export that decision (--decision OTHER)"
                raise CompetitionError(what, None, error.repair or repair) from error
            yield network_file, content
            yield weights_file, _weights(network)
            ticker.advance(network_file)


def _weights(network: nn.Module) -> bytes:
    """Return all weights as safetensors, each with memory of its own."""
    state: dict[str, torch.Tensor] = {name: one.detach().cpu().clone() for name, one in network.state_dict().items()}
    return save({name: one.contiguous() for name, one in state.items()})


def _declaration(track: Track) -> str | None:
    """Return the YAML of a declared track.

    Raises:
        CompetitionError: It is Python, or it needs plugins: a model file holds no code.
    """
    if track.declaration is None:
        return None
    if track.declaration.suffix == ".py":
        what = "a track of Python code can't be exported, because a model file holds no code"
        raise CompetitionError(what, track.declaration, "Declare the track in YAML")
    return track.declaration.read_text(encoding="utf-8")


def _check_plugins(decision: Decision, members: list[PackedMember]) -> None:
    """Refuse preprocessing and post-processing of plugins, which another machine does not have."""
    added = registered()
    used = {("preprocessing", name) for member in members for name in member.preprocess if name in PREPROCESSINGS}
    used |= {("post-processing", name) for name in decision.operations.values() if name in OPERATIONS}
    if foreign := sorted(name for kind, name in used if f"{kind} {name}" in added):
        what = f"{foreign[0]!r} is defined by a plugin, and a model file holds no code"
        raise CompetitionError(what, None, "Train and tune without it")

"""Runs a model file with onnxruntime and no torch; the loop, the vote and the results are those of ``inference/``."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from competition.data.boxes import Box
from competition.data.grid import GridReader, canvas_size, pad_to
from competition.data.manifest import Entry
from competition.errors import CompetitionError
from competition.export.arrays import (
    Floats,
    gaussian_weight,
    see,
    see_back,
    standardise,
    to_native,
    to_probabilities,
    to_whole_multiple,
)
from competition.export.package import REPAIR, Model, ModelFile, PackedMember, read_package
from competition.export.packages import needed
from competition.formats.yaml_files import read_yaml
from competition.inference.first_stage import LoadedStage
from competition.inference.predicting import OpenedModel
from competition.inference.voting import LoadedVote
from competition.machine import cores
from competition.names import inside, name_fault
from competition.prediction.grid_maps import GridMap
from competition.prediction.tile_grid import blend_tiles
from competition.text import shortened
from competition.tracks import get_track
from competition.tracks.track import Track, narrow
from competition.workspace import Workspace

CODE = (".py", ".yaml", ".yml")
"""Endings by which ``get_track`` takes a name for a file that it runs or reads; a model file must not name one."""

Network = Callable[..., NDArray[np.float32]]
"""Arrays of its inputs -> logits."""


@dataclass(frozen=True)
class OnnxMember:
    """All folds of a member; a ``PredictingMember``.

    Attributes:
        packed: Views, tiles and training grid.
        track: Narrowed to the member's classes.
        reader: Reads images onto the training grid, within ``boxes`` where there is a first stage.
        models: A network per fold.
        stage: Gives the boxes; None where it looks at whole images.
        boxes: Sample -> the part it looks at, of the image in work.
    """

    packed: PackedMember
    track: Track
    reader: GridReader
    models: tuple[Network, ...]
    stage: LoadedStage | None = None
    boxes: dict[str, Box] = field(default_factory=dict)

    @property
    def networks(self) -> int:
        """How many networks predict."""
        return len(self.models)

    def predict_maps(self, entry: Entry) -> tuple[GridMap, list[GridMap]]:
        """Return the member's map of an image in the cache, and each fold's own."""
        if self.stage is not None:
            self.boxes.clear()
            self.boxes[entry.sample] = self.stage.find_box(entry)
        sample, box = self.reader.read(entry), self.reader.box(entry)
        (image,) = sample.images
        pixels = standardise(_channels_first(image)[None], sample.mean, sample.std)
        black = -sample.mean[0] / max(sample.std[0], 1.0)
        finest = max(1, max(box.size_hw) // max(pixels.shape[-2:]))
        own: list[Floats] = []
        total: Floats | None = None
        for view in self.packed.views:
            seen = np.ascontiguousarray(see(pixels, view))
            for number, model in enumerate(self.models):
                probs = see_back(self._segment(model, seen, black, finest)[0], view, seen, pixels)
                if view.startswith("hflip") and self.track.mirror is not None:
                    probs = probs[list(self.track.mirror.classes)]
                if number == len(own):
                    own.append(probs.copy())
                else:
                    own[number] += probs
                total = probs.copy() if total is None else total + probs
        assert total is not None
        views, size_hw = np.float32(len(self.packed.views)), (entry.height, entry.width)
        mean = total / (views * np.float32(len(self.models)))
        folds = [GridMap(sums / views, box, size_hw, to_native) for sums in own]
        return GridMap(mean, box, size_hw, to_native), folds

    def _segment(self, model: Network, image: Floats, black: float, finest: int) -> Floats:
        """Return probabilities (1, C, k * H, k * W) of one view, as ``predictor._segment``."""
        height, width = image.shape[-2:]
        padded_h, padded_w = canvas_size((height, width), self.packed.stride)
        margins = ((0, 0), (0, 0), (0, padded_h - height), (0, padded_w - width))
        padded = np.pad(image, margins, constant_values=np.float32(black))

        def predict(pixels: Floats) -> Floats:
            probs = to_probabilities(model(np.ascontiguousarray(pixels)), self.track)
            return to_whole_multiple(probs[0], (pixels.shape[-2], pixels.shape[-1]), finest)[None]

        if self.packed.tile is None:
            probs = predict(padded)
        else:
            probs = blend_tiles(
                partial(map, predict),
                padded,
                self.packed.tile,
                self.packed.overlap,
                gaussian_weight,
                lambda shape: np.zeros(shape, np.float32),
            )
        finer = probs.shape[-1] // padded_w
        return probs[..., : finer * height, : finer * width]

    def predict_scores(self, entry: Entry) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the member's probabilities (C,) of a patient in the cache, and each fold's own (F, C)."""
        side, sample = self.packed.size, self.reader.read(entry)
        stacked = np.stack([_channels_first(pad_to(image, (side, side), grey=True)) for image in sample.images])
        images = standardise(stacked, sample.mean, sample.std)
        own = np.zeros((len(self.models), len(self.track.classes)))
        for view in self.packed.views:
            for number, model in enumerate(self.models):
                own[number] += self._classify(model, images, np.array(entry.present), view)
        return own.sum(axis=0) / (len(self.packed.views) * len(self.models)), own / len(self.packed.views)

    def _classify(self, model: Network, images: Floats, present: NDArray[np.bool_], view: str) -> NDArray[np.float64]:
        mirror = self.track.mirror if view.startswith("hflip") else None
        if len(images) == 1:
            images = np.ascontiguousarray(see(images, view))
        elif mirror is not None:
            flips = np.array(mirror.flipped_views)[:, None, None, None]
            images = np.where(flips, images[..., ::-1], images)[list(mirror.views)]
            present = present[list(mirror.views)]
        logits = model(images[None], present[None]).astype(np.float64)
        probs = to_probabilities(logits, self.track)[0]
        return probs if mirror is None else np.take(probs, mirror.classes)


def _channels_first(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return image[None] if image.ndim == 2 else image.transpose(2, 0, 1)


def open_model(path: Path) -> OpenedModel:
    """Open a model file for ``predicting.predict_sources``; its networks are loaded there.

    Raises:
        CompetitionError: onnxruntime is not installed, the file is no model file or damaged, or its track has changed.
    """
    needed("onnxruntime")
    file = read_package(path)
    track = _track_of(file)
    return OpenedModel(track, file.model.dataset, file.model.name, lambda images: load_model(file, track, images))


def load_model(file: ModelFile, track: Track, images: Workspace) -> LoadedVote:
    """Load all networks; images are predicted in the cache of the workspace ``images``."""
    members = tuple(None if one is None else _load(file, track, images, one) for one in file.model.members)
    return LoadedVote(file.model.decision, members)


def _load(file: ModelFile, track: Track, images: Workspace, packed: PackedMember) -> OnnxMember:
    narrowed = narrow(track, packed.classes) if track.task == "segmentation" else track
    boxes: dict[str, Box] = {}
    stage = None
    if packed.first_stage is not None and packed.crop_to is not None:
        first = _load(file, track, images, packed.first_stage)
        stage = LoadedStage(first, packed.first_stage.classes, packed.crop_to)
    reader = GridReader(
        images,
        narrowed,
        packed.size,
        budget_bytes=0,
        labels=False,
        preprocessing=packed.preprocess,
        boxes=None if stage is None else boxes,
    )
    models = tuple(_open_network(file, packed.network_file(fold)) for fold in packed.folds)
    return OnnxMember(packed, narrowed, reader, models, stage, boxes)


def _open_network(file: ModelFile, name: str) -> Network:
    """Return what runs a network of the model file on the processor."""
    runtime = needed("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = cores()
    # Each fold has a session, whose threads would wait in a busy loop and take the cores of the one that works: five
    # folds took 2.4 times as long as torch in float32 for a synthetic hand, and take 0.8 times as long.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3  # errors only: warnings are about what its own optimiser does
    try:
        session = runtime.InferenceSession(file.read(name), options, providers=["CPUExecutionProvider"])
    except CompetitionError:
        raise
    except Exception as error:  # onnxruntime has errors of its own for each kind of damage
        reason = shortened(" ".join(str(error).split()), 200)
        raise CompetitionError(f"{name} in the file can't be run ({reason})", file.path, REPAIR) from error
    inputs = [one.name for one in session.get_inputs()]

    def run(*arrays: NDArray[Any]) -> NDArray[np.float32]:
        try:
            answers = session.run(None, dict(zip(inputs, arrays, strict=True)))
        except Exception as error:
            if "alloc" in str(error).lower():  # onnxruntime raises no MemoryError
                raise MemoryError(*error.args) from error
            reason = shortened(" ".join(str(error).split()), 200)
            raise CompetitionError(f"{name} in the file can't predict this image ({reason})", file.path) from error
        return np.asarray(answers[0], np.float32)

    return run


def _track_of(file: ModelFile) -> Track:
    """Return the track of a model: of this program, or of the declaration that the model file carries."""
    model = file.model
    if fault := name_fault(model.track) or ("is that of a file" if Path(model.track).suffix in CODE else None):
        raise CompetitionError(f"the name of the track in the file {fault}", file.path, REPAIR)
    if model.declaration is None:
        track = get_track(model.track)
    else:
        with TemporaryDirectory(prefix="medcomp-model-") as folder:
            declared = inside(Path(folder), f"{model.track}.yaml")
            declared.write_text(model.declaration, encoding="utf-8")
            content = read_yaml(declared, REPAIR)
            if isinstance(content, dict) and content.get("plugins"):  # a model file runs no code of its own
                raise CompetitionError("the track in the file names plugins", file.path, REPAIR)
            track = get_track(str(declared))
    if _form_of(track) != (model.task, model.classes, model.channels, model.views, _mirror_of(model)):
        what = f"track {model.track} of this version has other classes, views or channels than the model"
        raise CompetitionError(what, file.path, f"Use version {model.program} of the program, or export it again")
    return track


def _form_of(track: Track) -> tuple[object, ...]:
    mirror = track.mirror
    flips = None if mirror is None else (mirror.classes, mirror.views, mirror.flipped_views)
    return track.task, track.classes, track.channels, track.views, flips


def _mirror_of(model: Model) -> tuple[object, ...] | None:
    mirror = model.mirror
    return None if mirror is None else (mirror.classes, mirror.views, mirror.flipped_views)

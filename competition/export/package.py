"""The model file: a zip, not compressed, of model.json, a model card, and each network as ONNX and as safetensors.

``model.json`` carries the SHA-256 of every other file and of itself. Everything is checked before it is used; sizes are
compared with the file's own before anything is allocated, and what is stored as it is can't unfold.
"""

import hashlib
import json
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from competition.data.folds import Fold
from competition.ensembling.decision import Decision
from competition.errors import CompetitionError
from competition.export.arrays import TURNS
from competition.files import CHECKSUM, LARGEST_TEXT, json_checksum, whole_file
from competition.formats.source_files import require_file
from competition.prediction.scaled_views import SCALES
from competition.settings import CropSettings
from competition.text import shortened

FORMAT = 1
"""Of model.json; a reader refuses all others."""

DESCRIPTION, CARD = "model.json", "card.md"
LARGEST_FILE = 4 << 30
"""Bytes of one network: 1 billion weights in float32. ONNX itself ends at 2 GiB."""
MOST_FILES = 10_000
REPAIR = "Export it again with ./run.sh export"
_PIECE = 1 << 20


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class PackedMember(_Frozen):
    """What a member needs to predict beside its weights: the settings of its experiment that prediction reads."""

    name: str
    folds: tuple[Fold, ...] = Field(min_length=1)
    classes: tuple[str, ...] = Field(min_length=1)  # of its maps, in their order
    size: int = Field(gt=0, le=2**15)  # data.size
    preprocess: tuple[str, ...]
    views: tuple[str, ...] = Field(min_length=1)  # test-time views
    tile: int | None = Field(gt=0, le=2**15)
    overlap: float = Field(ge=0, lt=1)
    stride: int = Field(gt=0, le=2**15)  # sides of what the network sees are multiples of it
    crop_to: CropSettings | None = None  # where it looks: the classes of the member ``first_stage``
    first_stage: "PackedMember | None" = None

    def network_file(self, fold: Fold) -> str:
        """Return the name of a fold's network in the zip."""
        return f"networks/{self.name}/fold{fold}.onnx"

    def weights_file(self, fold: Fold) -> str:
        """Return the name of a fold's weights in the zip, from which training can go on."""
        return f"weights/{self.name}/fold{fold}.safetensors"


class PackedMirror(_Frozen):
    """As ``tracks.track.Mirror``."""

    classes: tuple[int, ...]
    views: tuple[int, ...]
    flipped_views: tuple[bool, ...]


class Model(_Frozen):
    """model.json: everything but the networks."""

    format: Literal[1]
    program: str  # its version
    track: str
    declaration: str | None  # the YAML of a declared track, whose images it says how to read
    dataset: str  # it was trained on
    task: Literal["segmentation", "classification"]
    classes: tuple[str, ...]
    channels: Literal[1, 3]
    views: tuple[str, ...] = Field(min_length=1)  # of a sample
    mirror: PackedMirror | None
    name: str  # of the decision
    decision: Decision
    members: tuple[PackedMember | None, ...]  # in the decision's order; None where one has no weight
    files: dict[str, str]  # name -> SHA-256 in hexadecimal


@dataclass(frozen=True)
class ModelFile:
    """A checked model file."""

    path: Path
    model: Model

    def read(self, name: str) -> bytes:
        """Return a file of the zip, compared with its checksum again: the zip may have changed since it was opened."""
        with _opened(self.path) as archive:
            content = archive.read(name)
        if hashlib.sha256(content).hexdigest() != self.model.files[name]:
            raise CompetitionError(f"{name} in the file has changed or is damaged", self.path, REPAIR)
        return content


def write_package(path: Path, description: dict[str, Any], files: Iterable[tuple[str, bytes]]) -> None:
    """Write a model file, whole or not at all.

    Args:
        path: The zip.
        description: ``Model`` as JSON, without ``files``.
        files: Name and content of each other file, one in memory at a time.

    Raises:
        CompetitionError: The folder can't be written.
    """
    digests: dict[str, str] = {}
    with whole_file(path) as part, zipfile.ZipFile(part, "w", zipfile.ZIP_STORED) as archive:
        for name, content in files:
            archive.writestr(zipfile.ZipInfo(name), content)  # dated 1980, so that equal models are equal files
            digests[name] = hashlib.sha256(content).hexdigest()
        plain = json.loads(json.dumps(description | {"files": digests}))
        sealed = json.dumps(plain | {CHECKSUM: json_checksum(plain)}, indent=1)
        archive.writestr(zipfile.ZipInfo(DESCRIPTION), sealed)


def read_package(path: Path) -> ModelFile:
    """Open a model file and check all of it.

    Raises:
        CompetitionError: It is missing, no model file, of another version, changed or damaged.
    """
    require_file(path, "model file")
    with _opened(path) as archive:
        names = _checked_names(archive, path)
        model = _read_description(archive, path)
        if set(names) != {DESCRIPTION, *model.files}:
            odd = min(set(names) ^ {DESCRIPTION, *model.files})
            raise CompetitionError(f"the model file lacks {shown_name(odd)}, or should not have it", path, REPAIR)
        for name, expected in model.files.items():
            with archive.open(name) as file:
                if _digest(file) != expected:
                    raise CompetitionError(f"{shown_name(name)} in the file has changed or is damaged", path, REPAIR)
    _check_members(model, path)
    return ModelFile(path, model)


def shown_name(name: str) -> str:
    """Return the name of a file in a zip for a message."""
    return shortened(name.encode("ascii", "backslashreplace").decode(), 80)


@contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip; every error of its reader becomes a sentence about the file."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (CompetitionError, MemoryError):
        raise
    except Exception as error:  # zipfile raises several kinds for damaged files
        reason = shortened(" ".join(str(error).split()), 100)
        raise CompetitionError(f"not a model file, or it is damaged ({reason})", path, REPAIR) from error


def _checked_names(archive: zipfile.ZipFile, path: Path) -> list[str]:
    """Return the names in a zip, none twice, each stored as it is and within bounds."""
    infos = archive.infolist()
    names = [info.filename for info in infos]
    if DESCRIPTION not in names:
        repair = "Give a file that ./run.sh export wrote"
        raise CompetitionError(f"not a model file (it has no {DESCRIPTION})", path, repair)
    if len(infos) > MOST_FILES or len(set(names)) != len(names):
        raise CompetitionError("not a model file (too many files, or one twice)", path, REPAIR)
    size = path.stat().st_size
    for info in infos:
        largest = LARGEST_TEXT if info.filename == DESCRIPTION else LARGEST_FILE
        stored = info.compress_type == zipfile.ZIP_STORED and info.file_size == info.compress_size
        if not stored or info.flag_bits & 1:
            raise CompetitionError(f"not a model file ({shown_name(info.filename)} is compressed)", path, REPAIR)
        if info.file_size > min(largest, size):
            raise CompetitionError(f"{shown_name(info.filename)} in the file is too large", path, REPAIR)
    return names


def _read_description(archive: zipfile.ZipFile, path: Path) -> Model:
    try:
        content = json.loads(archive.read(DESCRIPTION).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise CompetitionError(f"{DESCRIPTION} in the file is not JSON", path, REPAIR) from error
    found = content.get("format") if isinstance(content, dict) else None
    if not isinstance(content, dict) or not isinstance(found, int):
        raise CompetitionError(f"not a model file ({DESCRIPTION} states no format)", path, REPAIR)
    if found != FORMAT:
        what = f"the model file has format {found} of version {shortened(str(content.get('program')), 40)}"
        raise CompetitionError(f"{what}; this version reads format {FORMAT}", path, REPAIR)
    if content.pop(CHECKSUM, None) != json_checksum(content):
        raise CompetitionError(f"{DESCRIPTION} in the file has changed or is damaged", path, REPAIR)
    try:
        return Model.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(shortened(str(part), 60) for part in first["loc"])
        reason = shortened(first["msg"], 300)
        raise CompetitionError(f"{DESCRIPTION} in the file is wrong ({place}: {reason})", path, REPAIR) from error


def _check_members(model: Model, path: Path) -> None:
    """Make sure that the members are those of the decision, and that each has its networks."""
    if (model.track, model.classes, model.task) != (
        model.decision.track,
        model.decision.classes,
        model.decision.task,
    ) or len(model.members) != len(model.decision.members):
        raise CompetitionError("model and decision in the file do not belong together", path, REPAIR)
    views = {*TURNS, *(SCALES if model.task == "segmentation" else ())}
    for packed, member in zip(model.members, model.decision.members, strict=True):
        if packed is None:
            continue
        classes = model.classes if member.classes is None else member.classes
        if (packed.name, packed.folds, packed.classes) != (member.name, member.folds, classes):
            raise CompetitionError(f"member {member.name!r} in the file is not that of the decision", path, REPAIR)
        stage: PackedMember | None = packed
        while stage is not None:
            if missing := [fold for fold in stage.folds if stage.network_file(fold) not in model.files]:
                raise CompetitionError(f"fold {missing[0]} of {stage.name!r} is missing in the file", path, REPAIR)
            if unknown := [view for view in stage.views if view not in views]:
                raise CompetitionError(f"test-time view {unknown[0]!r} in the file is unknown", path, REPAIR)
            if (stage.crop_to is None) != (stage.first_stage is None):
                raise CompetitionError(f"the first stage of {stage.name!r} is missing in the file", path, REPAIR)
            stage = stage.first_stage


def _digest(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while piece := file.read(_PIECE):
        digest.update(piece)
    return digest.hexdigest()

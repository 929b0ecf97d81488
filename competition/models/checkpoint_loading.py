"""Starts a network from a checkpoint of another one: another head, another program, even 3D weights.

Checkpoints for medical images rarely fit as they are. Their names carry a prefix of the program that wrote them
("module.", "encoder.", "backbone."), MedicalNet's convolutions have a depth axis, and ImageNet's first convolution has
three colours. All of that is brought to this network's form; what still finds no place is listed, tensor by tensor.
MedicalNet and torchvision name the layers of a ResNet as timm does (layer1.0.conv1, layer2.0.downsample.0), so their
names fit once the prefix is gone; MedicalNet's ResNet-18 and -34 have no downsample layers ("shortcut A").
"""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from competition.errors import CompetitionError

# In front of an encoder's names: DataParallel, Lightning, smp with a timm encoder, torchvision, this project. The last
# two are the binary networks of report_fourfold, which the report starts both from the same medical weights.
PREFIXES = ("module.", "model.", "encoder.", "backbone.", "binary.anterior.", "binary.posterior.")

ABSENT = "is not in the checkpoint and keeps its start"


@dataclass(frozen=True)
class Loaded:
    """What became of a checkpoint.

    Attributes:
        names: The network's tensors that were loaded.
        changed: One sentence per loaded tensor whose shape had to be changed.
        unmatched: One sentence per tensor, of the network or of the checkpoint, that found no match.
    """

    names: tuple[str, ...]
    changed: tuple[str, ...]
    unmatched: tuple[str, ...]


def load_weights(model: nn.Module, weights: Mapping[str, torch.Tensor], path: Path) -> Loaded:
    """Loads what fits by name and shape.

    A tensor is looked for under its own name first, then under its name without prefixes.

    Args:
        model: Changed in place.
        weights: A state dict.
        path: Where it came from, for the message.

    Returns:
        What was loaded, and what was not.

    Raises:
        CompetitionError: No convolution, linear or embedding layer matches at all, or two tensors of the checkpoint
            have the name of one here but for their prefixes.
    """
    stripped: dict[str, list[str]] = {}
    for name in weights:
        stripped.setdefault(bare_name(name), []).append(name)
    fitting: dict[str, torch.Tensor] = {}
    changed, unmatched, used = [], [], set()
    for name, own in model.state_dict().items():
        candidates = [name] if name in weights else stripped.get(bare_name(name), [])
        if len(candidates) > 1:
            raise CompetitionError(f"{candidates[0]} and {candidates[1]} both fit {name}; keep one of the two", path)
        if not candidates:
            unmatched.append(f"{name} {tuple(own.shape)} {ABSENT}")
            continue
        (source,) = candidates
        used.add(source)
        value, how = fit_shape(weights[source], own.shape)
        if value is None:
            found = tuple(weights[source].shape)
            unmatched.append(f"{name} is {found} in the checkpoint, {tuple(own.shape)} here, and keeps its start")
            continue
        fitting[name] = value
        if how:
            changed.append(f"{name} is {tuple(weights[source].shape)} in the checkpoint; {how}")
    unmatched += [f"{name} of the checkpoint has no place here" for name in weights if name not in used]
    # A few biases or counters that happen to agree are no match.
    if not any(value.ndim > 1 for value in fitting.values()):
        raise CompetitionError("no layer of the checkpoint fits this model", path)
    model.load_state_dict(fitting, strict=False)
    return Loaded(tuple(fitting), tuple(changed), tuple(unmatched))


def part_of(model: nn.Module, name: str) -> str:
    """Which part of a network a tensor belongs to: "encoder", or "binary.anterior" where a part holds networks."""
    first, second = name.split(".")[0], ".".join(name.split(".")[:2])
    return second if isinstance(getattr(model, first, None), nn.ModuleDict) else first


def loaded_parts(model: nn.Module, loaded: Loaded) -> dict[str, tuple[int, int]]:
    """For each part of a network, how many of its tensors were loaded, and how many it has."""
    had = Counter(part_of(model, name) for name in model.state_dict())
    got = Counter(part_of(model, name) for name in loaded.names)
    return {part: (got[part], count) for part, count in had.items()}


def bare_name(name: str) -> str:
    """A tensor's name without the prefixes: "module.encoder.conv1.weight" -> "conv1.weight".

    timm writes "layers_0." for "layers.0." where a network gives the features of all its levels, as smp asks it to.
    """
    while True:
        prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), None)
        if prefix is None:
            return re.sub(r"_([0-9]+)\.", r".\1.", name)
        name = name.removeprefix(prefix)


def fit_shape(value: torch.Tensor, wanted: torch.Size) -> tuple[torch.Tensor | None, str]:
    """Brings a checkpoint's tensor to the shape it has here.

    Sums, not means: a 2D picture then gives what it gave as a volume that is the same in every slice, and a grey one
    what it gave in three equal colours.

    Args:
        value: Of the checkpoint.
        wanted: (O, I, H, W) for convolutions.

    Returns:
        The tensor, or None where it can't be made to fit, and what was done to it ("" for nothing).
    """
    steps = []
    if value.ndim == 5 and len(wanted) == 4:
        value = value.sum(dim=2)
        steps.append("its depth axis is summed")
    if value.ndim == 4 and len(wanted) == 4 and value.shape[1] == 3 and wanted[1] == 1:
        value = value.sum(dim=1, keepdim=True)
        steps.append("its three colours are summed to grey")
    return (value, " and ".join(steps)) if value.shape == wanted else (None, "")


def read_checkpoint(path: Path) -> object:
    """Reads a checkpoint onto the CPU, whoever wrote it: by torch.save, or in the safetensors form of the hubs.

    Raises:
        CompetitionError: The file is missing or damaged.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        stored: object = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CompetitionError("checkpoint not found", path) from error
    except Exception as error:  # both raise many kinds for damaged or unsafe files
        raise CompetitionError(f"checkpoint can't be read ({' '.join(str(error).split())[:200]})", path) from error
    return stored


def weights_in(stored: object, path: Path) -> dict[str, torch.Tensor]:
    """The weights of what ``read_checkpoint`` read: a checkpoint of this project, or a plain state dict.

    Raises:
        CompetitionError: It holds no weights.
    """
    for key in ("weights", "model", "state_dict"):
        if isinstance(stored, dict) and isinstance(stored.get(key), dict):
            stored = stored[key]
    if not isinstance(stored, dict) or not all(isinstance(value, torch.Tensor) for value in stored.values()):
        raise CompetitionError("checkpoint holds no weights", path)
    return stored

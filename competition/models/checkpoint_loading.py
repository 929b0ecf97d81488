"""Loads weights of other networks: with another head, from another program, even of 3D networks.

Checkpoints for medical images rarely fit as they are. The weights are under any key ("state_dict", "net", "ema"), and
their names carry prefixes of the program that wrote them ("module.", "net.encoder."). MedicalNet's convolutions have a
depth axis, and ImageNet's first convolution has three colours. All of that is converted; every tensor that still does
not fit is listed. MedicalNet and torchvision name the layers of a ResNet as timm does (layer1.0.conv1,
layer2.0.downsample.0); MedicalNet's ResNet-18 and -34 have no downsample layers ("shortcut A").
"""

import pickle
import re
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from competition.checksums import check_seal
from competition.errors import CompetitionError

# In front of an encoder's names in our own networks (smp with a timm encoder, the multi-view classifiers) and in parts
# of others. The last two are the binary networks of report_fourfold, which the report starts both from the same medical
# weights. Other prefixes of most names of a checkpoint are found by ``_common_prefix``.
PREFIXES = ("module.", "model.", "encoder.", "backbone.", "binary.anterior.", "binary.posterior.")

# Keys that our own checkpoints and many others keep the weights under.
USUAL_KEYS = ("weights", "model", "state_dict")

# A checkpoint may need this much more memory than its file has bytes: few tensors share their values.
SPARE_BYTES = 1 << 30

STATE_DICT = "Save the state_dict() of the network with torch.save"

# Dictionaries within dictionaries that are looked into.
DEEPEST = 8

ABSENT = "is not in the checkpoint and keeps its random weights"


@dataclass(frozen=True)
class Loaded:
    """Tensors that were loaded, and one sentence per tensor that was reshaped or has no match on either side."""

    names: tuple[str, ...]
    changed: tuple[str, ...]
    unmatched: tuple[str, ...]


def load_weights(model: nn.Module, weights: Mapping[str, torch.Tensor], path: Path) -> Loaded:
    """Load what fits by name and shape into a network, in place.

    A tensor is looked for under its own name first, then under its name without prefixes. A prefix that most names of
    the checkpoint share is left out where more tensors match without it.

    Raises:
        CompetitionError: No convolution, linear or embedding layer matches at all, or two tensors of the checkpoint
            have the same name but for their prefixes.
    """
    own_tensors = model.state_dict()
    prefix = _common_prefix(list(weights), list(own_tensors))
    named = {name.removeprefix(prefix): name for name in weights} | {name: name for name in weights}
    stripped: dict[str, list[str]] = {}
    for name in weights:
        stripped.setdefault(bare_name(name.removeprefix(prefix)), []).append(name)
    fitting: dict[str, torch.Tensor] = {}
    changed, unmatched, used = [], [], set()
    for name, own in own_tensors.items():
        candidates = [named[name]] if name in named else stripped.get(bare_name(name), [])
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
            unmatched.append(
                f"{name} is {found} in the checkpoint, {tuple(own.shape)} here, and keeps its random weights"
            )
            continue
        fitting[name] = value
        if how:
            changed.append(f"{name} is {tuple(weights[source].shape)} in the checkpoint; {how}")
    unmatched += [f"{name} of the checkpoint has no place here" for name in weights if name not in used]
    # A few biases or counters that happen to agree are no match.
    if not any(value.ndim > 1 for value in fitting.values()):
        theirs, ours = (", ".join(list(names)[:3]) + " ..." for names in (weights, own_tensors))
        what = "no layer of the checkpoint fits this model"
        raise CompetitionError(what, path, f"It holds {theirs}, the model has {ours}")
    model.load_state_dict(fitting, strict=False)
    return Loaded(tuple(fitting), tuple(changed), tuple(unmatched))


def _common_prefix(names: Sequence[str], own: Sequence[str]) -> str:
    """Return the dotted prefix of most of the names without which most of our tensors match; "" for none."""
    counts: Counter[str] = Counter()
    for name in names:
        parts = name.split(".")
        counts.update(".".join(parts[:end]) + "." for end in range(1, len(parts)))
    shared = sorted((prefix for prefix, count in counts.items() if 2 * count > len(names)), key=len)
    bare, whole = Counter(map(bare_name, own)), set(own)

    def found(prefix: str) -> int:
        left = {name.removeprefix(prefix) for name in names}
        return len(left & whole) + sum(bare[name] for name in {bare_name(name) for name in left - whole})

    return max(["", *shared], key=found)  # the shortest of those that are equally good


def part_of(model: nn.Module, name: str) -> str:
    """Return the part of a network that a tensor belongs to: "encoder", or "binary.anterior" in a ModuleDict."""
    first, second = name.split(".")[0], ".".join(name.split(".")[:2])
    return second if isinstance(getattr(model, first, None), nn.ModuleDict) else first


def loaded_parts(model: nn.Module, loaded: Loaded) -> dict[str, tuple[int, int]]:
    """Return part -> (tensors that were loaded, tensors that it has)."""
    had = Counter(part_of(model, name) for name in model.state_dict())
    got = Counter(part_of(model, name) for name in loaded.names)
    return {part: (got[part], count) for part, count in had.items()}


def bare_name(name: str) -> str:
    """Return a tensor's name without the prefixes: "module.encoder.conv1.weight" -> "conv1.weight".

    timm writes "layers_0." for "layers.0." where a network returns the features of all its levels, as smp asks it to.
    """
    name = name.replace("_orig_mod.", "")  # torch.compile puts it in front of every part that it compiled
    while True:
        prefix = next((prefix for prefix in PREFIXES if name.startswith(prefix)), None)
        if prefix is None:
            return re.sub(r"_([0-9]+)\.", r".\1.", name)
        name = name.removeprefix(prefix)


def fit_shape(value: torch.Tensor, wanted: torch.Size) -> tuple[torch.Tensor | None, str]:
    """Return a checkpoint's tensor in the wanted shape, None where it can't fit, and what was done to it.

    Sums, not means: a 2D image then gives what it gave as a volume that is the same in every slice, and a grey one what
    it gave in three equal colours.
    """
    steps = []
    if value.ndim == 5 and len(wanted) == 4:
        value = value.sum(dim=2)
        steps.append("its depth axis is summed")
    if value.ndim == 4 and len(wanted) == 4 and value.shape[1] == 3 and wanted[1] == 1:
        value = value.sum(dim=1, keepdim=True)
        steps.append("its three colours are summed to grey")
    return (value, " and ".join(steps)) if value.shape == wanted else (None, "")


def read_checkpoint(path: Path, repair: str | None = None) -> object:
    """Read a checkpoint onto the CPU, written by torch.save or in the safetensors form of the hubs.

    Pickled objects other than tensors, numbers, text and containers of them are rejected.

    Raises:
        CompetitionError: The file is missing, damaged or unsafe, or inflates to far more than its size.
    """
    if not path.exists():
        raise CompetitionError("checkpoint not found", path, repair)
    check_seal(path, repair, required=False)
    try:
        _check_inflated(path)
        if path.suffix == ".safetensors":
            return load_file(path)
        stored: object = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch and safetensors raise many kinds for damaged or unsafe files
        reason = "out of memory" if isinstance(error, MemoryError) else " ".join(str(error).split())[:200]
        if isinstance(error, pickle.UnpicklingError):  # torch advises to run the code that the file holds
            reason, repair = "it is damaged or holds pickled code, which is not run", repair or STATE_DICT
        raise CompetitionError(f"checkpoint can't be read ({reason})", path, repair) from error
    return stored


def _check_inflated(path: Path) -> None:
    """Reject a zip whose parts are far larger than itself; torch.save does not compress."""
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            inflated = sum(part.file_size for part in archive.infolist())
        if inflated > path.stat().st_size + SPARE_BYTES:
            raise ValueError(f"it inflates to {inflated:,} bytes")


def weights_in(stored: object, path: Path) -> dict[str, torch.Tensor]:
    """Find the weights in what ``read_checkpoint`` read, under any key.

    They are the dictionary with the most tensors. Of several with the same names (a network and its moving average) the
    first is taken, and one under a usual key before the others.

    Raises:
        CompetitionError: It holds no weights, those of several networks, or tensors that need far more memory than the
            file has bytes.
    """
    networks = list(_networks(stored, ()))
    if not networks:
        raise CompetitionError("checkpoint holds no weights", path, STATE_DICT)
    most = max(len(weights) for _, weights in networks)
    large = [(keys, weights) for keys, weights in networks if 2 * len(weights) > most]
    names = [set(weights) for _, weights in large]
    if any(own != names[0] for own in names):
        where = ", ".join(".".join(keys) for keys, _ in large[:3])
        raise CompetitionError(f"checkpoint holds several networks ({where})", path, "Save the state_dict() of one")
    usual = [weights for keys, weights in large if set(keys) <= set(USUAL_KEYS)]
    weights = usual[0] if usual else large[0][1]
    for name, tensor in weights.items():
        if tensor.layout != torch.strided or tensor.device.type != "cpu" or tensor.is_quantized:
            raise CompetitionError(f"{name} of the checkpoint is no plain tensor", path)
    needed = sum(tensor.numel() * tensor.element_size() for tensor in weights.values())
    if needed > path.stat().st_size + SPARE_BYTES:
        raise CompetitionError(f"the tensors of the checkpoint need {needed / 1e9:.1f} GB, more than it holds", path)
    return {name: tensor.detach() for name, tensor in weights.items()}


def _networks(stored: object, keys: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], dict[str, torch.Tensor]]]:
    """Yield every dictionary that is mostly tensors, with its keys; in numbered parts optimizers keep moments."""
    if not isinstance(stored, Mapping) or len(keys) > DEEPEST:
        return
    tensors = {name: value for name, value in stored.items() if isinstance(value, torch.Tensor)}
    if 2 * len(tensors) > len(stored):
        if all(isinstance(name, str) for name in tensors):
            yield keys, tensors
        return
    for name, value in stored.items():
        if isinstance(name, str):
            yield from _networks(value, (*keys, name))

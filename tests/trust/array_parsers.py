"""Parsers of arrays, tables and checkpoints: those of other programs, and our own.

Our own files end in a checksum, which hardly any damage passes: what is damaged here is the content before it, and the
checksum is made anew, so that the reader behind it is reached too. ``test_bit_flips`` damages whole files.
"""

import io
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import blosc2
import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from safetensors.torch import save as save_safetensors
from trust_parser import Parser

from competition.checksums import MARK, SEAL_BYTES, check_seal, sealed_file
from competition.ensembling.segmentation.contested import (
    ContestedImage,
    load_contested,
    load_fresh,
    save_contested,
)
from competition.ensembling.segmentation.scored_vote import ScoredVote, load_scored_vote, save_scored_vote
from competition.formats.numpy_files import open_arrays
from competition.formats.parquet_tables import read_imported_table, read_table, write_table
from competition.masks.stored_arrays import open_imported_array, read_array, read_opened, write_array
from competition.models.checkpoint_loading import load_weights, read_checkpoint, weights_in
from competition.prediction.histograms import load_histograms, save_histograms
from competition.prediction.opened_maps import open_map
from competition.prediction.probability_maps import read_map, read_scores
from competition.runs.imports.predictions import hold_masks, read_imported_map
from competition.settings import Experiment
from competition.training.checkpoints import Identity, TrainedWeights, load_checkpoint, load_trained, save_trained

_RANDOM = np.random.default_rng(0)
_MAP = _RANDOM.integers(0, 256, (2, 6, 5), dtype=np.uint8)
_SCORES = pd.DataFrame({"sample": ["a", "b"], "x": [0.25, 0.5]})
_IDENTITY = Identity("cardiac", ("lv",), "a" * 12, "b" * 12, "c" * 12, 0)


def array_parsers() -> list[Parser]:
    """Makes the valid files, and returns what reads them."""
    return [*_imported_arrays(), *_imported_others(), *_own()]


def own_artefacts() -> dict[str, tuple[bytes, Callable[[Path], Any]]]:
    """File name -> a whole file of ours that carries a checksum, and what reads it."""
    counts = _RANDOM.integers(0, 99, (2, 1, 2, 256))
    pixels = np.array([[3, 2]], dtype=np.int64)
    contested = ContestedImage(_MAP[:, 0], pixels, pixels, pixels[0, :1], pixels[0, 0], pixels[0])
    measured = np.ones((2, 3, 1), np.int64), np.ones((2, 1, 1))
    vote = ScoredVote(["a", "b"], *measured, counts[:, 0, :1, 0], _RANDOM.random((1, 256)))
    weights = {"conv.weight": torch.zeros(2, 1, 3, 3), "conv.bias": torch.ones(2)}
    trained = TrainedWeights(weights, Experiment(), _IDENTITY, "fp32", 3, 0.5)
    return {
        "a.b2": (_written(lambda path: write_array(path, _MAP)), read_array),
        "map.b2": (_written(lambda path: write_array(path, _MAP)), _read_map),
        "manifest.parquet": (_written(lambda path: write_table(path, _SCORES)), lambda path: read_table(path, "Again")),
        "scores.parquet": (_written(lambda path: write_table(path, _SCORES)), _read_scores),
        "histograms.npz": (_written(lambda path: save_histograms(path, ["a", "b"], counts)), load_histograms),
        "scored_vote.npz": (_written(lambda path: save_scored_vote(path, vote)), _read_scored_vote),
        "contested": (_written(lambda path: save_contested(path, contested, "maps")), load_contested),
        "weights.pt": (_written(lambda path: save_trained(path, trained)), load_trained),
        "last.pt": (_written(lambda path: save_trained(path, trained)), load_checkpoint),
    }


def _written(write: Callable[[Path], object]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.npz"
        write(path)
        return path.read_bytes()


def _read_scored_vote(path: Path) -> ScoredVote:
    return load_scored_vote(path, "Run ./run.sh tune")


def _read_map(path: Path) -> NDArray[np.uint8]:
    return read_map(path.parent, path.stem)


def _read_scores(path: Path) -> NDArray[np.float64]:
    return read_scores(path.parent, ["b", "a"], ["x"])


def _own() -> list[Parser]:
    def again(read: Callable[[Path], Any]) -> Callable[[Path], Any]:
        def sealed(path: Path) -> Any:
            with sealed_file(path) as part:
                part.write_bytes(path.read_bytes())
            return read(path)

        return sealed

    files = own_artefacts()
    sealed = [
        Parser(f"{name} (checksum kept)", name, (whole.replace(_seal_of(whole), b""),), again(read))
        for name, (whole, read) in files.items()
        if name not in ("map.b2", "manifest.parquet", "last.pt")  # read by what reads another of them
    ]
    return [
        *sealed,
        Parser("check_seal", "a.b2", (files["a.b2"][0],), lambda path: check_seal(path, "Make it again")),
        Parser("load_fresh", "contested", (files["contested"][0],), lambda path: load_fresh(path, "maps")),
    ]


def _seal_of(whole: bytes) -> bytes:
    start = whole.rindex(MARK)  # at the end, but of a Parquet file in front of its footer
    return whole[start : start + SEAL_BYTES]


def _imported_arrays() -> list[Parser]:
    probs = _RANDOM.random((2, 6, 5)).astype(np.float32)
    arrays = (
        *(probs, np.asfortranarray(probs), (probs * 255).astype(np.uint8), probs > 0.5),
        *(probs.astype(">f8"), probs.transpose(1, 2, 0)),
    )
    plain = tuple(_numpy(np.save, array) for array in arrays)
    zipped = (
        _numpy(np.savez, probs),
        _numpy(np.savez_compressed, probs),
        _numpy(np.savez_compressed, x=probs[0], y=probs[1]),
    )

    def read_all(path: Path) -> list[NDArray[Any]]:
        return [array.read() for array in open_arrays(path).values()]

    def read(path: Path) -> NDArray[np.uint8]:
        return read_imported_map(path, ("x", "y"), (6, 5))

    def judge(path: Path) -> bool:
        return hold_masks([(path, (6, 5))], ("x", "y"))

    return [
        Parser("open_arrays (npy)", "a.npy", plain, read_all),
        Parser("open_arrays (npz)", "a.npz", zipped, read_all),
        Parser("read_imported_map (npy)", "a.npy", plain, read),
        Parser("read_imported_map (npz)", "a.npz", zipped, read),
        Parser("hold_masks", "a.npz", zipped, judge),
    ]


def _numpy(save: Callable[..., None], *arrays: NDArray[Any], **named: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    save(file, *arrays, **named)
    return file.getvalue()


def _imported_others() -> list[Parser]:
    frame = blosc2.asarray(_MAP).to_cframe()
    table = io.BytesIO()
    _SCORES.to_parquet(table, index=False)
    network = torch.nn.Conv2d(1, 2, 3)
    weights = network.state_dict()
    saved = io.BytesIO()
    torch.save({"state_dict": {f"module.{name}": value for name, value in weights.items()}, "epoch": 3}, saved)

    def read_imported_array(path: Path) -> NDArray[Any]:
        return read_opened(open_imported_array(path, "Export it again"), path, "Export it again")

    def open_imported_map(path: Path) -> object:
        return open_map(path.parent, path.stem, imported=True)

    def start_from(path: Path) -> object:
        return load_weights(network, weights_in(read_checkpoint(path), path), path)

    return [
        Parser("open_imported_array", "a.b2", (frame,), read_imported_array),
        Parser("open_map (imported)", "a.b2", (frame,), open_imported_map),
        Parser(
            "read_imported_table",
            "t.parquet",
            (table.getvalue(),),
            lambda path: read_imported_table(path, "Export again"),
        ),
        Parser(
            "read_scores (imported)",
            "scores.parquet",
            (table.getvalue(),),
            lambda path: read_scores(path.parent, ["a", "b"], ["x"], imported=True),
        ),
        Parser("read_checkpoint, load_weights (torch)", "a.pt", (saved.getvalue(),), start_from),
        Parser(
            "read_checkpoint, load_weights (safetensors)", "a.safetensors", (save_safetensors(weights),), start_from
        ),
    ]

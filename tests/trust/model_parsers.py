"""The parser of model files: damaged as they are, and with a description that is damaged before it is sealed."""

import json
import tempfile
from pathlib import Path

from model_files import description
from trust_parser import Parser

from competition.export.package import ModelFile, read_package, write_package
from competition.files import CHECKSUM

FILES = {"card.md": b"# card", "networks/quick/fold0.onnx": b"network", "weights/quick/fold0.safetensors": b"weights"}


def model_parsers() -> list[Parser]:
    """Makes valid files, and returns what reads them."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.zip"
        write_package(path, description(), FILES.items())
        whole = path.read_bytes()
    text = json.dumps(description(member={"tile": 16, "views": ["hflip", "rotate90"]})).encode()
    return [
        Parser("read_package", "model.zip", (whole,), read_package),
        Parser("read_package (description, checksum made anew)", "model.zip", (text,), _read_description),
    ]


def _read_description(path: Path) -> ModelFile:
    """Read a model file with this description; JSON that can't be read stays as it is."""
    text = path.read_bytes()
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        content = None
    if isinstance(content, dict):
        write_package(path, {key: value for key, value in content.items() if key != CHECKSUM}, FILES.items())
    return read_package(path)

"""Small files that claim or inflate to gigabytes, and text that never ends: refused within 5 s and 1 GB."""

import multiprocessing
import os
import struct
import time
import zipfile
import zlib
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
from peak_memory import forget_peak, peak_bytes
from trust_table import TrustTable

from competition.errors import CompetitionError
from competition.formats.contours import fill_contour, read_contour
from competition.formats.json_files import read_json
from competition.formats.pictures import read_grey
from competition.formats.yaml_files import read_yaml
from competition.models.checkpoint_loading import read_checkpoint
from competition.runs.imports.predictions import read_imported_map
from competition.submission.array_zip.form import ArrayZipForm
from competition.submission.known_images import KnownImages
from competition.tracks.declared.patterns import find_group
from competition.tracks.lumbar.track import LUMBAR

SIDE = 28_000


def huge_png(path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", SIDE, SIDE, 8, 0, 0, 0, 0))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b""))


def npy_header(shape: tuple[int, ...]) -> bytes:
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}".ljust(117) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode()


def inflating_zip(path: Path, name: str, shape: tuple[int, ...]) -> None:
    """A zip whose only array is as long as its header says: a megabyte of deflated zeros, repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    start = packer.compress(npy_header(shape)) + packer.flush(zlib.Z_FULL_FLUSH)
    block = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    size = int(np.prod(shape))
    stream = start + block * (size // (1 << 20)) + packer.compress(bytes(size % (1 << 20))) + packer.flush()
    written = zipfile.ZipInfo(name)
    written.compress_type = zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(written, stream)
    # What was stored as it is is now said to be deflated, and as long as it inflates to.
    content = bytearray(path.read_bytes())
    total = min(size + len(npy_header(shape)), 0xFFFFFFFE)
    central = content.rindex(b"PK\x01\x02")
    for method, length in ((8, 22), (central + 10, central + 24)):
        content[method : method + 2] = struct.pack("<H", zipfile.ZIP_DEFLATED)
        content[length : length + 4] = struct.pack("<I", total)
    path.write_bytes(content)


def write_text(text: str) -> Callable[[Path], object]:
    return lambda path: path.write_text(text)


ALIASES = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefghi", "bcdefghij", strict=True)
)
POLYGON = "".join(f"{index % 200}.5 {index % 170}.5\n" for index in range(1_000_000))

BOMBS: dict[str, tuple[str, Callable[[Path], object], Callable[[Path], object]]] = {
    f"PNG that declares {SIDE:,} x {SIDE:,} pixels": ("a.png", huge_png, read_grey),
    "NumPy file that declares 6.8 GB": (
        "a.npy",
        lambda path: path.write_bytes(npy_header((29, 15_300, 15_300)) + bytes(99)),
        lambda path: read_imported_map(path, ("x",), (6, 5)),
    ),
    "NumPy zip of 4 MB that inflates to 4 GB": (
        "a.npz",
        lambda path: inflating_zip(path, "a.npy", (1, 63_000, 63_000)),
        lambda path: read_imported_map(path, ("x",), (6, 5)),
    ),
    "zip of planes of 4 MB that inflates to 4 GB": (
        "a.zip",
        lambda path: inflating_zip(path, "7.npy", (23_000, 23_000, 7)),
        lambda path: refuse(
            ArrayZipForm().check(path, LUMBAR.classes, KnownImages(("7.dcm",), {"7.dcm": (6, 5)})).errors
        ),
    ),
    "checkpoint that inflates to 4 GB": (
        "a.pt",
        lambda path: inflating_zip(path, "archive/data.pkl", (63_000, 63_000)),
        read_checkpoint,
    ),
    "contour of a million points": (
        "a.txt",
        write_text(POLYGON),
        lambda path: fill_contour(read_contour(path, (256, 256)), (256, 256)),
    ),
    "pattern that never ends": (
        "pattern",
        write_text("(a+)+$"),
        lambda path: find_group(path.read_text(), "a" * 60 + "b"),
    ),
    "YAML aliases of 3 billion values": ("a.yaml", write_text(ALIASES), lambda path: read_yaml(path, "missing")),
    "JSON of 100,000 brackets": ("a.json", write_text("[" * 100_000), lambda path: read_json(path, "Again")),
    "named pipe as a picture": ("a.png", os.mkfifo, read_grey),
    "named pipe as JSON": ("a.json", os.mkfifo, lambda path: read_json(path, "Again")),
}


def refuse(errors: list[str]) -> None:
    if errors:
        raise CompetitionError(errors[0])


def defuse(name: str, path: Path, answer: Connection) -> None:
    before, begin = forget_peak(), time.perf_counter()
    try:
        BOMBS[name][2](path)
        said = "read"
    except CompetitionError as error:
        said = str(error)
    except BaseException as error:
        said = repr(error)
    answer.send((said, time.perf_counter() - begin, peak_bytes() - before))


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_within_five_seconds_and_a_gigabyte(
    name: str, tmp_path: Path, trust_table: TrustTable
) -> None:
    file, write, _ = BOMBS[name]
    path = tmp_path / file
    write(path)
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=defuse, args=(name, path, theirs))
    process.start()
    theirs.close()
    answered = ours.poll(30)
    if not answered:
        process.kill()
    assert answered, "it hung"
    said, seconds, grown = ours.recv()
    process.join()
    assert said != "read"
    assert "Error(" not in said, said
    assert seconds < 5
    assert grown < 1 << 30
    trust_table.add(name, f"refused, {1000 * seconds:.0f} ms, {grown / 1e6:.0f} MB")

"""TFRecord files of ``tf.train.Example`` messages, read and written without TensorFlow.

A file is a row of records, each framed as: length (uint64), masked CRC-32C of the length (uint32), the bytes, masked
CRC-32C of the bytes (uint32), all little-endian (TensorFlow, "TFRecord and tf.train.Example").
"""

import itertools
import math
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.files import whole_file
from competition.formats.source_files import require_file

Example = dict[str, list[bytes | int]]
"""Feature name -> its values; those of a feature of floats are left out, because no reader here wants any."""

_REPAIR = "Copy the file again"
_SUM = 4  # bytes of a checksum
_POLYNOMIAL = 0x82F63B78  # Castagnoli's, bits reversed
_START = bytes.fromhex("54641f64")  # takes the register from 0 to its start value, so zeros in front change nothing


def _crc_table() -> NDArray[np.uint32]:
    """Return the register after each of the 256 bytes, starting from 0."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1).astype(np.uint32)
    return table


_TABLE = _crc_table()


def _example_type() -> Any:
    """Build the class of tf.train.Example from its published definition, without the floats.

    The map of features is declared as what it is on the wire, a list of entries, which keeps their order.
    """
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="tf", syntax="proto3")
    once, many, text, message, raw, number = 1, 3, 9, 11, 12, 3  # labels and types of descriptor.proto
    for name, *fields in (
        ("Bytes", ("value", 1, many, raw, "")),
        ("Integers", ("value", 1, many, number, "")),
        ("Feature", ("bytes", 1, once, message, ".tf.Bytes"), ("integers", 3, once, message, ".tf.Integers")),
        ("Entry", ("key", 1, once, text, ""), ("value", 2, once, message, ".tf.Feature")),
        ("Features", ("feature", 1, many, message, ".tf.Entry")),
        ("Example", ("features", 1, once, message, ".tf.Features")),
    ):
        kind = file.message_type.add(name=name)
        for field, place, label, type_number, type_name in fields:
            kind.field.add(name=field, number=place, label=label, type=type_number, type_name=type_name or None)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tf.Example"))


_Example = _example_type()


def crc32c(data: bytes) -> int:
    """Return the CRC-32C checksum (RFC 3720, appendix B.4).

    The bytes are laid out as a square and the checksums of all its rows are computed at once, each from zero. Joining
    them needs the effect of a row of zeros, which is linear in the 32 bits: 32 more rows give it. A record of 590 kB
    takes 10 ms, byte by byte 80.
    """
    content = _START + data
    width = math.isqrt(len(content))
    content = bytes(-len(content) % width) + content
    rows = np.frombuffer(content, np.uint8).reshape(-1, width)
    columns = np.vstack([rows, np.zeros((32, width), np.uint8)]).T.astype(np.uint32)
    sums = np.concatenate([np.zeros(len(rows), np.uint32), np.uint32(1) << np.arange(32, dtype=np.uint32)])
    for column in columns:
        sums = _TABLE[(sums ^ column) & 255] ^ (sums >> np.uint32(8))
    row_sums, of_bit = sums[: len(rows)].tolist(), sums[len(rows) :].tolist()
    state = 0
    for joined in row_sums:
        for bit in range(32):
            if state >> bit & 1:
                joined ^= of_bit[bit]
        state = joined
    return int(state) ^ 0xFFFFFFFF


def masked_crc32c(data: bytes) -> int:
    """Return the checksum as TFRecord stores it: rotated by 15 bits, plus a constant."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def read_records(path: Path) -> Iterator[bytes]:
    """Read all records of a file, in order.

    Raises:
        CompetitionError: The file can't be read, ends within a record, or a checksum is wrong; records are counted from
            0.
    """
    with _opened(path) as file:
        for where in (f"{path}, record {number}" for number in itertools.count()):
            if (length := _read_length(file, where)) is None:
                return
            yield _read_checked(file, length, where)


def read_record(path: Path, number: int) -> bytes:
    """Read one record, counted from 0; errors as ``read_records``, or the file has fewer."""
    with _opened(path) as file:
        for place in range(number + 1):
            length = _read_length(file, f"{path}, record {place}")
            if length is None:
                break
            if place == number:
                return _read_checked(file, length, f"{path}, record {number}")
            file.seek(length + _SUM, os.SEEK_CUR)
    raise CompetitionError("there is no such record", f"{path}, record {number}")


def write_records(path: Path, records: Iterable[bytes]) -> None:
    """Write a file of records, whole or not at all."""
    with whole_file(path) as part, part.open("wb") as file:
        for record in records:
            length = struct.pack("<Q", len(record))
            for piece in (length, record):
                file.write(piece + struct.pack("<I", masked_crc32c(piece)))


def parse_example(record: bytes, where: str) -> Example:
    """Return the features of a ``tf.train.Example``: bytes or whole numbers by name; ``where`` is for the message.

    Raises:
        CompetitionError: The bytes are no such message.
    """
    try:
        message = _Example.FromString(record)
        if record and not message.HasField("features"):
            raise DecodeError("no features")
    except DecodeError as error:
        raise CompetitionError("record is no tf.train.Example", where) from error
    entries = message.features.feature
    return {entry.key: [*entry.value.bytes.value, *entry.value.integers.value] for entry in entries}


def build_example(features: Mapping[str, bytes | int]) -> bytes:
    """Return a ``tf.train.Example`` of one value per feature: bytes, or a whole number."""
    message = _Example()
    for name, value in features.items():
        feature = message.features.feature.add(key=name).value
        (feature.bytes if isinstance(value, bytes) else feature.integers).value.append(value)
    content: bytes = message.SerializeToString()
    return content


@contextmanager
def _opened(path: Path) -> Iterator[BufferedReader]:
    require_file(path, "file of records")
    try:
        with path.open("rb") as file:
            yield file
    except OSError as error:
        raise CompetitionError(f"can't read the records ({error.strerror or error})", path) from error


def _read_length(file: BufferedReader, where: str) -> int | None:
    """Return the length of the record that begins here; None at the end of the file."""
    if not file.peek(1):
        return None
    length = int.from_bytes(_read_checked(file, 8, where), "little")
    left = os.fstat(file.fileno()).st_size - file.tell()
    if length + _SUM > left:  # compared before memory is taken for it
        raise CompetitionError("the file ends within a record", where, _REPAIR)
    return length


def _read_checked(file: BufferedReader, length: int, where: str) -> bytes:
    """Read bytes and the checksum behind them."""
    data = file.read(length + _SUM)
    if len(data) < length + _SUM:
        raise CompetitionError("the file ends within a record", where, _REPAIR)
    content = data[:length]
    if masked_crc32c(content) != int.from_bytes(data[length:], "little"):
        raise CompetitionError("a record's checksum is wrong", where, _REPAIR)
    return content

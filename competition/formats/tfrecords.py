"""TFRecord files of ``tf.train.Example`` messages, read and written without TensorFlow.

A file is a row of records, each framed as: length (uint64), masked CRC-32C of the length (uint32), the bytes, masked
CRC-32C of the bytes (uint32), all little-endian (TensorFlow, "TFRecord and tf.train.Example"). A record here is a
protocol buffer: Example { 1: Features { 1: repeated (1: name, 2: Feature { 1: bytes, 2: floats, 3: integers }) } }.
"""

import itertools
import math
import os
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path

import numpy as np

from competition.errors import CompetitionError
from competition.files import whole_file
from competition.formats.source_files import require_file

Example = dict[str, list[bytes | int]]
"""Feature name -> its values; those of a feature of floats are left out, because no reader here wants any."""

_REPAIR = "Copy the file again"
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # the wire types of protocol buffers
_POLYNOMIAL = 0x82F63B78  # Castagnoli's, bits reversed
_SUM = 4  # bytes of a check sum


def _crc_table() -> "np.ndarray[tuple[int], np.dtype[np.uint32]]":
    """Return what one byte makes of an empty check sum, for all 256 bytes."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(_POLYNOMIAL), table >> 1).astype(np.uint32)
    return table


_TABLE = _crc_table()


def crc32c(data: bytes) -> int:
    """Return the CRC-32C check sum (RFC 3720, appendix B.4).

    The bytes are laid out as a square and all its rows are summed at once, each from zero; then the rows are joined.
    Joining needs what a row of zeros makes of a sum, which is linear in its 32 bits: 32 more rows of zeros tell it.
    A record of 590 kB takes 10 ms, byte by byte 80.
    """
    width = math.isqrt(len(data)) or 1
    head = len(data) % width
    state = 0xFFFFFFFF
    for byte in data[:head]:
        state = int(_TABLE[(state ^ byte) & 255]) ^ (state >> 8)
    rows = np.frombuffer(data, np.uint8, offset=head).reshape(-1, width)
    columns = np.vstack([rows, np.zeros((32, width), np.uint8)]).T.astype(np.uint32)
    sums = np.concatenate([np.zeros(len(rows), np.uint32), np.uint32(1) << np.arange(32, dtype=np.uint32)])
    for column in columns:
        sums = _TABLE[(sums ^ column) & 255] ^ (sums >> np.uint32(8))
    of_bit = sums[len(rows) :].tolist()
    for of_row in sums[: len(rows)].tolist():
        joined = of_row
        for bit in range(32):
            if state >> bit & 1:
                joined ^= of_bit[bit]
        state = joined
    return state ^ 0xFFFFFFFF


def masked_crc32c(data: bytes) -> int:
    """The check sum as TFRecord stores it: rotated by 15 bits plus a constant, so that a sum of sums is no sum."""
    crc = crc32c(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def read_records(path: Path) -> Iterator[bytes]:
    """Read all records of a file, in order.

    Raises:
        CompetitionError: The file can't be read, ends within a record, or a check sum is wrong; the record is named by
            its number, counted from 0.
    """
    with _opened(path) as file:
        for number in itertools.count():
            length = _read_length(file, f"{path}, record {number}")
            if length is None:
                return
            yield _read_checked(file, length, f"{path}, record {number}")


def read_record(path: Path, number: int) -> bytes:
    """Read one record, counted from 0; errors as ``read_records``, or the file has fewer."""
    with _opened(path) as file:
        for before in range(number):
            length = _read_length(file, f"{path}, record {before}")
            if length is None:
                break
            file.seek(length + _SUM, os.SEEK_CUR)
        where = f"{path}, record {number}"
        length = _read_length(file, where)
        if length is None:
            raise CompetitionError("there is no such record", where)
        return _read_checked(file, length, where)


def write_records(path: Path, records: Iterable[bytes]) -> None:
    """Write a file of records, whole or not at all."""
    with whole_file(path) as part, part.open("wb") as file:
        for record in records:
            length = struct.pack("<Q", len(record))
            for piece in (length, record):
                file.write(piece + struct.pack("<I", masked_crc32c(piece)))


def parse_example(record: bytes, where: str) -> Example:
    """Read a ``tf.train.Example``.

    Args:
        record: Its bytes.
        where: File and record, for the message.

    Returns:
        Feature name -> its values: bytes, or whole numbers.

    Raises:
        CompetitionError: The bytes are no such message.
    """
    try:
        example: Example = {}
        for features in _messages(record, 1):
            for entry in _messages(features, 1):
                name = b"".join(_messages(entry, 1)).decode()
                example[name] = [value for feature in _messages(entry, 2) for value in _values(feature)]
    except (IndexError, ValueError, TypeError) as error:
        raise CompetitionError("record is no tf.train.Example", where) from error
    return example


def build_example(features: Mapping[str, bytes | int]) -> bytes:
    """Make a ``tf.train.Example`` of one value per feature: bytes, or a whole number not below 0."""
    entries = []
    for name, value in features.items():
        if isinstance(value, bytes):
            feature = _field(1, _field(1, value))
        else:
            feature = _field(3, _field(1, _encode_varint(value)))
        entries.append(_field(1, _field(1, name.encode()) + _field(2, feature)))
    return _field(1, b"".join(entries))


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
    """Read bytes and the check sum behind them."""
    data = file.read(length + _SUM)
    if len(data) < length + _SUM:
        raise CompetitionError("the file ends within a record", where, _REPAIR)
    content = data[:length]
    if masked_crc32c(content) != int.from_bytes(data[length:], "little"):
        raise CompetitionError("a record's check sum is wrong", where, _REPAIR)
    return content


def _values(feature: bytes) -> Iterator[bytes | int]:
    """Bytes and whole numbers of a Feature."""
    for content in _messages(feature, 1):
        yield from _messages(content, 1)
    for content in _messages(feature, 3):
        for _, value in _fields(content):
            if isinstance(value, int):
                yield _signed(value)
            else:  # packed: one number behind the other
                position = 0
                while position < len(value):
                    number, position = _decode_varint(value, position)
                    yield _signed(number)


def _messages(message: bytes, wanted: int) -> list[bytes]:
    """Return the contents of all fields of one number."""
    found = []
    for number, value in _fields(message):
        if number == wanted:
            if not isinstance(value, bytes):
                raise TypeError(f"field {number} is a number")
            found.append(value)
    return found


def _fields(message: bytes) -> Iterator[tuple[int, bytes | int]]:
    """Field numbers and values of a protocol buffer; values of fixed width come as their bytes."""
    position = 0
    while position < len(message):
        key, position = _decode_varint(message, position)
        kind = key & 7
        if kind == _VARINT:
            value, position = _decode_varint(message, position)
            yield key >> 3, value
            continue
        if kind == _BYTES:
            length, position = _decode_varint(message, position)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"wire type {kind}")
        if position + length > len(message):
            raise ValueError("a field is longer than its message")
        yield key >> 3, message[position : position + length]
        position += length


def _decode_varint(message: bytes, position: int) -> tuple[int, int]:
    """Return a number of seven bits per byte, the lowest first, and the position behind it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = message[position]
        position += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, position
    raise ValueError("a number is longer than ten bytes")


def _encode_varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 127:
        encoded.append(value & 127 | 128)
        value >>= 7
    return bytes([*encoded, value])


def _signed(value: int) -> int:
    """Negative numbers are stored as their two's complement of 64 bits."""
    return value - (1 << 64) if value >> 63 else value


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | _BYTES]) + _encode_varint(len(content)) + content

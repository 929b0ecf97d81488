"""TFRecords against TensorBoard's own reader and writer, and Examples against Google's protocol buffers."""

import struct
from pathlib import Path

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tensorboard.compat.tensorflow_stub import pywrap_tensorflow as tensorboard
from tensorboard.summary.writer.record_writer import RecordWriter

from competition.errors import CompetitionError
from competition.formats.tfrecords import (
    build_example,
    crc32c,
    masked_crc32c,
    parse_example,
    read_record,
    read_records,
    write_records,
)

RECORDS = [b"first", b"", bytes(range(256)) * 9, b"x"]


def example_class():
    """The message tf.train.Example, built from its published definition."""
    kinds = {name: getattr(descriptor_pb2.FieldDescriptorProto, f"TYPE_{name}") for name in ("BYTES", "FLOAT", "INT64")}
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="t", syntax="proto3")
    for name, kind in kinds.items():
        values = file.message_type.add(name=f"{name}List")
        values.field.add(name="value", number=1, label=3, type=kind)
    feature = file.message_type.add(name="Feature")
    for number, name in enumerate(kinds, start=1):
        feature.field.add(name=name.lower(), number=number, label=1, type=11, type_name=f".t.{name}List")
    features = file.message_type.add(name="Features")
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, label=1, type=9)
    entry.field.add(name="value", number=2, label=1, type=11, type_name=".t.Feature")
    features.field.add(name="feature", number=1, label=3, type=11, type_name=".t.Features.FeatureEntry")
    file.message_type.add(name="Example").field.add(
        name="features", number=1, label=1, type=11, type_name=".t.Features"
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("t.Example"))


EXAMPLE = example_class()


def test_the_check_sum_of_the_standard() -> None:
    # RFC 3720, appendix B.4: 32 zeros, 32 ones, the numbers up and down.
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert crc32c(bytes(range(31, -1, -1))) == 0x113FDB5C
    assert crc32c(b"") == 0


def test_check_sums_of_any_length_are_tensorboards() -> None:
    random = np.random.default_rng(0)
    for length in [*range(40), 255, 256, 257, 1000, 12_345]:
        data = random.bytes(length)
        assert masked_crc32c(data) == tensorboard.masked_crc32c(data)


def test_files_are_read_by_tensorboard_and_its_files_by_us(tmp_path: Path) -> None:
    write_records(tmp_path / "ours.tfrecord", RECORDS)
    reader = tensorboard.PyRecordReader_New(str(tmp_path / "ours.tfrecord"))
    for record in RECORDS:
        reader.GetNext()
        assert reader.record() == record
    with (tmp_path / "theirs.tfrecord").open("wb") as file:
        writer = RecordWriter(file)
        for record in RECORDS:
            writer.write(record)
    assert (tmp_path / "theirs.tfrecord").read_bytes() == (tmp_path / "ours.tfrecord").read_bytes()
    assert list(read_records(tmp_path / "theirs.tfrecord")) == RECORDS


def test_a_single_record_is_found_by_its_number(tmp_path: Path) -> None:
    write_records(tmp_path / "a.tfrecord", RECORDS)
    assert [read_record(tmp_path / "a.tfrecord", number) for number in range(4)] == RECORDS
    for number in (4, 5, 99):
        with pytest.raises(CompetitionError, match=rf"there is no such record: .*a\.tfrecord, record {number}"):
            read_record(tmp_path / "a.tfrecord", number)


def test_a_file_without_records_is_empty(tmp_path: Path) -> None:
    write_records(tmp_path / "a.tfrecord", [])
    assert list(read_records(tmp_path / "a.tfrecord")) == []


def test_a_file_cut_anywhere_is_named_with_the_record(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    write_records(path, [b"one", b"three"])
    whole = path.read_bytes()
    assert len(whole) == 19 + 21
    for length in range(1, len(whole)):
        path.write_bytes(whole[:length])
        if length == 19:  # the end of the first record: nothing tells that another followed
            assert list(read_records(path)) == [b"one"]
            continue
        with pytest.raises(CompetitionError) as caught:
            list(read_records(path))
        sentence = f"the file ends within a record: {path}, record {int(length > 19)}. Copy the file again."
        assert str(caught.value) == sentence
        with pytest.raises(CompetitionError, match="ends within a record"):
            read_record(path, int(length > 19))


def test_a_flipped_bit_anywhere_is_named_with_the_record(tmp_path: Path) -> None:
    path = tmp_path / "a.tfrecord"
    write_records(path, [b"one", b"three"])
    whole = path.read_bytes()
    for position in range(19, len(whole)):
        damaged = bytearray(whole)
        damaged[position] ^= 4
        path.write_bytes(damaged)
        for read in (lambda: list(read_records(path)), lambda: read_record(path, 1)):
            with pytest.raises(CompetitionError, match=r"checksum is wrong: .*a\.tfrecord, record 1\. Copy"):
                read()
        assert read_record(path, 0) == b"one"


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    for read in (lambda path: list(read_records(path)), lambda path: read_record(path, 0)):
        with pytest.raises(CompetitionError, match=r"file of records not found.*absent\.tfrecord"):
            read(tmp_path / "absent.tfrecord")


def test_examples_of_googles_protocol_buffers_are_read() -> None:
    message = EXAMPLE()
    message.features.feature["img_raw"].bytes.value.extend([b"\x00\xff", b""])
    message.features.feature["height"].int64.value.extend([0, 127, 128, 2**40, -1, -(2**63), 2**63 - 1])
    message.features.feature["weight"].float.value.extend([0.5, -1.0])
    message.features.feature["nothing"].bytes.SetInParent()
    message.features.feature["bare"].SetInParent()
    assert parse_example(message.SerializeToString(), "here") == {
        "img_raw": [b"\x00\xff", b""],
        "height": [0, 127, 128, 2**40, -1, -(2**63), 2**63 - 1],
        "weight": [],
        "nothing": [],
        "bare": [],
    }
    assert parse_example(b"", "here") == {}


def test_numbers_that_are_not_packed_are_read_too() -> None:
    # Field 1 of Int64List, twice as a number of its own: 8 is the key of field 1 as a number.
    numbers = bytes([8, 5, 8, 0xAC, 2])
    feature = bytes([0x1A, len(numbers)]) + numbers
    entry = bytes([0x0A, 1]) + b"n" + bytes([0x12, len(feature)]) + feature
    features = bytes([0x0A, len(entry)]) + entry
    assert parse_example(bytes([0x0A, len(features)]) + features, "here") == {"n": [5, 300]}


def test_our_examples_are_read_by_googles_protocol_buffers() -> None:
    features = {"raw": bytes(300), "height": 0, "width": 70_000, "name": "Zürich".encode(), "empty": b""}
    message = EXAMPLE.FromString(build_example(features))
    found = message.features.feature
    assert set(found) == set(features)
    assert list(found["raw"].bytes.value) == [bytes(300)]
    assert list(found["empty"].bytes.value) == [b""]
    assert (list(found["height"].int64.value), list(found["width"].int64.value)) == ([0], [70_000])
    assert found["name"].bytes.value[0].decode() == "Zürich"
    assert parse_example(message.SerializeToString(), "here") == {name: [value] for name, value in features.items()}


def test_what_is_no_example_is_named() -> None:
    whole = build_example({"raw": b"abc", "height": 3})
    cuts = [whole[:length] for length in range(1, len(whole))]
    for record in [*cuts, b"\x0a\x05ab", b"\x0b", b"\xff" * 12, b"\x08\x01", b"\x0a\x04\x0a\x02\x0a\x09"]:
        with pytest.raises(CompetitionError, match=r"record is no tf\.train\.Example: a\.tfrecord, record 7"):
            parse_example(record, "a.tfrecord, record 7")


def test_the_length_is_little_endian_of_eight_bytes(tmp_path: Path) -> None:
    write_records(tmp_path / "a.tfrecord", [bytes(300)])
    assert struct.unpack("<Q", (tmp_path / "a.tfrecord").read_bytes()[:8]) == (300,)


@pytest.mark.parametrize("length", [1 << 40, 1 << 60, 1 << 63, (1 << 64) - 1])
def test_a_length_is_compared_with_the_file_before_memory_is_taken(tmp_path: Path, length: int) -> None:
    path = tmp_path / "a.tfrecord"
    packed = struct.pack("<Q", length)
    path.write_bytes(packed + struct.pack("<I", masked_crc32c(packed)) + bytes(99))
    for read in (lambda path: list(read_records(path)), lambda path: read_record(path, 1)):
        with pytest.raises(CompetitionError, match=r"ends within a record.*record 0"):
            read(path)

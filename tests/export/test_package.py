"""A model file is read as it was written, or refused in a sentence: another version, a changed byte, no model file."""

import json
import zipfile
from pathlib import Path

import pytest
from model_files import decision, description

from competition.errors import CompetitionError
from competition.export.package import read_package, write_package
from competition.files import json_checksum

FILES = {"card.md": b"# card", "networks/quick/fold0.onnx": b"network", "weights/quick/fold0.safetensors": b"weights"}


@pytest.fixture
def written(tmp_path):
    write_package(tmp_path / "model.zip", description(), FILES.items())
    return tmp_path / "model.zip"


def contents(path):
    with zipfile.ZipFile(path) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def rewritten(path, files, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content, compress_type=method)
    return path


def refused(path):
    with pytest.raises(CompetitionError) as error:
        read_package(path)
    assert error.value.where == str(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def sealed(content):
    plain = {key: value for key, value in content.items() if key != "sha256"}
    return json.dumps(plain | {"sha256": json_checksum(plain)}).encode()


def edited(path, **changes):
    files = contents(path)
    return rewritten(path, files | {"model.json": sealed(json.loads(files["model.json"]) | changes)})


def test_a_model_file_is_read_as_it_was_written(written):
    file = read_package(written)
    assert file.model.decision == decision()
    assert file.model.members[0].views == ("identity",)
    assert {name: file.read(name) for name in file.model.files} == FILES


def test_every_view_of_a_segmentation_is_known(written):
    views = ("identity", "hflip_rotate270", "scale75", "scale125")
    assert read_package(edited(written, members=members(views=views))).model.members[0].views == views


def test_equal_models_are_equal_files(written):
    again = written.with_name("again.zip")
    write_package(again, description(), FILES.items())
    files = [contents(path) for path in (written, again)]
    for one in files:
        stored = json.loads(one.pop("model.json"))
        assert stored["files"].keys() == FILES.keys()
    assert files[0] == files[1]


def test_nothing_is_left_of_an_export_that_fails(tmp_path):
    def files():
        yield "card.md", b"x"
        raise CompetitionError("a network can't be exported")

    with pytest.raises(CompetitionError):
        write_package(tmp_path / "model.zip", description(), files())
    assert list(tmp_path.iterdir()) == []


def test_every_changed_byte_of_the_content_is_noticed(written):
    whole = written.read_bytes()
    for name, content in contents(written).items():
        start = whole.index(content)
        for place in (start, start + len(content) - 1):
            damaged = bytearray(whole)
            damaged[place] ^= 1
            written.write_bytes(damaged)
            assert name in refused(written)


def test_another_format_is_named(written):
    assert "has format 2 of version 9.9; this version reads format 1" in refused(edited(written, format=2))


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x03\x04" + bytes(40)])
def test_what_is_no_zip_is_refused(tmp_path, content):
    path = tmp_path / "model.zip"
    path.write_bytes(content)
    assert "not a model file" in refused(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    assert "model file not found" in refused(tmp_path / "none.zip")
    assert "it is a folder" in refused(tmp_path)


def test_a_zip_of_something_else_is_refused(tmp_path):
    assert "it has no model.json" in refused(rewritten(tmp_path / "model.zip", {"a.txt": b"a"}))


@pytest.mark.parametrize("text", [b"{", b"[]", b"{}", b'{"format": "1"}', b"[" * 100_000, b"\xff"])
def test_a_description_of_something_else_is_refused(written, text):
    assert "model.json" in refused(rewritten(written, contents(written) | {"model.json": text}))


def test_what_unfolds_is_refused_before_it_is_read(written):
    files = contents(written) | {"networks/quick/fold0.onnx": bytes(10_000_000)}
    assert "is compressed" in refused(rewritten(written, files, zipfile.ZIP_DEFLATED))


def test_a_file_too_many_or_too_few_is_named(written):
    whole = contents(written)
    assert "../evil" in refused(rewritten(written, whole | {"../evil": b"x"}))
    fewer = {name: content for name, content in whole.items() if name != "card.md"}
    assert "card.md" in refused(rewritten(written, fewer))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_twice_is_refused(written):
    with zipfile.ZipFile(written, "a") as archive:
        archive.writestr("card.md", b"# card")
    assert "one twice" in refused(written)


def members(**changes):
    return [description()["members"][0] | changes]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"members": members(name="other")}, "member 'quick' in the file is not that of the decision"),
        ({"members": members(folds=[1])}, "member 'quick' in the file is not that of the decision"),
        ({"members": []}, "do not belong together"),
        ({"track": "legs"}, "do not belong together"),
        ({"members": members(views=["upside_down"])}, "test-time view 'upside_down' in the file is unknown"),
        ({"members": members(crop_to={"run": "first", "classes": ["a"]})}, "the first stage of 'quick' is missing"),
        ({"members": members(size=10**9)}, "members.0.size"),
        ({"channels": 2}, "channels"),
        ({"surprise": 1}, "surprise"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(written, changes, reason):
    assert reason in refused(edited(written, **changes))


def test_a_network_that_is_missing_is_named(tmp_path):
    fewer = {name: content for name, content in FILES.items() if not name.endswith(".onnx")}
    write_package(tmp_path / "model.zip", description(), fewer.items())
    assert "fold 0 of 'quick' is missing in the file" in refused(tmp_path / "model.zip")


def test_a_file_that_changes_after_it_was_opened_is_noticed(written):
    file = read_package(written)
    rewritten(written, contents(written) | {"card.md": b"# CARD"})
    with pytest.raises(CompetitionError, match=r"card\.md in the file has changed"):
        file.read("card.md")


def test_the_place_of_a_model_file_must_be_writable(tmp_path):
    Path(tmp_path / "file").write_text("x")
    with pytest.raises(CompetitionError):
        write_package(tmp_path / "file" / "model.zip", description(), FILES.items())

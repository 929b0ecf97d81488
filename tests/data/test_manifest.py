from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from competition.data.manifest import (
    Entry,
    Manifest,
    data_hash,
    prepare_command,
    read_manifest,
    remember_decoded,
    reusable_entries,
    target_matrix,
    write_manifest,
)
from competition.errors import CompetitionError
from competition.files import write_json
from competition.formats.json_files import read_json
from competition.tracks import get_track
from competition.workspace import Workspace

KNEE = get_track("knee")
TRAIN = Entry(
    "012_L", "012_L.png", "train", "012", "", (True,), 240, 200, (101.25,), (1 / 3,), (1,), "abc", "ghi", "def"
)
TEST = replace(TRAIN, sample="NA", name="NA", split="test", group="001", present=(False,), targets=(), pixels="e")


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path, "knee")


def test_a_manifest_comes_back_in_order_and_exactly(workspace: Workspace, tmp_path: Path) -> None:
    manifest = Manifest(tmp_path / "data", (TEST, TRAIN, replace(TRAIN, sample="001_R", group="001")))
    write_manifest(workspace, KNEE, manifest)
    back = read_manifest(workspace, KNEE)
    assert back == manifest
    assert [one.sample for one in back.of("train")] == ["012_L", "001_R"]
    assert back.of("test") == [TEST]
    assert back.by_sample()["001_R"].group == "001"


@pytest.mark.parametrize(
    "change",
    [{"pixels": "x"}, {"labels": "x"}, {"targets": (0,)}, {"group": "013"}, {"sample": "x"}, {"present": (False,)}],
)
def test_the_data_hash_tells_changed_content_from_another_order_or_place(change: dict[str, Any]) -> None:
    other = replace(TRAIN, sample="001_R", group="001")
    assert data_hash([TRAIN, other]) == data_hash([other, replace(TRAIN, fingerprint="copied elsewhere")])
    assert data_hash([TRAIN, other]) != data_hash([replace(TRAIN, **change), other])
    assert data_hash([TRAIN, other]) != data_hash([TRAIN])


@pytest.mark.parametrize("entries", [(), (TEST,), (TRAIN,)])
def test_one_split_alone_or_nothing_comes_back_too(workspace: Workspace, entries: tuple[Entry, ...]) -> None:
    write_manifest(workspace, KNEE, Manifest(Path("/data"), entries))
    assert read_manifest(workspace, KNEE).entries == entries


def test_several_views_and_classes_come_back_as_plain_tuples(tmp_path: Path) -> None:
    workspace, track = Workspace(tmp_path, "aneurysm"), get_track("aneurysm")
    statistics = tuple(number / 3 for number in range(8))
    entry = replace(TRAIN, present=(True, False) * 4, mean=statistics, std=statistics[::-1], targets=(0, 1) * 10 + (1,))
    write_manifest(workspace, track, Manifest(Path("/data"), (entry,)))
    back = read_manifest(workspace, track).entries[0]
    assert back == entry
    assert {type(value) for value in back.present} == {bool}
    assert {type(value) for value in back.targets} == {int}
    assert {type(value) for value in back.mean + back.std} == {float}


def test_nothing_prepared_is_an_error_that_gives_the_command(workspace: Workspace) -> None:
    with pytest.raises(CompetitionError, match=r"no prepared data: .*Run \./run\.sh prepare --track knee\.$"):
        read_manifest(workspace, KNEE)


def test_what_was_prepared_for_other_classes_or_by_another_version_is_refused(workspace: Workspace) -> None:
    write_manifest(workspace, KNEE, Manifest(Path("/data"), (TRAIN,)))
    with pytest.raises(CompetitionError, match="prepared for other classes"):
        read_manifest(workspace, replace(KNEE, classes=("tibia",)))
    about = workspace.cache_folder() / "prepared.json"
    write_json(about, read_json(about, "") | {"version": -1})
    with pytest.raises(CompetitionError, match="by another version"):
        read_manifest(workspace, KNEE)


@pytest.mark.parametrize(
    "change", [{"classes": 5}, {"classes": [1]}, {"data_root": 7}, {"tables": "a"}, {"tables": [3]}, {"data_form": []}]
)
def test_values_of_other_types_are_refused(workspace: Workspace, change: dict[str, object]) -> None:
    write_manifest(workspace, KNEE, Manifest(Path("/data"), (TRAIN,)))
    about = workspace.cache_folder() / "prepared.json"
    write_json(about, read_json(about, "") | change)
    with pytest.raises(CompetitionError, match=r"not a description of prepared data: .*prepared\.json\. Run"):
        read_manifest(workspace, KNEE)


@pytest.mark.parametrize("root", ["9" * 4000, "a\0b"])
def test_a_data_folder_that_no_disk_can_have_is_one_that_is_not_here(
    workspace: Workspace, root: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_manifest(workspace, KNEE, Manifest(Path(root), (TRAIN,)))
    assert read_manifest(workspace, KNEE).entries == (TRAIN,)
    assert "is missing" in " ".join(capsys.readouterr().out.split())


def test_a_damaged_table_of_what_was_decoded_is_said_and_nothing_is_reused(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    remember_decoded(workspace, KNEE, [TRAIN, TEST])
    assert reusable_entries(workspace, KNEE) == {"012_L": TRAIN, "NA": TEST}
    path = workspace.cache_folder() / "decoded.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert reusable_entries(workspace, KNEE) == {}
    assert "everything is read again: the file is damaged" in " ".join(capsys.readouterr().out.split())


def test_drawn_data_is_prepared_by_another_command(tmp_path: Path) -> None:
    assert prepare_command(Workspace(tmp_path, "phantom_knee"), KNEE) == "./run.sh prepare --track knee --phantom"


def test_targets_are_a_table_of_one_row_per_sample() -> None:
    table = target_matrix([replace(TRAIN, targets=(1, 0, 1)), replace(TRAIN, targets=(0, 0, 1))])
    assert table.dtype == np.int64
    np.testing.assert_array_equal(table, [[1, 0, 1], [0, 0, 1]])

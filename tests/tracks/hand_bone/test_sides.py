"""Left or right: the name's suffix, the place in the folder, the bones; and what happens where they contradict."""

import json
from pathlib import Path
from typing import Any

import pytest

from competition.tracks.hand_bone.sides import side_by_bones, side_by_name, with_sides
from competition.tracks.track import Sample, Split


def xray(person: str, stem: str, split: Split = "train", label: bool = False) -> Sample:
    path = f"train/outputs_json/{person}/{stem}.json" if label else None
    return Sample(stem, f"{stem}.png", split, person, (f"{split}/DCM/{person}/{stem}.png",), path)


def bones(root: Path, person: str, stem: str, radius: Any, ulna: Any) -> None:
    path = root / "train" / "outputs_json" / person / f"{stem}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    annotations = [{"label": "Ulna", "points": ulna}, {"label": "Radius", "points": radius}]
    path.write_text(json.dumps({"annotations": annotations}))


def sides(root: Path, *samples: Sample) -> dict[str, str]:
    return {sample.key: sample.side for sample in with_sides(root, samples)[0]}


def around(x: float) -> list[list[float]]:
    return [[x - 5, 0], [x + 5, 0], [x, 9]]


@pytest.mark.parametrize(("stem", "side"), [("a_R", "right"), ("a_L", "left"), ("a", ""), ("R", ""), ("a_l", "")])
def test_a_suffix_tells(stem: str, side: str) -> None:
    assert side_by_name(stem) == side


def test_of_two_xrays_the_name_that_sorts_first_is_the_right_hand(tmp_path: Path) -> None:
    # Listed in the wrong order, and a test person has the same ID.
    found = sides(tmp_path, xray("ID002", "image20"), xray("ID002", "image10"), xray("ID002", "image30", "test"))
    assert found == {"image10": "right", "image20": "left", "image30": ""}


@pytest.mark.parametrize("count", [1, 3, 4])
def test_another_number_of_xrays_tells_nothing(tmp_path: Path, count: int) -> None:
    assert set(sides(tmp_path, *(xray("ID002", f"image{n}") for n in range(count))).values()) == {""}


def test_a_suffix_goes_before_the_place_and_the_place_before_the_bones(tmp_path: Path) -> None:
    bones(tmp_path, "ID001", "b_R", around(60), around(20))
    bones(tmp_path, "ID002", "c", around(60), around(20))
    samples = [xray("ID001", "a_L"), xray("ID001", "b_R", label=True)]
    samples += [xray("ID002", "c", label=True), xray("ID002", "d"), xray("ID003", "e")]
    known, remarks = with_sides(tmp_path, samples)
    assert [sample.side for sample in known] == ["left", "right", "right", "left", ""]
    assert remarks == [
        "left or right is contradictory for 3 X-rays: ID001/a_L.png (left by its name, right by its place), "
        "ID001/b_R.png (right by its name, left by its place, left by its bones), "
        "ID002/c.png (right by its place, left by its bones)"
    ]


def test_bones_tell_where_nothing_else_does(tmp_path: Path) -> None:
    bones(tmp_path, "ID004", "f", around(20), around(60))
    bones(tmp_path, "ID005", "g", around(60), around(20))
    known, remarks = with_sides(tmp_path, [xray("ID004", "f", label=True), xray("ID005", "g", label=True)])
    assert [sample.side for sample in known] == ["right", "left"]
    assert remarks == []


def test_everything_else_of_a_sample_stays(tmp_path: Path) -> None:
    sample = xray("ID001", "a_R")
    (known,), _ = with_sides(tmp_path, [sample])
    assert vars(known) == vars(sample) | {"side": "right"}


@pytest.mark.parametrize(
    ("radius", "ulna"),
    [
        (around(20), around(20)),
        ([], around(20)),
        (around(20), [[1, 2], [3]]),
        (None, around(20)),
        (around(20), [["a", "b"]]),
        (around(20), [[float("nan"), 0]]),
        (around(20), [[10**400, 0]]),
    ],
)
def test_bones_that_do_not_tell_are_no_error_here(tmp_path: Path, radius: Any, ulna: Any) -> None:
    bones(tmp_path, "ID001", "a", radius, ulna)
    assert side_by_bones(tmp_path / "train" / "outputs_json" / "ID001" / "a.json") == ""


def test_a_missing_or_damaged_file_tells_nothing(tmp_path: Path) -> None:
    assert side_by_bones(tmp_path / "absent.json") == ""
    (tmp_path / "bad.json").write_text('{"annotations": [{"label": "Ulna"')
    assert side_by_bones(tmp_path / "bad.json") == ""
    (tmp_path / "one.json").write_text(json.dumps({"annotations": [{"label": "Ulna", "points": around(3)}]}))
    assert side_by_bones(tmp_path / "one.json") == ""


def test_points_nested_deeper_tell_the_same(tmp_path: Path) -> None:
    bones(tmp_path, "ID001", "a", [around(60)], [[pair] for pair in around(20)])
    assert side_by_bones(tmp_path / "train" / "outputs_json" / "ID001" / "a.json") == "left"

"""What may be a name. The lists are written out by hand; the doors are tried by commands that must delete nothing."""

import hashlib
from pathlib import Path

import pytest

from competition.data.cache import cache_sample
from competition.errors import CompetitionError
from competition.names import (
    LONGEST_NAME,
    check_name,
    file_fault,
    inside,
    label_fault,
    name_fault,
    run_fault,
    shortened_name,
)
from competition.runs.members import parse_members
from competition.settings import Experiment
from competition.tracks import get_track
from competition.tracks.track import Sample
from pipelines.comparisons.declaration import find_comparison

PATHS = ["../quick", "/tmp/x", "a/b", "a\\b", "..", ".", "", " ", "a\nb", "a\x1b[2J", "a\u2028b", "a\x00", "\udcff"]
NO_NAMES = [*PATHS, "-x", "=1+1", "+x", "@x", ".hidden", " x", "x ", "x" * 101, "ä" * 51, "骨" * 34]


@pytest.mark.parametrize("name", NO_NAMES)
def test_no_name(name: str) -> None:
    assert name_fault(name)
    assert run_fault(name)
    with pytest.raises(CompetitionError, match=r"a thing can't be called .* \(the name .*\)\. Do that\.") as caught:
        check_name(name, "a thing", "Do that")
    assert len(str(caught.value)) < 200
    str(caught.value).encode()  # can be printed anywhere


@pytest.mark.parametrize(
    "name", ["quick", "strong_lr1e-4", "a+b", "v1.2", "Ärztin 2", "骨" * 33, "x" * 100, "a=b", "*"]
)
def test_a_name(name: str) -> None:
    assert name_fault(name) is None
    assert run_fault(name) is None
    check_name(name, "a thing", "Do that")


@pytest.mark.parametrize("name", ["search", "Ensembles", "a,b", "a:0", "a@10"])
def test_names_that_only_runs_may_not_have(name: str) -> None:
    assert name_fault(name) is None
    assert run_fault(name)


@pytest.mark.parametrize("label", ["L1/L2", "-12", "+3.5", "a-b", "..", "Femur (left)", "x" * 100])
def test_a_label_is_no_path_and_may_be_a_number(label: str) -> None:
    assert label_fault(label) is None


@pytest.mark.parametrize("label", ["", "=1+1", "+cmd", "-2+3", "@SUM(A1)", "a\tb", "x" * 101, "\ud800", " x"])
def test_no_label(label: str) -> None:
    assert label_fault(label)


def test_a_name_stays_in_its_folder(tmp_path: Path) -> None:
    assert inside(tmp_path, "a.b") == tmp_path / "a.b"
    assert inside(tmp_path, "-x") == tmp_path / "-x"  # harmless where it is only a file name
    for name in PATHS:
        assert file_fault(name)
        with pytest.raises(CompetitionError, match="can't be a file name"):
            inside(tmp_path, name)


def test_a_long_name_is_cut_and_stays_apart_from_others() -> None:
    name = "é" * 80
    short = shortened_name(name)
    assert len(short.encode()) <= LONGEST_NAME
    assert short.endswith("-" + hashlib.sha256(name.encode()).hexdigest()[:10])
    assert shortened_name(name + "x") != short
    assert shortened_name("x" * 100) == "x" * 100
    assert name_fault(short) is None


@pytest.mark.parametrize("text", ["../quick", "..:0", "a\\b:0,1", "=1@5", "search", f"{'x' * 101}:0"])
def test_members_are_names(text: str) -> None:
    with pytest.raises(CompetitionError, match="a run can't be called"):
        parse_members(f"quick,{text}")


@pytest.mark.parametrize("data", [{"pseudo": "../quick"}, {"crop_to": {"run": "/x", "classes": ["Ulna"]}}])
def test_runs_in_settings_are_names(data: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="is not the name of a run, because it contains a slash"):
        Experiment.model_validate({"data": data})


DECLARATION = "classes: [{}]\ntrain: img/*.png\nmasks: {}\ntest: t/*.png\ngroup: '(.+)'\n"
BY_CLASS = "masks/{class}/{stem}.png"


@pytest.mark.parametrize("stem", ["-mine", "=1+1", "mi\nne", "x" * 101, ".hidden", "leaderboard.csv", "hand_bone_own"])
def test_a_track_needs_a_name(tmp_path: Path, stem: str) -> None:
    path = tmp_path / f"{stem}.yaml"
    path.write_text(DECLARATION.format("disc", "m/{stem}.png"))
    with pytest.raises(CompetitionError, match="another name"):
        get_track(str(path))
    path.rename(tmp_path / "mine.yaml")
    assert get_track(str(tmp_path / "mine.yaml")).name == "mine"


@pytest.mark.parametrize("name", ["../tracks/knee", "..", "x" * 300, "\udcff"])
def test_a_track_that_is_a_path_is_unknown(name: str) -> None:
    with pytest.raises(CompetitionError, match="unknown track"):
        get_track(name)


@pytest.mark.parametrize(
    ("name", "masks", "sentence"),
    [
        ("'=1+1'", BY_CLASS, "begins with '='"),
        ("x" * 300, BY_CLASS, "has 300 bytes"),
        ("'a/b'", BY_CLASS, "named after their class, and the name 'a/b' contains a slash"),
        ("'..'", BY_CLASS, "would lead to another folder"),
        ('"a\\nb"', "m/{stem}.png", "line break"),
    ],
)
def test_a_class_needs_a_name(tmp_path: Path, name: str, masks: str, sentence: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(DECLARATION.format(name, masks))
    with pytest.raises(CompetitionError, match=sentence):
        get_track(str(path))


@pytest.mark.parametrize("key", ["train", "masks", "test"])
def test_no_pattern_holds_what_no_file_name_holds(tmp_path: Path, key: str) -> None:
    text = DECLARATION.format("disc", "m/{stem}.png")
    line = next(line for line in text.splitlines() if line.startswith(key))
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(line, f'{key}: "a\\0/{{stem}}*.png"'))
    with pytest.raises(CompetitionError, match=f"{key}: contains a character that no file name can contain"):
        get_track(str(path))
    with pytest.raises(ValueError, match="contains a character that no file name can contain"):
        Experiment.model_validate({"model": {"init": "a\0.pt"}})


def test_a_class_that_names_no_file_may_hold_a_slash(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(DECLARATION.format("'a/b'", "m/{stem}.png"))
    assert get_track(str(path)).classes == ("a/b",)


COMPARISON = """
question: Which?
track: hand_bone
phantom: {{people: 4, size: 64}}
recipes: {{a: {{experiment: quick}}, {}: {{experiment: quick}}}}
"""


def test_comparisons_and_recipes_need_names(tmp_path: Path) -> None:
    (tmp_path / "=1.yaml").write_text(COMPARISON.format("b"))
    with pytest.raises(CompetitionError, match="a comparison can't be called '=1'"):
        find_comparison(str(tmp_path / "=1.yaml"))
    with pytest.raises(CompetitionError, match=r"a comparison can't be called '\.\.'|contains a slash"):
        find_comparison("../x/..")
    (tmp_path / "mine.yaml").write_text(COMPARISON.format("'../b'"))
    with pytest.raises(CompetitionError, match=r"a run can't be called '\.\./b'"):
        find_comparison(str(tmp_path / "mine.yaml"))
    (tmp_path / "mine.yaml").write_text(COMPARISON.format("b"))
    assert find_comparison(str(tmp_path / "mine.yaml"))[0] == "mine"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"key": ".."}, "its name would lead to another folder"),
        ({"key": "../x"}, "its name contains a slash"),
        ({"key": "a\x00b"}, "its name contains a line break or another control character"),
        ({"key": "x" * 201}, "its name has 201 bytes"),
        ({"name": "a\n.png"}, "its name contains a line break"),
        ({"name": "\udcff.png"}, "its name is not valid UTF-8"),
        ({"group": "=1+1"}, "its group begins with '='"),
    ],
)
def test_a_sample_needs_a_name(shared_hands, tmp_path: Path, change: dict[str, str], sentence: str) -> None:
    fields = {"key": "hand0", "name": "hand0.npy", "split": "test", "group": "a", "images": ("hand0.npy",)} | change
    with pytest.raises(CompetitionError, match=sentence):
        cache_sample(shared_hands.workspace, shared_hands.track, tmp_path, Sample(**fields), fill=True)

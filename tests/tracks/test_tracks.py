from pathlib import Path

import pytest

from competition.errors import CompetitionError
from competition.phantoms import PHANTOMS
from competition.tracks import FOLDER_TRACKS, TRACKS, get_track, track_names


def test_every_named_track_can_be_had_and_bears_its_name() -> None:
    assert track_names() == ["hand_bone", "aneurysm", "cardiac", "lumbar", "knee", "legs"]
    for name in track_names():
        assert get_track(name).name == name
    assert get_track("cardiac") is TRACKS["cardiac"]


def test_every_named_track_can_run_without_a_download() -> None:
    assert set(PHANTOMS) == set(track_names())


@pytest.mark.parametrize("name", track_names())
def test_what_a_track_says_fits_together(name: str) -> None:
    track = get_track(name)
    assert len(set(track.classes)) == len(track.classes)
    assert len(set(track.views)) == len(track.views)
    assert (track.task == "segmentation") == (track.read_label is not None)
    if track.mirror is not None:
        assert sorted(track.mirror.classes) == list(range(len(track.classes)))
        assert sorted(track.mirror.views) == list(range(len(track.views)))
        assert len(track.mirror.flipped_views) == len(track.views)
        # Mirroring twice must give back what there was.
        assert all(track.mirror.classes[other] == index for index, other in enumerate(track.mirror.classes))
        assert all(track.mirror.views[other] == index for index, other in enumerate(track.mirror.views))
    if track.visible is not None:
        assert {len(row) for row in track.visible} == {len(track.classes)}
        assert len(track.visible) == len(track.views)


@pytest.mark.parametrize("ending", ["yaml", "yml"])
def test_a_path_of_a_declaration_is_a_track(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"mine.{ending}"
    path.write_text("{classes: [a], train: 'i/*.png', masks: 'm/{stem}.png', test: 't/*.png', group: '(.+)'}")
    assert get_track(str(path)).name == "mine"


@pytest.mark.parametrize(
    ("name", "expected"), [("hand-bone", "did you mean 'hand_bone'"), ("nee", "'knee'"), ("xyz", "known are hand_bone")]
)
def test_an_unknown_track_is_an_error_that_names_the_nearest(name: str, expected: str) -> None:
    with pytest.raises(CompetitionError, match=f"unknown track '{name}'.*{expected}"):
        get_track(name)


@pytest.mark.parametrize("name", ["cardiac.yaml", "knee.yaml", "knee.yml", "phantom_mine.yaml"])
def test_a_declaration_of_a_name_that_is_taken_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_text("{classes: [a], train: 'i/*.png', masks: 'm/{stem}.png', test: 't/*.png', group: '(.+)'}")
    reason = "the prefix of synthetic data" if name.startswith("phantom_") else "there is a built-in track of this name"
    with pytest.raises(CompetitionError, match=rf"{reason}: .*{name}\. Give the declaration's file another name"):
        get_track(str(path))


def test_the_built_in_declaration_may_be_given_by_its_path() -> None:
    assert get_track(str(FOLDER_TRACKS / "knee.yaml")).name == "knee"


def test_a_declaration_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CompetitionError, match=r"no such track declaration: .*absent\.yaml\. Give the path"):
        get_track(str(tmp_path / "absent.yaml"))

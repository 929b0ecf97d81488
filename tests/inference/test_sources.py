"""What is given on the command line: found once each, with a name of its own, earlier predictions left out."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from volume_phantoms import SLICES, draw_nifti

from competition.inference.failures import Failure, failures_as_error
from competition.inference.sources import find_sources, split_missing
from competition.tracks import get_track
from competition.tracks.declared.track import load_folder_track
from competition.tracks.track import Listing, Sample

TRACK = get_track("knee")
LAYOUTS = Path(__file__).resolve().parents[2] / "docs" / "layouts"


@pytest.fixture
def patients(tmp_path):
    """Two patients with files of the same names, and a third image beside them."""
    for name in ("P1/1.npy", "P1/2.npy", "P2/1.npy", "scout.npy"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        np.save(tmp_path / "in" / name, np.zeros((4, 5), np.uint8))
    return tmp_path / "in"


def found(*given, track=TRACK):
    sources, failures = find_sources(track, given)
    assert not failures
    return {source.name: source for source in sources}


def test_images_keep_the_folders_below_the_argument(patients):
    sources = found(patients)
    assert {name: source.path for name, source in sources.items()} == {
        name: patients / f"{name}.npy" for name in ("P1/1", "P1/2", "P2/1", "scout")
    }
    assert {source.root / source.sample.images[0] for source in sources.values()} == {
        source.path for source in sources.values()
    }


def test_two_folders_and_two_files_of_one_name_are_told_apart(patients):
    assert list(found(patients / "P1", patients / "P2")) == ["P1/1", "P1/2", "P2/1"]
    assert list(found(patients / "P1" / "1.npy", patients / "P2" / "1.npy")) == ["P1/1", "P2/1"]
    assert list(found(patients / "P1", patients / "scout.npy")) == ["1", "2", "scout"]


def test_relative_paths_give_the_same_names(patients, monkeypatch):
    monkeypatch.chdir(patients / "P1")
    assert list(found(Path())) == ["1", "2"]
    assert list(found(Path(), Path("../P2"))) == ["P1/1", "P1/2", "P2/1"]


def test_what_is_given_twice_is_predicted_once(patients, capsys):
    assert list(found(patients / "P1", patients / "P1" / "1.npy", patients / "P1")) == ["1", "2"]
    assert "1.npy: 1 sample given twice, predicted once" in capsys.readouterr().out


def test_each_slice_of_a_volume_is_a_source_and_a_damaged_volume_is_one(tmp_path):
    draw_nifti(tmp_path)
    (tmp_path / "imagesTs" / "damaged.nii.gz").write_bytes(b"no volume")
    sources = found(tmp_path / "imagesTs", track=load_folder_track(LAYOUTS / "nifti.yaml"))
    assert list(sources) == ["damaged", *(f"patient101_frame01_00{number}" for number in range(SLICES))]
    last = sources["patient101_frame01_002"]
    assert last.root / last.sample.images[0] == last.path == tmp_path / "imagesTs" / "patient101_frame01.nii.gz#002"


def test_predictions_of_any_depth_are_left_out(patients, capsys):
    for name in ("old/P1/1.overlay.png", "old/predictions.json"):
        (patients / name).parent.mkdir(parents=True, exist_ok=True)
        (patients / name).write_text("x")
    assert list(found(patients)) == ["P1/1", "P1/2", "P2/1", "scout"]
    assert "1 picture of earlier predictions left out" in capsys.readouterr().out


def test_patients_of_two_test_sets_with_one_name_are_told_apart(tmp_path):
    listing = Listing([Sample("7", "7", "test", "7", (None, None))])
    track = replace(get_track("aneurysm"), list_test=lambda folder: listing)
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    assert list(found(tmp_path / "one", track=track)) == ["7"]
    assert list(found(tmp_path / "one", tmp_path / "two", track=track)) == ["one/7", "two/7"]


def test_missing_arguments_are_told_from_those_that_exist(patients, monkeypatch):
    monkeypatch.setenv("HOME", str(patients))
    gone, long = patients / "gone.png", patients / ("x" * 300)
    paths, missing = split_missing([gone, patients / "P1", Path("~/scout.npy"), long])
    assert paths == [patients / "P1", patients / "scout.npy"]
    assert [one.path for one in missing] == [os.fspath(gone), os.fspath(long)]
    assert missing[0].reason == f"there is no such file or folder: {gone}. Check its spelling."


def test_a_single_failure_is_the_error_and_several_are_listed_once(capsys):
    one, other = Failure("a", "a is no image: a. Give another."), Failure("b", "b is gone: b.")
    assert str(failures_as_error([one], 1)) == "a is no image: a. Give another."
    assert capsys.readouterr().out == ""
    assert str(failures_as_error([one, other], 5)) == "2 of 5 could not be predicted; the reasons are listed above."
    out = capsys.readouterr().out
    assert [out.count(f"not predicted: {reason}") for reason in (one.reason, other.reason)] == [1, 1]

"""What review writes and says beside the files to correct, with tiny trained networks."""

import base64
import re

import cv2
import numpy as np
import pytest

from competition.data.cache import read_cached_planes
from competition.masks.bit_planes import unpack_class
from competition.reporting.sample_pictures import COLOURS


def pictures(page: str) -> list[tuple[str, np.ndarray]]:
    """The description and the pixels RGB of each picture of a page."""
    found = re.findall(r'src="data:image/webp;base64,([^"]+)"[^>]* alt="([^"]*)"', page)
    decoded = [cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR_RGB) for data, _ in found]
    return [(description, each) for (_, description), each in zip(found, decoded, strict=True)]


@pytest.mark.usefixtures("hands_with_run")
def test_the_page_compares_the_label_with_the_prediction(stage, shared_hands, tmp_path) -> None:
    figures, said = stage("review", "--first", "2", "--out", tmp_path / "out")
    page = (tmp_path / "out" / "review.html").read_text(encoding="utf-8")
    assert figures["page"] == str(tmp_path / "out" / "review.html")
    assert f"(pipx install labelme): labelme {tmp_path / 'out'}" in said
    shown = pictures(page)
    classes = [each["class"] for each in figures["exported"]]
    whole = ("label, all classes", "out-of-fold prediction, all classes")
    expected = [(*whole, f"{name}: label blue, prediction orange") for name in classes]
    assert [description for description, _ in shown] == [text for own in expected for text in own]
    for each, (_, close_up) in zip(figures["exported"], shown[2::3], strict=True):
        index = shared_hands.track.classes.index(each["class"])
        labelled = unpack_class(read_cached_planes(shared_hands.workspace, each["sample"]), index)
        blue = np.abs(close_up.astype(int) - COLOURS["blue"]).sum(axis=2) < 90  # WebP changes colours a little
        assert blue.any() == labelled.any()
        assert each["reason"][1:] in page


@pytest.mark.usefixtures("hands_with_run")
def test_the_page_of_test_images_shows_every_fold(stage, tmp_path) -> None:
    options = ("--by", "disagreement", "--first", "1", "--form", "coco", "--out", tmp_path / "out")
    figures, said = stage("review", *options)
    shown = pictures((tmp_path / "out" / "review.html").read_text(encoding="utf-8"))
    name = figures["exported"][0]["class"]
    assert [description for description, _ in shown] == [
        "vote of all folds, all classes",
        f"{name}: fold 0 blue, fold 1 orange",
    ]
    assert "does not read labels of test images" in said


@pytest.mark.usefixtures("patients_with_run")
def test_the_page_of_patients_shows_views_labels_and_probabilities(stage, shared_patients, tmp_path) -> None:
    figures, said = stage("review", "--first", "1", "--out", tmp_path / "out")
    page = (tmp_path / "out" / "review.html").read_text(encoding="utf-8")
    assert 'review.csv, column "corrected"' in said
    entry = next(each for each in shared_patients.train() if each.sample == figures["exported"][0]["sample"])
    views = [view for view, present in zip(shared_patients.track.views, entry.present, strict=True) if present]
    assert [description for description, _ in pictures(page)] == views
    rows = re.findall(r'<tr><th scope="row">([^<]+)</th><td[^>]*>(\d)</td>', page)
    given = dict(zip(shared_patients.track.classes, entry.targets, strict=True))
    assert {name: int(label) for name, label in rows} == given

"""A form of submission that is defined outside of the package: one subclass, and every stage works with it."""

import json
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
import pytest

from competition.masks.bit_planes import unpack_planes
from competition.submission import FORMS
from competition.submission.check_result import CheckResult, compare_names
from competition.submission.form import Form
from competition.submission.mask_counts import compare_counts, stack_counts
from competition.tracks import get_track

AREAS = ("femur", "tibia")


@dataclass(frozen=True)
class ListedPixels(Form):
    """A JSON file: image -> class -> numbers of its pixels."""

    ending: ClassVar[str] = ".json"

    def describe(self, classes):
        return f"JSON of {len(classes)} classes"

    def read(self, path):
        return {
            image: {name: set(pixels) for name, pixels in masks.items()}
            for image, masks in json.loads(path.read_text()).items()
        }

    def names(self, path):
        return list(self.read(path))

    def write(self, path, classes, predictions):
        found = {}
        for image, planes in predictions:
            masks = unpack_planes(planes, len(classes))
            found[image] = {n: np.flatnonzero(m).tolist() for n, m in zip(classes, masks, strict=True)}
        path.write_text(json.dumps(found))

    def check(self, path, classes, images):
        result = CheckResult()
        result.enter_scope(["form"], images, ordered=False)
        found = self.read(path)
        result.rows = result.images = len(found)
        if images.names is not None:
            compare_names(result, "images", list(found), images.names)
        return result

    def counts(self, first, second, classes):
        a, b = self.read(first), self.read(second)
        counts = [
            np.array([[len(a[i][n] & b[i][n]), len(a[i][n]), len(b[i][n])] for n in classes], np.int64).T for i in a
        ]
        return stack_counts(list(a), classes, counts)

    def score(self, path, truth, classes, images, metric):
        return self.counts(path, truth, classes).score(metric, images.groups)

    def vote(self, paths, election, classes, images, out):
        files = [self.read(path) for path in paths]
        voted = {
            image: {name: self._elected([file[image][name] for file in files], election) for name in classes}
            for image in files[0]
        }
        out.write_text(json.dumps(voted))
        return len(voted)

    def _elected(self, masks, election):
        pixels = sorted(set().union(*masks))
        weights = list(zip(masks, election.weights, strict=True))
        return [p for p in pixels if sum(weight for mask, weight in weights if p in mask) > election.more_than]

    def compare(self, first, second, classes, images):
        return compare_counts(self.counts(first, second, classes))

    def read_predictions(self, path, classes, size_of):
        raise NotImplementedError


@pytest.fixture
def outside(monkeypatch, tmp_path):
    """A declared track that chooses the form by its name."""
    monkeypatch.setitem(FORMS, "listed_pixels", ListedPixels())
    path = tmp_path / "bones.yaml"
    path.write_text(
        "classes: {femur: 1, tibia: 2}\ntrain: train/*.png\nmasks: labels/{stem}.png\ntest: test/*.png\n"
        "group: '(.+)'\nsubmission: listed_pixels\n"
    )
    return path


def submission(path, seed):
    random = np.random.default_rng(seed)
    images = {f"{i}.png": {n: np.flatnonzero(random.random(40) < 0.5).tolist() for n in AREAS} for i in range(2)}
    path.write_text(json.dumps(images))
    return images


def test_every_stage_works_with_a_form_from_outside(outside, stage, tmp_path):
    paths = [tmp_path / f"{number}.json" for number in range(3)]
    files = [submission(path, seed) for seed, path in enumerate(paths)]
    track = ("--track", outside)
    figures, said = stage("check", *track, paths[0])
    assert (figures["ok"], figures["images"]) == (True, 2)
    assert "checked: form" in said
    out = tmp_path / "V.json"
    assert stage("vote", *track, *paths, "--out", out)[0]["rows"] == 2
    voted = json.loads(out.read_text())
    for image in voted:
        for name in AREAS:
            votes = np.sum([np.isin(np.arange(40), file[image][name]) for file in files], axis=0)
            assert voted[image][name] == np.flatnonzero(votes > 1.5).tolist()
    figures, _ = stage("score", *track, out, out)
    assert (figures["score"], figures["per_class"], figures["rows"]) == (1, dict.fromkeys(AREAS, 1), 4)
    differing = {
        (image, name): set(files[0][image][name]) ^ set(files[1][image][name]) for image in files[0] for name in AREAS
    }
    figures, said = stage("compare", *track, paths[0], paths[1])
    assert (figures["rows"], figures["pixels"]) == (4, sum(map(len, differing.values())))
    assert "4 of 4 rows differ" in said
    listed, said = stage("tracks", *track)
    assert listed["tracks"]["bones"]["cells"]["submission form"] == "JSON of 2 classes"


def test_a_track_in_code_takes_it_as_well(tmp_path):
    track = replace(get_track("knee"), form=ListedPixels())
    planes = np.array([[[1], [0]], [[1], [0]]], np.uint8)
    track.form.write(tmp_path / "s.json", track.classes[:1], [("a.png", planes)])
    assert json.loads((tmp_path / "s.json").read_text()) == {"a.png": {track.classes[0]: [0, 2]}}

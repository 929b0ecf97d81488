"""Real data declared in YAML equals what the built-in track and the run-length table give."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from competition.data.folds import make_folds
from competition.data.manifest import Entry
from competition.formats.pictures import read_grey
from competition.tracks import get_track
from competition.tracks.declared.track import load_folder_track
from competition.tracks.track import Sample

REPOSITORY = Path(__file__).resolve().parents[3]
LAYOUTS = REPOSITORY / "docs" / "layouts"
DATA = REPOSITORY.parent / "shared" / "data"


def unread(samples: list[Sample]) -> list[Entry]:
    """Rows of a manifest with all that folds depend on."""
    return [
        Entry(s.key, s.name, s.split, s.group, s.stratum, (True,), 1, 1, (0.0,), (1.0,), (), "", "", "")
        for s in samples
        if s.split == "train"
    ]


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "sunnybrook").is_dir(), reason="../shared/data/sunnybrook is not here")
def test_sunnybrook_declared_has_the_folds_and_labels_of_the_built_in_track() -> None:
    root = DATA / "sunnybrook" / "png"
    declared, built_in = load_folder_track(LAYOUTS / "sunnybrook.yaml"), get_track("cardiac")
    ours, theirs = declared.list_samples(root), built_in.list_samples(root)
    assert ours.samples == theirs.samples
    assert (ours.problems, theirs.problems) == ([], [])
    assert len(ours.samples) == 447 + 79
    for stratified in (False, True):
        folds = make_folds(unread(ours.samples), 5, stratified)
        assert folds == make_folds(unread(theirs.samples), 5, stratified)
        assert len(folds) == 25
    assert declared.read_label is not None
    assert built_in.read_label is not None
    for sample in ours.samples[:447:20]:
        path = root / str(sample.label)
        np.testing.assert_array_equal(declared.read_label(path, (256, 256)), built_in.read_label(path, (256, 256)))
        image = root / str(sample.images[0])
        np.testing.assert_array_equal(declared.read_image(image), built_in.read_image(image))


@pytest.mark.slow
@pytest.mark.skipif(not (DATA / "nuclei").is_dir(), reason="../shared/data/nuclei is not here")
def test_nuclei_joined_from_pictures_are_those_of_the_run_lengths() -> None:
    root = DATA / "nuclei"
    pictures = load_folder_track(LAYOUTS / "dsb2018.yaml")
    table = load_folder_track(REPOSITORY / "pipelines" / "benchmarks" / "nuclei.yaml")
    ours, theirs = pictures.list_samples(root), table.list_samples(root)
    assert (ours.problems, theirs.problems) == ([], [])
    assert [replace(sample, label=None) for sample in ours.samples] == [
        replace(sample, label=None) for sample in theirs.samples
    ]
    assert pictures.read_label is not None
    assert table.read_label is not None
    compared = [pair for pair in zip(ours.samples, theirs.samples, strict=True) if pair[0].split == "train"]
    assert len(compared) == 45
    for one, other in compared[::3]:
        size = read_grey(root / str(one.images[0])).shape
        planes = pictures.read_label(root / str(one.label), (size[0], size[1]))
        assert planes.any()
        np.testing.assert_array_equal(planes, table.read_label(root / str(other.label), (size[0], size[1])))
    assert pictures.read_objects is not None
    assert table.read_objects is not None
    for one, other in compared[::9]:
        size = read_grey(root / str(one.images[0])).shape
        nuclei = [
            {pixels.tobytes() for pixels in read(root / str(sample.label), (size[0], size[1])).pixels}
            for read, sample in ((pictures.read_objects, one), (table.read_objects, other))
        ]
        assert nuclei[0] == nuclei[1]
        assert len(nuclei[0]) > 1

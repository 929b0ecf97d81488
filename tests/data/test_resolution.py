from dataclasses import replace

import pytest

from competition.data.draw_sampler import DrawSampler
from competition.data.manifest import Entry
from competition.data.resolution import (
    describe_grid,
    smallest_objects,
    suggested_repeats,
    suggested_size,
    warn_small_objects,
)
from competition.settings import TrainSettings
from competition.tracks import get_track
from competition.tracks.track import narrow

LUMBAR = get_track("lumbar")
TRACK = replace(LUMBAR, classes=("femur", "tibia"), bits=None)
FIRST = Entry("s", "s.png", "train", "g", "", (True,), 1024, 128, (80.0,), (60.0,), (1, 1), "", "", "")


def images(height: int, width: int, *areas: tuple[float, float]) -> list[Entry]:
    return [replace(FIRST, height=height, width=width, object_areas=area) for area in areas]


def test_the_smallest_tenth_of_the_images_that_show_a_class_counts():
    areas = [(100.0 * number, 0.0) for number in range(1, 12)] + [(0.0, 0.0)]
    # A quarter of the side is a sixteenth of the area; the lowest tenth of 100, 200 ... 1100 is 200.
    assert smallest_objects(images(1024, 128, *areas), TRACK, 256) == {"femur": pytest.approx(200 / 16)}


def test_a_narrowed_track_looks_at_its_own_classes():
    entries = images(100, 100, (10.0, 500.0))
    assert smallest_objects(entries, narrow(TRACK, ["tibia"]), 100) == {"tibia": 500.0}


@pytest.mark.parametrize(
    ("size_hw", "area", "size"),
    [
        ((256, 256), 5000.0, 128),
        ((1024, 128), 5000.0, 256),
        ((128, 1024), 5000.0, 256),
        ((2048, 2048), 20_000.0, 128),
        ((256, 256), 40.0, 192),  # 10 pixels at 128, 16 from 162 on
        ((2048, 2048), 1000.0, 256),  # never more than 256x256 pixels
        ((100, 90), 20.0, 128),  # never finer than the images
        ((20, 20), 100.0, 32),
        ((6000, 20), 900.0, 800),
    ],
)
def test_the_suggested_size_follows_the_shape_of_images_and_the_smallest_objects(size_hw, area, size):
    assert suggested_size(images(*size_hw, (area, 0.0)), TRACK) == size


def test_what_the_network_sees_is_described_as_rows_and_columns():
    assert describe_grid([FIRST], 256, 32) == "data.size 256: images of 1024x128 (rows x columns) are seen at 256x32"
    assert describe_grid([FIRST, replace(FIRST, width=100), FIRST], 200, 32) == (
        "data.size 200: most images (of 2 sizes) of 1024x128 (rows x columns) are seen at 200x25, padded to 224x32"
    )


def test_objects_that_are_nearly_lost_are_warned_of_with_a_size_that_shows_them():
    entries = images(1024, 128, (32.0, 400.0))
    assert warn_small_objects(entries, TRACK, 1024) is None
    warning = warn_small_objects(entries, TRACK, 256)
    assert warning is not None
    # 32 / 16 = 2 pixels; 256 * sqrt(16 / 2) = 724, rounded up to a multiple of 32.
    assert "class femur have 2.0 pixels" in warning
    assert "--set data.size=736" in warning
    assert "femur (and 1 more classes)" in str(warn_small_objects(entries, TRACK, 64))


@pytest.mark.parametrize("samples", [1, 2, 4, 5, 6, 12, 47, 48, 49, 300])
@pytest.mark.parametrize(("epochs", "batch_size"), [(20, 8), (30, 4), (1, 8), (200, 2)])
def test_a_handful_of_samples_is_drawn_until_there_are_120_steps_and_no_longer(samples, epochs, batch_size):
    repeats = suggested_repeats(samples, TrainSettings(epochs=epochs, batch_size=batch_size))

    def steps(repeats):
        return epochs * len(DrawSampler([(32, 32)] * samples, batch_size, repeats, seed=0))

    # A single last sample joins the batch before it, which may take one step from each epoch.
    assert steps(repeats) >= 120 - epochs
    assert repeats == 1 or steps(repeats - 1) < 120


def test_enough_samples_are_drawn_once():
    assert suggested_repeats(48, TrainSettings(epochs=20, batch_size=8)) == 1
    assert suggested_repeats(4, TrainSettings(epochs=20, batch_size=8)) == 11

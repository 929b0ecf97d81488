"""The whole tuning of a segmentation, on members made by hand from the truth."""

import numpy as np
import pytest

from competition.console import progress
from competition.data.cache import read_cached_planes
from competition.ensembling.members import TrainedMember
from competition.ensembling.segmentation import OutOfFold, tune_segmentation
from competition.errors import CompetitionError
from competition.imaging.planes import unpack_planes
from competition.prediction.probability_maps import write_map

WINDOWS = [(0.2, 0.8), (0.35, 0.65), (0.5, 0.5)]


@pytest.fixture
def make_data(shared_hands, tmp_path):
    """Gives the out-of-fold images of members; a member is a function (truth bool (C, H, W)) -> map."""

    def make(classes_of=None, **members):
        entries = shared_hands.train()
        for name, member in members.items():
            for entry in entries:
                truth = unpack_planes(read_cached_planes(shared_hands.workspace, entry.sample), 3)
                write_map(tmp_path / name, entry.sample, member(truth.astype(bool)).astype(np.uint8))
        samples = [entry.sample for entry in entries]
        return OutOfFold(
            [
                TrainedMember(name, (0, 1), "c", dict.fromkeys(samples, tmp_path / name), (classes_of or {}).get(name))
                for name in members
            ],
            shared_hands.workspace,
            samples,
            np.array([shared_hands.folds.fold_of[entry.group] for entry in entries]),
            [entry.group for entry in entries],
            shared_hands.track.classes,
        )

    return make


def tune(data, windows, folder):
    with progress("tuning", 2 * len(data.samples)) as ticker:
        return tune_segmentation(data, windows, 5, folder / "contested", ticker)


def sure(truth):
    return np.where(truth, 250, 5)


def unsure(truth):
    return np.where(truth, 150, 100)


def first_pixel_wrong(truth):
    levels = unsure(truth)
    levels[:, 0, 0] = 150
    return levels


def test_sure_members_are_searched_in_the_first_window(make_data, tmp_path):
    tuned = tune(make_data(a=sure, b=sure), WINDOWS, tmp_path)
    assert tuned.window == (0.2, 0.8)
    assert tuned.contested == 0
    assert (tuned.oof == 1).all()


def test_unsure_members_are_searched_in_the_window_that_few_pixels_contest(make_data, tmp_path):
    data = make_data(a=unsure, b=first_pixel_wrong)
    tuned = tune(data, WINDOWS, tmp_path)
    assert tuned.window == (0.5, 0.5)
    # Pixel (0, 0) of three classes is all they disagree on.
    sizes = [64 * 64 if number % 2 == 0 else 61 * 47 for number in range(10)]
    assert tuned.contested == pytest.approx(10 / sum(sizes))
    assert (tuned.search.cuts == 127).all()
    assert tuned.search.weights == (500, 500)  # 125 is not above 127: the wrong pixel is outvoted already


def test_a_member_of_one_class_gets_its_say_on_that_class_alone(make_data, tmp_path):
    def bar_in_the_square(truth):
        return sure(np.stack([truth[0], truth[1], truth[1]]))

    def bar_alone(truth):
        return sure(truth[2:])

    tuned = tune(make_data({"bar": ("bar",)}, full=bar_in_the_square, bar=bar_alone), WINDOWS[:1], tmp_path)
    # Equal weights can't tell the bar from the square. The member of the bar alone can, and what the other one says
    # of disc and square stays, although its weight is 0.
    assert tuned.at_half[:, :2].mean() == 1
    assert tuned.at_half[:, 2].mean() < 0.7
    assert tuned.search.weights == (0, 1000)
    assert (tuned.oof == 1).all()
    assert tuned.false_positives.tolist() == [0, 0, 0]


def test_classes_that_no_member_predicts_are_named(make_data, tmp_path):
    with pytest.raises(CompetitionError, match="no member predicts disc, square"):
        tune(make_data({"a": ("bar",)}, a=lambda truth: sure(truth[2:])), WINDOWS, tmp_path)


def test_whose_pixels_each_class_claims_is_counted_over_all_images(make_data, tmp_path):
    def square_as_disc(truth):
        levels = sure(truth)
        levels[0][truth[1]] = 250  # the disc is also seen in the square
        levels[2, -1, -1] = 250
        return levels

    data = make_data(a=square_as_disc, b=square_as_disc)
    tuned = tune(data, WINDOWS[:1], tmp_path)
    expected, last, areas = 0, [0, 0, 0], np.zeros(3, int)
    for sample in data.samples:
        disc, square, bar = unpack_planes(read_cached_planes(data.workspace, sample), 3)
        expected += (square & ~disc).sum()
        areas += [mask.sum() for mask in (disc, square, bar)]
        last[0] += disc[-1, -1]
        last[1] += square[-1, -1]
        last[2] += not (disc | square | bar)[-1, -1]
    assert tuned.owners.tolist() == [[0, expected, 0, 0], [0, 0, 0, 0], [*last[:2], 0, last[2]]]
    assert tuned.false_positives.tolist() == [expected, 0, 10]
    assert tuned.areas.tolist() == areas.tolist()


def test_members_that_disagree_are_refused_by_name_of_the_option(make_data, tmp_path):
    data = make_data(a=sure, b=lambda truth: 255 - sure(truth))
    with pytest.raises(CompetitionError, match=r"100\.0% of the pixels.*2 members on 10 images.*--members"):
        tune(data, WINDOWS, tmp_path)
    with pytest.raises(CompetitionError, match=r"--window 0\.35:0\.65"):
        tune(data, WINDOWS[:1], tmp_path)

"""The images to look at next, against dense maps."""

import numpy as np
import pytest

from competition.errors import CompetitionError
from competition.prediction.probability_maps import MapFolder, read_map, write_index, write_map
from competition.reporting.ensemble.next_images import images_to_look_at, unsure_share

pytestmark = pytest.mark.slow  # draws charts


def test_unsure_images_of_one_member_are_those_with_probability_around_half(tuned_hands):
    (figure,) = images_to_look_at(tuned_hands)
    shares = {}
    for sample in tuned_hands.tuning.samples:
        levels = read_map(tuned_hands.tuning.folders[0][sample], sample) / 255
        shares[sample] = ((levels >= 0.2) & (levels <= 0.8)).sum() / (levels >= 0.2).sum()
    assert dict(zip(figure.table["sample"], figure.table["unsure share"], strict=True)) == pytest.approx(shares)
    assert figure.table["unsure share"].is_monotonic_decreasing
    assert "the folds' predictions of single test images are not stored" in figure.sentence
    assert unsure_share(np.zeros((1, 1, 2, 256), np.int64)).tolist() == [0]


def test_unsure_patients_lie_near_half(tuned_patients):
    (figure,) = images_to_look_at(tuned_patients)
    probabilities = dict(zip(tuned_patients.tuning.samples, tuned_patients.combined.probs[:, 0], strict=True))
    nearest = sorted(probabilities, key=lambda sample: abs(probabilities[sample] - 0.5))
    assert figure.table["sample"].tolist() == nearest


def test_members_that_have_not_predicted_the_test_images_are_named(two_hands):
    with pytest.raises(CompetitionError, match=r"'other' has not predicted .*run\.sh ensemble --decision other\+quick"):
        images_to_look_at(two_hands)


def test_test_images_are_ranked_by_the_dice_between_members(two_hands):
    test = two_hands.manifest.of("test")
    random, maps = np.random.default_rng(0), {}
    for member in two_hands.decision.members:
        folder = two_hands.workspace.test_maps_folder(member.name, "abc")
        for number, entry in enumerate(test):
            levels = np.zeros((3, entry.height, entry.width), np.uint8)
            levels[:, 10:30, 10:30] = 255
            if number == 1:  # this one is disputed
                levels[:, 10:30, 10:30] = random.integers(0, 256, (3, 20, 20))
            maps[member.name, entry.sample] = levels > 127
            write_map(folder, entry.sample, levels)
        made_by = {"folds": list(member.folds), "config_hash": member.config_hash}
        samples = tuple(entry.sample for entry in test)
        write_index(folder, MapFolder(two_hands.track.classes, samples, made_by))
    (figure,) = images_to_look_at(two_hands)
    one, other = maps["other", test[1].sample], maps["quick", test[1].sample]
    dice = [2 * (one[c] & other[c]).sum() / (one[c].sum() + other[c].sum()) for c in range(3)]
    assert figure.table["sample"].tolist() == [test[1].sample, test[0].sample]
    assert figure.table["disagreement"].tolist() == pytest.approx([1 - np.mean(dice), 0])
    assert figure.body.count("<img") == 2

from dataclasses import replace

import numpy as np
import pytest

from competition.ensembling.voting.class_groups import declared_groups, one_group
from competition.errors import CompetitionError
from competition.tracks.hand_bone.track import HAND_BONE


def test_the_bones_of_a_hand_are_fingers_carpals_and_forearm():
    groups = declared_groups(HAND_BONE)
    assert groups.names == ("fingers", "carpals", "forearm")
    assert groups.of_class.tolist() == [0] * 19 + [1] * 8 + [2] * 2


def test_means_are_those_of_each_groups_classes():
    groups = declared_groups(replace(HAND_BONE, classes=("a", "b", "c"), class_groups={"x": ("c", "a"), "y": ("b",)}))
    values = np.array([[1.0, 5.0, 2.0], [0.0, 1.0, 1.0]])
    assert groups.means(values).tolist() == [[1.5, 5.0], [0.5, 1.0]]
    assert one_group(3).means(values[0]).tolist() == [pytest.approx(8 / 3)]


@pytest.mark.parametrize(
    ("class_groups", "said"),
    [
        ({}, "declares no groups of classes. Omit --by-group"),
        ({"x": ("a", "b")}, "c must be in exactly one"),
        ({"x": ("a", "b", "c"), "y": ("b",)}, "b must be in exactly one"),
        ({"x": ("a", "b", "c", "d")}, "d must be in exactly one"),
    ],
)
def test_groups_that_do_not_part_the_classes_are_named(class_groups, said):
    with pytest.raises(CompetitionError, match=said):
        declared_groups(replace(HAND_BONE, classes=("a", "b", "c"), class_groups=class_groups))

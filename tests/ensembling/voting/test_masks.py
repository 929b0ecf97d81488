"""The vote on one image, against exact fractions on dense maps."""

import numpy as np
import pytest

from competition.ensembling.voting.class_votes import everyone, find_voters
from competition.ensembling.voting.masks import vote_bytes, vote_image
from competition.errors import CompetitionError
from competition.masks.bit_planes import unpack_planes
from competition.prediction import opened_maps
from competition.prediction.opened_maps import open_map
from competition.prediction.probability_maps import write_map

CLASSES = ("tip", "palm", "carpal")
PARTIAL = (None, ("carpal", "tip"), ("palm",), None)


def reference(maps, own_classes, weights, levels):
    """Masks bool (C, H, W): the sum of weights and values in whole numbers, rounded half up, above the level."""
    masks = []
    for index, name in enumerate(CLASSES):
        total, sum_of_weights = 0, 0
        for values, own, weight in zip(maps, own_classes, weights[index], strict=True):
            if name in (own or CLASSES):
                total = total + values[(own or CLASSES).index(name)].astype(object) * int(weight)
                sum_of_weights += int(weight)
        assert sum_of_weights == 1000
        masks.append((total + 500) // 1000 > int(levels[index]))
    return np.array(masks, bool)


@pytest.mark.slow
@pytest.mark.parametrize("spread", [(0, 256), (126, 130), (0, 1), (255, 256)])
@pytest.mark.parametrize("own_classes", [(None,), (None,) * 5, PARTIAL], ids=["alone", "five", "partial"])
def test_a_vote_equals_the_blend_of_whole_maps(tmp_path, monkeypatch, own_classes, spread):
    monkeypatch.setattr(opened_maps, "TILE_HW", (16, 20))
    random = np.random.default_rng(spread[0])
    voters = find_voters(CLASSES, own_classes)
    for number, size_hw in enumerate([(40, 33), (16, 16), (1, 1)]):
        maps = [random.integers(*spread, (len(own or CLASSES), *size_hw), dtype=np.uint8) for own in own_classes]
        for member, values in enumerate(maps):
            write_map(tmp_path / str(member), str(number), values)
        opened = [open_map(tmp_path / str(member), str(number)) for member in range(len(maps))]
        for _ in range(4):
            weights = voters.weights_by_class(random.multinomial(1000, random.dirichlet(np.ones(len(maps)))))
            levels = random.integers(0, 255, 3)
            expected = reference(maps, own_classes, weights, levels)
            for given in (maps, opened):
                planes = vote_image(given, voters, weights, levels)
                assert planes.shape == (*size_hw, 1)
                np.testing.assert_array_equal(unpack_planes(planes, 3), expected)


def test_classes_of_several_planes_each_have_their_own_weights_and_level():
    random = np.random.default_rng(7)
    maps = [random.integers(0, 256, (29, 9, 8), dtype=np.uint8) for _ in range(3)]
    weights = random.multinomial(1000, np.full(3, 1 / 3), size=29)
    levels = random.integers(0, 255, 29)
    exact = sum(weights[:, member, None, None] * values.astype(int) for member, values in enumerate(maps))
    planes = vote_image(maps, everyone(29, 3), weights, levels)
    np.testing.assert_array_equal(unpack_planes(planes, 29), (exact + 500) // 1000 > levels[:, None, None])


def test_maps_that_do_not_belong_together_are_refused():
    voters = everyone(3, 2)
    weights = voters.weights_by_class([500, 500])
    whole = np.zeros((3, 4, 5), np.uint8)
    for other in (np.zeros((3, 5, 4), np.uint8), np.zeros((2, 4, 5), np.uint8)):
        with pytest.raises(CompetitionError, match="different sizes"):
            vote_image([whole, other], voters, weights, [127] * 3)


def test_memory_does_not_grow_with_maps_but_by_their_tiles():
    one, five, fifty = (vote_bytes(members, 29, (2048, 2048)) for members in (1, 5, 50))
    assert fifty - one == 49 * 2 * 512 * 2048
    assert five < 29 * 2048 * 2048  # a single map
    assert vote_bytes(5, 29, (4096, 2048)) - five == (3 * 4 + 10) * 2048 * 2048

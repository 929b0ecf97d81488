"""Many drawn images on disk: maps and truths that belong together, and a folder that is gone afterwards."""

import shutil
from collections import namedtuple

import numpy as np
import pytest

from competition.data.cache import read_cached_planes
from competition.errors import CompetitionError
from competition.masks.bit_planes import unpack_planes
from competition.prediction.probability_maps import read_map
from pipelines.benchmarks.rivals import dice
from pipelines.benchmarks.stored_images import DRAWN, MEMBERS, stored_images


@pytest.mark.slow
def test_every_member_has_a_map_of_every_image_that_fits_its_truth():
    count = 2 * DRAWN + 1
    with stored_images(count, 128) as images:
        root = images.workspace.root
        assert len(images.samples) == len(set(images.samples)) == count
        assert len(images.folders()) == len(set(images.folders())) == MEMBERS
        seen = set()
        for sample in images.samples:
            masks = unpack_planes(read_cached_planes(images.workspace, sample), 29)
            maps = [read_map(folder, sample) for folder in images.folders()]
            for levels in maps:
                # A bone of 128 pixels is small, and the truth up to a pixel beside its map.
                assert dice((levels > 127).any(axis=0), masks.any(axis=0)) > 0.8
                seen.add(levels.tobytes())
        assert len(seen) == count * MEMBERS
        assert np.array_equal(maps[0].shape, (29, 128, 128))
    assert not root.exists()


def test_a_disk_that_is_too_small_is_said_before_anything_is_drawn(monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10, 0, 1024**2))
    with (
        pytest.raises(CompetitionError, match=r"needs 300 MB for its images and 1 MB are free.*TMPDIR"),
        stored_images(20, 2048),
    ):
        pass

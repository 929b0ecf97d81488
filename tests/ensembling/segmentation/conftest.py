"""Out-of-fold images of members that are made by hand from the truth."""

import numpy as np
import pytest

from competition.data.cache import read_cached_planes
from competition.ensembling.segmentation.out_of_fold import OutOfFold
from competition.masks.bit_planes import unpack_planes
from competition.prediction.probability_maps import write_map
from competition.runs.members import Member


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
                Member(name=name, folds=(0, 1), config_hash="c", fold_hash="f", classes=(classes_of or {}).get(name))
                for name in members
            ],
            [dict.fromkeys(samples, tmp_path / name) for name in members],
            shared_hands.workspace,
            samples,
            np.array([shared_hands.folds.fold_of[entry.group] for entry in entries]),
            [entry.group for entry in entries],
            shared_hands.track.classes,
        )

    return make

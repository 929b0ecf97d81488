"""Centres, heat maps and overlaps of labels against dense numpy."""

import numpy as np
import pytest

from competition.data.cache import read_label_planes
from competition.data.checks import label_maps
from competition.data.checks.label_maps import CELLS, map_labels
from competition.masks.bit_planes import pack_masks, unpack_planes


def test_centres_are_those_of_all_pixels(shared_hands) -> None:
    entries = shared_hands.train()
    maps = map_labels(shared_hands.track, shared_hands.workspace, entries)
    assert maps.samples == tuple(entry.sample for entry in entries)
    for entry, centres in zip(entries, maps.centres, strict=True):
        masks = unpack_planes(read_label_planes(shared_hands.workspace, shared_hands.track, entry.sample), 3)
        for mask, centre in zip(masks, centres, strict=True):
            if not mask.any():
                assert np.isnan(centre).all()
                continue
            rows, columns = np.nonzero(mask)
            expected = (rows.mean() + 0.5) / entry.height, (columns.mean() + 0.5) / entry.width
            assert centre == pytest.approx(expected, abs=0.002)


def test_heat_maps_and_overlaps_are_those_of_dense_masks(shared_hands, monkeypatch) -> None:
    random = np.random.default_rng(0)
    masks = random.random((2, 3, 128, 256)) < 0.3
    entries = shared_hands.train()[:2]
    drawn = {entry.sample: pack_masks(mask) for entry, mask in zip(entries, masks, strict=True)}
    monkeypatch.setattr(label_maps, "read_label_planes", lambda workspace, track, sample: drawn[sample])
    monkeypatch.setattr(label_maps, "GRID", 128)
    fitting = [label_maps.Entry(**vars(entry) | {"height": 128, "width": 256}) for entry in entries]
    maps = map_labels(shared_hands.track, shared_hands.workspace, fitting)
    seen = masks[..., 1::2].astype(float)  # the columns under the centres of 128
    assert maps.frequency == pytest.approx(seen.mean(axis=0).reshape(3, CELLS, 4, CELLS, 4).mean(axis=(2, 4)), abs=1e-6)
    assert maps.overlaps == pytest.approx(2 * np.einsum("sahw,sbhw->ab", seen, seen), rel=1e-6)


def test_no_samples_give_empty_maps(shared_hands) -> None:
    maps = map_labels(shared_hands.track, shared_hands.workspace, [])
    assert maps.centres.shape == (0, 3, 2)
    assert not maps.frequency.any()

"""Storing while predicting: whole maps in the index, errors of writing, and resuming where a run was interrupted."""

import threading

import numpy as np
import pytest
import torch
from torch import nn

from competition.data.cache import read_label_planes
from competition.data.grid import GridReader
from competition.errors import CompetitionError
from competition.prediction.histograms import histograms_file, image_histogram, load_histograms
from competition.prediction.predictor import Predictor, predict_map
from competition.prediction.probability_maps import index_file, map_file, read_map, write_map
from competition.prediction.store import store_predictions


class Bright(nn.Module):
    def forward(self, images):
        return torch.cat([4 * (images - level) for level in (0.2, 0.9, 5.0)], dim=1)


@pytest.fixture
def predictor(shared_hands, tiny_experiment):
    reader = GridReader(shared_hands.workspace, shared_hands.track, 32, budget_bytes=0, labels=False)
    return Predictor((Bright(),), tiny_experiment(), shared_hands.track, reader, torch.device("cpu"), None)


@pytest.mark.parametrize("stored", [0, 2, None])
def test_every_map_is_stored_with_its_histogram_whatever_was_there(shared_hands, predictor, tmp_path, stored):
    entries = shared_hands.train()

    def truth(sample):
        return read_label_planes(shared_hands.workspace, shared_hands.track, sample)

    store_predictions(predictor, entries[:stored], tmp_path, {"run": "r"}, "maps")
    store_predictions(predictor, entries, tmp_path, {"run": "r"}, "maps", truth)
    histograms = load_histograms(histograms_file(tmp_path))
    assert list(histograms) == [entry.sample for entry in entries]
    for entry in entries:
        levels = predict_map(predictor, entry, ["identity"])
        np.testing.assert_array_equal(read_map(tmp_path, entry.sample), levels)
        np.testing.assert_array_equal(histograms[entry.sample], image_histogram(levels, truth(entry.sample)))


def test_a_map_that_cannot_be_written_ends_it_and_the_next_run_continues(shared_hands, predictor, tmp_path):
    entries, threads, written = shared_hands.train(), threading.active_count(), []

    def write(folder, sample, levels):
        if len(written) == 2:
            raise CompetitionError("no space left on the disk", folder)
        written.append(sample)
        write_map(folder, sample, levels)

    with pytest.raises(CompetitionError, match="no space left on the disk"):
        store_predictions(predictor, entries, tmp_path, {}, "maps", write=write)
    assert written == [entry.sample for entry in entries[:2]]
    assert not index_file(tmp_path).exists()
    assert threading.active_count() == threads
    stamps = {sample: map_file(tmp_path, sample).stat().st_mtime_ns for sample in written}
    store_predictions(predictor, entries, tmp_path, {}, "maps")
    assert index_file(tmp_path).exists()
    assert all(map_file(tmp_path, entry.sample).exists() for entry in entries)
    assert stamps == {sample: map_file(tmp_path, sample).stat().st_mtime_ns for sample in stamps}


def test_an_interrupt_leaves_whole_maps_and_no_index(shared_hands, predictor, tmp_path, monkeypatch):
    entries, asked = shared_hands.train(), []

    def interrupted(*arguments):
        asked.append(arguments[1].sample)
        if len(asked) == 3:
            raise KeyboardInterrupt
        return predict_map(*arguments)

    monkeypatch.setattr("competition.prediction.store.predict_map", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store_predictions(predictor, entries, tmp_path, {}, "maps")
    assert not index_file(tmp_path).exists()
    assert sorted(path.name for path in tmp_path.glob("*.b2")) == sorted(f"{sample}.b2" for sample in asked[:2])
    for sample in asked[:2]:
        assert read_map(tmp_path, sample).any()

from dataclasses import replace

import pytest

from competition.data.preparation.read_samples import find_test_samples
from competition.errors import CompetitionError
from competition.tracks.track import Listing


def test_a_late_test_set_in_which_a_track_finds_nothing_is_refused(tiny_hands, tmp_path):
    track = replace(tiny_hands.track, list_test=lambda folder: Listing([]))
    sentence = f"no test sample of track {track.name} found: {tmp_path}. Give the folder that holds the test set"
    with pytest.raises(CompetitionError, match=sentence):
        find_test_samples(track, tiny_hands.workspace, tmp_path)

"""Which samples words name."""

import numpy as np
import pytest

from competition.data.cache import read_cached_image
from competition.errors import CompetitionError
from competition.explanation.samples import find_samples
from competition.workspace import Workspace


@pytest.fixture
def find(shared_hands, tmp_path):
    new = Workspace(tmp_path / "new", shared_hands.workspace.dataset)

    def run(*words):
        return find_samples(shared_hands.track, shared_hands.workspace, shared_hands.manifest, words, new)

    return run


def test_prepared_samples_are_found_with_and_without_their_ending(find, shared_hands):
    found = find("hand3.npy", "hand10")
    assert [(one.entry.sample, one.entry.split) for one in found] == [("hand3", "train"), ("hand10", "test")]
    assert all(one.images == shared_hands.workspace for one in found)


def test_a_file_is_read_into_the_new_cache_as_the_track_reads_it(find, shared_hands, tmp_path):
    picture = np.arange(600, dtype=np.uint8).reshape(20, 30)
    np.save(tmp_path / "mine.npy", picture)
    (found,) = find(str(tmp_path / "mine.npy"))
    assert (found.entry.sample, found.entry.split, found.entry.height, found.entry.width) == ("mine", "test", 20, 30)
    np.testing.assert_array_equal(read_cached_image(found.images, "mine", "image"), picture)
    assert not shared_hands.workspace.image_file("mine", "image").exists()


def test_what_is_neither_a_sample_nor_a_readable_file_is_named(find, tmp_path):
    with pytest.raises(CompetitionError, match=r"neither a prepared sample nor a file: 'hand33', did you mean 'hand"):
        find("hand33")
    with pytest.raises(CompetitionError, match=r"neither a prepared sample nor a file: 'q\\x00'\.$"):
        find("q\0")
    (tmp_path / "text.npy").write_text("no picture")
    with pytest.raises(CompetitionError, match=r"can't be read .*: .*text\.npy"):
        find(str(tmp_path / "text.npy"))
    np.save(tmp_path / "hand3.npy", np.zeros((4, 4), np.uint8))
    with pytest.raises(CompetitionError, match="two of the samples have the name 'hand3'"):
        find("hand3", str(tmp_path / "hand3.npy"))


def test_a_single_file_of_a_patient_is_refused(shared_patients, tmp_path):
    path = shared_patients.workspace.root / "raw" / "2-L-A.npy"
    new = Workspace(tmp_path, "tiny_patients")
    with pytest.raises(CompetitionError, match=r"has 4 images, so a single file can't be explained.*Name a prepared"):
        find_samples(shared_patients.track, shared_patients.workspace, shared_patients.manifest, [str(path)], new)

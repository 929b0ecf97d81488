"""A track restricted to some classes: which remain, their planes in the cache, and their order when mirrored."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from competition.errors import CompetitionError
from competition.metrics.counts import DICE
from competition.submission.run_lengths.form import RunLengthForm
from competition.tracks.aneurysm.track import ANEURYSM
from competition.tracks.hand_bone.track import HAND_BONE
from competition.tracks.track import Listing, Mirror, Track, narrow

CLASSES = ("left", "middle", "right", "far left", "far right")


def paired_track() -> Track:
    return Track(
        name="paired",
        task="segmentation",
        classes=CLASSES,
        metric=DICE,
        form=RunLengthForm(),
        list_samples=lambda root: Listing([]),
        list_test=lambda folder: Listing([]),
        read_image=lambda path: np.zeros((1, 1), np.uint8),
        read_label=lambda path, size_hw: np.zeros((1, 1, 1), np.uint8),
        layout=str(Path("DIR")),
        mirror=Mirror(classes=(2, 1, 0, 4, 3)),
    )


def test_all_classes_are_the_track_itself() -> None:
    assert narrow(HAND_BONE, None) is HAND_BONE
    assert narrow(HAND_BONE, list(HAND_BONE.classes)) is HAND_BONE
    assert narrow(ANEURYSM, ANEURYSM.classes) is ANEURYSM


def test_the_wanted_classes_stay_in_the_tracks_order() -> None:
    track = narrow(HAND_BONE, ["Ulna", "finger-2", "Pisiform"])
    assert track.classes == ("finger-2", "Pisiform", "Ulna")
    assert track.bits == (1, 26, 28)
    assert track.mirror == Mirror(classes=(0, 1, 2))
    assert track.class_groups == {"fingers": ("finger-2",), "carpals": ("Pisiform",), "forearm": ("Ulna",)}
    whole = {name: getattr(HAND_BONE, name) for name in ("classes", "bits", "mirror", "class_groups")}
    assert replace(track, **whole) == HAND_BONE


def test_mirrored_pairs_are_numbered_anew() -> None:
    track = narrow(paired_track(), ("far right", "middle", "far left"))
    assert track.classes == ("middle", "far left", "far right")
    assert track.bits == (1, 3, 4)
    assert track.mirror == Mirror(classes=(0, 2, 1))
    assert narrow(replace(paired_track(), mirror=None), ["left"]).mirror is None


def test_what_can_not_be_narrowed_is_named() -> None:
    with pytest.raises(CompetitionError, match="lacks 'right', which one of its classes becomes when mirrored"):
        narrow(paired_track(), ["left", "middle"])
    with pytest.raises(CompetitionError, match="unknown class 'Pisifrom', did you mean 'Pisiform'"):
        narrow(HAND_BONE, ["Ulna", "Pisifrom"])
    with pytest.raises(CompetitionError, match="names a class twice: Ulna, Ulna"):
        narrow(HAND_BONE, ["Ulna", "Ulna"])
    with pytest.raises(CompetitionError, match="track aneurysm has none"):
        narrow(ANEURYSM, [ANEURYSM.classes[0]])

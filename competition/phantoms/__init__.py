"""Synthetic data in the organisers' own files, so that everything runs without a download."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from competition.phantoms import knee, legs
from competition.phantoms.aneurysm import phantom as vessels
from competition.phantoms.cardiac import phantom as heart
from competition.phantoms.hand_bone import phantom as hand
from competition.phantoms.lumbar import phantom as spine

Draw = Callable[[Path, int, int, int, int, Callable[[], None]], None]
"""(root, people, test_people, size, seed, advance): write ``people`` training and then ``test_people`` test persons
below ``root``, calling ``advance`` at each step. The same seed gives the same bytes, and a person depends on the seed
and its own number, not on how many others are drawn."""


@dataclass(frozen=True)
class Phantom:
    """How a track's synthetic data is drawn."""

    draw: Draw  # writes a data set; see ``Draw``
    people: int  # training persons by default
    test_people: int  # test persons by default
    size: int  # side in pixels by default, the organisers'
    steps_per_person: int  # how often ``draw`` reports progress
    truth: str  # where the labels of the test samples lie below the data folder; real organisers keep them
    other_forms: tuple[Draw, ...] = ()  # draw the same data in the organisers' other forms, if there are several


PHANTOMS = {
    "hand_bone": Phantom(hand.draw, 20, 6, 2048, 2, "truth/outputs_json"),
    "aneurysm": Phantom(vessels.draw, 72, 24, 720, 1, "truth/test.csv"),
    "cardiac": Phantom(
        heart.draw, 15, 5, 256, heart.IMAGES_PER_PERSON, "test/labels", (heart.draw_dicom, heart.draw_tfrecords)
    ),
    "lumbar": Phantom(spine.draw, 16, 5, 1024, spine.IMAGES_PER_PERSON, "truth/label"),
    "knee": Phantom(knee.draw, 30, 8, 240, 2, "truth/labels"),
    "legs": Phantom(legs.draw, 40, 10, 1024, 2, "truth/masks"),
}

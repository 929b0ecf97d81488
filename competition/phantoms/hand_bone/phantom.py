"""Synthetic hands in the form of the hand-bone competition's data, its five traps included.

Under the data root::

    train/DCM/ID001/image1661130828152_R.png          two images per person: the right hand's name sorts first
    train/outputs_json/ID001/image1661130828152_R.json
    test/DCM/ID017/image1661134204152.png
    truth/outputs_json/ID017/image1661134204152.json  the test hands' labels: the organisers do NOT give these
    strata.csv                                        which wrists are bent, as a team that has looked would list it

The traps of the real annotation files: ``metadata`` says 3060x3060 although the points lie in the image's own grid;
``filename`` ends in .jpg; ``parent_path`` points to a folder that doesn't exist; annotations don't come in class order;
Radius and Ulna are dense pixel chains (more than 1,000 points at 2048) whereas the other bones have 17 to 63 points.
"""

import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from competition.phantoms.drawing import Polygon, Uint8, fill_polygon, write_png
from competition.phantoms.hand_bone.anatomy import CARPALS, CLASS_ORDER
from competition.phantoms.hand_bone.picture import draw_exposure, expose
from competition.phantoms.hand_bone.pose import Film, PlacedHand, Side, draw_build, draw_pose, lay_on_film, place_hand
from competition.tracks.hand_bone.labels import FINGER_BONES

MOST_THREADS = 16  # each holds an image and its bones in memory
SIDES: tuple[Side, Side] = ("right", "left")
TRAIN_OBLIQUE, TEST_OBLIQUE = 0.12, 0.576  # shares of persons with a bent wrist, as five teams counted them
_ANNOTATION_ORDER = ("Radius", "Ulna", *reversed(FINGER_BONES), *(bone.name for bone in CARPALS))
_FIRST_MILLISECOND = 1661130828152
_GOLDEN = 0.6180339887498949


def is_oblique(seed: int, person: int, share: float) -> bool:
    """Return whether a person's wrist is bent, which holds for about ``share`` of all persons.

    It depends on no other person. Multiples of the golden ratio fill 0..1 evenly, so that even sixteen persons have
    about the wanted share; whose wrist is bent at a small share has a bent one at every larger share.
    """
    start = float(np.random.default_rng([seed, 0]).random())
    return (start + person * _GOLDEN) % 1.0 < share


def bone_polygons(hand: PlacedHand, film: Film, size: int) -> list[Polygon]:
    """Return the integer polygons of the annotation files, (n, 2) int32 x, y inside the image per bone.

    Radius and Ulna are the chain of all their boundary pixels.
    """
    polygons = []
    for bone in hand.bones:
        polygon = np.round(film.pixels(bone.outline_mm, size)).astype(np.int32)
        if bone.name in ("Radius", "Ulna"):
            mask = fill_polygon(polygon, (size, size))
            chains, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
            polygon = np.asarray(max(chains, key=len), np.int32).reshape(-1, 2)
        polygons.append(polygon)
    return polygons


def annotation(polygons: list[Polygon], person: str, stem: str, rng: np.random.Generator) -> dict[str, Any]:
    """Return the content of an annotation file, traps included, as json.dump takes it.

    Args:
        polygons: Per class (n, 2) x, y.
        person: "ID001".
        stem: Of the image's file name.
        rng: Source of the identifiers.
    """

    def identifier(digits: int) -> str:
        return rng.bytes(digits // 2).hex()

    by_name = dict(zip(CLASS_ORDER, polygons, strict=True))
    return {
        "annotations": [
            {
                "id": "-".join([str(30 + index), *map(identifier, (8, 4, 4, 4, 12))]),
                "type": "poly_seg",
                "attributes": {},
                "points": by_name[name].tolist(),
                "label": name,
            }
            for index, name in enumerate(_ANNOTATION_ORDER)
        ],
        "attributes": {},
        "file_id": identifier(24),
        "filename": f"{stem}.jpg",
        "parent_path": f"/X-ray_PHANTOM/20220822/{person}",
        "last_modifier_id": "phantom",
        "metadata": {"height": 3060, "width": 3060},
        "last_workers": {"라벨링": "phantom", "검수": "phantom", "최종 검수": "phantom"},
    }


def image_stems(seed: int, person: int) -> tuple[str, str]:
    """Return the names of a person's right and left image without endings.

    A name is a time in milliseconds, unique in the whole data set, right before left. Person 1's names carry _R and _L,
    as the organisers' ID001.
    """
    wait = int(np.random.default_rng([seed, person, 9]).integers(40_000, 90_000))
    right = _FIRST_MILLISECOND + (person - 1) * 211_000
    ends = ("_R", "_L") if person == 1 else ("", "")
    return f"image{right}{ends[0]}", f"image{right + wait}{ends[1]}"


def draw_hand(seed: int, person: int, side: Side, oblique: bool, size: int) -> tuple[Uint8, list[Polygon]]:
    """Draw one hand of one person.

    Returns:
        (size, size) uint8 image and, per class, the bone's polygon (n, 2) int32 x, y.
    """
    build = draw_build(np.random.default_rng([seed, person]))
    rng = np.random.default_rng([seed, person, 1 if side == "right" else 2])
    hand = place_hand(build, draw_pose(rng, oblique), rng)
    film = lay_on_film(hand, side)
    polygons = bone_polygons(hand, film, size)
    return expose(hand, film, polygons, draw_exposure(rng), size, rng), polygons


def draw(root: Path, people: int, test_people: int, size: int, seed: int, advance: Callable[[], None]) -> None:
    """Draw two images per person and their annotations; see ``Draw``.

    More test persons than training persons have bent wrists, as in the real data.
    """
    persons, strata = range(1, people + test_people + 1), ["ID,stratum"]
    # Six persons at 1024 pixels take 0.92 s instead of 1.53 s on two cores. Angiograms take longer in threads (1.08 s
    # instead of 0.88 s).
    with ThreadPoolExecutor(min(os.cpu_count() or 1, MOST_THREADS)) as pool:
        for line in pool.map(lambda number: _write_person(root, number, number <= people, size, seed), persons):
            strata.append(line)
            for _ in SIDES:
                advance()
    (root / "strata.csv").write_text("\n".join(strata) + "\n")


def _write_person(root: Path, number: int, train: bool, size: int, seed: int) -> str:
    """Draw and write both hands of a person and their annotations; return the person's line of strata.csv."""
    person = f"ID{number:03d}"
    oblique = is_oblique(seed, number, TRAIN_OBLIQUE if train else TEST_OBLIQUE)
    pictures, answers = ("train/DCM", "train/outputs_json") if train else ("test/DCM", "truth/outputs_json")
    (root / answers / person).mkdir(parents=True, exist_ok=True)
    for side, stem in zip(SIDES, image_stems(seed, number), strict=True):
        grey, polygons = draw_hand(seed, number, side, oblique, size)
        write_png(root / pictures / person / f"{stem}.png", grey, channels=3)
        content = annotation(polygons, person, stem, np.random.default_rng([seed, number, 5 if side == "right" else 6]))
        text = json.dumps(content, ensure_ascii=False)
        (root / answers / person / f"{stem}.json").write_text(text, encoding="utf-8")
    return f"{person},{'oblique' if oblique else 'straight'}"

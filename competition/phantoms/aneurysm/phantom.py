"""Synthetic angiograms in the form of the aneurysm challenge's data, so that the track runs without a download.

``train_set/`` holds train.csv and 8 JPGs per patient, ``test_set/`` holds test.csv (coded 0) and its JPGs. The
organisers give no truth for the test patients; that of the phantoms is in ``truth/test.csv``, for scoring only.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from competition.phantoms.aneurysm.anatomy import SITES, View
from competition.phantoms.aneurysm.stills import Sac, background, density_map, export, expose, noise_tile
from competition.phantoms.aneurysm.tree import GRID, Shape, draw_shape, grow, site_point
from competition.tracks.aneurysm.track import CLASSES, LOCATIONS, VIEWS, image_name
from competition.tracks.track import Split

# Counts of the 1127 real training patients: with an aneurysm, by number of locations, and by location.
POSITIVE_SHARE = 523 / 1127
LOCATION_COUNTS = (402, 92, 23, 4, 2)  # patients with 1, 2, ... 5 locations
LOCATION_WEIGHTS = {
    "L_ICA": 100, "R_ICA": 100, "L_PCOM": 35, "R_PCOM": 34, "L_AntChor": 30, "R_AntChor": 18, "L_ACA": 21, "R_ACA": 13,
    "L_ACOM": 66, "R_ACOM": 30, "L_MCA": 67, "R_MCA": 96, "L_VA": 17, "R_VA": 11, "L_PICA": 3, "R_PICA": 2, "L_SCA": 6,
    "R_SCA": 4, "BA": 24, "L_PCA": 3, "R_PCA": 1,
}  # fmt: skip
# Most aneurysms are found at 3 to 12 mm. Images show 20 cm, so that a sac is 18 to 58 pixels of 720 wide. Small ones
# are left out and large ones are more frequent than in patients, because 57 patients at 96 pixels teach the quick
# network nothing of 3 mm: in five folds of 72 it ranks patients with an AUROC of 0.92 from 4 to 16 mm, 0.96 from 5.
DIAMETER_MM = (5.0, 16.0)
PIXELS_PER_MM = GRID / 200
FIRST_TEST_PERSON = 1_000_000  # test persons have a stream of their own, however many training persons there are
JPEG_QUALITY = 92


@dataclass(frozen=True)
class Aneurysm:
    """One aneurysm of a patient."""

    location: str  # A name of ``LOCATIONS``
    radius: float  # pixels of a 720 image
    stretch: float  # short over long axis


def draw(root: Path, people: int, test_people: int, size: int, seed: int, advance: Callable[[], None]) -> None:
    """Draw a data set, see ``Draw``; ``size`` is the side of the images before margins, at the organisers' 720."""
    noise = noise_tile(size, seed)
    for folder in ("train_set", "test_set", "truth"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    train = _draw_split(root / "train_set", "train", people, noise, seed, advance)
    truth = _draw_split(root / "test_set", "test", test_people, noise, seed, advance)
    _write_table(root / "train_set" / "train.csv", train)
    _write_table(root / "test_set" / "test.csv", [(row[0], *([0] * len(CLASSES))) for row in truth])
    _write_table(root / "truth" / "test.csv", truth)


def _draw_split(
    folder: Path, split: Split, people: int, noise: NDArray[np.int8], seed: int, advance: Callable[[], None]
) -> list[tuple[int, ...]]:
    """Draw the images of one split and return the rows of its table: Index, Aneurysm, locations."""
    rows: list[tuple[int, ...]] = []
    for number in range(people):
        index = patient_index(split, number)
        aneurysms, rng = draw_person(split, number, seed)
        draw_patient(folder, index, aneurysms, noise, rng)
        present = {aneurysm.location for aneurysm in aneurysms}
        rows.append((index, int(bool(present)), *(int(location in present) for location in LOCATIONS)))
        advance()
    return rows


def draw_person(split: Split, number: int, seed: int) -> tuple[list[Aneurysm], np.random.Generator]:
    """Draw the aneurysms of the patient of this number (from 0); the generator is for ``draw_patient``."""
    first = 0 if split == "train" else FIRST_TEST_PERSON
    rng = np.random.default_rng([seed, first + number])
    return draw_aneurysms(_is_positive(number, [seed, first]), rng), rng


def patient_index(split: Split, number: int) -> int:
    """Return the index of the patient of this number (from 0), with gaps as in the real data.

    Training patients alternate between the blocks 1xxx and 2xxx; test patients are below 1000 and above 3000 in turn,
    so that the rows of test.csv are not sorted and file names need padding.
    """
    place, odd = divmod(number, 2)
    return 1001 + 1000 * odd + place + place // 3 if split == "train" else 8 + 3000 * odd + place + place // 2


def _is_positive(number: int, stream: list[int]) -> bool:
    """Spread the positives evenly: every run of patients has its share, so that few patients can be stratified."""
    start = np.random.default_rng(stream).random()
    return int((number + 1) * POSITIVE_SHARE + start) > int(number * POSITIVE_SHARE + start)


def draw_aneurysms(positive: bool, rng: np.random.Generator) -> list[Aneurysm]:
    """Draw a patient's aneurysms, none to five at different locations, as frequent as in the real training set."""
    if not positive:
        return []
    counts = np.array(LOCATION_COUNTS, dtype=np.float64)
    weights = np.array([LOCATION_WEIGHTS[location] for location in LOCATIONS], dtype=np.float64)
    count = int(rng.choice(np.arange(1, len(counts) + 1), p=counts / counts.sum()))
    chosen = rng.choice(len(LOCATIONS), size=count, replace=False, p=weights / weights.sum())
    return [
        Aneurysm(LOCATIONS[at], rng.uniform(*DIAMETER_MM) / 2 * PIXELS_PER_MM, rng.uniform(0.78, 1.0)) for at in chosen
    ]


def draw_patient(
    folder: Path, index: int, aneurysms: Sequence[Aneurysm], noise: NDArray[np.int8], patient_rng: np.random.Generator
) -> None:
    """Draw and write the eight images of the patient of an index.

    Args:
        folder: Where the JPGs go.
        index: The patient's Index.
        aneurysms: Those of the patient.
        noise: (2 s, 2 s) int8, from ``noise_tile``; s is the side of the images.
        patient_rng: The patient's.
    """
    for drawn in draw_views(aneurysms, noise, patient_rng):
        data = encode_still(export(drawn.still, drawn.rng))
        (folder / image_name(index, drawn.name)).write_bytes(data)


@dataclass(frozen=True)
class DrawnView:
    """One view of a patient before a console exports it."""

    name: str  # of ``VIEWS``
    still: NDArray[np.uint8]  # (s, s)
    sacs: list[Sac]
    mirrored: bool  # whether left and right change places
    rng: np.random.Generator  # for ``export``


def draw_views(
    aneurysms: Sequence[Aneurysm], noise: NDArray[np.int8], patient_rng: np.random.Generator
) -> Iterator[DrawnView]:
    """Draw the views of a patient; arguments as in ``draw_patient``."""
    size = noise.shape[0] // 2
    # Streams of their own keep the rest of the head the same with and without an aneurysm.
    for name, rng, sac_rng in zip(VIEWS, patient_rng.spawn(len(VIEWS)), patient_rng.spawn(len(VIEWS)), strict=True):
        side, injection, projection = name[0], name[1], name[3]
        view = tree_view(injection, projection)
        frontal, mirrored = projection == "A", projection == "A" and side == "R"
        shape = draw_shape(rng)
        vessels = grow(view, shape, rng)
        filled = [aneurysm for aneurysm in aneurysms if _is_filled(aneurysm.location, side, view)]
        sacs = [_sac(view, aneurysm, shape, sac_rng) for aneurysm in filled]
        density = density_map(vessels, sacs, size, mirrored)
        behind = background(size, frontal, mirrored, rng)
        still = expose(density, behind, noise, rng.uniform(0.85, 1.15), rng)
        yield DrawnView(name, still, sacs, mirrored, rng)


def encode_still(still: NDArray[np.uint8]) -> bytes:
    """Return an exported image (h, w) as the bytes of a JPG."""
    _, data = cv2.imencode(".jpg", still, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return data.tobytes()


def tree_view(injection: str, projection: str) -> View:
    """Return the tree that a view shows: injection "I" or "V", projection "A" (frontal) or "B" (lateral)."""
    trees: dict[str, View] = {"IA": "carotid frontal", "IB": "carotid lateral", "VA": "vertebral frontal"}
    return trees.get(injection + projection, "vertebral lateral")


def _is_filled(location: str, side: str, view: View) -> bool:
    """Return whether contrast reaches a location: from its own side; BA and PCOM from both."""
    where, _, artery = location.rpartition("_")
    return artery in SITES[view] and where in ("", side)


def _sac(view: View, aneurysm: Aneurysm, shape: Shape, rng: np.random.Generator) -> Sac:
    """Return an aneurysm in one view: on its artery's wall, of a size and direction that differ a little by view."""
    point, direction = site_point(view, aneurysm.location.rpartition("_")[2], shape)
    radius = aneurysm.radius * rng.uniform(0.94, 1.06)
    angle = np.arctan2(direction[1], direction[0]) + rng.normal(0.0, 0.35)
    away = 0.8 * radius / GRID * np.array([np.cos(angle), np.sin(angle)])
    return Sac(point + away, radius, aneurysm.stretch, float(np.degrees(angle)))


def _write_table(path: Path, rows: list[tuple[int, ...]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("Index", *CLASSES))
        writer.writerows(rows)

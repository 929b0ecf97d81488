"""The drawn aneurysm data: the organisers' form, truth that agrees with the pictures, the same again from a seed."""

import csv
from pathlib import Path

import cv2
import numpy as np
import pytest

from competition.phantoms.aneurysm.anatomy import SITES, TRUNKS
from competition.phantoms.aneurysm.phantom import (
    Aneurysm,
    _is_filled,
    draw,
    draw_aneurysms,
    draw_patient,
    patient_index,
    tree_view,
)
from competition.phantoms.aneurysm.stills import add_edge_lines, add_margins, background, burn_text, noise_tile
from competition.phantoms.aneurysm.tree import spline
from competition.tracks.aneurysm.cleaning import clean_angiogram
from competition.tracks.aneurysm.track import ANEURYSM, LOCATIONS, VIEWS, is_visible, list_samples

pytestmark = pytest.mark.slow

SIZE = 128


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vessels")
    steps: list[None] = []
    draw(folder, 10, 4, SIZE, 7, lambda: steps.append(None))
    assert len(steps) == 14
    return folder


def test_form_is_the_organisers(root: Path) -> None:
    for path in ("train_set/train.csv", "test_set/test.csv", "truth/test.csv"):
        assert tuple(next(csv.reader((root / path).open()))) == ("Index", *ANEURYSM.classes)
    assert len(list((root / "train_set").glob("*.jpg"))) == 80
    assert len(list((root / "test_set").glob("*.jpg"))) == 32
    assert (root / "train_set" / "1001LI-A.jpg").is_file()
    assert (root / "test_set" / "0008RV-B.jpg").is_file()
    assert all(set(list(row.values())[1:]) == {"0"} for row in table(root / "test_set" / "test.csv"))
    assert [row["Index"] for row in table(root / "test_set" / "test.csv")] == [
        row["Index"] for row in table(root / "truth" / "test.csv")
    ]


def test_track_lists_it_without_a_problem(root: Path) -> None:
    listing = list_samples(root)
    assert listing.problems == []
    assert [s.split for s in listing.samples] == ["train"] * 10 + ["test"] * 4
    for view in listing.samples[0].images:
        image = ANEURYSM.read_image(root / str(view))
        assert image.ndim == 2
        assert min(image.shape) > SIZE / 2


def test_aneurysm_is_the_or_of_its_locations(root: Path) -> None:
    for path in ("train_set/train.csv", "truth/test.csv"):
        for row in table(root / path):
            assert int(row["Aneurysm"]) == max(int(row[location]) for location in LOCATIONS)


def test_a_patient_depends_on_seed_and_number_only(root: Path, tmp_path: Path) -> None:
    draw(tmp_path / "few", 2, 1, SIZE, 7, lambda: None)
    draw(tmp_path / "other", 1, 1, SIZE, 8, lambda: None)
    assert table(tmp_path / "few/train_set/train.csv") == table(root / "train_set/train.csv")[:2]
    assert table(tmp_path / "few/truth/test.csv") == table(root / "truth/test.csv")[:1]
    for path in (tmp_path / "few").rglob("*.jpg"):
        assert path.read_bytes() == (root / path.relative_to(tmp_path / "few")).read_bytes()
    name = "train_set/1001LI-A.jpg"
    assert (tmp_path / "other" / name).read_bytes() != (root / name).read_bytes()


def test_indices_are_unique_in_two_blocks_with_gaps() -> None:
    train = [patient_index("train", number) for number in range(1100)]
    test = [patient_index("test", number) for number in range(400)]
    assert len({*train, *test}) == 1500
    assert {index // 1000 for index in train} == {1, 2}
    assert sorted(train)[549] - 1001 > 550  # not contiguous
    assert 0 < min(test) < 1000
    assert test != sorted(test)


def test_prevalence_is_about_the_real_one() -> None:
    rng = np.random.default_rng(0)
    drawn = [draw_aneurysms(True, rng) for _ in range(3000)]
    assert {len(found) for found in drawn} <= {1, 2, 3, 4, 5}
    assert np.mean([len(found) for found in drawn]) == pytest.approx(681 / 523, rel=0.05)
    share = {name: np.mean([name in {a.location for a in found} for found in drawn]) for name in LOCATIONS}
    assert share["L_ICA"] == pytest.approx(100 / 523, rel=0.15)
    assert share["R_PCA"] < 0.01
    assert all(len({a.location for a in found}) == len(found) for found in drawn)
    diameters_mm = [2 * a.radius * 200 / 720 for found in drawn for a in found]  # stills show 20 cm
    assert 5 <= min(diameters_mm) < 5.1
    assert 15.9 < max(diameters_mm) <= 16
    assert 0.22 < np.mean(np.array(diameters_mm) < 8) < 0.33  # small ones are no exception
    assert draw_aneurysms(False, rng) == []


def test_seventy_two_patients_can_be_stratified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("competition.phantoms.aneurysm.phantom.draw_patient", lambda *_: None)
    for seed in range(5):
        draw(tmp_path / str(seed), 72, 18, 16, seed, lambda: None)
        rows = table(tmp_path / str(seed) / "train_set/train.csv")
        positive = [int(row["Aneurysm"]) for row in rows]
        assert 32 <= sum(positive) <= 35
        strata = [f"{row['Aneurysm']}-{row['Index'][0]}" for row in rows]
        assert min(strata.count(stratum) for stratum in set(strata)) >= 10
        assert 7 <= sum(int(row["Aneurysm"]) for row in table(tmp_path / str(seed) / "truth/test.csv")) <= 10


def darkness(folder: Path, index: int, view: str) -> int:
    """Pixels darker than any vessel is, inside the margins."""
    image = cv2.imread(str(folder / f"{index:04d}{view}.jpg"), cv2.IMREAD_GRAYSCALE)
    assert image is not None
    return int(np.count_nonzero(clean_angiogram(np.asarray(image, np.uint8))[4:-4, 4:-4] < 48))


@pytest.mark.parametrize(
    ("location", "seen_in"),
    [
        ("L_MCA", {"LI-A", "LI-B"}),
        ("R_ACOM", {"RI-A", "RI-B"}),
        ("R_PCA", {"RV-A", "RV-B"}),
        ("L_PCOM", {"LI-A", "LI-B", "LV-A", "LV-B"}),
        ("BA", {"LV-A", "LV-B", "RV-A", "RV-B"}),
    ],
)
def test_aneurysm_is_seen_in_its_own_views_only(tmp_path: Path, location: str, seen_in: set[str]) -> None:
    size = 240
    for index, aneurysms in ((1, [Aneurysm(location, 30.0, 0.9)]), (2, [])):
        draw_patient(tmp_path, index, aneurysms, noise_tile(size, 0), np.random.default_rng(5))
    area = np.pi * (30 * size / 720) ** 2 * 0.9
    for view in VIEWS:
        more = darkness(tmp_path, 1, view) - darkness(tmp_path, 2, view)
        if view in seen_in:
            assert more > 0.3 * area, view
        else:
            assert more == 0, view


def test_frontal_left_lies_on_the_right_half_of_the_image(tmp_path: Path) -> None:
    draw_patient(tmp_path, 1, [], noise_tile(240, 0), np.random.default_rng(3))

    def balance(view: str) -> float:
        image = np.asarray(cv2.imread(str(tmp_path / f"0001{view}.jpg"), cv2.IMREAD_GRAYSCALE), np.uint8)
        dark = clean_angiogram(image)[4:-4, 4:-4] < 130
        return float(dark[:, dark.shape[1] // 2 :].mean() - dark[:, : dark.shape[1] // 2].mean())

    assert balance("LI-A") > 0.02
    assert balance("RI-A") < -0.02


def test_every_location_has_a_site_on_a_trunk_in_both_projections() -> None:
    for injection in ("carotid", "vertebral"):
        frontal, lateral = SITES[f"{injection} frontal"], SITES[f"{injection} lateral"]  # type: ignore[index]
        assert set(frontal) == set(lateral)
    for view, sites in SITES.items():
        assert {site.trunk for site in sites.values()} <= {trunk.name for trunk in TRUNKS[view]}
    arteries = {location.rpartition("_")[2] for location in LOCATIONS}
    assert set(SITES["carotid frontal"]) | set(SITES["vertebral frontal"]) == arteries


def test_a_location_is_drawn_in_the_views_that_the_track_says_can_show_it() -> None:
    for location in LOCATIONS:
        for name in VIEWS:
            assert _is_filled(location, name[0], tree_view(name[1], name[3])) == is_visible(location, name)


def test_spline_passes_through_its_points() -> None:
    points = np.array([[0.0, 0.0], [0.2, 0.5], [0.7, 0.4], [1.0, 1.0]])
    np.testing.assert_allclose(spline(points)[::8], points, atol=1e-12)
    line = spline(np.array([[0.0, 0.0], [1.0, 2.0]]))
    np.testing.assert_allclose(line[:, 1], 2 * line[:, 0], atol=1e-12)


def test_noise_is_of_the_stated_size_and_the_ground_of_the_stated_grey() -> None:
    assert noise_tile(100, 0).std() == pytest.approx(4.0, abs=0.1)
    ground = background(240, True, False, np.random.default_rng(0))
    assert 180 < np.median(ground) < 204


@pytest.mark.parametrize(
    ("kind", "ratio"), [("5:4", 1.25), ("5:3", 5 / 3), ("thin frame", 1), ("wide frame", 1), ("bars", None)]
)
@pytest.mark.parametrize("text", [False, True])
def test_exported_still_cleans_back_to_the_picture(kind: str, ratio: float | None, text: bool) -> None:
    picture = np.clip(np.random.default_rng(1).normal(190, 4, (720, 720)), 0, 255).astype(np.uint8)
    canvas, box = add_margins(picture, kind, np.random.default_rng(2))
    if ratio is not None:
        assert canvas.shape[1] / canvas.shape[0] == pytest.approx(ratio, abs=0.01)
    inside = canvas[box[0] : box[1], box[2] : box[3]].copy()
    if text:
        burn_text(canvas, box)
        assert np.count_nonzero(canvas[box[0] : box[1], box[2] : box[3]] == 255) > 100
    cleaned = clean_angiogram(canvas)
    assert cleaned.shape == inside.shape
    assert np.abs(cleaned.astype(int) - inside).max() <= 25


def test_edge_lines_are_cropped_off_again() -> None:
    picture = np.clip(np.random.default_rng(1).normal(190, 4, (720, 720)), 0, 255).astype(np.uint8)
    cleaned = clean_angiogram(add_edge_lines(picture))
    assert min(cleaned.shape) >= 716
    assert cleaned[:, 1:].min() > 80  # the left column keeps its ticks

"""The aneurysm track: what it says about its classes and views, and how it lists folders in every form they come in."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from competition.errors import CompetitionError
from competition.metrics.tables import AUROC
from competition.submission.table.form import TableForm
from competition.tracks.aneurysm.track import ANEURYSM, list_samples, list_test_samples

# Typed from the organisers' header, not from the code.
HEADER = (
    "Index,Aneurysm,L_ICA,R_ICA,L_PCOM,R_PCOM,L_AntChor,R_AntChor,L_ACA,R_ACA,L_ACOM,R_ACOM,L_MCA,R_MCA,L_VA,R_VA,"
    "L_PICA,R_PICA,L_SCA,R_SCA,BA,L_PCA,R_PCA"
)
COLUMNS = HEADER.split(",")
VIEWS = ("LI-A", "LI-B", "LV-A", "LV-B", "RI-A", "RI-B", "RV-A", "RV-B")
NOTHING = "0," * 21 + "0"


def row(index: str, *positive: str) -> str:
    return ",".join([index, *("1" if name in positive else "0" for name in COLUMNS[1:])])


def put(folder: Path, name: str, rows: list[str], header: str = HEADER) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join([header, *rows]) + "\n")
    return folder / name


def shoot(folder: Path, *indices: str) -> None:
    """Empty files: listing decodes nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in indices:
        for view in VIEWS:
            (folder / f"{index}{view}.jpg").touch()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put(
        tmp_path / "train_set",
        "train.csv",
        [row("1001", "Aneurysm", "R_PCA", "L_ICA"), row("2004"), row("1005", "Aneurysm", "BA")],
    )
    shoot(tmp_path / "train_set", "1001", "1005", "2004")
    put(tmp_path / "test_set", "test.csv", [row("3001"), row("7"), row("0042")])
    shoot(tmp_path / "test_set", "3001", "0007", "0042")
    return tmp_path


def test_columns_and_views_are_the_organisers() -> None:
    assert ["Index", *ANEURYSM.classes] == COLUMNS
    assert ANEURYSM.views == VIEWS
    assert (ANEURYSM.metric, ANEURYSM.form, ANEURYSM.channels) == (AUROC, TableForm(), 1)


def test_mirror_swaps_sides_and_flips_frontal_views_only() -> None:
    mirror = ANEURYSM.mirror
    assert mirror is not None
    became = {name: ANEURYSM.classes[at] for name, at in zip(ANEURYSM.classes, mirror.classes, strict=True)}
    assert became["Aneurysm"] == "Aneurysm"
    assert became["BA"] == "BA"
    assert all(became[name] == "R" + name[1:] for name in ANEURYSM.classes if name.startswith("L_"))
    assert all(became[became[name]] == name for name in ANEURYSM.classes)
    places = {name: ANEURYSM.views[at] for name, at in zip(VIEWS, mirror.views, strict=True)}
    assert places == {name: {"L": "R", "R": "L"}[name[0]] + name[1:] for name in VIEWS}
    assert mirror.flipped_views == (True, False) * 4


def test_visible_views_of_every_kind_of_location() -> None:
    assert ANEURYSM.visible is not None
    seen = {
        name: {view for view, can in zip(VIEWS, column, strict=True) if can}
        for name, column in zip(ANEURYSM.classes, zip(*ANEURYSM.visible, strict=True), strict=True)
    }
    assert seen["Aneurysm"] == set(VIEWS)
    assert seen["BA"] == {"LV-A", "LV-B", "RV-A", "RV-B"}
    assert seen["L_PCOM"] == {"LI-A", "LI-B", "LV-A", "LV-B"}
    for artery in ("ICA", "AntChor", "ACA", "ACOM", "MCA"):
        assert seen[f"L_{artery}"] == {"LI-A", "LI-B"}
        assert seen[f"R_{artery}"] == {"RI-A", "RI-B"}
    for artery in ("VA", "PICA", "SCA", "PCA"):
        assert seen[f"R_{artery}"] == {"RV-A", "RV-B"}


def test_visibility_is_its_own_mirror_image() -> None:
    visible, mirror = np.array(ANEURYSM.visible), ANEURYSM.mirror
    assert mirror is not None
    np.testing.assert_array_equal(visible[list(mirror.views)][:, list(mirror.classes)], visible)


def test_samples_keep_the_order_and_the_writing_of_the_csv(root: Path) -> None:
    listing = list_samples(root)
    assert listing.problems == []
    assert [(s.key, s.split) for s in listing.samples] == [
        ("1001", "train"),
        ("2004", "train"),
        ("1005", "train"),
        ("3001", "test"),
        ("7", "test"),
        ("0042", "test"),
    ]
    first, second = listing.samples[:2]
    assert first.name == first.group == "1001"
    assert first.images == tuple(f"train_set/1001{view}.jpg" for view in VIEWS)
    assert first.targets is not None
    assert [name for name, target in zip(COLUMNS[1:], first.targets, strict=True) if target] == [
        "Aneurysm",
        "L_ICA",
        "R_PCA",
    ]
    assert (first.stratum, second.stratum) == ("1-1", "0-2")
    test = listing.samples[4]
    assert test.images[0] == "test_set/0007LI-A.jpg"
    assert test.targets is None
    assert test.stratum == ""


@pytest.mark.parametrize(("deeper", "moved"), [("images", "*.jpg"), ("train_set", "*.jpg"), ("train_set", "*.*")])
def test_training_folder_in_the_forms_teams_keep_it(root: Path, deeper: str, moved: str) -> None:
    folder = root / "train_set" / deeper
    folder.mkdir()
    for path in (root / "train_set").glob(moved):
        path.rename(folder / path.name)
    listing = list_samples(root)
    assert listing.problems == []
    assert listing.samples[1].images[7] == f"train_set/{deeper}/2004RV-B.jpg"


def test_columns_are_joined_by_name(root: Path) -> None:
    turned = COLUMNS[::-1]
    put(
        root / "train_set",
        "train.csv",
        [",".join("1001" if c == "Index" else "01"[c in ("Aneurysm", "BA")] for c in turned)],
        ",".join(turned),
    )
    sample = list_samples(root).samples[0]
    assert sample.targets is not None
    assert [COLUMNS[1:][at] for at in np.flatnonzero(sample.targets)] == ["Aneurysm", "BA"]


def test_table_saved_by_a_spreadsheet_reads_the_same(root: Path) -> None:
    path = root / "train_set" / "train.csv"
    before = list_samples(root)
    spaced = path.read_text().replace(",", " , ").replace("\n", "\r\n") + "\r\n"
    path.write_bytes(b"\xef\xbb\xbf" + spaced.encode())
    assert list_samples(root) == before


def test_raw_index_is_found_where_names_are_not_padded(root: Path) -> None:
    for view in VIEWS:
        (root / "test_set" / f"0007{view}.jpg").rename(root / "test_set" / f"7{view}.jpg")
        (root / "test_set" / f"0042{view}.jpg").rename(root / "test_set" / f"42{view}.jpg")
    listing = list_samples(root)
    assert listing.problems == []
    assert [s.images[1] for s in listing.samples[4:]] == ["test_set/7LI-B.jpg", "test_set/42LI-B.jpg"]


@pytest.mark.parametrize("form", ["no folder", "csv only"])
def test_no_test_images_yet_means_no_test_samples_and_no_problem(root: Path, form: str) -> None:
    for path in (root / "test_set").glob("*.jpg"):
        path.unlink()
    if form == "no folder":
        shutil.rmtree(root / "test_set")
    listing = list_samples(root)
    assert listing.problems == []
    assert {s.split for s in listing.samples} == {"train"}


@pytest.mark.parametrize("deeper", ["", "test_set"])
def test_late_test_set_in_a_folder_of_its_own(tmp_path: Path, deeper: str) -> None:
    folder = tmp_path / "test_set_0719" / deeper
    put(folder, "test.csv", [row("9"), row("3")])
    shoot(folder, "0003", "0009")
    listing = list_test_samples(tmp_path / "test_set_0719")
    assert listing.problems == []
    assert [s.key for s in listing.samples] == ["9", "3"]
    assert (tmp_path / "test_set_0719" / str(listing.samples[0].images[0])).is_file()


def test_late_test_set_without_table_or_images_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(CompetitionError, match=r"no test\.csv"):
        list_test_samples(tmp_path)
    put(tmp_path, "test.csv", [row("9")])
    with pytest.raises(CompetitionError, match="no JPG"):
        list_test_samples(tmp_path)


def test_training_patient_with_seven_views_is_a_problem(root: Path) -> None:
    (root / "train_set" / "2004RI-B.jpg").unlink()
    listing = list_samples(root)
    assert [(p.key, p.split, p.path) for p in listing.problems] == [("2004", "train", "train_set/2004RI-B.jpg")]
    assert "RI-B" in listing.problems[0].reason
    assert "2004" not in {s.key for s in listing.samples}


def test_test_patient_with_seven_views_is_kept_and_listed(root: Path) -> None:
    (root / "test_set" / "0007RI-B.jpg").unlink()
    listing = list_samples(root)
    sample = next(s for s in listing.samples if s.key == "7")
    assert [view for view, path in zip(VIEWS, sample.images, strict=True) if path is None] == ["RI-B"]
    problem = listing.problems[0]
    assert (problem.key, problem.split, problem.path) == ("7", "test", "test_set/0007RI-B.jpg")
    assert problem.reason == "view RI-B is missing; it is masked"
    assert len(listing.problems) == 1


def test_a_test_patient_without_any_view_keeps_its_row_and_all_its_views_are_listed(root: Path) -> None:
    for view in VIEWS:
        (root / "test_set" / f"0042{view}.jpg").unlink()
    listing = list_samples(root)
    assert [(p.key, p.split, p.masked) for p in listing.problems] == [("0042", "test", True)] * 8
    samples = {s.key: s.images for s in listing.samples if s.split == "test"}
    assert list(samples) == ["3001", "7", "0042"]
    assert samples["0042"] == (None,) * 8


@pytest.mark.parametrize("positive", [("Aneurysm",), ("L_SCA",)])
def test_aneurysm_that_contradicts_the_locations_is_a_problem(root: Path, positive: tuple[str, ...]) -> None:
    put(root / "train_set", "train.csv", [row("1001", *positive), row("2004"), row("1005", "Aneurysm", "BA")])
    listing = list_samples(root)
    assert [(p.key, p.path) for p in listing.problems] == [("1001", "train_set/train.csv")]
    assert "Aneurysm" in listing.problems[0].reason
    assert [s.key for s in listing.samples[:2]] == ["2004", "1005"]


def test_images_of_unknown_patients_and_odd_names_are_problems(root: Path) -> None:
    (root / "train_set" / "1003LI-A.jpg").touch()
    (root / "train_set" / "1001LI-C.jpg").touch()
    (root / "test_set" / "7LV-B.jpg").touch()  # beside 0007LV-B.jpg
    assert list_samples(root).remarks == []
    found = {p.path: (p.key, p.split, p.reason) for p in list_samples(root).problems}
    assert found == {
        "train_set/1003LI-A.jpg": ("1003", "train", "the patient is not in train.csv"),
        "train_set/1001LI-C.jpg": ("1001LI-C", "train", "the name is not an Index and a view"),
        "test_set/7LV-B.jpg": ("7", "test", "a second file of view LV-B"),
    }


def test_test_images_without_a_row_are_a_remark_said_once(root: Path) -> None:
    shoot(root / "test_set", "77")
    listing = list_samples(root)
    assert listing.problems == []
    (remark,) = listing.remarks
    assert remark == (
        "left out, because test.csv has no row for it: test_set/77LI-A.jpg (the patient is not in test.csv; 8 in all)"
    )
    assert [s.key for s in listing.samples if s.split == "test"] == ["3001", "7", "0042"]
    late = list_test_samples(root / "test_set")
    assert (late.problems, len(late.remarks)) == ([], 1)


@pytest.mark.parametrize(
    ("header", "rows", "message"),
    [
        (HEADER.replace(",BA", ""), [row("1001")], "column 'BA' is missing"),
        (HEADER + ",L_PCA", [row("1001") + ",0"], "column 'L_PCA' is named twice"),
        (HEADER + ",Age", [row("1001") + ",50"], "unknown column 'Age'"),
        (HEADER, [row("1001"), "2004,2," + "0," * 20 + "0"], "'2' is neither 0 nor 1: .*row 3, column Aneurysm"),
        (HEADER, ["1001," + "0," * 21 + ""], "'' is neither 0 nor 1: .*row 2, column R_PCA"),
        (HEADER, ["1001,0,0"], "3 values for 23 columns: .*row 2"),
        (HEADER, [row("1001"), row("2004"), row("1001")], "Index 1001 appears twice: .*row 4"),
        (HEADER, [row("1001"), row("01001")], "Index 01001 appears twice"),
        (HEADER, [row("../x")], "Index '../x' is not a number"),
        (HEADER, [row("9" * 4301)], "is not a number of at most nine digits"),
        (HEADER, [row("\u0661")], "is not a number of at most nine digits"),
        (HEADER, [row("1001.0")], r"'1001\.0' is not a number .*Write 1001 \(pandas writes"),
        ("", [], "column 'Index' is missing"),
    ],
)
def test_broken_tables_are_named(root: Path, header: str, rows: list[str], message: str) -> None:
    put(root / "train_set", "train.csv", rows, header)
    with pytest.raises(CompetitionError, match=message) as caught:
        list_samples(root)
    assert "train.csv" in str(caught.value)


def test_missing_parts_are_named(root: Path) -> None:
    (root / "test_set" / "test.csv").unlink()
    with pytest.raises(CompetitionError, match=r"no test\.csv"):
        list_samples(root)
    for path in (root / "train_set").glob("*.jpg"):
        path.unlink()
    with pytest.raises(CompetitionError, match="no JPG"):
        list_samples(root)
    (root / "train_set" / "train.csv").unlink()
    with pytest.raises(CompetitionError, match=r"no train\.csv"):
        list_samples(root)


def test_images_in_two_places_are_an_error(root: Path) -> None:
    shoot(root / "train_set" / "images", "1001")
    with pytest.raises(CompetitionError, match="two places"):
        list_samples(root)


def test_index_in_training_and_test_is_an_error(root: Path) -> None:
    put(root / "test_set", "test.csv", [row("1001")])
    shoot(root / "test_set", "1001")
    with pytest.raises(CompetitionError, match="Index 1001"):
        list_samples(root)

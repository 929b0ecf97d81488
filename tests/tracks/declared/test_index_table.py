"""An index names files, keys, groups, strata and splits by its columns; its bad rows are named by their numbers."""

from pathlib import Path

import pytest

from competition.errors import CompetitionError
from competition.tracks.declared.track import load_folder_track
from competition.tracks.track import Listing

WHOLE = "{csv: index.csv, image: file, mask: mask, key: id, group: who, stratum: view, split: split}"
HEADER = "split,id,file,mask,who,view,more"


def listed(folder: Path, *rows: str, header: str = HEADER, **keys: str) -> Listing:
    (folder / "index.csv").write_text("\n".join([header, *rows]) + "\n")
    declared = {"classes": "[a]", "index": WHOLE, **keys}
    (folder / "mine.yaml").write_text("\n".join(f"{key}: {value}" for key, value in declared.items()))
    return load_folder_track(folder / "mine.yaml").list_samples(folder)


def lay(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_an_index_replaces_paths_by_columns_whatever_the_order_of_rows(tmp_path: Path) -> None:
    lay(tmp_path, "x/1.png", "x/2.png", "y/1.png", "m/7.png", "m/8.png")
    rows = ["test,t,y/1.png,,p9,axial,", "Train,b,x\\2.png,m/8.png,p2,axial,3", "train,a,x/1.png,m/7.png,p1,sagittal,"]
    listing = listed(tmp_path, *rows)
    assert listing.problems == []
    assert [(s.split, s.key, s.name, s.group, s.stratum, s.images, s.label) for s in listing.samples] == [
        ("train", "b", "b", "p2", "axial", ("x/2.png",), "m/8.png"),
        ("train", "a", "a", "p1", "sagittal", ("x/1.png",), "m/7.png"),
        ("test", "t", "t", "p9", "axial", ("y/1.png",), None),
    ]


def test_rows_of_names_are_joined_to_the_images_of_patterns(tmp_path: Path) -> None:
    lay(tmp_path, "a/1.png", "a/2.png", "t/3.png", "m/1.png", "m/2.png")
    keys = {"train": "a/*.png", "test": "t/*.png", "masks": "'m/{name}'"}
    index = "{csv: index.csv, image: file, group: who}"
    listing = listed(tmp_path, "2,p2", "1.png,p1", "t/3.png,p3", header="file,who", index=index, **keys)
    assert listing.problems == []
    assert [(s.split, s.key, s.name, s.group, s.label) for s in listing.samples] == [
        ("train", "2", "2.png", "p2", "m/2.png"),
        ("train", "1", "1.png", "p1", "m/1.png"),
        ("test", "3", "3.png", "p3", None),
    ]
    lay(tmp_path, "a/04.png")
    listing = listed(tmp_path, "1,p1", "2,p1", "3,p3", "4,p4", "5,p5", header="file,who", index=index, **keys)
    assert [(problem.path, problem.reason) for problem in listing.problems] == [
        ("index.csv", "row 5: there is no image '4', did you mean 'a/04.png'?"),
        ("index.csv", "row 6: there is no image '5'"),
        ("a/04.png", "no row of this image in index.csv, did you mean '4'?"),
    ]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("train,c,x/01.png,m/7.png,p3,,", "row 3: there is no image 'x/01.png', did you mean 'x/1.png'?"),
        ("train,c,../x/1.png,m/7.png,p3,,", "row 3: there is no image '../x/1.png'"),
        ("train,c,x/2.png,m/9.png,p3,,", "row 3: there is no mask 'm/9.png'"),
        ("train,c,x/2.png,,p3,,", "row 3: no mask"),
        ("train,c,x/2.png,m/7.png,p3,,", "row 3: m/7.png is the mask of x/0.png and of x/2.png"),
        ("train,c,x/0.png,m/8.png,p3,,", "row 3: names the image of row 2 again"),
        ("val,c,x/2.png,m/8.png,p3,,", "row 3: split 'val' is neither train nor test; for validation write train"),
        ("train,c,x/2.png,m/8.png,,,", "row 3: column 'who' is empty"),
        ("train,a,x/2.png,m/8.png,p3,,", "two images share the key a (the other is x/0.png)"),
    ],
)
def test_a_bad_row_is_named_by_its_number(tmp_path: Path, row: str, reason: str) -> None:
    lay(tmp_path, "x/0.png", "x/1.png", "x/2.png", "m/7.png", "m/8.png")
    (problem, *_) = listed(tmp_path, "train,a,x/0.png,m/7.png,p1,,", row).problems
    assert problem.reason.startswith(reason)


def test_a_row_without_mask_has_no_object_where_that_is_declared(tmp_path: Path) -> None:
    lay(tmp_path, "x/0.png", "x/1.png", "m/7.png")
    rows = ["train,a,x/0.png,m/7.png,p1,,", "train,b,x/1.png,,p2,,"]
    listing = listed(tmp_path, *rows, missing="empty")
    track = load_folder_track(tmp_path / "mine.yaml")
    assert listing.problems == []
    assert track.read_label is not None
    assert not track.read_label(tmp_path / str(listing.samples[1].label), (3, 4)).any()
    assert "missing: empty: 1 of 2 training images have no mask in index.csv, so no object" in listing.remarks


def test_a_missing_column_is_named(tmp_path: Path) -> None:
    with pytest.raises(CompetitionError, match="there is no column 'who'"):
        listed(tmp_path, "train,a,x/0.png,m/7.png,p1,,", header="split,id,file,mask,person,view,more")

"""What lies beside the stills of the aneurysm track, and stills of a near name."""

from pathlib import Path

import pytest

from competition.tracks.aneurysm.track import CLASSES, VIEWS, list_samples


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A training and a test patient without findings, with all views; listing opens none."""
    for split, index in (("train", "1001"), ("test", "7")):
        folder = tmp_path / f"{split}_set"
        folder.mkdir()
        (folder / f"{split}.csv").write_text(f"Index,{','.join(CLASSES)}\n{index}{',0' * len(CLASSES)}\n")
        for view in VIEWS:
            (folder / f"{index.zfill(4)}{view}.jpg").touch()
    return tmp_path


def test_litter_beside_the_stills_is_nothing(root: Path) -> None:
    before = list_samples(root)
    for name in ("train_set/._1001LI-A.jpg", "test_set/._0007LI-A.jpg", "test_set/Thumbs.db"):
        (root / name).touch()
    assert list_samples(root) == before


def test_a_still_of_a_near_name_is_meant_and_its_patient_counts_once(root: Path) -> None:
    still = min((root / "train_set").glob("*LI-A.jpg"))
    still.rename(still.with_name(still.name.lower()))
    (problem,) = list_samples(root).problems
    assert problem.reason == f"view LI-A is missing; the patient is left out, did you mean {still.name.lower()}?"


def test_a_picture_that_is_no_jpg_is_worth_knowing(root: Path) -> None:
    (root / "train_set" / "view.png").touch()
    (problem,) = list_samples(root).problems
    assert (problem.path, problem.note) == ("train_set/view.png", True)

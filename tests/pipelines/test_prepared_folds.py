"""prepare in the default workspace, a copy of the repository: the shipped folds stay as they are."""

import re
import shutil
from pathlib import Path

import pytest

from competition.data.folds import read_folds
from competition.phantoms.hand_bone import phantom as hand
from competition.workspace import REPOSITORY

pytestmark = pytest.mark.slow

PEOPLE = 14  # the first fourteen persons of the public training part are in all five folds


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Raw hands of persons of the public data, and the same of unknown persons."""
    root = tmp_path_factory.mktemp("drawn")
    hand.draw(root / "public", PEOPLE, 1, 64, 0, lambda: None)
    (root / "public" / "strata.csv").unlink()
    shutil.copytree(root / "public", root / "others")
    for folder in (root / "others" / "train").glob("*/ID*"):
        folder.rename(folder.with_name(folder.name.replace("ID", "P")))
    return root


@pytest.fixture
def repository(tmp_path, monkeypatch, committed_folds):
    """A copy of the shipped folds in the workspace of the stages, which thus is the repository."""
    copy = tmp_path / "workspace"
    (copy / "folds").mkdir(parents=True)
    shutil.copy(REPOSITORY / "folds" / "hand_bone.csv", copy / "folds")
    monkeypatch.setattr("competition.workspace.REPOSITORY", copy)
    return copy


def shipped_as_ever(repository):
    return (repository / "folds/hand_bone.csv").read_bytes() == (REPOSITORY / "folds/hand_bone.csv").read_bytes()


def test_people_nobody_knows_get_folds_of_their_own(drawn, repository, stage):
    _, said = stage("prepare", "--data", drawn / "others")
    own = repository / "folds" / "hand_bone_own.csv"
    assert f"{PEOPLE} of {PEOPLE} groups (P001, P002, P003, P004, P005 and 9 more) are not in the shipped" in said
    assert f"written to {own}" in said
    assert shipped_as_ever(repository)
    assert set(read_folds(own).fold_of) == {f"P{number:03d}" for number in range(1, PEOPLE + 1)}
    _, again = stage("prepare")
    assert f"{own} as it is (5 folds" in again
    assert "has every group" not in again


def test_other_folds_for_public_people_are_not_everybodys(drawn, repository, stage, refusal):
    _, said = stage("prepare", "--data", drawn / "public")
    shipped, own = repository / "folds" / "hand_bone.csv", repository / "folds" / "hand_bone_own.csv"
    assert f"{shipped} has every group of this data: the shipped folds (5 folds" in said
    assert not own.exists()
    error, _ = refusal("prepare", "--folds", 3, "--stratified")
    assert re.search(rf"--folds 3 --stratified contradicts the current 5 folds \({shipped}.* --refold", error)
    stage("prepare", "--refold", "--folds", 3)
    assert read_folds(own).count == 3
    _, again = stage("prepare", "--folds", 3)
    assert f"{own} as it is (without this file, the shipped folds in {shipped} would be used) (3 folds" in again
    assert shipped_as_ever(repository)


def test_an_altered_shipped_file_is_no_longer_everybodys(drawn, repository, stage):
    shipped = repository / "folds" / "hand_bone.csv"
    text = shipped.read_text()
    shipped.write_text(text.replace("ID001,4", "ID001,0"))
    assert text != shipped.read_text()
    _, said = stage("prepare", "--data", drawn / "public")
    assert f"{shipped} differs from the shipped folds" in said
    assert f"{shipped} as it is (5 folds" in said
    # Remarks and the order of rows are not what folds are.
    shipped.write_text(text.replace("# The 400", "# All 400"))
    assert "the shipped folds (5 folds" in stage("prepare")[1]


def test_options_that_contradict_the_folds_in_force_are_refused(drawn, stage, refusal):
    figures, _ = stage("prepare", "--data", drawn / "others", "--folds", 3)
    path = figures["folds"]["path"]
    made = f"GroupKFold of 3, {2 * PEOPLE} samples; made by prepare"
    assert stage("prepare", "--folds", 3)[0]["folds"] == figures["folds"]
    for words, asked in (
        (["--folds", 2], "--folds 2"),
        (["--stratified"], "--stratified"),
        (["--folds", 5, "--stratified"], "--folds 5 --stratified"),
    ):
        error, _ = refusal("prepare", *words)
        assert f"{asked} contradicts the current 3 folds ({path}: {made})" in error
        assert "--refold" in error
    assert stage("prepare")[0]["folds"] == figures["folds"]
    balanced, _ = stage("prepare", "--folds", 2, "--stratified", "--refold")
    assert balanced["folds"]["count"] == 2
    assert stage("prepare", "--stratified")[0]["folds"] == balanced["folds"]


def test_how_folds_were_made_is_still_known_when_people_come(drawn, stage, tmp_path):
    data = shutil.copytree(drawn / "others", tmp_path / "hands")
    for folder in ("DCM", "outputs_json"):
        (data / "train" / folder / "P009").rename(tmp_path / folder)
    stage("prepare", "--data", data, "--folds", 2, "--stratified")
    for folder in ("DCM", "outputs_json"):
        (tmp_path / folder).rename(data / "train" / folder / "P009")
    figures, said = stage("prepare", "--folds", 2, "--stratified")
    assert "1 new groups (P009) were added to the smallest folds" in said
    expected = f"StratifiedGroupKFold of 2, {2 * PEOPLE - 2} samples; made by prepare; 1 groups added by prepare"
    assert read_folds(Path(figures["folds"]["path"])).how == expected


def test_a_wrong_folder_leaves_data_and_folds_as_they_were(drawn, repository, stage, refusal, tmp_path):
    stage("prepare", "--data", drawn / "others")
    cache = repository / "cache" / "hand_bone"
    kept = [repository / "folds" / "hand_bone_own.csv", cache / "prepared.json", cache / "manifest.parquet"]
    before = [path.read_bytes() for path in kept]
    wrong = tmp_path / "wrong"
    shutil.copytree(drawn / "others", wrong)
    for folder in wrong.glob("train/*/P*"):  # one whom the folds know and a stranger, for five folds
        if folder.name == "P001":
            folder.rename(folder.with_name("stranger"))
        elif folder.name != "P002":
            shutil.rmtree(folder)
    error, _ = refusal("prepare", "--data", wrong)
    assert re.search(r"holds out no group .*hand_bone_own\.csv.* Check the data folder.*--refold", error)
    assert [path.read_bytes() for path in kept] == before


def test_strangers_are_not_added_to_the_folds_of_others(drawn, repository, stage, refusal, tmp_path):
    """As after a change of what names the person: back again, nothing may have been lost."""
    stage("prepare", "--data", drawn / "others")
    own = repository / "folds" / "hand_bone_own.csv"
    before = own.read_bytes()
    strangers = Path(shutil.copytree(drawn / "others", tmp_path / "strangers"))
    for folder in strangers.glob("train/*/P*"):
        folder.rename(folder.with_name(folder.name.replace("P", "Q")))
    error, _ = refusal("prepare", "--data", strangers)
    assert f"none of the {PEOPLE} groups of this data (Q001, Q002," in error
    assert "which have P001, P002," in error
    assert own.read_bytes() == before
    stage("prepare", "--data", drawn / "others")
    assert own.read_bytes() == before


def test_too_few_people_are_refused_before_the_older_drawing_is_thrown_away(stage, refusal, tmp_path):
    words = ("prepare", "--phantom", "--track", "knee", "--size", 64, "--test-people", 1)
    stage(*words, "--people", 2, "--folds", 2)
    before = sorted((tmp_path / "workspace").rglob("*"))
    error, _ = refusal(*words, "--people", 1)
    assert "--people 1 can't be split into 5 folds. Give --people 5 or more" in error
    assert sorted((tmp_path / "workspace").rglob("*")) == before
    error, _ = refusal("prepare", "--phantom", "--track", "knee", "--size", 10_000_000)
    assert "--size 10000000: synthetic images are 32 to 8192 pixels wide" in error
    assert sorted((tmp_path / "workspace").rglob("*")) == before
    _, said = stage(*words, "--people", 2)  # the same drawing again, whose folds are there
    assert "(2 folds" in said

import errno
import os
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from competition.errors import CompetitionError
from competition.files import remove_folder, whole_file, whole_folder, write_json, write_text
from competition.formats.json_files import read_json
from competition.runs.members import finished_folds, trained_runs
from competition.workspace import (
    REPOSITORY,
    Workspace,
    comparison_root,
    contested_file,
    finished_file,
    pseudo_label_file,
    settings_file,
)


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def write_half(path: Path, error: BaseException) -> None:
    """What a stage does that is cut off while it writes a file."""
    with whole_file(path) as part:
        part.write_text("half")
        raise error


def fill_half(path: Path, error: BaseException | None = None) -> None:
    """The same for a folder; without an error it is written whole."""
    with whole_folder(path, "*.txt") as part:
        (part / "fresh.txt").write_text("new")
        if error is not None:
            raise error


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every rename fails as on a full disk."""

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    yield
    monkeypatch.undo()


def test_all_that_is_written_lies_below_the_root(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, "knee")
    paths = [
        workspace.data_folder(),
        workspace.manifest_file(),
        workspace.contact_sheet_file(),
        workspace.image_file("k", "image"),
        workspace.label_file("k"),
        workspace.fold_file(),
        workspace.fold_folder("r", 0),
        workspace.test_maps_folder("r", "test"),
        workspace.ensemble_folder("e"),
        workspace.submission_file("s"),
        workspace.latest_submission_file(),
    ]
    assert all(path.is_relative_to(tmp_path) and "knee" in path.as_posix() for path in paths)
    assert len(set(paths)) == len(paths)
    assert workspace.leaderboard_file() == tmp_path / "submissions" / "leaderboard.csv"


def test_views_of_a_sample_and_samples_have_files_of_their_own(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, "aneurysm")
    files = {workspace.image_file(key, view) for key in ("1", "2") for view in ("LI-A", "LI-B")}
    assert len(files) == 4


def test_phantom_data_never_shares_a_path_with_real_data(tmp_path: Path) -> None:
    real, phantom = Workspace(tmp_path, "knee"), Workspace(tmp_path, "phantom_knee")
    assert (real.phantom, phantom.phantom) == (False, True)
    for name in ("data_folder", "cache_folder", "fold_file", "ensembles_folder", "submissions_folder"):
        a, b = getattr(real, name)(), getattr(phantom, name)()
        assert a != b
        assert not a.is_relative_to(b)
        assert not b.is_relative_to(a)


@pytest.mark.usefixtures("committed_folds")
def test_the_fold_files_of_the_repository_are_found_from_any_workspace(tmp_path: Path) -> None:
    knee, hands = Workspace(tmp_path, "knee"), Workspace(tmp_path, "hand_bone")
    assert knee.committed_fold_file() == REPOSITORY / "folds" / "knee.csv"
    assert knee.shipped_fold_file() is None
    assert hands.shipped_fold_file() == REPOSITORY / "folds" / "hand_bone.csv"
    assert hands.committed_fold_file() == REPOSITORY / "folds" / "hand_bone_own.csv"


def test_nothing_written_has_the_name_of_a_shipped_fold_file() -> None:
    assert Workspace(REPOSITORY, "hand_bone").fold_file() == REPOSITORY / "folds" / "hand_bone_own.csv"
    assert Workspace(REPOSITORY, "phantom_hand_bone").fold_file() == REPOSITORY / "folds" / "phantom_hand_bone.csv"
    assert (REPOSITORY / "pyproject.toml").exists()


def test_a_copy_of_a_folds_folder_is_no_fold(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path, "knee")
    folders = ("fold0", "fold10", "fold2", "full", "fold0_old", "fold00", "fold", "fold²", "fold3 copy", "test")
    for run, inside in {"quick": folders, "kept": ("fold0_old",), "whole": ("full",), ".part": ("fold0",)}.items():
        for folder in inside:
            write_json(finished_file(workspace.run_folder(run) / folder), {"identity": {}})
            write_text(settings_file(workspace.run_folder(run) / folder), "")
    write_text(settings_file(workspace.fold_folder("quick", 1)), "")
    assert workspace.folds_with(finished_file, "quick") == finished_folds(workspace, "quick") == [0, 2, 10, "full"]
    assert workspace.finished_runs() == ["quick", "whole"]
    assert trained_runs(workspace) == ["quick"]
    assert [path.parent.name for path in workspace.settings_files("quick")] == [
        "fold0",
        "fold1",
        "fold2",
        "fold10",
        "full",
    ]


def test_a_file_appears_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "deep" / "a.txt"
    with whole_file(path) as part:
        assert part.parent == path.parent  # a rename is atomic only within one disk
        part.write_text("half")
        assert not path.exists()
    assert path.read_text() == "half"
    assert names(path.parent) == {"a.txt"}


def test_files_and_folders_are_readable_by_the_whole_team(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "x")
    with whole_folder(tmp_path / "folder", "*.txt"):
        pass
    assert (tmp_path / "a.txt").stat().st_mode & 0o777 == 0o644
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o755


@pytest.mark.parametrize("error", [ValueError("bug"), KeyboardInterrupt()])
def test_an_exception_leaves_the_old_file_and_no_litter(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(type(error)):
        write_half(path, error)
    assert path.read_text() == "old"
    assert names(tmp_path) == {"a.txt"}


def test_a_disk_that_fills_while_writing_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(CompetitionError, match="No space left on device") as caught:
        write_half(path, OSError(errno.ENOSPC, "No space left on device"))
    assert "a.txt" in str(caught.value)
    assert "--workspace" in str(caught.value)
    assert path.read_text() == "old"
    assert names(tmp_path) == {"a.txt"}


@pytest.mark.usefixtures("full_disk")
def test_a_rename_that_fails_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(CompetitionError, match=r"can't write \(No space left on device\)"):
        write_json(path, {"a": 1})
    assert path.read_text() == "old"
    assert names(tmp_path) == {"a.json"}


def test_a_folder_that_cannot_be_made_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for whole in (whole_file, partial(whole_folder, ours="*.txt")):
        with pytest.raises(CompetitionError, match=r"can't write .*a\.txt"), whole(tmp_path / "file" / "a.txt"):
            pass
    assert names(tmp_path) == {"file"}


def test_a_whole_folder_replaces_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "stale.txt").write_text("old")
    with whole_folder(folder, "*.txt") as part:
        (part / "sub").mkdir()
        (part / "sub" / "fresh.txt").write_text("new")
        assert names(folder) == {"stale.txt"}
    assert names(tmp_path) == {"run", "run/sub", "run/sub/fresh.txt"}


def test_a_whole_folder_is_made_with_those_above_it(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "a" / "b", "*.txt") as part:
        (part / "c").touch()
    assert names(tmp_path) == {"a", "a/b", "a/b/c"}


@pytest.mark.parametrize("error", [ValueError("bug"), KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left")])
def test_an_exception_leaves_the_old_folder_and_no_litter(tmp_path: Path, error: BaseException) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "kept.txt").write_text("old")
    expected = CompetitionError if isinstance(error, OSError) else type(error)
    with pytest.raises(expected):
        fill_half(folder, error)
    assert names(tmp_path) == {"run", "run/kept.txt"}


@pytest.mark.parametrize("failing", [0, 1])
def test_a_folder_comes_back_when_either_rename_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: int
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "kept.txt").write_text("old")
    replace, calls = os.replace, iter(range(9))

    def fail_once(source: Path, target: Path) -> None:
        if next(calls) == failing:
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail_once)
    with pytest.raises(CompetitionError, match="Nothing was changed"):
        fill_half(folder)
    assert names(tmp_path) == {"run", "run/kept.txt"}
    assert (folder / "kept.txt").read_text() == "old"


@pytest.mark.parametrize("path", ["index.json", "deep/index.json"])
def test_a_folder_of_somebody_else_is_neither_replaced_nor_deleted(tmp_path: Path, path: str) -> None:
    folder = tmp_path / "thesis"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "chapter.txt").write_text("years of work")
    for act in (lambda: fill_half(folder), lambda: remove_folder(folder, "decision.json", "index.json")):
        with pytest.raises(CompetitionError, match=r"this program did not make it and will not delete it: .*thesis\."):
            act()
    assert names(tmp_path) == {"thesis", "thesis/deep", "thesis/deep/chapter.txt"}
    (folder / path).touch()
    remove_folder(folder, "decision.json", path)
    assert names(tmp_path) == set()
    remove_folder(folder, "decision.json")  # what is not there needs no deleting


def test_an_empty_folder_is_replaced_and_a_file_is_not(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    fill_half(tmp_path / "empty")
    (tmp_path / "file").write_text("x")
    with pytest.raises(CompetitionError, match="a file is where a folder is to be written"):
        fill_half(tmp_path / "file")
    assert names(tmp_path) == {"empty", "empty/fresh.txt", "file"}


@pytest.mark.parametrize("name", ["..", "../x", "/x", "a/b", "a\\b", "a\nb", "\udcff", "x" * 256])
def test_no_name_leads_out_of_its_folder(tmp_path: Path, name: str) -> None:
    workspace = Workspace(tmp_path, "knee")
    builders = (
        workspace.run_folder,
        workspace.ensemble_folder,
        workspace.search_file,
        workspace.submission_file,
        workspace.label_file,
        lambda key: workspace.image_file(key, "image"),
        lambda key: workspace.test_maps_folder("run", key),
        lambda key: contested_file(tmp_path, "members", "cuts", key),
        lambda key: pseudo_label_file(tmp_path, key),
        lambda dataset: Workspace(tmp_path, dataset).data_folder(),
        lambda dataset: Workspace(tmp_path, dataset).cache_folder(),
        lambda dataset: Workspace(tmp_path, dataset).fold_file(),
        lambda dataset: Workspace(tmp_path, dataset).run_folder("a"),
        lambda dataset: Workspace(tmp_path, dataset).submissions_folder(),
        lambda comparison: comparison_root(tmp_path, comparison),
    )
    refused = 0
    for builder in builders:
        try:
            path = builder(name)
        except CompetitionError:
            refused += 1
        else:  # with an ending even ".." is an ordinary name
            assert name == ".."
            assert ".." not in path.parts
    assert refused >= (8 if name == ".." else len(builders))


def test_json_comes_back_as_it_was_written(tmp_path: Path) -> None:
    value = {"threshold": 0.1, "name": "Ärztin", "none": None, "list": [1, 2.5, True]}
    write_json(tmp_path / "a.json", value)
    assert read_json(tmp_path / "a.json", "Run tune") == value
    assert "Ärztin" in (tmp_path / "a.json").read_text(encoding="utf-8")


def test_nan_is_not_json(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("1")
    for number in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="JSON compliant"):
            write_json(tmp_path / "a.json", {"score": number})
    assert names(tmp_path) == {"a.json"}
    assert read_json(tmp_path / "a.json", "") == 1


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"\xff\xfe", b"a: 1"])
def test_a_damaged_json_is_an_error_that_says_what_mends_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(CompetitionError, match=r"can't be read as JSON .*a\.json. Run tune\."):
        read_json(tmp_path / "a.json", "Run tune")


def test_a_missing_json_is_an_error_that_says_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(CompetitionError, match=r"file not found: .*a\.json. Run tune\."):
        read_json(tmp_path / "a.json", "Run tune")

"""A command with a path instead of a name is rejected in one sentence, and no file changes."""

import json
from pathlib import Path

import pytest

from competition.workspace import Workspace


def contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A foreign folder beside the workspace."""
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    return tmp_path / "thesis"


@pytest.mark.slow
@pytest.mark.parametrize("stage", ["tune", "train", "search", "import", "ensemble"])
@pytest.mark.parametrize("kind", ["../quick", "absolute", ".", "..", "a\nb", "=1+1", "", "x" * 300, "\udcff"])
def test_a_name_that_is_a_path_deletes_nothing(
    refusal, hands_with_run: Workspace, float_arrays, outside: Path, stage: str, kind: str
) -> None:
    name = str(outside) if kind == "absolute" else kind
    words = {
        "tune": ["--members", "quick"],
        "train": ["--experiment", "quick", "--fold", "0"],
        "search": ["--experiment", "quick", "--trials", "1"],
        "import": ["--test", str(float_arrays[1]), "--force"],
        "ensemble": [],
    }[stage]
    before = contents(outside.parent)
    option = "--decision" if stage == "ensemble" else "--name"
    error, _ = refusal(stage, *words, f"{option}={name}")
    assert "can't be called" in error
    assert contents(outside.parent) == before


@pytest.mark.slow
def test_a_decision_replaces_only_decisions(stage, refusal, hands_with_run: Workspace) -> None:
    folder = hands_with_run.ensemble_folder("mine")
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    error, _ = refusal("tune", "--members", "quick", "--name", "mine")
    assert "contains no decision.json" in error
    assert contents(folder) == {"notes.txt": b"mine"}
    (folder / "notes.txt").unlink()
    for _ in range(2):  # an empty folder and an earlier decision are replaced
        stage("tune", "--members", "quick", "--name", "mine")
        assert (folder / "decision.json").exists()


@pytest.mark.slow
def test_what_an_import_left_that_was_killed_is_no_run(stage, hands_with_run: Workspace) -> None:
    left = hands_with_run.run_folder("x").parent / ".theirs.part"
    (left / "fold0").mkdir(parents=True)
    finished = hands_with_run.fold_folder("quick", 0) / "finished.json"
    (left / "fold0" / "finished.json").write_bytes(finished.read_bytes())
    figures, _ = stage("tune")
    assert list(figures["members"]) == ["quick"]
    assert json.loads(Path(figures["decision"]).read_text())["members"][0]["name"] == "quick"

"""A stand-in for the training of a fold, which runs as jobs: it resumes, and is killed or fails where a test asks."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

from competition.workspace import REPOSITORY, Workspace
from pipelines.executors import jobs
from pipelines.executors.task import Task

EPOCHS = 3
STAND_IN = f"""
import hashlib, json, os, signal, sys, time
from pathlib import Path
from pipelines.executors.task import end_with_starter

words = sys.argv[1:]
root, fold = Path(words[words.index("--workspace") + 1]), words[words.index("--fold") + 1]
assert end_with_starter()
(root / f"folder{{fold}}").write_text(os.getcwd())
with (root / f"starts{{fold}}").open("a") as file:
    file.write(f"{{os.getpid()}}\\n")
last = root / f"last{{fold}}"
epoch, state = json.loads(last.read_text()) if last.exists() else (0, fold)
print(f"fold {{fold}}: from epoch {{epoch}}", flush=True)
for epoch in range(epoch, {EPOCHS}):
    if (asked := root / f"ask{{fold}}.{{epoch}}").exists():
        what = asked.read_text()
        if not what.endswith("always"):
            asked.unlink()
        if what == "fail":
            print("the learning rate is too large", file=sys.stderr)
            sys.exit(1)
        if what == "wait":
            time.sleep(60)
        os.kill(os.getppid() if what == "kill the job" else os.getpid(), signal.SIGKILL)
        time.sleep(60)
    state = hashlib.sha256(state.encode()).hexdigest()
    part = root / f"part{{fold}}"
    part.write_text(json.dumps([epoch + 1, state]))
    part.rename(last)
with (root / f"weights{{fold}}").open("a") as file:
    file.write(state)
"""


@pytest.fixture
def job_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace for jobs that run the stand-in of another checkout, and no script of the folder of the user."""
    package, typed_here = tmp_path / "checkout" / "pipelines", tmp_path / "typed_here"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text(f"__path__.append({str(REPOSITORY / 'pipelines')!r})\n")
    (package / "__main__.py").write_text(STAND_IN)
    (package.parent / "competition").symlink_to(REPOSITORY / "competition")
    monkeypatch.setattr(jobs, "PACKAGE", package.parent / "competition")
    typed_here.mkdir()
    for name in ("pipelines", "statistics"):
        (typed_here / f"{name}.py").write_text("raise SystemExit('a script of the user was run')\n")
    monkeypatch.chdir(typed_here)
    monkeypatch.setenv("PYTHONSAFEPATH", "1")  # as run.sh does
    (tmp_path / "workspace").mkdir()
    return Workspace(tmp_path / "workspace", "knee")


@pytest.fixture
def fold_tasks() -> Callable[..., list[Task]]:
    """Makes the tasks of folds, some of them finished."""

    def make(count: int, finished: tuple[int, ...] = ()) -> list[Task]:
        def here() -> None:
            pytest.fail("in this process")

        names = range(count)
        return [Task(f"fold {fold}", ["train", "--fold", str(fold)], here, fold in finished) for fold in names]

    return make


@pytest.fixture
def trained_here() -> Callable[[int], str]:
    """What a fold of the stand-in ends with when nothing interrupts it."""

    def train(fold: int) -> str:
        state = str(fold)
        for _ in range(EPOCHS):
            state = hashlib.sha256(state.encode()).hexdigest()
        return state

    return train

"""What pip installs: a package with all its files, and the command medcomp, which works like run.sh."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from competition import installation
from competition.console import say
from competition.installation import REPOSITORY, source_hash, typed
from competition.workspace import SHIPPED_FOLDS
from pipelines.__main__ import ENVIRONMENT, command, main

DATA_FILES = ("*.yaml", "*.csv")


def test_the_hash_of_code_is_that_of_the_folders_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data" / "deep").mkdir(parents=True)
    (tmp_path / "data" / "deep" / "a.py").write_text("a = 1")
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks" / "b.py").write_text("b = 2")
    monkeypatch.setattr(installation, "PACKAGE", tmp_path)
    assert source_hash("data", "masks") == hashlib.sha256(b"a = 1b = 2").hexdigest()[:10]
    assert source_hash("masks") == hashlib.sha256(b"b = 2").hexdigest()[:10]
    source_hash.cache_clear()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder into which pip has installed a copy of the repository, without the packages it needs."""
    source, site = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("site")
    for folder in ("competition", "pipelines", "folds"):
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(REPOSITORY / folder, source / folder, symlinks=True, ignore=ignored)
    for file in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / file, source)
    offline = ["--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", *offline, "--target", site, source], check=True)
    return site


@pytest.fixture
def run(site: Path, tmp_path: Path):
    """Runs a program of the installed package in an empty folder; returns what it said."""

    def run(*words: object) -> str:
        kept = {
            name: value for name, value in os.environ.items() if name not in ("COMPETITION_WORKSPACE", *ENVIRONMENT)
        }
        environment = kept | {"PYTHONPATH": str(site)}
        words = [sys.executable, *map(str, words)]
        return subprocess.run(words, capture_output=True, text=True, check=True, env=environment, cwd=tmp_path).stdout

    return run


def data_files(folder: Path) -> dict[str, bytes]:
    paths = [
        path for name in ("competition", "pipelines") for ending in DATA_FILES for path in (folder / name).rglob(ending)
    ]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


@pytest.mark.e2e
def test_the_installed_package_has_every_file_that_it_reads(site: Path) -> None:
    assert data_files(site) == data_files(REPOSITORY)
    assert not (site / "folds").exists()


@pytest.mark.e2e
@pytest.mark.exhaustive
def test_the_installed_command_works_in_an_empty_folder(site: Path, tmp_path: Path, run) -> None:
    medcomp = site / "bin" / "medcomp"
    assert run(medcomp, "--help").startswith("usage: medcomp STAGE [options]")
    assert "hand_bone" in run(medcomp, "tracks")
    assert list(tmp_path.iterdir()) == []
    said = run(medcomp, "prepare", "--track", "knee", "--phantom", "--people", 5, "--test-people", 1, "--size", 64)
    assert f"written to {tmp_path / 'folds' / 'phantom_knee.csv'}" in said
    assert "run.sh" not in run(medcomp, "--help") + run(medcomp, "check", "--help") + said


@pytest.mark.e2e
def test_the_installed_package_finds_the_shipped_folds(site: Path, tmp_path: Path, run) -> None:
    program = tmp_path / "folds.py"
    program.write_text(
        "from pathlib import Path\n"
        "from competition.data.folds import find_folds\n"
        "from competition.workspace import Workspace\n"
        "folds = find_folds(Workspace(Path(), 'hand_bone'))\n"
        "print(folds.hash(), folds.path)\n"
    )
    assert run(program).split() == [SHIPPED_FOLDS["hand_bone"], str(site / "competition/tracks/hand_bone/folds.csv")]


def test_the_folds_of_the_package_are_those_of_the_repository() -> None:
    for dataset in SHIPPED_FOLDS:
        packaged = installation.PACKAGE / "tracks" / dataset / "folds.csv"
        assert packaged.resolve() == REPOSITORY / "folds" / f"{dataset}.csv"


def test_the_command_has_the_environment_of_run_sh() -> None:
    exported = re.findall(r"^export (\w+)=(?:\$\{\w+:-)?([\w:]+)", (REPOSITORY / "run.sh").read_text(), re.MULTILINE)
    assert dict(exported) == ENVIRONMENT


@pytest.mark.e2e
def test_scripts_in_the_current_folder_are_not_run(tmp_path: Path) -> None:
    for name in ("statistics", "competition", "pipelines"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('a script of the user was run')\n")
    given = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", *ENVIRONMENT)}
    command = [REPOSITORY / "run.sh", "tracks"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=given)
    assert (done.returncode, done.stderr) == (0, "")
    assert "hand_bone" in done.stdout


def test_the_command_begins_again_once_with_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = []
    monkeypatch.setattr(os, "execve", lambda *words: begun.append(words))
    monkeypatch.setattr(sys, "argv", ["medcomp", "--help"])
    for name in ENVIRONMENT:
        monkeypatch.setenv(name, "theirs")
    assert (command(), begun) == (0, [])
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_")
    command()
    ((program, words, environment),) = begun
    assert (program, words) == (sys.executable, sys.orig_argv)
    given = {name: environment[name] for name in ENVIRONMENT}
    assert given == dict.fromkeys(ENVIRONMENT, "theirs") | {"MALLOC_TRIM_THRESHOLD_": "1073741824"}


def test_commands_are_named_as_they_are_typed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert typed("Run ./run.sh prepare") == "Run ./run.sh prepare"
    monkeypatch.setattr(installation, "CHECKOUT", False)
    assert typed("Run ./run.sh prepare, then ./run.sh train") == "Run medcomp prepare, then medcomp train"
    say("Run ./run.sh prepare")
    assert main(["check", "missing/file.csv", "--track", "hand_bnoe"]) == 1
    said = capsys.readouterr()
    assert said.out == "Run medcomp prepare\n"
    assert "run.sh" not in said.err

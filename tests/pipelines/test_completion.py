"""The printed script in a real bash, and in a zsh where there is one; its options beside those of the parsers."""

import argparse
import importlib
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from competition.tracks import track_names
from pipelines.__main__ import STAGES, build_parser
from pipelines.completion_script import completion_script, track_words
from pipelines.stage_options import stage_options

ROOT = Path(__file__).resolve().parents[2]
RUNS = ("quick/fold0/config.yaml", "quick/fold1/config.yaml", "strong_lr1e-4/full/config.yaml", "theirs/imported.json")
SHELLS = [
    "bash",
    pytest.param("zsh", marks=pytest.mark.skipif(shutil.which("zsh") is None, reason="there is no zsh")),
]
# bash and zsh complete at a prompt only; what they set for a function that completes is set here.
PROGRAM = """
source "$1"; shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
_medcomp
printf '%s\\n' "${COMPREPLY[@]}"
"""
ZSH = """
emulate -L sh
setopt kshglob noshglob braceexpand ksh_arrays
autoload() { :; }; compdef() { :; }; bashcompinit() { :; }; complete() { :; }
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A workspace with runs of two tracks, a decision, and a folder with a name that a shell would run."""
    root = tmp_path_factory.mktemp("with space")
    files = [f"runs/knee/{file}" for file in RUNS]
    files += ["runs/phantom_knee/drawn/fold0/config.yaml", "runs/hand_bone/hands/fold0/config.yaml"]
    files += ["runs/knee/ensembles/both/decision.json", "runs/phantom_knee/ensembles/one/decision.json"]
    files += ["runs/knee/search/tried/0123/config.yaml", "runs/knee/$(touch ran)/fold0/config.yaml"]
    for file in files:
        (root / file).parent.mkdir(parents=True)
        (root / file).touch()
    return root


@pytest.fixture(params=SHELLS)
def complete(request, tmp_path, workspace):
    """Completes the last of some words after ./run.sh; gives what the shell would offer."""
    script = tmp_path / "script"
    script.write_text(completion_script(request.param))
    before = ZSH if request.param == "zsh" else ""

    def run(*words):
        found = subprocess.run(
            [shutil.which(request.param), "-c", before + PROGRAM, "shell", str(script), "./run.sh", *words],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={"PATH": "/usr/bin:/bin", "HOME": str(workspace.parent), "COMPETITION_WORKSPACE": str(workspace)},
        )
        assert (found.returncode, found.stderr) == (0, "")
        assert [path.name for path in tmp_path.iterdir()] == ["script"]
        return set(found.stdout.split())

    return run


@pytest.mark.parametrize("stage", STAGES)
def test_the_options_read_from_the_source_are_those_of_the_parser(stage):
    parser = build_parser(stage, importlib.import_module(f"pipelines.{stage}"))
    found, actions = stage_options(stage), [action for action in parser._actions if action.dest != "help"]
    named = [action for action in actions if action.option_strings]
    assert sorted(found.flags) == sorted(
        name for action in named if action.nargs == 0 for name in action.option_strings
    )
    choices = {name: list(each.choices or ()) for each in named if each.nargs != 0 for name in each.option_strings}
    assert found.choices == choices
    positional = [action for action in actions if not action.option_strings]
    assert found.positional == [word for action in positional for word in action.choices or ()]
    assert found.files == any(action.choices is None for action in positional)
    assert not any(isinstance(action, argparse._StoreConstAction) and action.const is not True for action in actions)


def test_the_tracks_read_from_the_folder_are_those_that_are_registered():
    assert sorted(track_words()) == sorted(track_names())


def test_stages_and_options_are_completed(complete):
    assert complete("t") == {"tracks", "train", "tune", "test"}
    assert complete("") == {*STAGES, "test"}
    assert complete("train", "--f") == {"--fold", "--folds-per-gpu", "--force"}
    assert complete("tune", "--method", "") == {"optuna", "greedy", "equal"}
    assert complete("tune", "--combine", "l") == {"logit"}
    assert complete("train", "--tracker", "") == {"wandb", "mlflow"}
    assert {"--fold", "--phantom", "--json", "--help"} < complete("train", "")
    assert complete("leaderboard", "r") == {"record"}
    assert complete("completion", "") >= {"bash", "zsh"}
    assert complete("nothing", "--f") == set()


def test_where_a_file_is_wanted_the_shell_offers_files_itself(complete):
    for words in (("score", ""), ("train", "--json", ""), ("prepare", "--data", "x"), ("vote", "A.csv", "")):
        assert complete(*words) == set()
    assert complete("score", "--per") == {"--per-class"}


def test_names_of_tracks_experiments_runs_and_decisions_are_completed(complete):
    assert complete("train", "--track", "") == set(track_names())
    assert complete("train", "--track", "kn") == {"knee"}
    knee = ("--track", "knee")
    shipped = {path.stem for path in (ROOT / "pipelines" / "experiments" / "knee").glob("*.yaml")}
    assert complete("train", *knee, "--experiment", "") == shipped
    assert "quick" in complete("train", "--track", "mine/mine.yaml", "--experiment", "q")
    assert complete("tune", *knee, "--members", "") == {"quick", "strong_lr1e-4", "theirs", "drawn"}
    assert complete("tune", "--track", "here/knee.yaml", "--members", "th") == {"theirs"}
    assert complete("tune", *knee, "--members", "quick:0,1,s") == {"quick:0,1,strong_lr1e-4"}
    assert complete("train", "--pseudo", "") == {"hands"}
    assert complete("ensemble", *knee, "--decision", "") == {"both", "one"}


def test_the_workspace_that_was_typed_counts(complete, workspace, tmp_path):
    assert complete("train", "--workspace", str(tmp_path), "--track", "knee", "--pseudo", "") == set()
    home = f"~/{workspace.name}"
    assert complete("train", "--workspace", home, "--track", "knee", "--pseudo", "dr") == {"drawn"}


def test_the_script_is_printed_at_once_without_torch():
    code = "import sys; from pipelines.__main__ import main; main(['completion', 'bash']); print(*sys.modules)"
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    script, _, modules = done.stdout.rpartition("run.sh ./run.sh\n")
    assert not {"torch", "pandas", "cv2", "scipy"} & set(modules.split())
    assert time.perf_counter() - start < 10  # 0.2 s on a free core; the tests share theirs
    assert "_medcomp() {" in script


def test_bash_calls_the_function_for_the_command_and_the_program():
    program = 'eval "$1"; complete -p medcomp run.sh ./run.sh'
    said = subprocess.run(["bash", "-c", program, "shell", completion_script("bash")], capture_output=True, text=True)
    assert said.stdout.count("-F _medcomp") == 3
    assert said.stdout.count("-o default") == 3

"""How the sentence of an error is put together."""

import shlex
from pathlib import Path

import pytest

from competition.errors import CompetitionError
from competition.files import write_text
from competition.prediction.probability_maps import remake
from competition.runs.members import check_trained
from competition.workspace import Workspace, settings_file


def test_a_sentence_stays_one_line_of_readable_length():
    error = CompetitionError("row 2: 'a\nb\x1b[31m' is no class", Path("x\u2028y.csv"))
    assert str(error) == "row 2: 'a\\nb\\x1b[31m' is no class: x\\u2028y.csv."
    assert str(CompetitionError(f"row 2: {'9' * 5000} is no number")) == f"row 2: {'9' * 200}... is no number."
    assert str(CompetitionError("왼손 '\ud800'")) == "왼손 '\\ud800'."
    assert str(CompetitionError(f"it has {chr(0) * 900}", "a.mat")) == "it has " + "\\x00" * 50 + "... a.mat."
    long = str(CompetitionError(f"it has {'key ' * 5000}", "a.mat", "Run prepare"))
    assert len(long) < 2510
    assert (long[:10], long[-21:]) == ("it has key", ": a.mat. Run prepare.")
    path = "d/" * 400
    assert path in str(CompetitionError("no such file", path))


def test_commands_for_names_and_paths_with_blanks_can_be_pasted(tmp_path):
    workspace = Workspace(tmp_path / "my data", "knee")
    fold = workspace.fold_folder("big net", 0)
    assert "--name 'big net' --fold 0" in workspace.train_command("big net", 0)
    write_text(settings_file(fold), "")
    settings = str(settings_file(fold))
    command = ["./run.sh", "train", "--experiment", settings, "--name", "big net", "--fold"]
    assert shlex.split(workspace.train_command("big net", 3)) == [*command, "3"]
    repair = remake(fold / "oof").partition("and run ")[2].partition(", which")[0]
    assert shlex.split(repair) == [*command, "0"]
    with pytest.raises(CompetitionError, match=r"--name 'big net'\.$"):
        check_trained(workspace, "big net")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("no rows",), "no rows."),
        (("no rows", Path("a/b.csv")), "no rows: a/b.csv."),
        (("no rows", "a.csv", "Run ensemble again"), "no rows: a.csv. Run ensemble again."),
        (("unknown class 'finger': did you mean finger-1?",), "unknown class 'finger': did you mean finger-1?"),
        (("did you mean finger-1?", "a.csv"), "did you mean finger-1? (a.csv)."),
        (("1 check failed; the first: no rows: a.csv.",), "1 check failed; the first: no rows: a.csv."),
    ],
)
def test_what_is_followed_by_where_and_by_what_repairs_it(arguments, sentence):
    assert str(CompetitionError(*arguments)) == sentence

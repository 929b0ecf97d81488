"""The command line: whatever is typed wrongly, or goes wrong, is answered with one sentence that can be acted upon."""

import numpy as np
import pytest

from competition.errors import CompetitionError
from competition.tracks import get_track
from pipelines import train
from pipelines.__main__ import STAGES, main
from pipelines.executors.task import WORKER


def test_an_unknown_stage_is_answered_with_the_known_ones(capsys):
    assert main(["trian"]) == 2
    error = capsys.readouterr().err
    assert "unknown stage 'trian'" in error
    assert "unknown stage 'trian', did you mean 'train'" in error
    assert all(stage in error for stage in STAGES)
    assert main(["zzz"]) == 2
    assert "unknown stage 'zzz'; known are demo, " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--folds", "0"], "error: unknown option --folds, did you mean '--fold'"),
        (["--experimental=quick"], "error: unknown option --experimental, did you mean '--experiment'"),
        (["0..4"], "error: unrecognized arguments: 0..4"),
        (["--fold"], "error: argument --fold: expected one argument"),
        (["--foldd", "0"], "error: unknown option --foldd, did you mean '--fold'?\n"),
    ],
)
def test_a_wrong_option_is_answered_with_the_nearest_and_an_example(words, sentence, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["train", *words])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.endswith(f"\nexample:\n  {train.EXAMPLE}\n")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["report", "--explain", "three"], "error: --explain takes a whole number, not 'three'"),
        (["export", "--out", "x", "--fast", "half"], "error: --fast takes a number, not 'half'"),
    ],
)
def test_what_is_no_number_is_answered_in_plain_words(words, sentence, capsys):
    with pytest.raises(SystemExit):
        main(words)
    assert sentence in capsys.readouterr().err


def test_ctrl_c_is_answered_with_a_sentence_even_while_a_stage_is_loaded(monkeypatch, capsys):
    def interrupted(name):
        raise KeyboardInterrupt

    monkeypatch.setattr("pipelines.__main__.importlib.import_module", interrupted)
    assert main(["train", "--fold", "0"]) == 130
    assert "interrupted. Finished work is kept; to resume: ./run.sh train --fold 0" in (capsys.readouterr().err)
    monkeypatch.setenv(WORKER, "1")  # of five folds at once, the process that was started says it, once
    assert main(["train", "--fold", "0"]) == 130
    assert capsys.readouterr().err == ""


def test_too_little_memory_is_a_sentence(monkeypatch, capsys):
    def run(args):
        return np.empty(2**55)

    monkeypatch.setattr("pipelines.tracks.run", run)
    assert main(["tracks"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: out of memory (Unable to allocate ")
    assert error.count("\n") == 1


def test_commands_in_a_sentence_are_those_of_the_track_that_was_typed(monkeypatch, capsys, tmp_path):
    def run(args):
        raise CompetitionError("nothing", None, "Run ./run.sh train --fold 0, or ./run.sh prepare --track x")

    monkeypatch.setattr("pipelines.check.run", run)
    for words, options in (
        ([], ""),
        (["--track", "knee", "--phantom"], " --track knee --phantom"),
        (["--workspace", "a b"], " --workspace 'a b'"),
    ):
        assert main(["check", "file.csv", *words]) == 1
        place = options if "--workspace" in options else ""  # the track is named already
        said = f"nothing. Run ./run.sh train{options} --fold 0, or ./run.sh prepare{place} --track x.\n"
        assert capsys.readouterr().err == f"error: {said}"


def test_a_misspelt_track_is_answered_with_the_nearest(capsys):
    assert main(["prepare", "--track", "hand_bnoe"]) == 1
    expected = "'hand_bnoe', did you mean 'hand_bone'? Name a competition of your own by the path of its YAML file"
    assert f"unknown track {expected}" in capsys.readouterr().err


def test_a_yaml_file_called_by_its_stem_is_found(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CompetitionError, match="unknown track 'kne', did you mean 'knee'"):
        get_track("kne")
    (tmp_path / "kne.yaml").touch()
    with pytest.raises(CompetitionError, match=r"did you mean 'kne\.yaml'\?"):
        get_track("kne")

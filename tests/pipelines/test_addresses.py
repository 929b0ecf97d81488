"""Data and test sets at an address instead of in a folder, through the command line."""

from dataclasses import replace
from pathlib import Path

import fsspec
import pytest
from predicted_files import list_hands

import pipelines.context
from competition.data.manifest import data_hash, read_manifest
from competition.submission.run_lengths.files import read_rle_csv
from competition.tracks import get_track
from competition.workspace import Workspace
from pipelines import prepare
from pipelines.__main__ import main

pytestmark = pytest.mark.slow


@pytest.fixture
def bucket():
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield files
    files.store.clear()


def test_data_of_a_bucket_is_prepared_like_that_of_a_folder(stage, refusal, bucket, tmp_path):
    words = ("prepare", "--track", "knee", "--folds", 2)
    stage(*words, "--phantom", "--people", 4, "--test-people", 1, "--size", 32)
    drawn = tmp_path / "workspace" / "data" / "phantom_knee"
    stage(*words, "--data", drawn)
    workspace, track = Workspace(tmp_path / "workspace", "knee"), get_track("knee")
    local = read_manifest(workspace, track)
    bucket.put(str(drawn), "/bucket/knee", recursive=True)
    figures, said = stage(*words, "--data", "memory://bucket/knee")
    assert "memory://bucket/knee: " in said
    staged = read_manifest(workspace, track)
    assert data_hash(staged.entries) == data_hash(local.entries)
    assert staged.data_root.is_relative_to(workspace.root / "data" / ".staged")
    # The staged folder is the prepared data from now on; the bucket is only looked at when it is given again.
    bucket.store.clear()
    figures, _ = stage(*words)
    assert figures["samples"]["read"] == 0
    error, _ = refusal(*words, "--data", "memory://bucket/knee")
    assert "found: memory://bucket/knee. Check the address." in error
    error, _ = refusal(*words, "--phantom", "--data", "memory://bucket/other")
    assert "--phantom makes its own data, so --data can't be given with it" in error


def test_a_test_set_of_a_bucket_is_predicted_like_that_of_a_folder(
    hands_with_run, shared_hands, stage, new_hands, bucket, monkeypatch
):
    track = replace(shared_hands.track, list_test=list_hands)
    monkeypatch.setattr(pipelines.context, "get_track", lambda name: track)
    expected = read_rle_csv(Path(stage("ensemble", "--test", new_hands)[0]["submission"]))
    bucket.put(str(new_hands), "/bucket/test", recursive=True)
    figures, said = stage("ensemble", "--test", "memory://bucket/test")
    assert "memory://bucket/test: 3 files downloaded" in said
    assert read_rle_csv(Path(figures["submission"])) == expected
    _, said = stage("ensemble", "--test", "memory://bucket/test")
    assert "memory://bucket/test: 0 files downloaded, 3 unchanged" in said


def test_the_command_that_resumes_is_printed_without_secrets(monkeypatch, capsys):
    def interrupted(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(prepare, "run", interrupted)
    assert main(["prepare", "--data", "https://me:secret@host/x.zip?key=secret"]) == 130
    error = capsys.readouterr().err
    assert "prepare --data 'https://host/x.zip'" in error or "prepare --data https://host/x.zip" in error
    assert "secret" not in error

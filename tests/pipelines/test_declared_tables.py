"""A declared classification from imported tables to a scored submission: import, tune, ensemble, check, score."""

import importlib
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import cohen_kappa_score, f1_score, roc_auc_score

from competition.data.cache import cache_sample
from competition.data.folds import read_folds, write_folds
from competition.data.manifest import Manifest, read_manifest, write_manifest
from competition.metrics.metric import make_table_metric
from competition.tracks.declared.table_submission import TableSubmission
from competition.tracks.track import Sample
from competition.workspace import Workspace
from pipelines import check, ensemble, score, tune

CLASSES = ("0", "1", "2")
TRAINING, TESTED = 36, 12


def truth_of(targets):
    random = np.random.default_rng(1)
    if targets == "multilabel":
        return (random.random((TRAINING + TESTED, 3)) < 0.4).astype(int)
    return np.eye(3, dtype=int)[random.integers(0, 3, TRAINING + TESTED)]


@pytest.fixture
def declare(shared_hands, shared_patients, tmp_path):
    """Prepares a declared classification of tiny pictures."""

    def make(targets, name, **submission):
        metric = make_table_metric(name, targets, CLASSES)
        form = TableSubmission.model_validate(submission).form(metric, CLASSES)
        track = replace(
            shared_patients.track, name="declared", classes=CLASSES, metric=metric, form=form, targets=targets,
            views=("image",), mirror=None, visible=None,
        )  # fmt: skip
        root, truth = tmp_path / "made", truth_of(targets)
        (root / "raw").mkdir(parents=True)
        workspace, entries = Workspace(root, track.name), []
        for number, row in enumerate(truth.tolist()):
            picture = np.random.default_rng(number).integers(0, 255, (8, 8)).astype(np.uint8)
            np.save(root / "raw" / f"x{number:02d}.npy", picture)
            split = "train" if number < TRAINING else "test"
            answer = tuple(row) if split == "train" else None
            sample = Sample(
                f"x{number:02d}", f"x{number:02d}", split, f"g{number}", (f"x{number:02d}.npy",), None, answer
            )
            entries.append(cache_sample(workspace, track, root / "raw", sample)[0])
        write_manifest(workspace, track, Manifest(root / "raw", tuple(entries)))
        write_folds(workspace.fold_file(), {f"g{number}": number % 3 for number in range(TRAINING)}, "for a test")
        manifest = read_manifest(workspace, track)
        return replace(
            shared_hands, workspace=workspace, track=track, manifest=manifest, folds=read_folds(workspace.fold_file())
        ), truth

    return make


def predicted(truth, noise, seed, exclusive):
    raised = np.exp(3 * truth - 1.5 + np.random.default_rng(seed).normal(0, noise, truth.shape))
    return raised / raised.sum(axis=1, keepdims=True) if exclusive else raised / (1 + raised)


def score_by_sklearn(name, truth, rows):
    if name == "auroc":
        return roc_auc_score(truth, rows)
    if name == "f1":
        return f1_score(truth, rows, average="macro")
    return cohen_kappa_score(truth.argmax(axis=1), rows[:, 0], weights="quadratic")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("targets", "name", "submission"),
    [
        ("multilabel", "auroc", {"id": "image_id"}),
        ("multilabel", "f1", {"shape": "long", "id": "{key}_{class}", "column": "label"}),
        ("ordinal", "kappa", {"id": "id_code", "column": "diagnosis"}),
    ],
)
def test_from_tables_to_a_scored_submission(declare, stage_on, tmp_path, capsys, targets, name, submission):
    prepared, truth = declare(targets, name, **submission)
    names, exclusive = [f"x{number:02d}" for number in range(len(truth))], targets != "multilabel"
    as_probabilities = replace(
        prepared,
        track=replace(
            prepared.track, form=TableSubmission(id="id").form(make_table_metric("auroc", targets, CLASSES), CLASSES)
        ),
    )
    for member, noise in (("good", 0.6), ("poor", 6)):
        table = pd.DataFrame(predicted(truth, noise, len(member), exclusive), names, list(CLASSES)).rename_axis("id")
        table[:TRAINING].to_csv(tmp_path / f"{member}_oof.csv")
        table[TRAINING:].to_csv(tmp_path / f"{member}_test.csv")
        stage_on(
            importlib.import_module("pipelines.import"),
            as_probabilities,
            name=member,
            folds=prepared.workspace.fold_file(),
            test=tmp_path / f"{member}_test.csv",
            oof=tmp_path / f"{member}_oof.csv",
        )
    tuned = stage_on(tune, prepared, trials=20)
    assert tuned["members"]["good"] >= tuned["members"]["poor"]
    assert tuned["oof_crossfit"] > 0.8
    kind = {"auroc": "none", "f1": "thresholds", "kappa": "cut points"}[name]
    assert tuned["rule"]["kind"] == kind
    made = stage_on(ensemble, prepared, out=tmp_path / "s.csv")
    assert made["samples"] == TESTED
    assert stage_on(check, prepared, tmp_path / "s.csv")["ok"]
    answer = tmp_path / "truth.csv"
    prepared.track.form.write(answer, CLASSES, zip(names[TRAINING:], truth[TRAINING:].astype(float), strict=True))
    found = stage_on(score, prepared, tmp_path / "s.csv", answer, bootstrap=50)
    rows = pd.read_csv(tmp_path / "s.csv").iloc[:, 1:].to_numpy()
    wanted = score_by_sklearn(name, truth[TRAINING:], rows.reshape(TESTED, -1))
    assert found["score"] == pytest.approx(wanted, abs=1e-9)
    assert found["interval"]["low"] <= found["score"] <= found["interval"]["high"]

"""One small comparison, from drawing to table."""

import json
import re

import numpy as np
import pytest

from competition.runs import fold_training as one_fold
from pipelines import comparison
from pipelines.__main__ import main
from pipelines.comparisons.declaration import comparison_names
from pipelines.executors import local
from pipelines.json_page import COMMON

NET = """\
model: {architecture: Unet, encoder: tu-test_resnet, pretrained: false, decoder_channels: [16, 8], prior: 0.5}
data: {size: 64, augmentation: none}
train: {batch_size: 2, precision: fp32, lr: 3.0e-2, warmup_epochs: 0, ema: false}
"""
COMPARISON = """\
question: Does a smaller rate find the knee as soon?
track: knee
phantom: {{people: 4, size: 64}}
set: [train.epochs=1]
columns: [attainable_dice]
recipes:
  large: {{experiment: {net}}}
  small: {{experiment: {net}, set: [train.lr=1e-5]}}
"""


@pytest.fixture(scope="module")
def comparison_of(tmp_path_factory):
    """Writes a comparison of two rates, with a further change where one is asked for."""
    folder = tmp_path_factory.mktemp("comparison")
    (folder / "net.yaml").write_text(NET)
    path = folder / "mine.yaml"

    def write(old="", new=""):
        path.write_text(COMPARISON.format(net=folder / "net.yaml").replace(old, new))
        return path

    return write


@pytest.mark.slow
def test_a_comparison_is_drawn_trained_and_compared_and_goes_on_where_it_was(
    comparison_of, stage, refusal, tmp_path, monkeypatch
):
    monkeypatch.setattr(local, "slots", lambda *_: [{}])  # in this process, which has torch already
    figures, said = stage("comparison", comparison_of())
    assert set(figures) == {*COMMON, *comparison.FIGURES} - {"comparisons"}
    large, small = figures["recipes"].values()
    assert list(figures["recipes"]) == ["large", "small"]
    assert set(large["dice"]) == {"value"}
    assert small["dice"]["difference"] == pytest.approx(small["dice"]["value"] - large["dice"]["value"])
    assert small["dice"]["low"] <= small["dice"]["difference"] <= small["dice"]["high"]
    assert small["attainable_dice"] == large["attainable_dice"] | {"difference": 0, "low": 0, "high": 0}
    assert large["parameters"] == small["parameters"] > 10_000
    assert large["seconds"] > 0
    assert "8 held-out samples of 4 groups, 2 folds, synthetic data" in said
    assert f"{small['dice']['difference']:+.4f} ({small['dice']['low']:+.4f} to {small['dice']['high']:+.4f})" in said
    # Everything lies in a workspace of its own; the user's has no run, no data and no leaderboard.
    assert [path.name for path in (tmp_path / "workspace").iterdir()] == ["comparisons"]
    assert [path.name for path in (tmp_path / "workspace" / "comparisons").iterdir()] == ["mine"]

    with monkeypatch.context() as cut:
        cut.setattr(one_fold, "train_fold", lambda job: pytest.fail("trained again"))
        again, _ = stage("comparison", comparison_of())
        assert again["recipes"] == figures["recipes"]
        sentence, _ = refusal("comparison", comparison_of("1e-5", "1e-6"))
    assert "trained with other settings" in sentence
    assert "--force" in sentence
    forced, _ = stage("comparison", comparison_of("1e-5", "1e-2"), "--force")
    assert forced["recipes"]["large"]["dice"] == large["dice"]
    assert forced["recipes"]["small"]["dice"] != small["dice"]


@pytest.mark.exhaustive
@pytest.mark.slow
def test_prepared_data_is_contested_by_the_users_own_runs_on_the_folds_that_are_chosen(
    comparison_of, stage, refusal, tmp_path, monkeypatch
):
    monkeypatch.setattr(local, "slots", lambda *_: [{}])
    sentence, _ = refusal("comparison", comparison_of(), "--fold", "0")
    assert "comparison mine trains all folds of its synthetic data" in sentence
    own = comparison_of("phantom: {people: 4, size: 64}\n", "")
    sentence, _ = refusal("comparison", own)
    assert re.search(r"Run \./run\.sh prepare --workspace \S+ --track knee", sentence)
    stage("prepare", "--track", "knee", "--phantom", "--people", "6", "--size", "64", "--folds", "3")
    # Recipes may differ here: each keeps its own.
    own.write_text(own.read_text().replace("set: [train.lr=1e-5]", "set: [train.lr=1e-5, train.epochs=2]"))
    figures, said = stage("comparison", own, "--fold", "0,2")
    assert "8 held-out samples of 4 groups, 2 folds, synthetic data" in said
    runs = tmp_path / "workspace" / "runs" / "phantom_knee"
    trained = sorted(f"{path.parent.name} {path.name}" for path in runs.glob("*/fold*"))
    assert trained == ["large fold0", "large fold2", "small fold0", "small fold2"]
    assert not (tmp_path / "workspace" / "comparisons").exists()
    for name, figure in figures["recipes"].items():
        stored = [np.load(path)["histograms"] for path in sorted(runs.glob(f"{name}/fold*/oof/histograms.npz"))]
        above = np.concatenate(stored)[..., 128:].sum(axis=-1)[:, 0]
        inside = np.concatenate(stored)[:, 0, 1].sum(axis=-1)
        assert figure["dice"]["value"] == pytest.approx(np.mean(2 * above[:, 1] / (above[:, 0] + inside)), abs=1e-12)


def test_nothing_is_drawn_for_a_network_that_can_not_be_built(comparison_of, refusal, tmp_path):
    sentence, _ = refusal("comparison", comparison_of("train.lr=1e-5", "model.architecture=Unett"))
    assert "unknown architecture 'Unett', did you mean 'Unet'" in sentence
    assert not (tmp_path / "workspace").exists()


def test_the_figures_are_written_as_plain_json(tmp_path):
    assert main(["comparison", "--json", str(tmp_path / "list.json")]) == 0
    assert set(json.loads((tmp_path / "list.json").read_text())["comparisons"]) == set(comparison_names())


def test_the_earlier_name_of_the_stage_is_kept(tmp_path):
    for name in ("comparison", "contest"):
        assert main([name, "--json", str(tmp_path / f"{name}.json")]) == 0
    first, second = (json.loads((tmp_path / f"{name}.json").read_text()) for name in ("comparison", "contest"))
    assert first["comparisons"] == second["comparisons"]

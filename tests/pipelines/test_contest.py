"""One small contest, from drawing to table."""

import json

import numpy as np
import pytest

from competition.runs import fold_training as one_fold
from pipelines import train
from pipelines.__main__ import main
from pipelines.contest_declaration import contest_names

NET = """\
model: {architecture: Unet, encoder: tu-resnet10t, pretrained: false, decoder_channels: [16, 8], prior: 0.5}
data: {size: 64, augmentation: none}
train: {batch_size: 2, precision: fp32, lr: 3.0e-2, warmup_epochs: 0, ema: false}
"""
CONTEST = """\
question: Does a smaller rate find the knee as soon?
track: knee
phantom: {{people: 4, size: 64}}
set: [train.epochs=1]
columns: [ceiling]
contestants:
  large: {{experiment: {net}}}
  small: {{experiment: {net}, set: [train.lr=1e-5]}}
"""


@pytest.fixture(scope="module")
def contest_of(tmp_path_factory):
    """Writes a contest of two rates, with a further change where one is asked for."""
    folder = tmp_path_factory.mktemp("contest")
    (folder / "net.yaml").write_text(NET)
    path = folder / "mine.yaml"

    def write(old="", new=""):
        path.write_text(CONTEST.format(net=folder / "net.yaml").replace(old, new))
        return path

    return write


@pytest.mark.slow
def test_a_contest_is_drawn_trained_and_compared_and_goes_on_where_it_was(
    contest_of, stage, refusal, tmp_path, monkeypatch
):
    monkeypatch.setattr(train, "slots", lambda folds: [{}])  # in this process, which has torch already
    figures, said = stage("contest", contest_of())
    large, small = figures["contestants"].values()
    assert list(figures["contestants"]) == ["large", "small"]
    assert set(large["dice"]) == {"value"}
    assert small["dice"]["difference"] == pytest.approx(small["dice"]["value"] - large["dice"]["value"])
    assert small["dice"]["low"] <= small["dice"]["difference"] <= small["dice"]["high"]
    assert small["ceiling"] == large["ceiling"] | {"difference": 0, "low": 0, "high": 0}
    assert large["parameters"] == small["parameters"] > 10_000
    assert large["seconds"] > 0
    assert "8 held-out samples of 4 people, 2 folds, drawn data" in said
    assert f"{small['dice']['difference']:+.4f} ({small['dice']['low']:+.4f} to {small['dice']['high']:+.4f})" in said
    # Everything lies in a workspace of its own; the user's has no run, no data and no leaderboard.
    assert [path.name for path in (tmp_path / "workspace").iterdir()] == ["contests"]
    assert [path.name for path in (tmp_path / "workspace" / "contests").iterdir()] == ["mine"]

    with monkeypatch.context() as cut:
        cut.setattr(one_fold, "train_fold", lambda job: pytest.fail("trained again"))
        again, _ = stage("contest", contest_of())
        assert again["contestants"] == figures["contestants"]
        sentence, _ = refusal("contest", contest_of("1e-5", "1e-6"))
    assert "trained with other settings" in sentence
    assert "--force" in sentence
    forced, _ = stage("contest", contest_of("1e-5", "1e-2"), "--force")
    assert forced["contestants"]["large"]["dice"] == large["dice"]
    assert forced["contestants"]["small"]["dice"] != small["dice"]


@pytest.mark.slow
def test_prepared_data_is_contested_by_the_users_own_runs_on_the_folds_that_are_chosen(
    contest_of, stage, refusal, tmp_path, monkeypatch
):
    monkeypatch.setattr(train, "slots", lambda folds: [{}])
    sentence, _ = refusal("contest", contest_of(), "--fold", "0")
    assert "contest mine is held on drawn data, of which all folds are trained" in sentence
    own = contest_of("phantom: {people: 4, size: 64}\n", "")
    sentence, _ = refusal("contest", own)
    assert "Run ./run.sh prepare --track knee" in sentence
    stage("prepare", "--track", "knee", "--phantom", "--people", "6", "--size", "64", "--folds", "3")
    # Recipes may differ here: each keeps its own.
    own.write_text(own.read_text().replace("set: [train.lr=1e-5]", "set: [train.lr=1e-5, train.epochs=2]"))
    figures, said = stage("contest", own, "--fold", "0,2")
    assert "8 held-out samples of 4 people, 2 folds, drawn data" in said
    runs = tmp_path / "workspace" / "runs" / "phantom_knee"
    trained = sorted(f"{path.parent.name} {path.name}" for path in runs.glob("*/fold*"))
    assert trained == ["large fold0", "large fold2", "small fold0", "small fold2"]
    assert not (tmp_path / "workspace" / "contests").exists()
    for name, figure in figures["contestants"].items():
        stored = [np.load(path)["histograms"] for path in sorted(runs.glob(f"{name}/fold*/oof/histograms.npz"))]
        above = np.concatenate(stored)[..., 128:].sum(axis=-1)[:, 0]
        inside = np.concatenate(stored)[:, 0, 1].sum(axis=-1)
        assert figure["dice"]["value"] == pytest.approx(np.mean(2 * above[:, 1] / (above[:, 0] + inside)), abs=1e-12)


def test_nothing_is_drawn_for_a_network_that_can_not_be_built(contest_of, refusal, tmp_path):
    sentence, _ = refusal("contest", contest_of("train.lr=1e-5", "model.architecture=Unett"))
    assert "unknown architecture 'Unett', did you mean 'Unet'" in sentence
    assert not (tmp_path / "workspace").exists()


def test_the_figures_are_written_as_plain_json(tmp_path):
    assert main(["contest", "--json", str(tmp_path / "list.json")]) == 0
    assert set(json.loads((tmp_path / "list.json").read_text())["contests"]) == set(contest_names())

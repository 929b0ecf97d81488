"""A competition that is extended from outside: one Python file beside the YAML files, through every stage."""

import json

import cv2
import numpy as np
import pytest

from competition import plugins
from competition.ensembling.segmentation.postprocessing import OPERATIONS
from competition.metrics.metric import METRICS
from competition.models.factory import NETWORKS
from competition.training.losses import LOSSES
from pipelines.__main__ import main

PLUGIN = """
import cv2
import numpy as np
import torch
from torch import nn

from competition.ensembling.segmentation.postprocessing import OPERATIONS, Operation
from competition.metrics.counts import f_beta_metric
from competition.metrics.metric import METRICS
from competition.models.factory import NETWORKS, whole_network
from competition.training.losses import LOSSES


class Tiny(nn.Module):
    stride = 1

    def __init__(self, channels, classes, prior, dropout=0.0):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(channels, 8, 1), nn.ReLU(), nn.Conv2d(8, classes, 1))

    def forward(self, images):
        return self.layers(images)


def squared(logits, targets):
    return (torch.sigmoid(logits) - targets).square().mean()


def without_lines(mask):
    return cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)) > 0


NETWORKS["tiny"] = whole_network(Tiny)
LOSSES["squared"] = squared
METRICS["f3"] = lambda **options: f_beta_metric(3, **options)
OPERATIONS["open5"] = Operation(keeps=OPERATIONS["none"].keeps, reshapes=without_lines)
"""


@pytest.fixture
def nothing_added():
    before = [(entries, dict(entries)) for entries in (NETWORKS, LOSSES, METRICS, OPERATIONS)]
    yield
    plugins._LOADED.clear()
    for entries, names in before:
        entries.clear()
        entries.update(names)


def draw(root):
    """Draw discs crossed by a thin line, which an opening by 5 pixels removes and no choice of components does."""
    random = np.random.default_rng(0)
    for split, people in (("train", 9), ("test", 3)):
        for person in range(people):
            mask = np.zeros((48, 48), np.uint8)
            cv2.circle(mask, tuple(random.integers(16, 32, 2).tolist()), 10, 255, -1)
            picture = mask.copy()
            row = int(random.integers(20, 28))
            picture[row : row + 2] = 255
            for folder, image in ((split, picture), (f"{split}_masks", mask)):
                (root / folder).mkdir(parents=True, exist_ok=True)
                cv2.imwrite(str(root / folder / f"{split}{person}.png"), image)


def test_one_file_beside_the_yaml_adds_what_the_stages_then_use(tmp_path, capsys, nothing_added):
    draw(tmp_path / "data")
    (tmp_path / "mine.py").write_text(PLUGIN)
    track, experiment = tmp_path / "discs.yaml", tmp_path / "small.yaml"
    track.write_text(
        "plugins: [mine.py]\nclasses: [disc]\ntrain: train/*.png\nmasks: train_masks/{stem}.png\ntest: test/*.png\n"
        "group: (.+)\nmetric: {name: f3, unit: all}\n"
    )
    experiment.write_text(
        "plugins: [mine.py]\nmodel: {architecture: tiny, pretrained: false}\n"
        "data: {size: 48, workers: 0, augmentation: none}\n"
        "train: {epochs: 12, repeats: 2, batch_size: 3, precision: fp32, lr: 0.02, loss: squared}\n"
    )
    common = ["--track", str(track), "--workspace", str(tmp_path / "w")]

    def run(stage, *words):
        figures = tmp_path / "figures.json"
        assert main([stage, *words, *common, "--json", str(figures)]) == 0, capsys.readouterr().err
        return json.loads(figures.read_text())

    assert run("tracks")["plugins"] == ["loss squared", "network tiny", "post-processing open5", "metric f3"]
    run("prepare", "--data", str(tmp_path / "data"), "--folds", "3")
    trained = run("train", "--experiment", str(experiment))
    tuned = run("tune", "--members", "small")
    assert tuned["operations"] == {"disc": "open5"}
    assert tuned["oof_crossfit"] > np.mean(list(trained["scores"].values()))
    # Another process has imported nothing yet: what the decision names comes with the runs and the track.
    plugins._LOADED.clear()
    del OPERATIONS["open5"], METRICS["f3"], NETWORKS["tiny"], LOSSES["squared"]
    submitted = run("ensemble", "--no-report")
    scored = run("score", submitted["submission"], str(tmp_path / "data" / "test_masks"))
    assert scored["metric"] == "f_beta"
    assert scored["score"] > 0.9

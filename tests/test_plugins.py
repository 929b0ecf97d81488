"""Plugins of a user: imported once, named where they fail, and part of what a run is."""

import importlib
from pathlib import Path

import pytest

from competition import plugins
from competition.data.cache import fingerprint
from competition.errors import CompetitionError
from competition.metrics.metric import METRICS
from competition.plugins import load_plugins, registered
from competition.settings import changed_settings, load_experiment
from competition.tracks import get_track
from competition.tracks.declared.track import load_folder_track
from competition.tracks.track import Sample
from competition.training.losses import LOSSES, get_loss

LOSS = """
import torch
from competition.training.losses import LOSSES

def squared(logits, targets):
    return (torch.sigmoid(logits) - targets).square().mean()

LOSSES["squared"] = squared
"""

METRIC = """
from competition.metrics.counts import f_beta_metric
from competition.metrics.metric import METRICS

METRICS["f3"] = lambda **options: f_beta_metric(3, **options)
"""


@pytest.fixture(autouse=True)
def nothing_added(monkeypatch):
    for dictionary in (LOSSES, METRICS, plugins._LOADED):
        for name in list(dictionary):
            monkeypatch.setitem(dictionary, name, dictionary[name])
        monkeypatch.setattr(plugins, "_LOADED", {})
    yield
    for dictionary, name in ((LOSSES, "squared"), (METRICS, "f3")):
        dictionary.pop(name, None)


def write_experiment(folder: Path, plugin: str = "mine.py", text: str = "train: {loss: squared}\n") -> Path:
    path = folder / "mine.yaml"
    path.write_text(f"plugins: [{plugin}]\n{text}")
    return path


def test_a_loss_of_a_plugin_is_known_where_the_experiment_names_the_file(tmp_path):
    (tmp_path / "mine.py").write_text(LOSS)
    experiment = load_experiment(write_experiment(tmp_path))
    assert experiment.plugins == (str(tmp_path / "mine.py"),)
    assert get_loss(experiment.train.loss) is LOSSES["squared"]
    assert registered() == ["loss squared"]


def test_settings_that_are_written_find_the_plugin_from_anywhere(tmp_path):
    (tmp_path / "mine.py").write_text(LOSS)
    experiment = load_experiment(write_experiment(tmp_path))
    elsewhere = tmp_path / "run" / "fold0" / "config.yaml"
    elsewhere.parent.mkdir(parents=True)
    elsewhere.write_text(experiment.to_yaml())
    assert load_experiment(elsewhere) == experiment


def test_a_file_is_imported_once(tmp_path):
    path = tmp_path / "counted.py"
    path.write_text(f"open({str(tmp_path / 'log')!r}, 'a').write('x')\n")
    assert load_plugins([path]) == load_plugins([str(path), str(path)])[:1]
    assert (tmp_path / "log").read_text() == "x"


def test_the_content_of_a_plugin_is_part_of_the_experiments_hash(tmp_path):
    (tmp_path / "mine.py").write_text(LOSS)
    before = load_experiment(write_experiment(tmp_path))
    plain = load_experiment(write_experiment(tmp_path, "", "train: {epochs: 3}\n"))
    assert plain.hash() != before.hash()
    first = before.hash()
    other = tmp_path / "other.py"
    other.write_text(LOSS + "\n# changed\n")
    after = load_experiment(write_experiment(tmp_path, "other.py"))
    assert after.hash() != first
    assert "plugins" in changed_settings(before, after)[0]


def test_an_experiment_without_plugins_keeps_its_hash(tmp_path):
    path = tmp_path / "plain.yaml"
    path.write_text("train: {epochs: 3}\n")
    assert (
        load_experiment(path).hash() == load_experiment(write_experiment(tmp_path, "", "train: {epochs: 3}\n")).hash()
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("absent.py", None, r"no such plugin.*absent\.py.*relative to the YAML file"),
        ("mine.txt", "x = 1", r"no such plugin.*mine\.txt"),
        ("broken.py", "x = ", r"plugin can't be imported \(SyntaxError.*broken\.py"),
        ("raises.py", "raise ValueError('two losses')", r"plugin can't be imported \(ValueError: two losses\).*raises"),
    ],
)
def test_a_plugin_that_can_not_be_imported_is_named(tmp_path, name, content, message):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(CompetitionError, match=message):
        load_experiment(write_experiment(tmp_path, name, ""))


def test_a_metric_of_a_plugin_is_known_where_a_track_names_the_file(tmp_path):
    (tmp_path / "mine.py").write_text(METRIC)
    declaration = tmp_path / "wrists.yaml"
    declaration.write_text(
        "plugins: [mine.py]\nclasses: [radius]\ntrain: a/*.png\nmasks: m/{stem}.png\ntest: t/*.png\n"
        "group: (.+)\nmetric: {name: f3, unit: group}\n"
    )
    assert load_folder_track(declaration).metric.key == "F3, unit group, empty 1"
    assert registered() == ["metric f3"]


def test_all_dictionaries_that_a_plugin_can_add_to_are_there():
    for module, name in plugins.REGISTRIES.values():
        assert getattr(importlib.import_module(module), name)


def test_a_track_of_a_python_file(tmp_path, monkeypatch):
    path = tmp_path / "mine.py"
    path.write_text(
        "from dataclasses import replace\nfrom competition.tracks.cardiac.track import CARDIAC as _CARDIAC\n"
        "HEARTS = replace(_CARDIAC, name='my_hearts')\ndel _CARDIAC\n"
    )
    track = get_track(str(path))
    assert (track.name, track.declaration) == ("my_hearts", path)
    sample = Sample("a", "a", "test", "a", (None,))
    read = fingerprint(track, tmp_path, sample)
    path.write_text(path.read_text() + "# another reader\n")
    monkeypatch.setattr(plugins, "_LOADED", {})  # as a new process has it
    changed = get_track(str(path))
    assert fingerprint(changed, tmp_path, sample) != read == fingerprint(track, tmp_path, sample)
    assert changed.data_form != track.data_form  # the stages after prepare ask for it
    path = tmp_path / "none.py"
    path.write_text("")
    with pytest.raises(CompetitionError, match=r"defines 0 tracks.*none\.py.*one Track at its top level"):
        get_track(str(path))
    path = tmp_path / "taken.py"
    path.write_text("from competition.tracks.cardiac.track import CARDIAC\n")
    with pytest.raises(CompetitionError, match="there is a built-in track of this name"):
        get_track(str(path))

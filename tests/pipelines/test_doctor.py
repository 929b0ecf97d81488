import json
import re

import pytest
from documented_figures import check_keys

from competition.planning import devices
from competition.planning.devices import GB, card_of
from competition.planning.run_cost import cost_of, work_of
from competition.settings import load_experiment
from competition.tracks import get_track
from competition.workspace import Workspace
from pipelines import doctor, train
from pipelines.__main__ import main
from pipelines.context import EXPERIMENTS

pytestmark = pytest.mark.slow


def stage(tmp_path, *words):
    figures = tmp_path / "figures.json"
    assert main(["doctor", "--workspace", str(tmp_path), "--json", str(figures), *map(str, words)]) == 0
    found = json.loads(figures.read_text())
    check_keys("doctor", found, written=True)
    return found


def test_a_table_of_a_track_without_data(tmp_path, capsys):
    found = stage(tmp_path, "--track", "lumbar", "--memory", 24)
    assert [each["experiment"] for each in found["experiments"]] == ["classical", "plain_unet", "quick", "strong"]
    classical, plain, quick, strong = found["experiments"]
    assert classical["weights"] is None  # it has no step
    assert plain["weights"] == 31_036_806
    assert quick["size"] == [160, 160]
    assert 8 < strong["memory_gb"] < 20
    assert strong["fits"]
    assert strong["hours"] is None
    assert "they need prepared data" in capsys.readouterr().out


OURS = (
    *("aneurysm/strong", "cardiac/strong", "hand_bone/strong", "knee/strong", "lumbar/strong"),
    *("hand_bone/unetplusplus_hrnet_w48_tiles", "hand_bone/convnext_upernet_tiles", "hand_bone/residual_unet_tiles"),
)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", OURS)
def test_experiments_for_one_card_fit_24_gb_as_their_comment_says(name):
    track, machine = get_track(name.split("/")[0]), card_of(24 * GB)
    file = EXPERIMENTS / f"{name}.yaml"
    experiment = load_experiment(file)
    work = work_of(experiment, track, Workspace(file.parent / "none", track.name), None)
    cost = cost_of(experiment, track, work.draws, machine)
    assert machine.fits(cost)
    comment = " ".join(line.removeprefix("# ") for line in file.read_text().splitlines())
    named = [float(text) for text in re.findall(r"([0-9.]+)(?: GB by doctor's count| with it)", comment)]
    assert named[-1] == pytest.approx(machine.needed(cost) / GB, abs=0.15)


def test_one_experiment_on_prepared_data(tiny_hands, tiny_experiment, stage_on, tmp_path, capsys):
    file = tmp_path / "mine.yaml"
    file.write_text(tiny_experiment(train={"epochs": 10}).to_yaml())
    found = stage_on(doctor, tiny_hands, experiment=file, cpu=True, measure=True)
    (figures,) = found["experiments"]
    assert figures["batch"] == 2
    assert figures["size"] == [32, 32]
    assert found["measured"]["step_seconds"] > 0
    assert found["draw_seconds"] > 0
    assert figures["largest_batch"] > 100
    output = capsys.readouterr().out
    assert "limit: compute" in output
    assert "all 2 folds" in output
    assert [check["name"] for check in found["checks"]] == ["device", "shared memory", "disk", "cores"]


def test_a_card_that_is_too_small_is_a_warning(tiny_hands, tiny_experiment, stage_on, tmp_path, capsys):
    file = tmp_path / "mine.yaml"
    file.write_text(tiny_experiment().to_yaml())
    found = stage_on(doctor, tiny_hands, experiment=file, memory=1)
    assert not found["experiments"][0]["fits"]
    assert re.search(r"\*\*\* memory: 1\.5 GB of 1\.0", capsys.readouterr().out)


def test_an_impossible_memory_is_rejected(tmp_path, capsys):
    assert main(["doctor", "--memory", "-3", "--workspace", str(tmp_path)]) == 1
    assert "--memory takes GB of a card, such as 24, not -3" in capsys.readouterr().err


def test_batch_auto_keeps_the_effective_batch_and_that_of_trained_folds(
    tiny_hands, tiny_experiment, stage_on, tmp_path, monkeypatch, capsys
):
    file = tmp_path / "mine.yaml"
    settings = {"batch_size": 1, "accumulate": 4, "epochs": 1, "validate_every": 1}
    file.write_text(tiny_experiment(train=settings).to_yaml())
    words = {"experiment": file, "name": "mine", "batch": "auto"}
    stage_on(train, tiny_hands, fold=0, **words)
    assert "batch: 4 samples, accumulated 1 time (the largest that fits" in capsys.readouterr().out
    kept = load_experiment(tiny_hands.workspace.fold_folder("mine", 0) / "config.yaml").train
    assert (kept.batch_size, kept.accumulate) == (4, 1)
    monkeypatch.setattr(devices, "free_memory", lambda: 0)  # another machine
    stage_on(train, tiny_hands, fold=1, **words)
    assert "batch: 4 samples, accumulated 1 time (as in the folds that are trained)" in capsys.readouterr().out

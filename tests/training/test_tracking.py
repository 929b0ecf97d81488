"""What trackers store, read back with their own readers; a tracked run gives the same weights bit for bit."""

import importlib.util
import json
import math
import struct
import sys

import pandas as pd
import pytest
import torch

from competition.errors import CompetitionError
from competition.training import loop, tracking
from competition.training.checkpoints import load_trained

pytestmark = pytest.mark.slow
NAN = math.nan


def needs(package):
    absent = importlib.util.find_spec(package) is None
    return pytest.param(package, marks=pytest.mark.skipif(absent, reason=f"{package} is not installed ([tracking])"))


def read_wandb(folder):
    """Return a dictionary per run, the first first: name, config, epochs (step -> figures) and summary.

    An offline run is one LevelDB log (blocks of 32 kB, each record with CRC, length and type) of W&B's own messages.
    """
    from wandb.proto.wandb_internal_pb2 import Record

    runs = []
    for path in sorted((folder / "wandb").glob("offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime_ns):
        content, position, parts, run = path.read_bytes(), 7, b"", {"epochs": {}, "summary": {}, "exit": None}
        while position + 7 <= len(content):
            if 32768 - position % 32768 < 7:
                position += 32768 - position % 32768
                continue
            _, size, kind = struct.unpack("<IHB", content[position : position + 7])
            parts += content[position + 7 : position + 7 + size]
            position += 7 + size
            if kind not in (1, 4):  # the first or a middle part of a record
                continue
            record, parts = Record.FromString(parts), b""
            if record.HasField("run"):
                assert (record.run.host, record.run.git.commit) == ("", "")
                run["name"], run["project"] = record.run.display_name, record.run.project
                run["config"] = {item.key: json.loads(item.value_json) for item in record.run.config.update}
            if record.HasField("history"):
                items = {"/".join(item.nested_key) or item.key: item.value_json for item in record.history.item}
                figures = {key: json.loads(value) for key, value in items.items() if not key.startswith("_")}
                run["epochs"][record.history.step.num or json.loads(items["_step"])] = figures
            if record.HasField("exit"):
                run["exit"] = record.exit.exit_code
        runs.append(run)
    return runs


def read_mlflow(folder):
    """Return the same from MLflow's client; settings are flat text there."""
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}")
    runs = []
    for experiment in client.search_experiments(filter_string="name != 'Default'"):
        for found in reversed(client.search_runs([experiment.experiment_id], order_by=["attributes.start_time DESC"])):
            epochs = {}
            for name in found.data.metrics:
                for metric in client.get_metric_history(found.info.run_id, name):
                    epochs.setdefault(metric.step, {})[name] = metric.value
            status = {"FINISHED": 0, "FAILED": 1}[found.info.status]
            run = {"name": found.info.run_name, "project": experiment.name, "config": found.data.params}
            runs.append(run | {"epochs": epochs, "exit": status})
    return runs


READERS = {"wandb": read_wandb, "mlflow": read_mlflow}


@pytest.fixture(scope="module")
def experiment(tiny_experiment):
    return tiny_experiment(train={"epochs": 4, "batch_size": 2, "validate_every": 2, "lr": 3e-3})


@pytest.fixture(scope="module")
def untracked(shared_hands, experiment, tmp_path_factory):
    folder = tmp_path_factory.mktemp("untracked")
    loop.train_fold(shared_hands.job(experiment, folder))
    return load_trained(folder / "weights.pt")


class CutError(Exception):
    pass


@pytest.mark.parametrize("tracker", [needs("wandb"), needs("mlflow")])
def test_a_tracked_and_resumed_fold_has_its_curves_in_the_tracker_and_the_same_weights(
    tracker, tiny_hands, experiment, untracked, monkeypatch, capsys
):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setattr(loop, "CHECKPOINT_SECONDS", 0.0)
    job = tiny_hands.job(experiment, tiny_hands.workspace.fold_folder("tiny", 0))
    object.__setattr__(job, "tracker", tracker)

    def cut(epoch, score):
        raise CutError

    with pytest.raises(CutError):
        loop.train_fold(job, cut)
    loop.train_fold(job)
    trained = load_trained(job.folder / "weights.pt")
    assert trained.weights.keys() == untracked.weights.keys()
    assert all(torch.equal(trained.weights[name], value) for name, value in untracked.weights.items())

    tracked = tiny_hands.workspace.tracking_folder()
    said = capsys.readouterr().out
    assert said.count(str(tracked)) >= 2
    first, second = READERS[tracker](tracked)
    assert (first["name"], first["project"]) == ("tiny/fold0", "tiny_hands")
    assert (first["exit"], second["exit"]) == (1, 0)
    assert list(first["epochs"]) == [1, 2]
    history = pd.read_csv(job.folder / "history.csv")
    assert sorted(second["epochs"]) == [1, 2, 3, 4]
    for row in history.to_dict("records"):
        stored = second["epochs"][row["epoch"]]
        for name in ("loss", "lr", "seconds"):
            assert stored[name] == pytest.approx(row[name], rel=1e-12)
        assert ("score" in stored) == (row["epoch"] % 2 == 0)
    assert second["epochs"][4]["score"] == pytest.approx(trained.score, rel=1e-12)

    config = second["config"] if tracker == "mlflow" else tracking.flat(second["config"])
    assert str(config["settings.train.lr"]) == "0.003"
    assert config["identity.config_hash"] == experiment.hash()
    assert str(config["resumed_after_epoch"]) == "2"
    private = [b"hand0", b"hand9", b"person"]
    stored = [path.read_bytes() for path in tracked.rglob("*") if path.is_file()]
    assert stored
    assert not [name for name in private for content in stored if name in content]


@pytest.mark.parametrize("tracker", [needs("wandb"), needs("mlflow")])
def test_a_tracker_that_can_not_start_is_one_sentence(tracker, tiny_hands, experiment, monkeypatch, tmp_path):
    job = tiny_hands.job(experiment, tiny_hands.workspace.fold_folder("tiny", 0))
    object.__setattr__(job, "tracker", tracker)
    folder = tiny_hands.workspace.tracking_folder()
    folder.mkdir()
    if tracker == "mlflow":
        (folder / "mlflow.db").write_text("no database" * 100)
    else:
        monkeypatch.setenv("WANDB_MODE", "online")
        monkeypatch.delenv("WANDB_API_KEY", raising=False)
        monkeypatch.setenv("HOME", str(tmp_path))  # no key is stored there
    with pytest.raises(CompetitionError, match=rf"{tracker} can't track the training \(.*or train without --tracker"):
        loop.train_fold(job)


def test_an_unknown_mode_of_wandb_is_one_sentence(monkeypatch, refusal):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setenv("WANDB_MODE", "sometimes")
    said, _ = refusal("train", "--tracker", "wandb")
    assert said == "error: WANDB_MODE is 'sometimes'. Set it to offline or online.\n"


@pytest.mark.parametrize("tracker", list(tracking.TRACKERS))
def test_a_missing_package_is_answered_with_the_command_that_installs_it(tracker, monkeypatch, refusal):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    said, _ = refusal("train", "--tracker", tracker)
    sentence = f"--tracker {tracker} needs the package {tracker}, which is not installed. "
    assert said == f"error: {sentence}Run {sys.executable} -m pip install {tracker}.\n"


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([None], {}),
        ([0.5, None], {}),
        ([0.5, 0.7, 0.6], {"score": 0.6}),
        ([NAN, 0.7, NAN], {}),
    ],
)
def test_figures_are_those_of_the_last_epoch_that_are_numbers(scores, expected):
    history = [
        {"epoch": epoch, "loss": 1 / epoch} | ({} if score is None else {"score": score})
        for epoch, score in enumerate(scores, start=1)
    ]
    assert tracking.figures_of(history[-1]) == {"loss": 1 / len(scores)} | expected

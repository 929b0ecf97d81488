"""The search with a training that only pretends, and once with a real one."""

import math
import shlex
from dataclasses import replace
from types import SimpleNamespace

import pytest

from competition.data.folds import write_folds
from competition.data.manifest import write_manifest
from competition.errors import CompetitionError
from competition.runs import search as search_run
from competition.settings import Experiment, load_experiment
from competition.training.checkpoints import load_trained
from competition.training.loop import DivergedError
from pipelines import search, train
from pipelines.__main__ import build_parser

pytestmark = pytest.mark.slow

EPOCHS = 6


@pytest.fixture
def command(stage_on, tmp_path):
    """Runs the stage on a prepared data set with a settings file of the test's own."""

    def run(prepared, experiment, **options):
        path = tmp_path / "tiny.yaml"
        path.write_text(experiment.to_yaml())
        common = {"track": prepared.track.name, "experiment": path, "trials": 4}
        return stage_on(search, prepared, **common | options)

    return run


@pytest.fixture
def pretended(monkeypatch):
    """Training whose score is best at a rate of 3e-3, reached in even steps; notes the rate of every training."""
    rates = []

    def train_fold(job, on_score):
        rates.append(job.experiment.train.lr)
        job.folder.mkdir(parents=True, exist_ok=True)
        for name in ("last.pt", "weights.pt"):
            (job.folder / name).touch()
        best = 1 - abs(math.log10(job.experiment.train.lr / 3e-3)) / 4
        for epoch in range(1, job.experiment.train.epochs + 1):
            if epoch % job.experiment.train.validate_every == 0:
                on_score(epoch, best * epoch / job.experiment.train.epochs)
        return SimpleNamespace(score=best)

    monkeypatch.setattr(search_run, "train_fold", train_fold)
    return rates


def pretend(tiny_experiment):
    return tiny_experiment(train={"epochs": EPOCHS, "validate_every": EPOCHS, "lr": 1e-3})


RATE = ["train.lr=log:1e-5:1e-1"]


def test_the_first_trial_is_the_experiment_itself_and_the_best_is_better(
    command, tiny_hands, tiny_experiment, pretended
):
    figures = command(tiny_hands, pretend(tiny_experiment), space=RATE, trials=25)
    assert pretended[0] == 1e-3
    assert len(pretended) == figures["trials"] == len(figures["all"]) == 25
    assert figures["best"]["score"] > 0.95 > 1 - math.log10(3) / 4
    scores = [trial["score"] for trial in figures["all"] if trial["score"] is not None]
    assert figures["best"]["score"] == max(scores)
    assert figures["pruned"] == 25 - len(scores) > 0
    (setting,) = figures["best"]["settings"]
    assert abs(math.log10(float(setting.removeprefix("train.lr=")) / 3e-3)) < 0.2


def test_what_was_stopped_leaves_no_folder_and_the_rest_its_weights(command, tiny_hands, tiny_experiment, pretended):
    figures = command(tiny_hands, pretend(tiny_experiment), space=RATE, trials=12)
    folder = tiny_hands.workspace.root / "runs" / "tiny_hands" / "search"
    assert figures["pruned"] > 0
    assert len(list(folder.glob("tiny/*/weights.pt"))) == 12 - figures["pruned"]
    assert not list(folder.glob("tiny/*/last.pt"))  # with its optimizer it is three times as large
    assert (folder / "tiny.journal").is_file()


def test_only_trials_below_the_median_are_stopped(command, tiny_hands, tiny_experiment, pretended):
    figures = command(tiny_hands, pretend(tiny_experiment), space=RATE, trials=12)
    finals = [1 - abs(math.log10(rate / 3e-3)) / 4 for rate in pretended]
    for number, trial in enumerate(figures["all"]):
        # All pretend to grow evenly, so the median at an epoch is in proportion the median of the final scores.
        before = sorted(finals[:number])
        middle = len(before) // 2
        median = before[middle] if len(before) % 2 else sum(before[middle - 1 : middle + 1]) / 2 if before else 0
        assert (trial["score"] is None) == (number >= 4 and finals[number] < median)


def test_a_killed_search_goes_on_to_the_same_trials(command, tiny_hands, tiny_experiment, pretended, monkeypatch):
    experiment = pretend(tiny_experiment)
    whole = command(tiny_hands, experiment, space=RATE, trials=13, name="whole")
    rates, original = list(pretended), search_run.train_fold
    pretended.clear()

    def killed(job, on_score):
        if len(pretended) in (0, 5, 12) and not killed.now:
            killed.now = True
            raise KeyboardInterrupt
        killed.now = False
        return original(job, on_score)

    killed.now = False
    monkeypatch.setattr(search_run, "train_fold", killed)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            command(tiny_hands, experiment, space=RATE, trials=13, name="cut")
    figures = command(tiny_hands, experiment, space=RATE, trials=13, name="cut")
    assert pretended == rates
    assert figures["all"] == whole["all"]
    assert figures["best"] == whole["best"]


def test_more_trials_go_on_with_a_finished_search(command, tiny_hands, tiny_experiment, pretended, capsys):
    experiment = pretend(tiny_experiment)
    first = command(tiny_hands, experiment, space=RATE, trials=3)
    assert command(tiny_hands, experiment, space=RATE, trials=2) == first
    assert len(pretended) == 3
    capsys.readouterr()
    assert command(tiny_hands, experiment, space=RATE, trials=5)["all"][:3] == first["all"]
    assert "resumed after 3 trials" in capsys.readouterr().out
    assert len(pretended) == 5


def test_a_trial_whose_loss_leaves_the_numbers_is_one_that_was_stopped(
    command, tiny_hands, tiny_experiment, pretended, monkeypatch
):
    original = search_run.train_fold

    def diverging(job, on_score):
        if len(pretended) < 2:
            pretended.append(0.0)
            job.folder.mkdir(parents=True)
            raise DivergedError("the loss became nan")
        return original(job, on_score)

    monkeypatch.setattr(search_run, "train_fold", diverging)
    with pytest.raises(CompetitionError, match=r"none of 2 trials was trained to its end: .*tiny\.journal"):
        command(tiny_hands, pretend(tiny_experiment), space=RATE, trials=2)
    figures = command(tiny_hands, pretend(tiny_experiment), space=RATE, trials=4)
    assert [trial["score"] is None for trial in figures["all"]] == [True, True, False, False]
    assert len(list(tiny_hands.workspace.trial_folder("tiny", "x").parent.glob("*/"))) == 2


@pytest.mark.parametrize(
    "error", [ValueError("Expected more than 1 value"), RuntimeError("sizes\nof tensors"), CompetitionError("no room")]
)
def test_a_trial_that_fails_by_itself_is_not_run_again(
    command, tiny_hands, tiny_experiment, pretended, monkeypatch, capsys, error
):
    original = search_run.train_fold

    def failing(job, on_score):
        if job.experiment.train.batch_size == 1:
            pretended.append(0.0)
            job.folder.mkdir(parents=True)
            raise error
        return original(job, on_score)

    monkeypatch.setattr(search_run, "train_fold", failing)
    space = [*RATE, "train.batch_size=1|2"]
    figures = command(tiny_hands, pretend(tiny_experiment), space=space, trials=8)
    said = capsys.readouterr().out
    single = ["train.batch_size=1" in trial["settings"] for trial in figures["all"]]
    assert figures["failed"] == sum(single) == said.count(f"failed: {' '.join(str(error).split())}") > 0
    assert all(trial["score"] is None for trial, one in zip(figures["all"], single, strict=True) if one)
    trained = len(pretended)
    assert command(tiny_hands, pretend(tiny_experiment), space=space, trials=8) == figures
    assert len(pretended) == trained
    kept = list(tiny_hands.workspace.trial_folder("tiny", "x").parent.glob("*/"))
    assert len(kept) == 8 - figures["failed"] - figures["pruned"]


def test_a_search_in_which_all_trials_fail_says_why(command, tiny_hands, tiny_experiment, monkeypatch):
    def failing(job, on_score):
        raise ValueError("one pixel only")

    monkeypatch.setattr(search_run, "train_fold", failing)
    with pytest.raises(CompetitionError, match=r"none of 2 trials .*\(the last failed: one pixel only\)"):
        command(tiny_hands, pretend(tiny_experiment), space=RATE, trials=2)


@pytest.mark.parametrize("lost", [False, True])
def test_a_full_disk_or_a_lost_gpu_ends_the_search_and_its_trial_is_run_again(
    command, tiny_hands, tiny_experiment, pretended, monkeypatch, lost
):
    def fail(job, on_score):
        if lost:
            raise RuntimeError("CUDA error: an illegal memory access was encountered")
        raise CompetitionError("can't write") from OSError("no space left")

    original = search_run.train_fold
    monkeypatch.setattr(search_run, "train_fold", fail)
    monkeypatch.setattr(search_run, "gpu_answers", lambda: not lost)
    with pytest.raises(CompetitionError, match="the GPU does not answer" if lost else "can't write"):
        command(tiny_hands, pretend(tiny_experiment), space=RATE, trials=3)
    monkeypatch.setattr(search_run, "train_fold", original)
    assert command(tiny_hands, pretend(tiny_experiment), space=RATE, trials=3)["failed"] == 0
    assert pretended[0] == 1e-3


def test_settings_that_do_not_go_together_fail_as_a_trial(command, tiny_hands, tiny_experiment, pretended, capsys):
    space = ["data.size=16|32", "data.crop=16|32"]
    figures = command(tiny_hands, pretend(tiny_experiment), space=space, trials=12)
    assert "failed: settings: Value error, data.crop 32 is larger than data.size 16" in capsys.readouterr().out
    assert figures["failed"] > 0
    assert figures["best"]["score"] > 0


def test_settings_drawn_twice_are_trained_once(command, tiny_hands, tiny_experiment, pretended):
    figures = command(tiny_hands, pretend(tiny_experiment), space=["train.batch_size=2|4"], trials=6)
    assert len(pretended) == len({tuple(trial["settings"]) for trial in figures["all"]}) == 2
    assert len({trial["score"] for trial in figures["all"]}) == 1


def test_the_printed_command_trains_the_best_settings(command, tiny_hands, tiny_experiment, pretended, tmp_path):
    space = [*RATE, "data.size=32|48"]
    figures = command(tiny_hands, pretend(tiny_experiment), space=space, trials=6, set=["train.momentum=0.5"])
    words = shlex.split(figures["command"])
    assert words[:2] == ["./run.sh", "train"]
    args = build_parser("train", train).parse_args(words[2:])
    experiment = load_experiment(tmp_path / "tiny.yaml", args.set)
    assert (args.track, args.name) == ("tiny_hands", "tiny_best")
    assert args.set == ["train.momentum=0.5", *figures["best"]["settings"]]
    assert experiment.train.momentum == 0.5
    best = 1 - abs(math.log10(experiment.train.lr / 3e-3)) / 4
    assert figures["best"]["score"] == pytest.approx(best)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"space": ["train.lrr=0.1:0.2"]}, r"unknown key 'train\.lrr', did you mean 'train.lr'"),
        ({"space": ["trian.lr=0.1:0.2"]}, "unknown key 'trian', did you mean 'train'"),
        ({"space": ["train.lr=-1:0.2"]}, r"train\.lr.*given: -1.*: --space, at its end train\.lr=-1"),
        ({"space": ["train.loss=bce|bse"]}, "unknown loss 'bse'"),
        ({"space": ["predict.views=[identity]|[hfilp]"]}, "unknown view 'hfilp'"),
        ({"space": ["train.lr=0.1"]}, "--space takes"),
        ({"space": RATE, "set": ["train.lr=0.1"]}, r"train\.lr is given by both --set and --space"),
        ({"fold": 2}, r"there is no fold 2; the folds are 0\.\.1"),
        ({"fold": -1}, r"there is no fold -1"),
        ({"trials": 0}, "--trials 0: at least one trial is required"),
        ({"name": "a@b"}, "a run can't be called 'a@b'"),
    ],
)
def test_mistakes_are_found_before_anything_is_trained(
    command, tiny_hands, tiny_experiment, pretended, options, sentence
):
    with pytest.raises(CompetitionError, match=sentence):
        command(tiny_hands, pretend(tiny_experiment), **options)
    assert not pretended
    assert not (tiny_hands.workspace.root / "runs").exists()


def test_scores_of_other_data_settings_or_spaces_are_not_compared(command, tiny_hands, tiny_experiment, pretended):
    command(tiny_hands, pretend(tiny_experiment), space=RATE, trials=1)
    for options, what in (
        ({"fold": 1}, "fold"),
        ({"set": ["data.size=48"]}, "experiment"),
        ({"space": ["train.lr=log:1e-5:1e-2"]}, "space"),
    ):
        with pytest.raises(CompetitionError, match=rf"made for another {what} .*Give another --name"):
            command(tiny_hands, pretend(tiny_experiment), **{"space": RATE, "trials": 2} | options)
    write_folds(tiny_hands.workspace.fold_file(), tiny_hands.folds.fold_of | {"person0": 1}, "moved by hand")
    with pytest.raises(CompetitionError, match="made for another fold file"):
        command(tiny_hands, pretend(tiny_experiment), space=RATE, trials=2)
    assert len(pretended) == 1


def test_a_fold_without_any_class_is_refused(command, tiny_hands, tiny_experiment, pretended):
    first, *others = tiny_hands.track.classes
    held_out = [group for group, fold in tiny_hands.folds.fold_of.items() if fold == 1]
    entries = [
        replace(entry, areas=(0, *entry.areas[1:])) if entry.group in held_out else entry
        for entry in tiny_hands.manifest.entries
    ]
    write_manifest(tiny_hands.workspace, tiny_hands.track, replace(tiny_hands.manifest, entries=tuple(entries)))
    narrowed = pretend(tiny_experiment).model_dump()
    experiments = [
        Experiment.model_validate(narrowed | {"data": narrowed["data"] | {"classes": names}})
        for names in ([first], others)
    ]
    with pytest.raises(CompetitionError, match="fold 1 holds out images without any class, which have no Dice"):
        command(tiny_hands, experiments[0], fold=1, space=RATE)
    assert not pretended
    command(tiny_hands, experiments[1], fold=1, space=RATE, trials=1)
    assert len(pretended) == 1


def test_a_fold_without_a_score_is_refused(command, tiny_patients, tiny_experiment, pretended):
    healthy = {"0": 1, "1": 1, "4": 1, "5": 1, "2": 0, "3": 0, "6": 0, "7": 0}
    write_folds(tiny_patients.workspace.fold_file(), healthy, "made for a test")
    with pytest.raises(CompetitionError, match="fold 1 holds out samples of one kind only"):
        command(tiny_patients, tiny_experiment(multiview=True), fold=1)
    assert not pretended


def test_the_score_of_a_real_trial_is_that_of_the_training_it_recommends(
    command, stage_on, tiny_hands, tiny_experiment
):
    experiment = tiny_experiment(train={"epochs": 2, "validate_every": 1}, model={"prior": 0.3})
    figures = command(tiny_hands, experiment, space=["train.lr=log:1e-3:1e-1"], trials=2)
    assert figures["all"][0]["settings"] == ["train.lr=0.001"]
    stage_on(train, tiny_hands, *shlex.split(figures["command"])[2:], "--fold", "0")
    trained = load_trained(tiny_hands.workspace.fold_folder("tiny_best", 0) / "weights.pt")
    assert trained.score == figures["best"]["score"]


def test_all_trials_compute_in_one_precision_whatever_a_timing_says(
    command, tiny_hands, tiny_experiment, monkeypatch, capsys
):
    timed = []

    def choose_precision(wanted, device, time_of):
        timed.append(wanted)
        return ("bf16", "timed") if len(timed) == 1 else ("fp32", "timed")

    monkeypatch.setattr("competition.training.state.choose_precision", choose_precision)
    experiment = tiny_experiment(train={"epochs": 1, "precision": "auto"})
    command(tiny_hands, experiment, space=["train.lr=log:1e-3:1e-1"], trials=3)
    assert timed == ["auto"]
    assert capsys.readouterr().out.count("precision bf16, as in the rest of the run") == 2

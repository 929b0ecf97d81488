"""Contests: what a declaration may say, what the figures are, and a small one from drawing to table."""

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from competition.data.cache import read_label_planes
from competition.ensembling.evidence import figure_of, paired_difference
from competition.ensembling.histograms import image_histogram, save_histograms
from competition.ensembling.members import open_member
from competition.ensembling.report_rules import decide_as_the_report
from competition.errors import CompetitionError
from competition.imaging.planes import unpack_planes
from competition.metrics import auroc, score_aneurysm
from competition.prediction.probability_maps import read_scores, write_map
from competition.workspace import out_of_fold_folder
from pipelines import one_fold, train
from pipelines.__main__ import main
from pipelines.contest_declaration import contest_names, find_contest, load_contestants
from pipelines.contest_figures import (
    accuracy_figure,
    auroc_figure,
    ceiling_figure,
    cells_figure,
    dice_figure,
    index_and_ring_figure,
)
from pipelines.one_fold import Run, train_one

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


def on_all(figure, run, rule="ours"):
    """A figure of all training samples."""
    return figure(run, rule, run.manifest.of("train"))


def make_run(prepared, experiment, name):
    return Run(name, prepared.track, prepared.workspace, experiment, prepared.manifest, prepared.folds)


# What a declaration may say.


@pytest.mark.parametrize("name", contest_names())
def test_every_contest_is_fair_and_asks_a_question(name):
    found, contest = find_contest(name)
    assert found == name
    assert contest.question.endswith("?")
    experiments = load_contestants(contest)
    assert len(experiments) >= 2
    assert not any(each.model.pretrained for each in experiments.values())
    if contest.phantom is not None:
        networks = [each for key, each in experiments.items() if contest.contestants[key].learns]
        assert len({(each.train.epochs, each.train.repeats, each.train.seed) for each in networks}) == 1
        # Weights that are chosen at the last epoch are not chosen on what they are scored on.
        assert all(each.train.validate_every >= each.train.epochs for each in experiments.values())


def test_soft_and_nearest_targets_differ_in_nothing_else():
    nearest, soft = load_contestants(find_contest("soft_targets")[1]).values()
    assert (nearest.data.oversample, soft.data.oversample) == (1, 4)
    assert nearest == soft.model_copy(update={"data": soft.data.model_copy(update={"oversample": 1})})


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        (
            "question: Does a smaller rate find the knee as soon?\n",
            "",
            "question: Field required (keys are question, tr",
        ),
        (
            "people: 4, ",
            "people: 4, colour: red, ",
            "phantom.colour: Extra inputs are not permitted (keys are people, s",
        ),
        ("people: 4", "people: 0", "phantom.people: Input should be greater than 0"),
        ("set: [train.lr=1e-5]", "sets: []", "contestants.small.sets: Extra inputs are not permitted (keys are exper"),
        ("  small:", "  large:", "contestants: Dictionary should have at least 2 items"),
        ("track: knee", "track: kne", "unknown track 'kne', did you mean 'knee'?"),
        ("track: knee", "track: knee\nfolds: 1", "folds: Input should be greater than or equal to 2"),
        ("[ceiling]", "[cells]", "unknown column 'cells' beside dice, did you mean 'ceiling'?"),
        ("set: [train.lr=1e-5]", "rule: report", "small: rule decides locations of patients, and knee has masks"),
        ("question:", "question: [", "not valid YAML ("),
        (CONTEST, "knee", "contest: Input should be a valid dictionary"),
    ],
)
def test_what_a_contest_can_not_say_is_one_sentence(tmp_path, old, new, sentence):
    path = tmp_path / "mine.yaml"
    path.write_text(CONTEST.replace(old, new).replace("{{", "{").replace("}}", "}").replace("{net}", "quick"))
    with pytest.raises(CompetitionError) as caught:
        find_contest(str(path))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_track_without_drawn_data_is_refused(tmp_path):
    (tmp_path / "own.yaml").write_text(
        "classes: [disc]\ntrain: a/*.png\nmasks: b/{stem}.png\ntest: c/*.png\ngroup: '(.+)'\n"
    )
    path = tmp_path / "mine.yaml"
    path.write_text(CONTEST.format(net="quick").replace("track: knee", f"track: {tmp_path / 'own.yaml'}"))
    with pytest.raises(CompetitionError, match=r"track own has no drawn data \(only hand_bone.*mine\.yaml"):
        find_contest(str(path))


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("train.epochs=2", r"large and small differ in train\.epochs \(1 and 2\), so the contest is not fair"),
        ("train.seed=1", r"differ in train\.seed \(0 and 1\)"),
        ("train.epoch=1", "unknown key 'train.epoch', did you mean 'train.epochs'"),
    ],
)
def test_contestants_learn_equally_long(tmp_path, setting, sentence):
    (tmp_path / "net.yaml").write_text(NET)
    path = tmp_path / "mine.yaml"
    path.write_text(CONTEST.format(net=tmp_path / "net.yaml").replace("train.lr=1e-5", setting))
    with pytest.raises(CompetitionError, match=sentence):
        load_contestants(find_contest(str(path))[1])


def test_an_unknown_or_missing_contest_is_named(refusal, tmp_path):
    assert "unknown contest 'soft', did you mean 'soft_targets'?" in refusal("contest", "soft")[0]
    assert "no such contest: " in refusal("contest", tmp_path / "absent.yaml")[0]


def test_without_a_name_the_questions_are_listed(stage):
    figures, said = stage("contest")
    assert set(figures["contests"]) == set(contest_names()) >= {"soft_targets", "unet3plus", "aneurysm_report"}
    assert all(name in said and question in said for name, question in figures["contests"].items())


# The figures, against dense arrays.


@pytest.fixture(scope="module")
def drawn_maps(shared_hands, tiny_experiment):
    """Two runs with random maps; gives runs and, in the manifest's order, masks and maps of all images."""
    random = np.random.default_rng(0)
    entries, runs, maps = shared_hands.train(), [], []
    truth = [
        unpack_planes(read_label_planes(shared_hands.workspace, shared_hands.track, entry.sample), 3)
        for entry in entries
    ]
    for name, noise in (("one", 0.9), ("two", 0.3)):
        run = make_run(shared_hands, tiny_experiment(), name)
        levels = {
            entry.sample: np.where(random.random(mask.shape) < noise, random.integers(0, 256, mask.shape), 255 * mask)
            for entry, mask in zip(entries, truth, strict=True)
        }
        maps.append([levels[entry.sample].astype(np.uint8) for entry in entries])
        for fold in range(2):
            samples = [entry.sample for entry in run.held_out(fold)]
            planes = [read_label_planes(run.workspace, run.track, sample) for sample in samples]
            counts = [
                image_histogram(levels[sample].astype(np.uint8), plane)
                for sample, plane in zip(samples, planes, strict=True)
            ]
            save_histograms(out_of_fold_folder(run.folder(fold)) / "histograms.npz", samples, np.stack(counts))
        runs.append(run)
    return runs, truth, maps


def dense_dice(mask, decided):
    total = mask.sum(axis=(1, 2)) + decided.sum(axis=(1, 2))
    both = (mask & decided).sum(axis=(1, 2))
    return np.where(total == 0, 1.0, 2 * both / np.maximum(total, 1)).mean()


def test_dice_and_pixel_accuracy_are_those_of_dense_masks(drawn_maps):
    runs, truth, maps = drawn_maps
    for run, levels in zip(runs, maps, strict=True):
        pairs = list(zip(truth, [each >= 128 for each in levels], strict=True))
        dice = np.mean([dense_dice(mask, decided) for mask, decided in pairs])
        right = np.mean([(mask == decided).mean() for mask, decided in pairs])
        assert figure_of(on_all(dice_figure, run), len(truth)) == pytest.approx(dice, abs=1e-12)
        assert figure_of(on_all(accuracy_figure, run), len(truth)) == pytest.approx(right, abs=1e-12)


def test_the_difference_is_taken_image_by_image_and_drawn_person_by_person(drawn_maps):
    (one, two), truth, maps = drawn_maps
    scores = [[dense_dice(mask, each >= 128) for mask, each in zip(truth, levels, strict=True)] for levels in maps]
    differences = np.array(scores[1]) - np.array(scores[0])
    people = [entry.group for entry in one.manifest.of("train")]
    names = sorted(set(people))
    random, means = np.random.default_rng(7), []
    for draw in random.integers(len(names), size=(400, len(names))):
        rows = [row for pick in draw for row, person in enumerate(people) if person == names[pick]]
        means.append(differences[rows].mean())
    found = paired_difference(on_all(dice_figure, two), on_all(dice_figure, one), people, seed=7, draws=400)
    assert found.value == pytest.approx(differences.mean(), abs=1e-12)
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(means, (0.025, 0.975))), abs=1e-12)
    assert 0 < found.low < found.value < found.high


def test_an_image_that_no_fold_predicted_is_an_error(drawn_maps):
    run = drawn_maps[0][0]
    with pytest.raises(CompetitionError, match="of 10 images have no out-of-fold prediction"):
        on_all(dice_figure, replace(run, folds=replace(run.folds, fold_of=dict.fromkeys(run.folds.fold_of, 0))))


FINGERS = tuple(f"finger-{number}" for number in (4, 5, 12, 6, 7, 13, 14, 15))


def test_pixels_called_index_and_ring_at_once_are_a_share_of_the_index_bones(tiny_hands, tiny_experiment):
    """The disc and the square are bones of an index finger, the bar is one of a ring finger; the others are empty."""
    run = make_run(replace(tiny_hands, track=replace(tiny_hands.track, classes=FINGERS)), tiny_experiment(), "any")
    expected = []
    for number, entry in enumerate(tiny_hands.train()):
        disc, square, _ = unpack_planes(read_label_planes(run.workspace, tiny_hands.track, entry.sample), 3)
        levels = np.zeros((8, entry.height, entry.width), np.uint8)
        levels[0], levels[1] = 200 * disc, 200 * square
        levels[5, : entry.height // 2] = 128  # the upper half is also called a bone of the ring finger
        levels[6, entry.height // 2 :] = 127  # not at 0.5
        levels[7, :5] = 255  # a second ring bone on the same pixels counts once
        if number % 2:
            levels[5:] = 0
        both = (disc | square)[: entry.height // 2] if number % 2 == 0 else np.zeros(1)
        expected.append(both.sum() / (disc | square).sum())
        write_map(out_of_fold_folder(run.folder(run.folds.fold_of[entry.group])), entry.sample, levels)
    assert 0.1 < max(expected) < 1
    found = on_all(index_and_ring_figure, run)(np.eye(len(expected), dtype=int))
    np.testing.assert_allclose(found, expected, atol=1e-12)


def test_a_track_without_fingers_has_no_such_column(shared_hands, tiny_experiment):
    with pytest.raises(CompetitionError, match="track tiny_hands has no index and ring finger"):
        on_all(index_and_ring_figure, make_run(shared_hands, tiny_experiment(), "any"))


@pytest.mark.parametrize("oversample", [1, 2])
def test_the_ceiling_is_what_the_targets_themselves_would_score(shared_hands, tiny_experiment, oversample):
    """64x64 masks on a grid of 32: every second pixel, or means of 2x2, enlarged again by OpenCV."""
    even = [entry for entry in shared_hands.train() if entry.height == 64]
    manifest = replace(shared_hands.manifest, entries=tuple(even))
    run = make_run(replace(shared_hands, manifest=manifest), tiny_experiment(data={"oversample": oversample}), "any")
    scores = []
    for entry in even:
        mask = unpack_planes(read_label_planes(run.workspace, run.track, entry.sample), 3)
        blocks = mask.reshape(3, 32, 2, 32, 2)
        small = blocks[:, :, 1, :, 1].astype(float) if oversample == 1 else blocks.mean(axis=(2, 4))
        native = np.stack([cv2.resize(each, (64, 64), interpolation=cv2.INTER_LINEAR) for each in small])
        scores.append(dense_dice(mask, np.round(native, 9) > 0.5))
    assert figure_of(on_all(ceiling_figure, run), len(even)) == pytest.approx(np.mean(scores), abs=1e-12)


def test_labels_are_soft_too_where_the_grid_is_no_whole_part_of_the_image(shared_hands, tiny_experiment):
    """64 pixels on a grid of 48, as 2048 on 1536: labels at 96 are as fine as the image, so nothing of them is lost."""
    even = [entry for entry in shared_hands.train() if entry.height == 64]
    here = replace(shared_hands, manifest=replace(shared_hands.manifest, entries=tuple(even)))
    nearest, soft = (
        figure_of(on_all(ceiling_figure, make_run(here, tiny_experiment(data={"size": 48, "oversample": k}), "any")), 5)
        for k in (1, 4)
    )
    assert nearest < 0.99 < soft


def test_the_targets_of_an_image_that_is_not_square_lie_where_its_labels_do(shared_hands, tiny_experiment):
    uneven = [entry for entry in shared_hands.train() if entry.height != entry.width]
    manifest = replace(shared_hands.manifest, entries=tuple(uneven))
    nearest, soft = (
        on_all(
            ceiling_figure,
            make_run(
                replace(shared_hands, manifest=manifest), tiny_experiment(data={"size": 30, "oversample": k}), "any"
            ),
            "ours",
        )(np.eye(len(uneven), dtype=int))
        for k in (1, 2)
    )
    assert len(uneven) == 5
    assert (nearest > 0.9).all()
    assert (soft > nearest).all()


@pytest.fixture(scope="module")
def patients(shared_patients, tiny_experiment):
    run = make_run(shared_patients, tiny_experiment(multiview=True, model={"encoder": "test_resnet"}), "patients")
    for fold in (0, 1):
        train_one(run, fold, force=False)
    return run


def test_patients_are_ranked_by_their_score_and_their_cells_are_counted(patients):
    entries = patients.manifest.of("train")
    truth = np.array([entry.targets for entry in entries])
    probs = np.array(
        [
            read_scores(
                out_of_fold_folder(patients.folder(patients.folds.fold_of[entry.group])),
                [entry.sample],
                patients.track.classes,
            )[0]
            for entry in entries
        ]
    )
    for rule in ("ours", "report"):
        assert figure_of(on_all(auroc_figure, patients, rule), len(entries)) == auroc(truth[:, 0], probs[:, 0])
    member = open_member(patients.workspace, patients.folds, entries, "patients", None)
    table = decide_as_the_report(patients.track, patients.workspace, patients.folds, member, entries, entries)
    cells = on_all(cells_figure, patients, "report")
    assert figure_of(cells, len(entries)) == score_aneurysm(truth, table).cells_gained
    each = (truth[:, 1:] - np.abs(truth[:, 1:] - table[:, 1:])).sum(axis=1)
    assert each.any()
    assert cells(np.eye(len(entries), dtype=int)).tolist() == each.tolist()
    # With two folds nothing can be shown on the one that is left, so ours says "never" and gains nothing.
    assert figure_of(on_all(cells_figure, patients), len(entries)) == 0


def test_patients_of_one_kind_have_no_auroc(patients):
    healthy = tuple(replace(entry, targets=(0, 0, 0)) for entry in patients.manifest.entries)
    manifest = replace(patients.manifest, entries=healthy)
    with pytest.raises(CompetitionError, match="one kind"):
        on_all(auroc_figure, replace(patients, manifest=manifest))


# One small contest, from drawing to table.


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

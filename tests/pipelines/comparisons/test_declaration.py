"""Valid and invalid YAML files of comparisons, and the shipped ones."""

import pytest

from competition.errors import CompetitionError
from pipelines.comparisons.declaration import comparison_names, find_comparison, load_recipes

COMPARISON = """\
question: Does a smaller rate find the knee as soon?
track: knee
phantom: {people: 4, size: 64}
set: [train.epochs=1]
columns: [attainable_dice]
recipes:
  large: {experiment: quick}
  small: {experiment: quick, set: [train.lr=1e-5]}
"""


@pytest.mark.parametrize("name", comparison_names())
def test_every_comparison_is_fair_and_asks_a_question(name):
    found, comparison = find_comparison(name)
    assert found == name
    assert comparison.question.endswith("?")
    experiments = load_recipes(comparison)
    assert len(experiments) >= 2
    assert not any(each.model.pretrained for each in experiments.values())
    if comparison.phantom is not None:
        networks = [each for key, each in experiments.items() if comparison.recipes[key].learns]
        assert len({(each.train.epochs, each.train.repeats, each.train.seed) for each in networks}) == 1
        # Weights that are chosen at the last epoch are not chosen on what they are scored on.
        assert all(each.train.validate_every >= each.train.epochs for each in experiments.values())


def test_a_column_may_have_its_former_name(tmp_path):
    (tmp_path / "mine.yaml").write_text(COMPARISON.replace("attainable_dice", "ceiling"))
    assert find_comparison(str(tmp_path / "mine.yaml"))[1].columns == ("attainable_dice",)


def test_soft_and_nearest_targets_differ_in_nothing_else():
    nearest, soft = load_recipes(find_comparison("soft_targets")[1]).values()
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
        ("set: [train.lr=1e-5]", "sets: []", "recipes.small.sets: Extra inputs are not permitted (keys are exper"),
        ("  large: {experiment: quick}\n", "", "recipes: Dictionary should have at least 2 items"),
        ("  small:", "  large:", "key 'large' appears twice"),
        ("track: knee", "track: kne", "unknown track 'kne', did you mean 'knee'?"),
        ("track: knee", "track: knee\nfolds: 1", "folds: Input should be greater than or equal to 2"),
        (
            "[attainable_dice]",
            "[attainable]",
            "unknown column 'attainable' beside dice, did you mean 'attainable_dice'?",
        ),
        (
            "set: [train.lr=1e-5]",
            "rule: report",
            "small: rule is for locations of patients, which track knee",
        ),
        ("question:", "question: [", "not valid YAML ("),
        (COMPARISON, "knee", "comparison: Input should be a valid dictionary"),
    ],
)
def test_what_a_comparison_can_not_say_is_one_sentence(tmp_path, old, new, sentence):
    path = tmp_path / "mine.yaml"
    path.write_text(COMPARISON.replace(old, new))
    with pytest.raises(CompetitionError) as caught:
        find_comparison(str(path))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_track_without_drawn_data_is_refused(tmp_path):
    (tmp_path / "own.yaml").write_text(
        "classes: [disc]\ntrain: a/*.png\nmasks: b/{stem}.png\ntest: c/*.png\ngroup: '(.+)'\n"
    )
    path = tmp_path / "mine.yaml"
    path.write_text(COMPARISON.replace("track: knee", f"track: {tmp_path / 'own.yaml'}"))
    with pytest.raises(CompetitionError, match=r"track own has no synthetic data \(only hand_bone.*mine\.yaml"):
        find_comparison(str(path))


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("train.epochs=2", r"large and small differ in train\.epochs \(1 and 2\), so the comparison is not fair"),
        ("train.seed=1", r"differ in train\.seed \(0 and 1\)"),
        ("train.epoch=1", "unknown key 'train.epoch', did you mean 'train.epochs'"),
    ],
)
def test_recipes_learn_equally_long(tmp_path, setting, sentence):
    path = tmp_path / "mine.yaml"
    path.write_text(COMPARISON.replace("train.lr=1e-5", setting))
    with pytest.raises(CompetitionError, match=sentence):
        load_recipes(find_comparison(str(path))[1])


@pytest.mark.parametrize(
    ("old", "new"),
    [("set: [train.lr=1e-5]", "learns: false, set: [train.lr=1e-5]"), ("phantom: {people: 4, size: 64}", "")],
)
def test_rules_without_a_network_and_recipes_on_prepared_data_may_differ(tmp_path, old, new):
    path = tmp_path / "mine.yaml"
    path.write_text(COMPARISON.replace(old, new).replace("train.lr=1e-5", "train.epochs=7"))
    large, small = load_recipes(find_comparison(str(path))[1]).values()
    assert (large.train.epochs, small.train.epochs) == (1, 7)


def test_an_unknown_or_missing_comparison_is_named(refusal, tmp_path):
    assert "unknown comparison 'soft', did you mean 'soft_targets'?" in refusal("comparison", "soft")[0]
    assert "no such comparison: " in refusal("comparison", tmp_path / "absent.yaml")[0]


def test_without_a_name_the_questions_are_listed(stage):
    figures, said = stage("comparison")
    assert set(figures["comparisons"]) == set(comparison_names()) >= {"soft_targets", "unet3plus", "aneurysm_report"}
    assert all(name in said and question in said for name, question in figures["comparisons"].items())

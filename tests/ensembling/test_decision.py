import json

import pytest

from competition.ensembling.decision import Decision, Scores, WeightedMember, load_decision, save_decision
from competition.errors import CompetitionError

SCORES = Scores(fold_mean=0.9, fold_sd=None, oof=0.92, oof_crossfit=0.91, interval_low=0.9, interval_high=0.92)


def member(name="a", weight=1000, fold_hash="f"):
    return WeightedMember(name=name, folds=(0, 1), weight=weight, config_hash="c", fold_hash=fold_hash)


def content(**changes):
    """A whole decision of two classes as a dictionary, some of it changed."""
    decision = {
        "track": "cardiac",
        "dataset": "cardiac",
        "task": "segmentation",
        "classes": ["lv", "rv"],
        "members": [member("a", 400).model_dump(mode="json"), member("b", 600).model_dump(mode="json")],
        "levels": {"rv": 101, "lv": 127},
        "thresholds": {"lv": 0.5, "rv": 101.5 / 255},
        "operations": {"lv": "surest", "rv": "none"},
        "scores": SCORES.model_dump(mode="json"),
        "coverage": 12,
        "reason": "equal weights kept",
    }
    return {**decision, **changes}


def test_a_decision_comes_back_as_it_was_written(tmp_path):
    decision = Decision.model_validate(content())
    path = tmp_path / "ensembles" / "one" / "decision.json"
    save_decision(path, decision)
    read = load_decision(path)
    assert read == decision
    assert read.created.tzinfo is not None
    assert read.weights() == [400, 600]
    # In the order of the classes, whatever the order in the file.
    assert read.level_array().tolist() == [127, 101]
    assert read.operation_list() == ["surest", "none"]


@pytest.mark.parametrize(
    "text",
    [
        '{"a": ' * 100_000,
        json.dumps(content()).replace('"lv"', '"lv\\ud800"'),
        json.dumps(content(operations={"lv\ud800": "none", "rv": "none"})),
        json.dumps(content()).replace("400", "4" * 5000),
        json.dumps(content()).replace("400", "1e400"),
        json.dumps(content(track="x" * 10**6, created="x" * 10**6)),
    ],
)
def test_what_is_no_decision_is_one_short_sentence(tmp_path, text):
    path = tmp_path / "decision.json"
    path.write_text(text)
    with pytest.raises(CompetitionError, match=r"Run \./run\.sh tune\.$") as caught:
        load_decision(path)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize("name", ["../quick", "/tmp/x", "..", "a\nb", "search", "quick@x", "quick@²", "=1"])
def test_a_member_of_a_decision_is_no_path(tmp_path, name):
    path = tmp_path / "decision.json"
    path.write_text(json.dumps(content(members=[member().model_dump(mode="json") | {"name": name}])))
    with pytest.raises(CompetitionError, match=r"members\.0\.name: .*is not the name of a"):
        load_decision(path)


def test_a_classification_has_thresholds_of_some_classes(tmp_path):
    decision = Decision.model_validate(
        content(
            task="classification", classes=["Aneurysm", "L_ICA"], levels={}, operations={}, thresholds={"L_ICA": 1.0}
        )
    )
    save_decision(tmp_path / "decision.json", decision)
    assert load_decision(tmp_path / "decision.json").thresholds == {"L_ICA": 1.0}


@pytest.mark.parametrize("gate", [None, 0.25])
def test_a_classification_may_have_a_gate_and_a_segmentation_not(tmp_path, gate):
    patients = content(task="classification", classes=["a", "b"], levels={}, operations={}, thresholds={}, gate=gate)
    save_decision(tmp_path / "decision.json", Decision.model_validate(patients))
    assert load_decision(tmp_path / "decision.json").gate == gate
    with pytest.raises(ValueError, match="no gate"):
        Decision.model_validate(content(gate=0.5))


@pytest.mark.parametrize("rule", ["mean", "logit", "rank"])
def test_a_classification_keeps_how_its_members_become_one(tmp_path, rule):
    patients = content(task="classification", classes=["a", "b"], levels={}, operations={}, thresholds={}, combine=rule)
    save_decision(tmp_path / "decision.json", Decision.model_validate(patients))
    assert load_decision(tmp_path / "decision.json").combine == rule


def test_a_decision_from_before_there_were_rules_means_the_mean():
    assert "combine" not in content()
    assert Decision.model_validate(content()).combine == "mean"


@pytest.mark.parametrize("rule", ["logit", "rank"])
def test_maps_are_combined_by_their_mean_only(rule):
    assert Decision.model_validate(content(combine="mean")).combine == "mean"
    with pytest.raises(ValueError, match=f"mean of its maps, not by '{rule}'"):
        Decision.model_validate(content(combine=rule))


def test_levels_of_a_decision_before_version_0_2_are_read(tmp_path):
    older = content()
    older["cuts"] = older.pop("levels")
    save_decision(tmp_path / "new.json", Decision.model_validate(older))
    assert load_decision(tmp_path / "new.json").levels == {"rv": 101, "lv": 127}
    assert "cuts" not in (tmp_path / "new.json").read_text()


def test_a_missing_decision_says_what_makes_it(tmp_path):
    with pytest.raises(CompetitionError, match=r"decision\.json\. Run \./run\.sh tune"):
        load_decision(tmp_path / "decision.json")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"members": [member("a", 400).model_dump(mode="json")]}, "sum to 1000"),
        ({"members": []}, "members"),
        ({"members": [member("a", 400).model_dump(), member("b", 600, "other").model_dump()]}, "different fold files"),
        ({"levels": {"lv": 127}}, "levels and classes differ in rv"),
        ({"levels": {"lv": 127, "rv": 255}}, r"levels\.rv"),
        ({"thresholds": {"lv": 0.5, "rv": 0.5}}, r"\(level \+ 0.5\) / 255"),
        ({"thresholds": {"lv": 0.5, "rv": 0.4, "la": 0.5}}, "thresholds and classes differ in la"),
        ({"operations": {"lv": "surest", "rv": "melt"}}, "melt"),
        ({"task": "classification"}, "no levels"),
        ({"temperature": 2}, "temperature"),
        ({"combine": "median"}, "combine"),
        ({"created": "2024-01-01T00:00:00"}, "created"),
        ({"coverage": -1}, "coverage"),
    ],
)
def test_a_foreign_decision_is_refused_and_named(tmp_path, changes, said):
    path = tmp_path / "decision.json"
    path.write_text(json.dumps(content(**changes)))
    with pytest.raises(CompetitionError, match=said) as caught:
        load_decision(path)
    assert str(path) in str(caught.value)


def test_members_of_some_classes_vote_on_those(tmp_path):
    members = [member("a", 400).model_dump(), member("b", 600).model_dump() | {"classes": ("rv",)}]
    save_decision(tmp_path / "decision.json", Decision.model_validate(content(members=members)))
    voters = load_decision(tmp_path / "decision.json").voters()
    assert voters.rows.tolist() == [[0, -1], [1, 0]]
    assert voters.weights_by_class([400, 600]).tolist() == [[1000, 0], [400, 600]]
    alone = [member().model_dump() | {"classes": ("rv",)}]
    with pytest.raises(ValueError, match="no member predicts lv"):
        Decision.model_validate(content(members=alone))


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '"tune"'])
def test_something_else_is_refused(tmp_path, text):
    path = tmp_path / "decision.json"
    path.write_text(text)
    with pytest.raises(CompetitionError, match=r"decision\.json"):
        load_decision(path)


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="finite"):
        Scores(fold_mean=float("nan"), fold_sd=None, oof=None, oof_crossfit=None, interval_low=None, interval_high=None)


def grouped(**changes):
    """Two classes, each a group of its own."""
    groups = {
        "left": {"classes": ["lv"], "weights": {"b": 1000, "a": 0}},
        "right": {"classes": ["rv"], "weights": {"a": 250, "b": 750}},
    }
    return content(class_groups=groups | changes)


def test_class_groups_have_weights_of_their_own_that_people_can_read(tmp_path):
    path = tmp_path / "decision.json"
    save_decision(path, Decision.model_validate(grouped()))
    written = json.loads(path.read_text())
    assert written["class_groups"]["right"] == {"classes": ["rv"], "weights": {"a": 250, "b": 750}}
    # In the order of the members, whatever the order in the file.
    assert load_decision(path).class_weights().tolist() == [[0, 1000], [250, 750]]


def test_a_decision_of_before_has_one_set_of_weights(tmp_path):
    path = tmp_path / "decision.json"
    path.write_text(json.dumps(content()))
    decision = load_decision(path)
    assert decision.class_weights().tolist() == [[400, 600], [400, 600]]
    assert (decision.class_groups, decision.method, decision.scores.gain) == ({}, "optuna", None)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"left": {"classes": ["rv"], "weights": {"a": 0, "b": 1000}}}, "lv, rv must be in exactly one"),
        ({"right": {"classes": ["rv", "la"], "weights": {"a": 0, "b": 1000}}}, "la must be in exactly one"),
        (
            {"left": {"classes": ["lv"], "weights": {"a": 1000}}},
            "the weights of left are not those of the members a, b",
        ),
        ({"left": {"classes": ["lv"], "weights": {"a": 500, "b": 600}}}, "the weights of left do not sum to 1000"),
        ({"left": {"classes": ["lv"], "weights": {"a": -200, "b": 1200}}}, "the weights of left do not sum to 1000"),
    ],
)
def test_class_groups_that_do_not_fit_are_named(tmp_path, changes, said):
    path = tmp_path / "decision.json"
    path.write_text(json.dumps(grouped(**changes)))
    with pytest.raises(CompetitionError, match=said):
        load_decision(path)

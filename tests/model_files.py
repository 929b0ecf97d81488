"""Decisions and descriptions of model files that tests write by hand: one class, one member of some folds."""

from datetime import UTC, datetime

from competition.ensembling.decision import Decision, Scores, WeightedMember

NONE = Scores(fold_mean=None, fold_sd=None, oof=None, oof_crossfit=None, interval_low=None, interval_high=None)


def decision(track="knee", folds=(0,)):
    return Decision(
        created=datetime(2026, 1, 2, tzinfo=UTC),
        track=track,
        dataset=track,
        task="segmentation",
        classes=("a",),
        members=(WeightedMember(name="quick", folds=folds, config_hash="c", fold_hash="f", weight=1000),),
        levels={"a": 127},
        thresholds={"a": 0.5},
        operations={"a": "none"},
        scores=NONE,
        coverage=1,
        reason="test",
    )


def description(track="knee", folds=(0,), member=(), **changes):
    """model.json without files; ``member`` replaces keys of the member, ``changes`` those of the model."""
    own = {"name": "quick", "folds": folds, "classes": ["a"], "size": 32, "preprocess": [], "views": ["identity"]}
    own |= {"tile": None, "overlap": 0.5, "stride": 32}
    return {
        "format": 1,
        "program": "9.9",
        "track": track,
        "declaration": None,
        "dataset": track,
        "task": "segmentation",
        "classes": ["a"],
        "channels": 1,
        "views": ["image"],
        "mirror": None,
        "name": "quick",
        "decision": decision(track, folds).model_dump(mode="json"),
        "members": [own | dict(member)],
    } | changes

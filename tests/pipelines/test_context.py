"""Settings that follow from a declared track."""

from pathlib import Path

import pytest

from competition.tracks import get_track
from pipelines.context import settings_for_task

MASKS = """\
classes: [cell]
train: images/*.png
masks: masks/{stem}.png
test: test/*.png
group: (.+)
"""


@pytest.mark.parametrize(
    ("declared", "experiment", "given", "chosen"),
    [
        ("flip: true", "train: {epochs: 2}", [], ["data.flip=true"]),
        ("flip: false", "train: {epochs: 2}", [], []),
        ("flip: true", "data: {flip: false}", [], []),
        ("flip: true", "train: {epochs: 2}", ["data.flip=false"], []),
        ("exclusive: true", "train: {epochs: 2}", [], ["train.loss=cross_entropy_dice"]),
    ],
)
def test_draws_are_mirrored_where_the_track_allows_it_and_nothing_else_is_set(
    declared: str, experiment: str, given: list[str], chosen: list[str], tmp_path: Path
) -> None:
    (tmp_path / "cells.yaml").write_text(f"{MASKS}{declared}\n")
    (tmp_path / "mine.yaml").write_text(f"{experiment}\n")
    assert settings_for_task(tmp_path / "mine.yaml", given, get_track(str(tmp_path / "cells.yaml"))) == chosen

"""Settings that follow from a declared track."""

from dataclasses import replace
from pathlib import Path

import pytest

from competition.errors import CompetitionError
from competition.prediction.tta_views import check_views
from competition.tracks import get_track
from pipelines.context import chosen_settings

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
    assert chosen_settings(tmp_path / "mine.yaml", given, get_track(str(tmp_path / "cells.yaml")), list) == chosen


def test_what_mirrors_images_of_a_track_that_does_not_allow_it_names_the_line_to_write(tmp_path: Path) -> None:
    (tmp_path / "cells.yaml").write_text(MASKS)
    with pytest.raises(CompetitionError, match=r"hflip mirrors the images.*flip: true in .*cells\.yaml"):
        check_views(["identity", "hflip"], get_track(str(tmp_path / "cells.yaml")))
    with pytest.raises(CompetitionError, match=r"does not allow\. Leave it out\.$"):
        check_views(["hflip"], replace(get_track("knee"), mirror=None, declaration=None))

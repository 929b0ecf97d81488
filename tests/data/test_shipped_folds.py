"""The fold file of the hand-bone track that comes with the project: everybody's fold 0 is the same."""

import hashlib
from collections import Counter
from pathlib import Path

import pytest

from competition.data.folds import Folds, find_folds, read_folds
from competition.workspace import REPOSITORY, SHIPPED_FOLDS, Workspace

# Typed from the organisers' list of training people, not from the code.
TRAINING = [*range(1, 40), *range(50, 68), *range(69, 137), *range(274, 549)]
OBLIQUE = {*range(274, 320), 321}


@pytest.fixture(scope="module")
def shipped() -> Folds:
    return read_folds(REPOSITORY / "folds" / "hand_bone.csv")


def test_all_public_training_people_are_in_it_once_and_nobody_else(shipped: Folds) -> None:
    assert len(TRAINING) == 400
    assert set(shipped.fold_of) == {f"ID{number:03d}" for number in TRAINING}
    lines = shipped.path.read_text().splitlines()
    assert len(lines) == 2 + 400
    assert lines[0].startswith("# ")
    assert lines[1] == "group,fold"


def test_its_folds_are_equal_in_people_and_in_oblique_wrists(shipped: Folds) -> None:
    assert Counter(shipped.fold_of.values()) == dict.fromkeys(range(5), 80)
    oblique = Counter(shipped.fold_of[f"ID{number}"] for number in OBLIQUE)
    assert oblique == {0: 10, 1: 10, 2: 9, 3: 9, 4: 9}


def test_the_rule_of_its_first_line_makes_it_again(shipped: Folds) -> None:
    def shuffled(numbers: set[int]) -> list[str]:
        names = [f"ID{number:03d}" for number in numbers]
        return sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())

    dealt = shuffled(OBLIQUE) + shuffled(set(TRAINING) - OBLIQUE)
    assert shipped.fold_of == {name: position % 5 for position, name in enumerate(dealt)}


def test_the_program_knows_what_was_shipped(shipped: Folds) -> None:
    assert dict.fromkeys(["hand_bone"], shipped.hash()) == SHIPPED_FOLDS


def test_it_is_found_from_any_workspace_but_never_for_drawn_hands(tmp_path: Path) -> None:
    found = find_folds(Workspace(tmp_path, "hand_bone"))
    assert found is not None
    assert found.path == REPOSITORY / "folds" / "hand_bone.csv"
    assert find_folds(Workspace(tmp_path, "phantom_hand_bone")) is None

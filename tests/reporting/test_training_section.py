"""Training curves: the epochs that were chosen, and members without a history."""

import pytest

from competition.reporting.inputs import ReportInputs
from competition.reporting.training_section import read_histories, summary_of, training_section
from competition.workspace import history_file

pytestmark = pytest.mark.slow  # draws charts


EARLY, LATE, ONCE, NEVER = [".2", ".9", ".9"], [".2", ".3", ".9"], ["", "", ".9"], ["", "", ""]


@pytest.mark.parametrize(
    ("scores", "said"),
    [
        ((EARLY, EARLY), "The score peaks before the end (epoch 2)"),
        ((EARLY, LATE), "The score peaks before the end (epoch 2)"),
        ((LATE, LATE), "In 2 of 2 the last epoch is the best"),
        ((LATE, NEVER), "In 1 of 1 the last epoch is the best"),
        ((ONCE, ONCE), "Only one epoch was scored"),
        ((NEVER, NEVER), "Nothing was held out"),
    ],
)
def test_the_last_epoch_predicts_and_a_score_that_peaks_earlier_is_named(tuned_hands, scores, said):
    for fold, own in enumerate(scores):
        rows = [f"{epoch},1.0,0.1,2.0,{score}" for epoch, score in enumerate(own, start=1)]
        path = history_file(tuned_hands.workspace.fold_folder("quick", fold))
        path.write_text("\n".join(["epoch,loss,lr,seconds,score", *rows, ""]))
    (figure,) = training_section(tuned_hands).figures
    assert figure.table[figure.table["chosen"]]["epoch"].tolist() == [3, 3]
    assert said in figure.sentence


def test_each_member_has_its_curves_and_a_row_per_fold(tuned_hands):
    section = training_section(tuned_hands)
    assert [figure.title for figure in section.figures] == ["Training of quick"]
    table = section.figures[0].table
    assert len(table) == 6
    assert table[table["chosen"]]["epoch"].tolist() == [3, 3]
    summary = summary_of(read_histories(tuned_hands, "quick", (0, 1)))
    assert summary["time"].tolist() == ["6 s", "6 s"]
    assert summary["most memory"].tolist() == ["2.0 GB", "2.0 GB"]
    assert summary["held-out score there"].tolist() == [0.75, 0.75]
    kept = read_histories(tuned_hands, "quick@1", (0,))
    assert kept[kept["chosen"]]["epoch"].tolist() == [1]


def test_a_run_of_before_memory_was_recorded_has_its_curves(tuned_hands):
    fold = tuned_hands.workspace.fold_folder("quick", 1)
    history_file(fold).write_text("epoch,loss,lr,seconds,score\n1,1.0,0.1,2.0,0.5\n")
    summary = summary_of(read_histories(tuned_hands, "quick", (0, 1)))
    assert summary["most memory"].tolist() == ["2.0 GB", "not recorded"]


def test_curves_are_shown_where_nothing_is_tuned(tiny_hands, add_masks):
    inputs = ReportInputs(tiny_hands.track, tiny_hands.workspace, None)
    assert "No run is trained yet" in training_section(inputs).missing
    add_masks(tiny_hands, "quick", lambda truth, number: 255 * truth, folds=[0])
    section = training_section(inputs)
    assert [figure.title for figure in section.figures] == ["Training of quick"]
    assert section.missing == ""


def test_a_damaged_history_and_an_imported_member_are_named(two_hands):
    history_file(two_hands.workspace.fold_folder("quick", 0)).write_text("epoch,loss,lr,seconds,score\n1,x,1,1,\n")
    two_hands.workspace.imported_file("other").touch()
    section = training_section(two_hands)
    assert section.figures == []
    imported, damaged = section.missing.splitlines()
    assert imported == "Member 'other' was imported as predictions, so its training is not known."
    assert "Column 'loss' holds what is no number" in damaged
    assert "./run.sh train" in damaged

"""The stage bench through the command line."""

import sys

import numpy as np
import pytest

from pipelines import bench
from pipelines.benchmarks import rivals
from pipelines.benchmarks.last_mile import extrapolate

pytestmark = pytest.mark.slow

KEYS = {"work", "unit", "ratio", "target", "target_of", "ok", "equal", "note"}
# The targets of the rows of each benchmark.
ROWS = {
    "encode": [20, None, 50, None],
    "decode": [8],
    "vote": [30],
    "score": [10],
    "submissions": [None, None, None],
    "store": [40, 80],
    "objective": [1000, None, 150, None],
    "thresholds": [100],
    "draws": [20, 5, 0.025, None],
    "loss": [1.5, 1.5, 2],
    "validation": [10],
    "ensemble": [1000, 1000, 50, None],
    "tune": [2400, 6144],
}


def check(rows, targets):
    assert [row["target"] for row in rows] == targets
    for row in rows:
        unit = row["unit"]
        assert set(row) == KEYS | {f"ours_{unit}", f"rival_{unit}"}
        assert row["equal"] is True
        assert row["ok"] is None  # targets are not evaluated at the small size
        ours, rival = row[f"ours_{unit}"], row[f"rival_{unit}"]
        if rival is not None:
            assert rival > 0
            assert ours > 0
            assert row["ratio"] == rival / ours


def test_all_benchmarks_have_their_rows_in_the_order_of_the_list(stage):
    figures, said = stage("bench", "--quick")
    check(figures["rows"], [target for targets in ROWS.values() for target in targets])
    assert list(ROWS) == [work.name for work in bench.BENCHMARKS]
    assert figures["quick"] is True
    assert "cores" in figures["machine"]
    for row in figures["rows"]:
        assert row["work"] in said
    assert "targets are not evaluated at this size" in said
    assert "drawing 4 images, 5 maps of each" in said or "MB are written to" in said


def test_a_part_of_a_name_chooses_and_a_wrong_one_is_refused(refusal):
    assert [work.name for work in bench.choose_benchmarks("code")] == ["encode", "decode"]
    assert len(bench.choose_benchmarks(None)) == len(ROWS)
    error, _ = refusal("bench", "--only", "tone")
    assert "no benchmark is called 'tone'" in error
    assert "tune" in error


def test_without_pycocotools_its_row_says_so(stage, monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    figures, said = stage("bench", "--quick", "--only", "encode")
    row = figures["rows"][2]
    assert (row["rival_s"], row["ratio"], row["target"]) == (None, None, 50)
    assert row["note"] == "pycocotools is not installed"
    assert "pycocotools is not installed" in said


@pytest.mark.parametrize(
    ("work", "name", "wrong"),
    [
        ("encode", "encode", lambda mask: "1 1"),
        ("encode", "decode_coco", lambda encoded: np.zeros(encoded["size"], bool)),
        ("decode", "decode", lambda rle, size_hw: [[0] * size_hw[1]] * size_hw[0]),
        ("vote", "vote", lambda members, size_hw: members[0]),
        ("score", "score", lambda submission, truth, size_hw: [1.0] * len(truth)),
        ("objective", "score_weights", lambda maps, weights, masks, threshold: [0.5] * len(masks)),
        ("thresholds", "score_thresholds", lambda levels, mask: [0.5] * 256),
        ("store", "load", lambda path: 0),
        ("validation", "baseline_score", lambda *_: -1.0),
    ],
)
def test_a_rival_with_another_result_is_not_timed(refusal, monkeypatch, work, name, wrong):
    monkeypatch.setattr(rivals, name, wrong)
    error, said = refusal("bench", "--quick", "--only", work)
    assert "results differ, so nothing was timed" in error
    assert "bench: medians" not in said


def test_the_line_through_two_figures():
    assert extrapolate((40, 80), [10.0, 20.0]) == 200.0
    assert extrapolate((40, 80), [20.0, 15.0]) == 15.0  # what falls is level
    assert extrapolate((2, 4), [0.0, 1.0]) == 399.0

import numpy as np

from competition.ensembling.segmentation.decision import confusion_rows, worst_confusions

CLASSES = ("index", "ring", "thumb", "wrist")
# Row: who claims; column: whose pixels they are, the last one nobody's.
OWNERS = np.array([[0, 30, 5, 0, 10], [30, 0, 0, 0, 70], [0, 0, 0, 0, 0], [1, 0, 2, 0, 0]])
TOTALS = np.array([40, 100, 0, 3])


def test_a_row_has_the_share_of_every_other_class():
    rows = confusion_rows(CLASSES, OWNERS, TOTALS)
    assert [list(row) for row in rows] == [["class", "false_positives", "no_class", *CLASSES]] * 4
    assert list(rows[0].values()) == ["index", 40, 0.25, "", 0.75, 0.125, 0.0]  # overlapping classes: more than 1
    assert list(rows[1].values()) == ["ring", 100, 0.7, 0.3, "", 0.0, 0.0]
    assert list(rows[2].values()) == ["thumb", 0, "", "", "", "", ""]
    assert list(rows[3].values()) == ["wrist", 3, 0.0, 0.3333, 0.0, 0.6667, ""]


def test_the_worst_pairs_are_those_of_the_largest_share_of_a_class():
    areas = np.array([300, 1000, 10, 50])
    assert worst_confusions(CLASSES, OWNERS, areas) == [
        "index covers 50.00% of thumb wrongly (5 pixels)",  # few pixels, and half of a small bone
        "wrist covers 20.00% of thumb wrongly (2 pixels)",
        "ring covers 10.00% of index wrongly (30 pixels)",
    ]
    # With equal areas the most pixels come first, and of equal pairs the first.
    assert [sentence.split(" ")[0] for sentence in worst_confusions(CLASSES, OWNERS, np.full(4, 100))] == [
        *("index", "ring", "index")
    ]
    assert worst_confusions(CLASSES[2:], np.array([[0, 0, 9], [2, 0, 1]]), np.array([9, 0])) == [
        "wrist covers 22.22% of thumb wrongly (2 pixels)"
    ]


def test_one_class_has_no_neighbour():
    assert confusion_rows(["lv"], np.array([[0, 7]]), np.array([7])) == [
        {"class": "lv", "false_positives": 7, "no_class": 1.0, "lv": ""}
    ]
    assert worst_confusions(["lv"], np.array([[0, 7]]), np.array([70])) == []

"""The race's rival without a network sees colours and dark blobs."""

import cv2
import numpy as np
import pandas as pd
import pytest

from pipelines.benchmarks import colour_forest


def test_features_by_hand(tmp_path):
    picture = np.full((100, 100, 3), (250, 200, 220), np.uint8)
    picture[10:30, 10:30] = picture[60:80, 20:80] = (100, 40, 10)  # 4 % and 12 %
    picture[90, 90] = 0  # a pixel is no blob
    cv2.imwrite(str(tmp_path / "x.png"), picture)
    features = colour_forest.features(str(tmp_path / "x.png"))
    blue, green, red = features[:24].reshape(3, 8)
    assert blue == pytest.approx([0.0001, 0, 0, 0.16, 0, 0, 0, 0.8399])
    assert green == pytest.approx([0.0001, 0.16, 0, 0, 0, 0, 0.8399, 0])
    assert red == pytest.approx([0.1601, 0, 0, 0, 0, 0, 0.8399, 0])
    assert features[24:] == pytest.approx([2, 0.08])


def test_a_class_that_was_never_seen_has_probability_0(tmp_path):
    samples = []
    for number in range(12):
        picture = np.full((40, 40, 3), 200, np.uint8)
        picture[5:15, 5:15] = (20, 20, 150) if number % 2 else (150, 20, 20)
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture)
        targets = [number % 2, int(number >= 8)]
        samples.append(
            {"key": f"{number}", "image": str(tmp_path / f"{number}.png"), "targets": targets, "fold": number // 4}
        )
    colour_forest.main({"classes": ["red", "late"], "samples": samples, "fold": 2, "seed": 0}, tmp_path)
    table = pd.read_csv(tmp_path / "fold2.csv", dtype={"key": str}, index_col="key")
    assert list(table.index) == ["8", "9", "10", "11"]
    assert (table["red"] > 0.5).tolist() == [False, True, False, True]
    assert (table["late"] == 0).all()

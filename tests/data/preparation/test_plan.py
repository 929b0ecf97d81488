"""prepare --plan shows what paths say and the folds that prepare would make, before a pixel is read."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from competition.data.folds import read_folds


@pytest.mark.slow
def test_a_plan_shows_the_folds_that_prepare_makes_and_writes_nothing(tmp_path: Path, stage, refusal) -> None:
    values = np.random.default_rng(0).integers(0, 256, (8, 10, 8, 8), dtype=np.uint8)
    for case in range(4):
        for number in range(2):
            for part, pixels in (("images", values[case, number]), ("masks", values[case, number] // 128 * 255)):
                path = tmp_path / f"data/case{case}/{part}/{number}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(path)
    text = "classes: [a]\ntrain: '*/images/*.png'\nmasks: '{case}/masks/{stem}.png'\ntest: test/*.png\n"
    text += "path: '(?P<case>case\\d)/'\nkey: '{case}_{stem}'\ngroup: '{case}'\n"
    (tmp_path / "cases.yaml").write_text(text)
    words = ("prepare", "--track", tmp_path / "cases.yaml", "--data", tmp_path / "data", "--folds", 2)
    planned, said = stage(*words, "--plan")
    assert "plan: 8 training samples of 4 groups, 0 test samples, 0 problems; folds: 2 (GroupKFold of 2" in said
    assert not (tmp_path / "workspace" / "folds").exists()
    assert not (tmp_path / "workspace" / "cache").exists()
    made, _ = stage(*words)
    assert planned["folds"] == made["folds"]
    fold_of = read_folds(tmp_path / "workspace" / "folds" / "cases.csv").fold_of
    assert planned["plan"] == {
        "train": [
            {
                "image": f"case{case}/images/{number}.png",
                "mask": f"case{case}/masks/{number}.png",
                "key": f"case{case}_{number}",
                "group": f"case{case}",
                "stratum": "-",
                "fold": str(fold_of[f"case{case}"]),
            }
            for case, number in ((0, 0), (0, 1), (1, 0), (1, 1), (2, 0))
        ],
        "test": [],
    }
    again, _ = stage("prepare", "--track", tmp_path / "cases.yaml", "--plan")  # the folds that there are
    assert again["folds"] == made["folds"]
    (tmp_path / "cases.yaml").write_text(text.replace("group: '{case}'", "group: '(case)[0-9]/'"))
    error, said = refusal(*words, "--plan", "--refold")
    assert "all training samples are of one group (case)" in error
    assert "case0_1" in said  # the table shows what the pattern found


def test_stratified_folds_are_planned_where_strata_are_known(tmp_path: Path, stage) -> None:
    for name in ("a/1.png", "b/2.png", "a/3.png", "b/4.png"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_bytes(b"no pixel is read")
        (tmp_path / "data" / name.replace(".png", ".gif")).touch()
    text = "classes: [x]\ntrain: '*/*.png'\nmasks: '{dir}/{stem}.gif'\ntest: test/*.png\ngroup: '{stem}'\n"
    words = ("prepare", "--track", tmp_path / "t.yaml", "--data", tmp_path / "data", "--plan", "--stratified")
    (tmp_path / "t.yaml").write_text(text)
    assert stage(*words, "--folds", 2)[0]["folds"] is None
    (tmp_path / "t.yaml").write_text(text + "stratum: '{parent}'\n")
    figures, said = stage(*words, "--folds", 2)
    assert figures["folds"]["count"] == 2
    assert "strata a 2, b 2" in said
    folds = {row["group"]: row["fold"] for row in figures["plan"]["train"]}
    assert {folds["1"], folds["3"]} == {folds["2"], folds["4"]} == {"0", "1"}

"""A report where much is missing: one trained fold, and no test images."""

from dataclasses import replace

import pytest

from competition.data.manifest import Manifest, read_manifest, write_manifest
from competition.reporting.report import make_report

pytestmark = pytest.mark.slow  # draws charts


@pytest.fixture
def without_test_images(tiny_hands):
    others = tuple(f"{entry.sample}.npy" for entry in tiny_hands.manifest.of("test"))
    manifest = Manifest(tiny_hands.manifest.data_root, tuple(tiny_hands.train()), unused=others)
    write_manifest(tiny_hands.workspace, tiny_hands.track, manifest)
    return replace(tiny_hands, manifest=read_manifest(tiny_hands.workspace, tiny_hands.track))


@pytest.mark.exhaustive
def test_one_fold_and_no_test_images_give_all_sections_that_need_neither(without_test_images, add_masks, inputs_of):
    prepared = without_test_images
    add_masks(prepared, "quick", lambda truth, number: 200 * truth, folds=[0])
    inputs_of(prepared)
    page, report = make_report(prepared.track, prepared.workspace, None, "")
    sections = {section.name: section for section in report.sections}
    whole = {name for name, section in sections.items() if not section.missing}
    assert whole == {"data", "input", "training", "results", "ensemble"}
    assert [figure.title for figure in sections["training"].figures] == ["Training of quick"]
    assert sections["training"].figures[0].table["fold"].unique().tolist() == ["0"]
    assert dict(report.facts)["samples scored"] == "6"  # those of fold 0
    assert "no submission" in sections["leaderboard"].missing
    assert page.exists()

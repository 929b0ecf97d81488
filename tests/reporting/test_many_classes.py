"""A report on 200 classes stays small: the worst are shown, and all are in the CSV files."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from competition.data.cache import cache_sample
from competition.data.manifest import Manifest, read_manifest, write_manifest
from competition.masks.bit_planes import pack_masks
from competition.reporting.report import make_report
from competition.tracks.track import Sample

CLASSES = tuple(f"class {number}" for number in range(200))

pytestmark = pytest.mark.slow


@pytest.fixture
def many(tiny_hands):
    """Ten images of 200 classes, one small square each; every tenth class occurs nowhere."""
    track = replace(
        tiny_hands.track,
        classes=CLASSES,
        mirror=None,
        read_label=lambda path, size_hw: pack_masks(np.unpackbits(np.load(path), axis=0, count=200).astype(bool)),
    )
    raw, entries = tiny_hands.workspace.root / "raw", []
    for entry in tiny_hands.train():
        random = np.random.default_rng(int(entry.sample.removeprefix("hand")))
        masks = np.zeros((200, entry.height, entry.width), bool)
        for index in np.flatnonzero(np.arange(200) % 10):
            row, column = random.integers(0, 40, 2)
            masks[index, row : row + 4, column : column + 4] = True
        np.save(raw / f"many{entry.sample}.npy", np.packbits(masks, axis=0))
        picture = f"{entry.sample}.npy"
        sample = Sample(entry.sample, picture, "train", entry.group, (picture,), label=f"many{entry.sample}.npy")
        entries.append(cache_sample(tiny_hands.workspace, track, raw, sample)[0])
    others = tuple(path.name for path in raw.iterdir())
    write_manifest(tiny_hands.workspace, track, Manifest(raw, tuple(entries), unused=others))
    return replace(tiny_hands, track=track, manifest=read_manifest(tiny_hands.workspace, track))


@pytest.mark.exhaustive
def test_the_page_is_small_and_the_tables_whole(many, add_masks, inputs_of):
    add_masks(many, "quick", lambda truth, number: 200 * np.roll(truth, number % 3, axis=2))
    inputs_of(many)
    page, report = make_report(many.track, many.workspace, None, "")
    assert all(section.missing == "" for section in report.sections if section.name in ("data", "training", "results"))
    assert page.stat().st_size < 4 << 20
    assert page.read_text().count("<img") <= 80
    assert pd.read_csv(page.with_name("classes.csv"))["class"].tolist() == list(CLASSES)
    cases = pd.read_csv(page.with_name("class-cases.csv"))
    assert len(cases) == 30
    assert not {name for name in cases["class"] if name.endswith("0")}

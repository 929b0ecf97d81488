"""docs/extend.md: each example is a file that can be imported as it is, and does what the page says."""

import importlib
import importlib.util
import re
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

import pipelines.__main__
import pipelines.context
from competition.data.augmentation import BLACK, PRESETS
from competition.data.preprocessing import PREPROCESSINGS, preprocess
from competition.ensembling.segmentation.postprocessing import OPERATIONS, apply
from competition.errors import CompetitionError
from competition.masks.bit_planes import pack_masks, unpack_planes
from competition.masks.run_length_votes import quorum
from competition.metrics.metric import METRICS, make_metric
from competition.models.factory import NETWORKS, build_model
from competition.submission import FORMS
from competition.submission.known_images import KnownImages
from competition.tracks import TRACKS
from competition.tracks.track import Track
from competition.training.losses import LOSSES, get_loss

ROOT = Path(__file__).resolve().parents[1]
PAGE = (ROOT / "docs" / "extend.md").read_text(encoding="utf-8")
EXAMPLES = {
    name: text for text, name in re.findall(r"^```python\n(# (?:plugin|stage): (\S+)\n.*?)^```$", PAGE, re.M | re.S)
}
DICTIONARIES = {
    "loss": LOSSES,
    "network": NETWORKS,
    "augmentation": PRESETS,
    "preprocessing": PREPROCESSINGS,
    "postprocessing": OPERATIONS,
    "metric": METRICS,
    "form": FORMS,
}
STAGE = "pipelines/people.py"
RANDOM = np.random.default_rng(0)


@pytest.fixture
def load(tmp_path):
    """Writes an example to a file and imports it; the dictionaries are restored after the test."""
    before = [dict(dictionary) for dictionary in DICTIONARIES.values()]

    def load_example(name):
        path = tmp_path / Path(name).with_suffix(".py").name
        path.write_text(EXAMPLES[name], encoding="utf-8")
        specification = importlib.util.spec_from_file_location(f"example_{path.stem}", path)
        module = importlib.util.module_from_spec(specification)
        specification.loader.exec_module(module)
        return module

    yield load_example
    for dictionary, entries in zip(DICTIONARIES.values(), before, strict=True):
        dictionary.clear()
        dictionary.update(entries)


def test_the_page_has_an_example_of_everything_that_can_be_added():
    assert set(EXAMPLES) == {*DICTIONARIES, "track", STAGE}
    assert len(re.findall("^```python$", PAGE, re.M)) == len(EXAMPLES)


@pytest.mark.parametrize("kind", DICTIONARIES)
def test_each_example_adds_to_its_dictionary_and_to_no_other(load, kind):
    before = {name: set(dictionary) for name, dictionary in DICTIONARIES.items()}
    load(kind)
    assert {name for name, dictionary in DICTIONARIES.items() if set(dictionary) != before[name]} == {kind}
    assert before[kind] < set(DICTIONARIES[kind])


def test_the_table_names_each_dictionary_where_it_is():
    named = dict(re.findall(r"^\| \[[a-z-]+\]\(#([a-z-]+)\) \| `(competition[.\w]+)`", PAGE, re.M))
    assert {name.replace("-", "") for name in named} == set(DICTIONARIES)
    for name, place in named.items():
        module, _, attribute = place.rpartition(".")
        assert getattr(importlib.import_module(module), attribute) is DICTIONARIES[name.replace("-", "")]
    assert "`competition.tracks.TRACKS`" in PAGE
    assert TRACKS


def test_the_loss_is_that_of_plain_numpy(load):
    load("loss")
    probs, targets = RANDOM.uniform(0.01, 0.99, (2, 3, 5, 4)), RANDOM.uniform(0, 1, (2, 3, 5, 4))
    logits = torch.tensor(np.log(probs / (1 - probs)), dtype=torch.float32, requires_grad=True)
    loss = get_loss("tversky")(logits, torch.tensor(targets, dtype=torch.float32))
    expected = []
    for one, other in zip(probs.reshape(6, 20), targets.reshape(6, 20), strict=True):
        both, false, missed = (one * other).sum(), (one * (1 - other)).sum(), ((1 - one) * other).sum()
        expected.append(1 - (both + 1) / (both + 0.3 * false + 0.7 * missed + 1))
    assert loss.item() == pytest.approx(np.mean(expected), rel=1e-5)
    loss.backward()
    assert logits.grad.abs().sum() > 0


def test_the_network_is_built_by_name_and_starts_at_the_prior(load, tiny_experiment, shared_hands):
    load("network")
    model = {"architecture": "small", "encoder": "none", "pretrained": False, "decoder_channels": None, "prior": 0.2}
    network = build_model(tiny_experiment(model=model), shared_hands.track).eval()
    with torch.no_grad():
        probs = network(torch.zeros(2, 1, 16, 24)).sigmoid()
    assert probs.shape == (2, 3, 16, 24)
    assert 0.1 < probs.mean() < 0.3
    with pytest.raises(CompetitionError, match="not a multiple of 2"):
        build_model(tiny_experiment(model=model, data={"size": 33}), shared_hands.track)


def test_the_augmentation_changes_the_image_and_not_the_label(load):
    load("augmentation")
    image, planes = RANDOM.integers(50, 200, (32, 32), np.uint8), RANDOM.integers(0, 8, (32, 32), np.uint8)
    changed = False
    for transform in PRESETS["noisy"](BLACK):
        for _ in range(8):
            drawn = transform(image=image, mask=planes)
            changed |= bool((drawn["image"] != image).any())
            assert (drawn["mask"] == planes).all()
    assert changed


def test_the_preprocessing_takes_grey_and_colour(load):
    load("preprocessing")
    for shape in ((20, 24), (20, 24, 3)):
        image = RANDOM.integers(0, 255, shape, np.uint8)
        smooth = preprocess(image, ["bilateral"])
        assert smooth.shape == image.shape
        assert (smooth == cv2.bilateralFilter(image, 5, 25, 5)).all()


def test_the_operation_drops_small_components(load):
    load("postprocessing")
    masks = np.zeros((2, 60, 60), bool)
    masks[0, 2:40, 2:40] = masks[0, 50:55, 50:55] = masks[1, :20, :50] = masks[1, 40:50, 40:50] = True
    kept = unpack_planes(apply(pack_masks(masks), ["drop<1000px"] * 2, lambda index: masks[index]), 2).astype(bool)
    assert [mask.sum() for mask in kept] == [38 * 38, 20 * 50]


def test_the_metrics_are_those_of_pixel_counts(load):
    load("metric")
    truth, predicted = RANDOM.random((2, 4, 1, 30)) < 0.4
    counts = np.stack([truth & predicted, predicted, truth], axis=1).sum(axis=-1)
    both, ours, theirs = counts[:, :, 0].T
    groups = ["a", "a", "b", "b"]
    pooled = [part.reshape(2, 2).sum(axis=1) for part in (both, ours, theirs)]
    f2 = 5 * pooled[0] / (4 * pooled[2] + pooled[1])
    assert make_metric("f2_person").score(counts, groups) == pytest.approx(f2.mean())
    tversky = both / (both + 0.3 * (ours - both) + 0.7 * (theirs - both))
    assert make_metric("tversky").score(counts, groups) == pytest.approx(tversky.mean())
    assert make_metric({"name": "tversky", "unit": "group", "empty": 0}).unit == "group"


def test_the_form_writes_checks_scores_votes_and_is_read_again(load, tmp_path):
    load("form")
    form, classes, sizes = FORMS["pixel_numbers"], ("femur", "tibia"), {"a.png": (6, 5), "b.png": (4, 4)}
    assert "2 classes" in form.describe(classes)
    paths, masks = [], []
    for number in range(3):
        drawn = {name: RANDOM.random((2, *size)) < 0.5 for name, size in sizes.items()}
        masks.append(drawn)
        paths.append(tmp_path / f"{number}{form.ending}")
        form.write(paths[-1], classes, [(name, pack_masks(mask)) for name, mask in drawn.items()])
        assert form.names(paths[-1]) == list(sizes)
        opened = form.read_predictions(paths[-1], classes, sizes.__getitem__)
        assert all((opened[name]() == drawn[name] * np.uint8(255)).all() for name in sizes)
    images = KnownImages(["a.png", "b.png"], sizes)
    assert form.check(paths[0], classes, images).ok
    assert not form.check(paths[0], classes, KnownImages(["a.png", "c.png"])).ok
    voted = tmp_path / "voted.json"
    assert form.vote(paths, quorum([Fraction(1)] * 3, Fraction(1, 2)), classes, images, voted) == 2
    for name, read in form.read_predictions(voted, classes, sizes.__getitem__).items():
        assert (read() == (sum(mask[name] for mask in masks) > 1.5) * np.uint8(255)).all()
    dice = [
        2 * (one & other).sum() / (one.sum() + other.sum())
        for name in sizes
        for one, other in zip(masks[0][name], masks[1][name], strict=True)
    ]
    scored = form.score(paths[0], paths[1], classes, images, make_metric("dice"))
    assert scored.score == pytest.approx(np.mean(dice))
    differing = sum((masks[0][name] ^ masks[1][name]).sum() for name in sizes)
    assert form.compare(paths[0], paths[1], classes, images).figures()["pixels"] == differing


def test_the_track_is_prepared_as_any_other(load, stage, monkeypatch, tmp_path):
    (track,) = [value for value in vars(load("track")).values() if isinstance(value, Track)]
    monkeypatch.setattr(pipelines.context, "get_track", lambda name: track)
    for name in ("train", "labels", "test"):
        (tmp_path / "cells" / name).mkdir(parents=True)
    for number in range(6):
        image = RANDOM.integers(0, 255, (20, 16), np.uint8)
        image[5:9, 4:9] = 255
        split = "test" if number == 5 else "train"
        np.save(tmp_path / "cells" / split / f"{number // 2:03d}_{number}.npy", image)
        if split == "train":
            np.save(tmp_path / "cells" / "labels" / f"{number // 2:03d}_{number}.npy", np.stack([image == 255] * 2))
    figures, _ = stage("prepare", "--data", tmp_path / "cells", "--folds", "2")
    assert figures["samples"] == {"train": 5, "test": 1, "read": 6}
    assert [sample.group for sample in track.list_test(tmp_path / "cells" / "test").samples] == ["002"]
    with pytest.raises(CompetitionError, match=r"not uint8 \(rows, columns\)"):
        track.read_image(tmp_path / "cells" / "labels" / "000_0.npy")
    with pytest.raises(CompetitionError, match=r"the label is \(2, 20, 16\)"):
        track.read_label(tmp_path / "cells" / "labels" / "000_0.npy", (10, 10))


def test_the_stage_runs_from_the_command_line(load, monkeypatch, shared_hands, capsys):
    module = load(STAGE)
    monkeypatch.setitem(sys.modules, "pipelines.people", module)
    monkeypatch.setattr(pipelines.__main__, "STAGES", (*pipelines.__main__.STAGES, "people"))
    monkeypatch.setattr(pipelines.context, "get_track", lambda name: shared_hands.track)
    assert pipelines.__main__.main(["people", "--workspace", str(shared_hands.workspace.root)]) == 0
    assert re.search(r"train +5 +10", re.sub(r"[^\w ]", " ", capsys.readouterr().out))
    assert module.EXAMPLE.startswith("./run.sh people ")

"""Contested pixels: the same curves as of dense maps, also from files, which are made again where they are stale."""

from functools import partial

import numpy as np
import pytest

from competition.console import progress
from competition.data.cache import read_cached_planes
from competition.ensembling.segmentation.contested import (
    blend_histograms,
    check_contested_share,
    contest,
    contest_all,
    contested_curves,
    load_contested,
    load_of_window,
    save_contested,
)
from competition.ensembling.segmentation.out_of_fold import OutOfFold
from competition.ensembling.segmentation.thresholds import window_levels
from competition.ensembling.voting.class_votes import blend
from competition.errors import CompetitionError
from competition.masks.bit_planes import pack_masks, unpack_planes
from competition.masks.stored_arrays import write_array
from competition.prediction.histograms import dice_curves, image_histogram
from competition.prediction.probability_maps import write_map
from competition.runs.members import Member

WINDOW = (0.2, 0.8)
WINDOWS = [(0.2, 0.8), (0.05, 0.95), (0.5, 0.5), (0.0, 1.0)]


def cases():
    random = np.random.default_rng(0)
    masks = random.random((9, 11, 7)) < 0.4

    def uniform(members, low=0, high=256, classes=9):
        return [random.integers(low, high, (classes, 11, 7), dtype=np.uint8) for _ in range(members)]

    yield "random", uniform(4), masks
    yield "one member", uniform(1), masks
    yield "127 and 128 only", uniform(3, 127, 129), masks
    yield "around the lower level of 0.2-0.8", uniform(3, 49, 54), masks
    yield "around the upper level of 0.2-0.8", uniform(3, 201, 207), masks
    yield "nothing or everything", [255 * (member > 127).astype(np.uint8) for member in uniform(3)], masks
    yield "all equal", [np.full((9, 11, 7), 128, np.uint8)] * 3, masks
    yield "all negative", uniform(3, 0, 10), masks
    yield "all positive", uniform(3, 250, 256), masks
    yield "empty truth", uniform(3), np.zeros_like(masks)
    yield "full truth", uniform(3), np.ones_like(masks)
    yield "one pixel", [np.array([[[level]]], np.uint8) for level in (0, 130, 255)], np.array([[[True]]])
    yield "one class", uniform(2, classes=1), masks[:1]


CASES = list(cases())


@pytest.mark.slow
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(("maps", "masks"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_curves_equal_those_of_the_dense_blend(maps, masks, window):
    random = np.random.default_rng(1)
    planes = pack_masks(masks)
    contested = contest(maps, planes, window)
    lowest, highest = window_levels(window)
    corners = (1000 * np.eye(len(maps), dtype=int)).tolist()
    drawn = [random.multinomial(1000, random.dirichlet(np.ones(len(maps)))).tolist() for _ in range(12)]
    for weights in corners + drawn:
        dense = dice_curves(image_histogram(blend(maps, weights), planes)[None])
        sparse = dice_curves(blend_histograms(contested, weights)[None])
        np.testing.assert_array_equal(sparse[..., lowest : highest + 1], dense[..., lowest : highest + 1])


def test_counts_add_up():
    maps, masks = CASES[0][1:]
    contested = contest(maps, pack_masks(masks), (0.2, 0.8))
    histogram = blend_histograms(contested, [250, 250, 250, 250])
    assert (histogram.sum(axis=2)[:, 0] == 77).all()
    assert (histogram.sum(axis=2)[:, 1] == masks.sum(axis=(1, 2))).all()
    assert (histogram >= 0).all()
    assert (histogram[:, 1] <= histogram[:, 0]).all()


def test_only_pixels_a_vote_can_decide_are_kept():
    # Cuts of 0.2-0.8 are 51..203: a pixel is contested where the members' levels are not all <= 51 nor all >= 204.
    first = np.array([[[51, 51, 52, 203, 204, 0, 255]]], np.uint8)
    second = np.array([[[51, 52, 51, 255, 204, 255, 255]]], np.uint8)
    truth = np.array([[[0, 1, 0, 1, 0, 0, 1]]], bool)
    contested = contest([first, second], pack_masks(truth), (0.2, 0.8))
    # Outside the truth first, then inside.
    assert contested.values.tolist() == [[52, 0, 51, 203], [51, 255, 52, 255]]
    assert contested.counts.tolist() == [[2, 2]]
    assert contested.positive.tolist() == [[2, 1]]
    assert contested.truth_area.tolist() == [3]
    assert contested.kept / contested.total == 4 / 7


def test_share_is_pooled_and_refused_above_five_percent():
    maps, masks = CASES[0][1:]
    much, none = (
        contest(maps, pack_masks(masks), (0.2, 0.8)),
        contest([m * 0 for m in maps], pack_masks(masks), (0.2, 0.8)),
    )
    pooled = (much.kept + none.kept) / (much.total + none.total)
    assert pooled == pytest.approx(much.kept / much.total / 2)
    check_contested_share(0.05, (0.2, 0.8), "two members", ["a", "b"])
    with pytest.raises(CompetitionError, match=r"5\.1%.*0\.2 and 0\.8.*two members.*--window 0\.35:0\.65"):
        check_contested_share(0.051, (0.2, 0.8), "two members", ["a", "b"])
    with pytest.raises(CompetitionError, match=r"tune --members a\), or .*tune --members a,b --weights 1,1\)"):
        check_contested_share(0.051, (0.5, 0.5), "two members", ["a", "b"])


def test_sizes_and_weights_that_do_not_fit_are_refused():
    maps, masks = CASES[0][1:]
    with pytest.raises(CompetitionError, match="different sizes"):
        contest([maps[0], maps[1][:, :-1]], pack_masks(masks), (0.2, 0.8))
    with pytest.raises(ValueError, match="does not fit"):
        contest(maps, pack_masks(masks[:, :-1]), (0.2, 0.8))
    with pytest.raises(CompetitionError, match="4 whole numbers"):
        blend_histograms(contest(maps, pack_masks(masks), (0.2, 0.8)), [500, 500])


def test_stored_image_is_the_same_and_damage_is_named(tmp_path):
    random = np.random.default_rng(0)
    maps = [random.integers(0, 256, (9, 11, 7), dtype=np.uint8) for _ in range(4)]
    masks = random.random((9, 11, 7)) < 0.4
    contested, path = contest(maps, pack_masks(masks), (0.2, 0.8)), tmp_path / "image.npy"
    save_contested(path, contested)
    weights = [100, 200, 300, 400]
    np.testing.assert_array_equal(blend_histograms(load_contested(path), weights), blend_histograms(contested, weights))
    whole = path.read_bytes()
    for cut in (0, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(CompetitionError, match=r"image\.npy"):
            load_contested(path)
    path.unlink()
    with pytest.raises(CompetitionError, match=r"image\.npy"):
        load_contested(path)


def test_stored_images_are_scored_in_the_order_asked_for(tmp_path):
    window, weights, paths, dense = (0.2, 0.8), [100, 900], [], []
    random = np.random.default_rng(5)
    for index in range(3):
        maps, masks = (
            [random.integers(0, 256, (2, 6, 6), dtype=np.uint8) for _ in range(2)],
            random.random((2, 6, 6)) < 0.5,
        )
        paths.append(tmp_path / f"{index}.npy")
        save_contested(paths[-1], contest(maps, pack_masks(masks), window))
        dense.append(dice_curves(image_histogram(blend(maps, weights), pack_masks(masks))[None])[0])
    lowest, highest = window_levels(window)
    found = contested_curves([[partial(load_of_window, path, window)] for path in paths[::-1]], weights).values()
    np.testing.assert_array_equal(found[..., lowest : highest + 1], np.stack(dense[::-1])[..., lowest : highest + 1])
    with pytest.raises(CompetitionError, match=r"another window.*2\.npy"):
        contested_curves([[partial(load_of_window, path, (0.1, 0.8))] for path in paths[::-1]], weights)


@pytest.fixture
def data(tiny_hands, tmp_path):
    """Two members that are sure, but for two pixels of the second; the data set is the test's own."""
    entries = tiny_hands.train()
    for name in ("a", "b"):
        for entry in entries:
            write_hand(tiny_hands, tmp_path / name, entry.sample, contested=name == "b")
    samples = [entry.sample for entry in entries]
    members = [Member(name=name, folds=(0, 1), config_hash="c", fold_hash="f") for name in ("a", "b")]
    folders = [dict.fromkeys(samples, tmp_path / name) for name in ("a", "b")]
    folds = np.array([tiny_hands.folds.fold_of[entry.group] for entry in entries])
    return OutOfFold(
        members,
        folders,
        tiny_hands.workspace,
        samples,
        folds,
        [entry.group for entry in entries],
        tiny_hands.track.classes,
    )


def paths_of(found):
    """The file of each image."""
    return [load.args[0] for load in found.images]


def write_hand(hands, folder, sample, contested):
    truth = unpack_planes(read_cached_planes(hands.workspace, sample), 3).astype(bool)
    levels = np.where(truth, 250, 5).astype(np.uint8)
    if contested:
        levels[0, 0, :2] = 120
    write_map(folder, sample, levels)


def contest_now(data, folder, window=WINDOW):
    with progress("contesting", len(data.samples)) as ticker:
        found = contest_all(data, window, folder, ticker)
    assert ticker.done == len(found.images)
    return found


def test_every_image_has_a_file_and_the_next_time_it_is_kept(data, tmp_path):
    found = contest_now(data, tmp_path / "kept")
    assert [path.stem for path in paths_of(found)] == data.samples
    assert found.made == 10
    assert found.share == 20 / data.pixels()
    truths = [unpack_planes(data.truth(sample), 3) for sample in data.samples]
    assert data.pixels() == sum(truth.size for truth in truths)
    np.testing.assert_array_equal(found.present, [truth.any(axis=(1, 2)) for truth in truths])
    assert not found.present.all()
    times = [path.stat().st_mtime_ns for path in paths_of(found)]
    again = contest_now(data, tmp_path / "kept")
    assert (again.made, paths_of(again), again.share) == (0, paths_of(found), found.share)
    np.testing.assert_array_equal(again.present, found.present)
    assert [path.stat().st_mtime_ns for path in paths_of(found)] == times
    assert not list((tmp_path / "kept").rglob("*.part"))


def test_what_was_cut_goes_on_where_it_was(data, tmp_path, monkeypatch):
    read, limit = OutOfFold.open_maps, 4

    def maps(self, sample):
        if self.samples.index(sample) >= limit:
            raise KeyboardInterrupt
        return read(self, sample)

    monkeypatch.setattr(OutOfFold, "open_maps", maps)
    with pytest.raises(KeyboardInterrupt):
        contest_now(data, tmp_path / "kept")
    assert len(list((tmp_path / "kept").rglob("*.npy"))) == limit
    monkeypatch.setattr(OutOfFold, "open_maps", read)
    assert contest_now(data, tmp_path / "kept").made == 10 - limit


@pytest.mark.slow
@pytest.mark.parametrize("what", ["map", "truth", "damage", "other bytes"])
def test_what_has_changed_is_made_again_alone(data, tiny_hands, tmp_path, what):
    before = contest_now(data, tmp_path / "kept")
    sample = data.samples[3]
    if what == "map":
        write_hand(tiny_hands, tmp_path / "b", sample, contested=False)
    elif what == "truth":
        planes = read_cached_planes(data.workspace, sample).copy()
        planes[0, 0] |= 1
        write_array(data.workspace.label_file(sample), planes)
    else:
        whole = paths_of(before)[3].read_bytes()
        paths_of(before)[3].write_bytes(whole[: len(whole) // 2] if what == "damage" else b"nothing")
    after = contest_now(data, tmp_path / "kept")
    assert after.made == 1
    expected = contest(data.open_maps(sample), data.truth(sample), WINDOW, data.voters())
    found = load_contested(paths_of(after)[3])
    np.testing.assert_array_equal(found.values, expected.values)
    np.testing.assert_array_equal(found.truth_area, expected.truth_area)
    assert after.share == ((18 if what == "map" else 20) / data.pixels())


def test_other_members_and_windows_leave_what_is_there(data, tmp_path):
    contest_now(data, tmp_path / "kept")
    assert contest_now(data, tmp_path / "kept", (0.35, 0.65)).made == 10
    swapped = OutOfFold(data.members[::-1], *(getattr(data, name) for name in list(vars(data))[1:]))
    assert contest_now(swapped, tmp_path / "kept").made == 10
    assert contest_now(data, tmp_path / "kept").made == 0


def test_a_hopeless_window_is_given_up_early(data, tmp_path):
    """Every pixel of the second member is contested: after the first images it is more than all may have."""
    for sample in data.samples:
        write_map(tmp_path / "b", sample, np.full((3, *data.truth(sample).shape[:2]), 127, np.uint8))
    found = contest_now(data, tmp_path / "kept")
    assert (len(found.images), found.share) == (1, 1.0)


def test_a_missing_map_is_named_although_its_pixels_are_there(data, tmp_path):
    contest_now(data, tmp_path / "kept")
    (tmp_path / "b" / f"{data.samples[2]}.b2").unlink()
    with pytest.raises(CompetitionError, match=f"no map of sample '{data.samples[2]}'"):
        contest_now(data, tmp_path / "kept")

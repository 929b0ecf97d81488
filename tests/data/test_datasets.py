from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mixed_samples import KNEE, SAMPLES, VESSELS, entries, epochs, experiment, patients, write_samples

from competition.data.datasets import TrainingSet, mirror_sample, random_window
from competition.data.loader import Batch, collate
from competition.errors import CompetitionError
from competition.masks.bit_planes import pack_masks, unpack_planes
from competition.masks.stored_arrays import write_array
from competition.settings import Experiment
from competition.tracks.track import Mirror
from competition.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return write_samples(tmp_path)


def as_bytes(batches: list[Batch]) -> list[tuple[object, ...]]:
    return [
        (b.samples, b.images.numpy().tobytes(), b.planes.numpy().tobytes()) for b in batches if b.planes is not None
    ]


def test_draws_do_not_depend_on_the_number_of_loading_processes(workspace: Workspace) -> None:
    alone = as_bytes(epochs(workspace, experiment(0, augmentation="strong"), [0, 1]))
    assert len(alone) == 10
    assert as_bytes(epochs(workspace, experiment(2, augmentation="strong"), [0, 1])) == alone


def test_a_resumed_run_sees_what_the_whole_run_would_have_seen(workspace: Workspace) -> None:
    settings = experiment(augmentation="strong", crop=16)
    whole = as_bytes(epochs(workspace, settings, [0, 1, 2]))
    assert as_bytes(epochs(workspace, settings, [2])) == whole[10:]
    assert len(set(map(str, whole))) == 15  # no epoch repeats another


def test_a_draw_is_of_its_index_and_seed_alone(workspace: Workspace) -> None:
    dataset = TrainingSet(entries(), workspace, KNEE, experiment(augmentation="strong", crop=16))
    first = dataset[(1, 99)]
    for other in ((0, 7), (1, 98), (4, 99)):
        assert dataset[other].images.tobytes() != first.images.tobytes()
    again = dataset[(1, 99)]
    assert again.images.tobytes() == first.images.tobytes()
    assert first.planes is not None
    assert again.planes is not None
    assert again.planes.tobytes() == first.planes.tobytes()


def test_a_draw_without_augmentation_is_the_padded_sample(workspace: Workspace) -> None:
    dataset = TrainingSet(entries(), workspace, KNEE, experiment(augmentation="none", flip=False))
    assert (len(dataset), dataset.factor) == (SAMPLES, 2)
    drawn = dataset[(3, 0)]
    assert drawn.planes is not None
    assert (drawn.images.shape, drawn.planes.shape, drawn.targets) == ((1, 1, 40, 30), (40, 30, 1), None)
    assert (drawn.sample, drawn.present.tolist()) == ("s3", [True])
    assert (drawn.mean.tolist(), drawn.std.tolist()) == ([80.5], [60.25])
    image = drawn.images[0, 0]
    assert set(np.unique(image)) == {23, 230}
    np.testing.assert_array_equal(unpack_planes(drawn.planes, 1)[0], image == 230)


@pytest.mark.parametrize("crop", [None, 12, 20])
def test_image_and_planes_are_mirrored_and_cropped_together(workspace: Workspace, crop: int | None) -> None:
    dataset = TrainingSet(entries(), workspace, KNEE, experiment(augmentation="none", crop=crop))
    side = 2 * (crop or 20)
    pictures = set()
    for seed in range(20):
        drawn = dataset[(0, seed)]
        assert drawn.planes is not None
        assert drawn.images.shape == (1, 1, side, min(side, 30))
        np.testing.assert_array_equal(unpack_planes(drawn.planes, 1)[0], drawn.images[0, 0] == 230)
        pictures.add(drawn.images.tobytes())
    assert len(pictures) == 2 if side == 40 else len(pictures) > 10


def test_half_of_the_draws_are_mirrored_and_none_without_flip(workspace: Workspace) -> None:
    for flip, low, high in ((True, 35, 65), (False, 0, 0)):
        settings = experiment(augmentation="none", flip=flip)
        dataset = TrainingSet(entries(), workspace, KNEE, settings, stride=20)  # black at the right
        mirrored = sum(not dataset[(0, seed)].images[0, 0, :, 0].any() for seed in range(100))
        assert low <= mirrored <= high


def test_a_track_without_mirror_refuses_to_be_mirrored(workspace: Workspace) -> None:
    with pytest.raises(CompetitionError, match="track knee does not allow"):
        TrainingSet(entries(), workspace, replace(KNEE, mirror=None), experiment(augmentation="none"))


def test_classification_draws_views_targets_and_presence_together(workspace: Workspace) -> None:
    dataset = TrainingSet(patients(), workspace, VESSELS, experiment(augmentation="none", size=16))
    assert dataset.factor == 1
    forms = Counter()
    for seed in range(20):
        drawn = dataset[(1, seed)]
        assert drawn.planes is None
        assert drawn.targets is not None
        assert drawn.images.shape == (8, 1, 16, 16)
        swapped = drawn.images[0, 0, 0, 5] == 140  # the first place shows RI-A, the fifth view
        forms[bool(swapped)] += 1
        plain = patients()[0]
        # Typed from the columns: left and right are neighbours but for the first (any aneurysm) and the 20th (BA).
        columns = [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15, 18, 17, 19, 21, 20]
        expected = [plain.targets[index] for index in columns] if swapped else list(plain.targets)
        assert drawn.targets.tolist() == expected
        assert drawn.present.tolist() == ([True] * 3 + [False] + [True] * 4 if swapped else [*plain.present])
        order = [4, 5, 6, 7, 0, 1, 2, 3] if swapped else list(range(8))
        assert drawn.mean.tolist() == order  # the statistics go with their view
        assert drawn.std.tolist() == [view + 0.5 for view in order]
        assert drawn.images[:, 0, 0, 5].tolist() == [100 + 10 * view for view in order]
        bright = [int(np.flatnonzero(view[0, 0] == 255)[0]) for view in drawn.images]
        assert bright == ([15, 0] * 4 if swapped else [0] * 8)  # frontal views are flipped, lateral ones are not
    assert min(forms[True], forms[False]) > 3


def test_a_mirrored_sample_by_hand() -> None:
    images = [np.array([[1, 2]], np.uint8), np.array([[3, 4]], np.uint8), np.array([[5, 6]], np.uint8)]
    mirror = Mirror(classes=(0, 2, 1), views=(1, 0, 2), flipped_views=(True, True, False))
    flipped, planes, targets, present = mirror_sample(images, None, (7, 8, 9), (True, False, True), mirror)
    assert [image.tolist() for image in flipped] == [[[4, 3]], [[2, 1]], [[5, 6]]]
    assert (planes, targets, present) == (None, (7, 9, 8), (False, True, True))
    back = mirror_sample(flipped, None, targets, present, mirror)
    assert [image.tolist() for image in back[0]] == [image.tolist() for image in images]
    assert back[2:] == ((7, 8, 9), (True, False, True))


def test_planes_are_mirrored_where_classes_keep_their_names_and_refused_elsewhere() -> None:
    image, planes = np.zeros((1, 2), np.uint8), np.array([[[1, 2], [3, 4]]], np.uint8)
    mirrored = mirror_sample([image], planes, (1, 1), (True,), Mirror(classes=(0, 1)))[1]
    assert mirrored is not None
    assert mirrored.tolist() == [[[3, 4], [1, 2]]]
    with pytest.raises(ValueError, match="change places"):
        mirror_sample([image], planes, (1, 1), (True,), Mirror(classes=(1, 0)))


@pytest.mark.parametrize("augmentation", ["none", "geometric"])
def test_views_that_are_not_square_get_no_black_bar_and_masks_no_grey_one(
    workspace: Workspace, augmentation: str
) -> None:
    for patient in range(2):
        for view in VESSELS.views:
            write_array(workspace.image_file(f"p{patient}", view), np.full((12, 16), 180, np.uint8))
    settings = {"data": {"size": 16, "augmentation": augmentation}}
    drawn = TrainingSet(patients(), workspace, VESSELS, Experiment.model_validate(settings))
    assert all((drawn[0, seed].images == 180).all() for seed in range(10))
    settings["data"] = {"size": 40, "oversample": 1, "augmentation": "none"}
    knee = TrainingSet(entries(), workspace, KNEE, Experiment.model_validate(settings), stride=40)[0, 0]
    assert (knee.images[..., 30:] == 0).all()
    assert knee.planes is not None
    assert not knee.planes[:, 30:].any()


@pytest.mark.parametrize(
    ("size_hw", "window_hw", "corners"), [((6, 8), (4, 4), (3, 5)), ((6, 3), (4, 3), (3, 1)), ((2, 3), (2, 3), (1, 1))]
)
def test_a_window_reaches_every_corner_and_keeps_the_width_of_a_narrow_image(size_hw, window_hw, corners) -> None:
    windows = [random_window(size_hw, 4, np.random.default_rng(seed)) for seed in range(200)]
    assert {window.size_hw for window in windows} == {window_hw}
    assert {(window.top, window.left) for window in windows} == set(np.ndindex(corners))


@pytest.mark.parametrize(
    ("augmentation", "stride", "canvas"),
    [("light", 1, (40, 10)), ("light", 16, (48, 16)), ("turning", 16, (48, 48)), ("light", 48, (48, 48))],
)
def test_a_narrow_image_is_drawn_on_the_smallest_canvas_the_network_can_take(
    workspace: Workspace, augmentation: str, stride: int, canvas: tuple[int, int]
) -> None:
    narrow = [replace(entry, height=80, width=20) for entry in entries()]
    for entry in narrow:
        write_array(workspace.image_file(entry.sample, "image"), np.full((80, 20), 200, np.uint8))
        write_array(workspace.label_file(entry.sample), pack_masks(np.ones((1, 80, 20), bool)))
    settings = Experiment.model_validate({"data": {"size": 40, "oversample": 2, "augmentation": augmentation}})
    dataset = TrainingSet(narrow, workspace, KNEE, settings, stride=stride)
    assert dataset.canvases == [canvas] * SAMPLES
    drawn = dataset[0, 0]
    assert drawn.planes is not None
    assert drawn.images.shape == (1, 1, 2 * canvas[0], 2 * canvas[1])
    assert drawn.planes.shape == (2 * canvas[0], 2 * canvas[1], 1)


def test_a_crop_of_a_narrow_image_keeps_its_width(workspace: Workspace) -> None:
    settings = Experiment.model_validate({"data": {"size": 40, "crop": 32, "oversample": 1, "augmentation": "light"}})
    for seed in range(5):  # with and without a warp
        drawn = TrainingSet(entries(), workspace, KNEE, settings)[0, seed]
        assert drawn.images.shape == (1, 1, 32, 30)


def test_a_batch_of_several_canvases_is_padded_with_black_to_the_largest(workspace: Workspace) -> None:
    settings = experiment(augmentation="none", flip=False, size=40)
    dataset = TrainingSet(entries(), workspace, KNEE, settings)
    upright = dataset[0, 0]
    assert upright.planes is not None
    lying = replace(upright, images=upright.images.swapaxes(-2, -1), planes=upright.planes.swapaxes(0, 1))
    batch = collate([upright, lying])
    assert batch.planes is not None
    assert batch.images.shape == (2, 1, 1, 40, 40)
    assert batch.planes.shape == (2, 40, 40, 1)
    for place, draw in enumerate((upright, lying)):
        (height, width), images = draw.images.shape[-2:], batch.images[place].numpy().copy()
        np.testing.assert_array_equal(images[..., :height, :width], draw.images)
        np.testing.assert_array_equal(batch.planes[place, :height, :width].numpy(), draw.planes)
        images[..., :height, :width] = 0
        assert not images.any()
        assert batch.planes[place].sum() == draw.planes.sum()


@pytest.mark.parametrize("channels", [1, 3, 4, 5, 33, 128, 129])
def test_planes_of_any_number_are_mirrored_pixel_by_pixel(channels: int) -> None:
    planes = np.random.default_rng(0).integers(0, 256, (7, 11, channels), dtype=np.uint8)
    images, mirrored, _, _ = mirror_sample([planes[..., 0]], planes, (), (True,), Mirror(classes=()))
    assert mirrored is not None
    np.testing.assert_array_equal(mirrored, planes[:, ::-1])
    np.testing.assert_array_equal(images[0], planes[:, ::-1, 0])

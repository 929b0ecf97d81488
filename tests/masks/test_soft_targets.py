import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from competition.masks.bit_planes import pack_masks, sample_planes, unpack_planes
from competition.masks.soft_targets import plane_channels, present_classes, soft_targets
from competition.metrics.counts import dice


def random_batch(count: int, classes: int, size_hw: tuple[int, int]) -> tuple[torch.Tensor, NDArray[np.bool_]]:
    """Planes (N, H, W, P) and the masks (N, C, H, W) in them: noise, the first class empty, the last full."""
    rng = np.random.default_rng(0)
    masks = rng.random((count, classes, *size_hw)) < rng.random((count, classes, 1, 1))
    if classes > 1:
        masks[:, 0], masks[:, -1] = False, True
    return torch.from_numpy(np.stack([pack_masks(one) for one in masks])), masks


def covered_share(have: int, wanted: int) -> NDArray[np.float64]:
    """(wanted, have): which part of each target cell every source cell covers, from the overlap of intervals."""
    share = np.zeros((wanted, have))
    for target in range(wanted):
        for source in range(have):
            # In units of 1 / (have * wanted), where both grids have whole-numbered edges.
            overlap = min((target + 1) * have, (source + 1) * wanted) - max(target * have, source * wanted)
            share[target, source] = max(0, overlap) / have
    return share


def area_average(masks: NDArray[np.bool_], size_hw: tuple[int, int]) -> NDArray[np.float64]:
    rows, columns = covered_share(masks.shape[-2], size_hw[0]), covered_share(masks.shape[-1], size_hw[1])
    average: NDArray[np.float64] = rows @ masks.astype(np.float64) @ columns.T
    return average


@pytest.mark.parametrize("classes", [1, 8, 9, 29])
@pytest.mark.parametrize(
    ("size_hw", "target_hw"),
    [
        ((12, 8), (6, 4)),  # halves
        ((12, 8), (3, 2)),  # quarters
        ((12, 8), (12, 8)),  # as it is
        ((12, 8), (4, 8)),  # rows only
        ((12, 8), (1, 1)),
        ((1, 1), (1, 1)),
        ((1, 7), (1, 7)),
        ((64, 48), (2, 3)),  # 32x16 = 512 pixels in a block: more than a byte counts
        ((17, 15), (1, 1)),  # 255, the most a byte counts
        ((16, 16), (1, 1)),  # 256, one more
        ((12, 8), (5, 3)),  # not whole
        ((12, 8), (6, 3)),  # whole in one direction only
        ((7, 5), (6, 4)),
        ((7, 7), (2, 2)),  # rounding takes a full class above 1
        ((3, 5), (6, 10)),  # larger
        ((3, 5), (4, 7)),
    ],
)
def test_targets_are_area_averages(classes: int, size_hw: tuple[int, int], target_hw: tuple[int, int]) -> None:
    planes, masks = random_batch(2, classes, size_hw)
    targets = soft_targets(planes, classes, target_hw)
    assert targets.dtype == torch.float32
    assert targets.shape == (2, classes, *target_hw)
    assert float(targets.min()) >= 0
    assert float(targets.max()) <= 1
    np.testing.assert_allclose(targets.numpy(), area_average(masks, target_hw), rtol=0, atol=1e-6)


def test_whole_factors_are_exact() -> None:
    planes, masks = random_batch(1, 29, (16, 16))
    expected = masks.reshape(1, 29, 8, 2, 8, 2).mean(axis=(3, 5))
    np.testing.assert_array_equal(soft_targets(planes, 29, (8, 8)).numpy(), expected.astype(np.float32))


def test_a_batch_that_is_not_contiguous() -> None:
    planes, masks = random_batch(2, 9, (8, 8))
    flipped = soft_targets(planes.flip(2)[:, ::2], 9, (2, 4))
    expected = area_average(masks[..., ::2, ::-1], (2, 4))
    np.testing.assert_allclose(flipped.numpy(), expected, rtol=0, atol=1e-6)


def test_the_planes_are_left_alone() -> None:
    planes, _ = random_batch(1, 9, (8, 8))
    before = planes.clone()
    soft_targets(planes, 9, (4, 4))
    assert torch.equal(planes, before)


def test_misuse_is_refused() -> None:
    planes, _ = random_batch(1, 9, (8, 8))
    with pytest.raises(ValueError, match="planes of 8 classes"):
        soft_targets(planes, 8, (4, 4))
    with pytest.raises(ValueError, match="planes of 9 classes"):
        soft_targets(planes[0], 9, (4, 4))
    with pytest.raises(ValueError, match="planes of 9 classes"):
        soft_targets(planes.float(), 9, (4, 4))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("target_hw", [(16, 16), (5, 12), (2, 2)])
def test_the_gpu_gives_the_same(target_hw: tuple[int, int]) -> None:
    planes, _ = random_batch(2, 29, (64, 48))
    on_gpu = soft_targets(planes.cuda(), 29, target_hw)
    assert on_gpu.is_cuda
    torch.testing.assert_close(on_gpu.cpu(), soft_targets(planes, 29, target_hw), rtol=0, atol=1e-6)


def bones(size: int) -> NDArray[np.bool_]:
    """Eight overlapping bone-like polygons, (8, size, size): long shafts with knobs and small round ones, turned all
    ways.

    Their areas at 2048 span those of the real classes, about 4,000 to 75,000 pixels.
    """
    masks = np.zeros((8, size, size), np.uint8)
    around = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    for index, mask in enumerate(masks):
        length, width = [(330, 60), (130, 45), (70, 40), (45, 30)][index % 4]
        outline = np.stack([length * np.cos(around), width * np.sin(around) * (1 + 0.35 * np.cos(2 * around))], axis=1)
        turn = 0.3 + 0.71 * index
        turned = outline @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
        centre = np.array([1024 + 160 * np.cos(2.4 * index), 1024 + 160 * np.sin(2.4 * index)])
        cv2.fillPoly(mask, [np.round((turned + centre) * size / 2048).astype(np.int32)], 1)
    return masks.astype(np.bool_)


def brought_back(scores: torch.Tensor, size: int) -> NDArray[np.bool_]:
    """What becomes of a network's perfect output: bilinear to native size, then cut at 0.5."""
    enlarged = F.interpolate(scores[None].float(), size=(size, size), mode="bilinear", align_corners=False)[0]
    return (enlarged > 0.5).numpy()


@pytest.mark.slow
@pytest.mark.parametrize(("size", "training_size"), [(2048, 512), (1024, 400)])
def test_a_perfect_model_of_soft_targets_reaches_dice_099(size: int, training_size: int) -> None:
    masks = bones(size)
    assert (masks.sum(axis=0) > 1).any()  # they do overlap
    planes = pack_masks(masks)
    small_hw = (training_size, training_size)
    soft = soft_targets(torch.from_numpy(planes)[None], 8, small_hw)[0]
    nearest = torch.from_numpy(unpack_planes(sample_planes(planes, small_hw), 8))

    def score(back: NDArray[np.bool_]) -> NDArray[np.float64]:
        return dice((back & masks).sum(axis=(1, 2)), back.sum(axis=(1, 2)), masks.sum(axis=(1, 2)))

    of_soft, of_nearest = score(brought_back(soft, size)), score(brought_back(nearest, size))
    assert of_soft.min() >= 0.99
    assert (of_soft > of_nearest).all()
    assert of_soft.mean() > of_nearest.mean() + 0.003


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 2), (3, 5), (7, 7), (8, 16)])
def test_a_class_is_present_where_a_single_pixel_shows_it(size_hw):
    height, width = size_hw
    masks = np.zeros((height * width, 9, height, width), np.bool_)
    masks.reshape(height * width, 9, -1)[range(height * width), 8, range(height * width)] = True  # each pixel once
    masks[0, 2] = True
    planes = torch.from_numpy(np.stack([pack_masks(one) for one in masks]))
    present = present_classes(plane_channels(planes, 9), 9)
    assert present.tolist() == masks.any(axis=(2, 3)).tolist()

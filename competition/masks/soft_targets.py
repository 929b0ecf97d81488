"""Soft targets: the share of each training pixel that a class covers.

Nearest-neighbour shrinking moves the outline of a mask by up to half a training pixel: a perfect model trained on such
masks at 512 can't exceed Dice 0.964 at 2048x2048. Area averages keep where the outline runs within the pixel: 0.996.
"""

import numpy as np
import torch

from competition.masks.bit_planes import CLASSES_PER_PLANE, plane_count


def soft_targets(planes: torch.Tensor, classes: int, size_hw: tuple[int, int]) -> torch.Tensor:
    """Unpack label planes and average every class over the area of each target pixel.

    The planes are unpacked on their own device, class by class, so that besides the result only one class is ever held
    unpacked. Whole-numbered shrink factors are summed in bytes: 29 classes of 8x384x384 to 192x192 take 8 ms on two
    cores, 14 ms on one.

    Args:
        planes: (N, H, W, ceil(C / 8)) uint8.
        classes: C.
        size_hw: Rows and columns of the target, (h, w); any size, also larger than the planes.

    Returns:
        (N, C, h, w) float32 in [0, 1] on the device of the planes.

    Raises:
        ValueError: The planes don't fit the number of classes.
    """
    channels = plane_channels(planes, classes)
    targets = torch.empty((planes.shape[0], classes, *size_hw), dtype=torch.float32, device=planes.device)
    for index in range(classes):
        targets[:, index] = class_targets(channels, index, size_hw)
    return targets


def plane_channels(planes: torch.Tensor, classes: int) -> torch.Tensor:
    """Return label planes (N, H, W, P) as (P, N, H, W), a class in one piece; errors as ``soft_targets``."""
    if planes.dtype != torch.uint8 or planes.ndim != 4 or planes.shape[3] != plane_count(classes):
        wanted = f"(N, H, W, {plane_count(classes)}) uint8"
        raise ValueError(f"planes of {classes} classes are {wanted}, not {tuple(planes.shape)} {planes.dtype}")
    return planes.permute(3, 0, 1, 2).contiguous()


def class_targets(channels: torch.Tensor, index: int, size_hw: tuple[int, int]) -> torch.Tensor:
    """Return the soft targets (N, h, w) float32 of one class, of ``plane_channels``."""
    height, width = channels.shape[2:]
    bits = (channels[index // CLASSES_PER_PLANE] >> index % CLASSES_PER_PLANE) & 1
    if height % size_hw[0] == 0 and width % size_hw[1] == 0:
        rows, columns = height // size_hw[0], width // size_hw[1]
        sums = _block_sums(bits, rows, columns).float()
        return sums if rows * columns == 1 else sums.div_(rows * columns)
    averages = _weighted_rows(_weighted_rows(bits, size_hw[0]).mT, size_hw[1]).mT
    return averages.clamp(max=1)  # weights add up to 1 only within rounding


def present_classes(channels: torch.Tensor, classes: int) -> torch.Tensor:
    """Return which classes have a pixel in which sample, (N, C) bool, of ``plane_channels``."""
    seen = channels.flatten(2)
    while seen.shape[2] > 1:
        # Halves by OR, which torch has no reduction by; of an odd number they share the value in the middle.
        half = -(-seen.shape[2] // 2)
        seen = seen[:, :, :half] | seen[:, :, -half:]
    of_class = [seen[index // CLASSES_PER_PLANE, :, 0] & (1 << index % CLASSES_PER_PLANE) for index in range(classes)]
    return torch.stack(of_class, dim=1) > 0


def _block_sums(bits: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """Add up blocks of rows x columns pixels: (N, H, W) uint8 of 0 and 1 -> (N, H / rows, W / columns) integers."""
    if rows * columns > 255:
        bits = bits.to(torch.int32)  # a byte can't count a full block
    by_row = bits[:, 0::rows]
    for row in range(1, rows):
        by_row = by_row + bits[:, row::rows]
    by_block = by_row[:, :, 0::columns]
    for column in range(1, columns):
        by_block = by_block + by_row[:, :, column::columns]
    return by_block


def _weighted_rows(values: torch.Tensor, size: int) -> torch.Tensor:
    """Average rows where a target row isn't a whole number of source rows: (N, H, W) -> (N, h, W) float32.

    Target row i covers the source from i * H / h to (i + 1) * H / h; a source row counts by the part of it that lies
    within. (torch's own adaptive average gives every row that is touched the same weight, which blurs the outline.)
    """
    height = values.shape[1]
    edges = np.arange(size + 1) * height / size
    low, high = edges[:-1], edges[1:]
    averages = torch.zeros((values.shape[0], size, values.shape[2]), dtype=torch.float32, device=values.device)
    for offset in range(int(np.ceil(height / size)) + 1):
        rows = np.floor(low).astype(np.int64) + offset
        weights = np.clip(np.minimum(high, rows + 1) - np.maximum(low, rows), 0, None) * size / height
        picked = values[:, torch.from_numpy(rows.clip(max=height - 1)).to(values.device)]
        averages += picked * torch.from_numpy(weights.astype(np.float32)).to(values.device)[:, None]
    return averages

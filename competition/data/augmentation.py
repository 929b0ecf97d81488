"""Augmentation presets: what a training image may look like on another day. All use of albumentations is in this file.

Albumentations works on the image and, for segmentation, on the packed label planes: nearest-neighbour warps move whole
pixels, so the bits of 29 classes travel together and come out exactly as 29 masks would, at a quarter of the time.
Flips are not here, because a flip may change class names; see ``datasets``.
"""

from collections.abc import Callable, Sequence
from typing import Any

import albumentations as A
import cv2
import numpy as np
from albumentations.core.type_definitions import Targets
from numpy.typing import NDArray

from competition.data.boxes import Box
from competition.errors import CompetitionError
from competition.masks.bit_planes import class_areas, unpack_class
from competition.text import nearest_hint
from competition.tracks.track import Track

Pixels = NDArray[np.uint8]
"""An image (H, W) or (H, W, 3), or label planes (H, W, P)."""

Border = dict[str, Any]
"""What a warp puts beyond the edge of the image, as albumentations takes it."""

# Scalars, because OpenCV 5 zeroes every fourth channel of a per-channel fill above four channels.
BLACK: Border = {"border_mode": cv2.BORDER_CONSTANT, "fill": 0, "fill_mask": 0}
# A label must not grow beyond its image; an image without one is continued by its edge, because black would bring back
# the margins that cleaning removed.
REPEATED: Border = {"border_mode": cv2.BORDER_REPLICATE}

# At most this share of the image's side, so that a bone lands among its neighbours and not in a corner.
LARGEST_SHIFT = 0.125


class _Warp(A.Affine):  # type: ignore[misc]
    """An affine warp of which only the window is computed, in a quarter of the time for half of the sides."""

    @property
    def targets_as_params(self) -> list[str]:
        return ["window"]

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Return the warp of the whole picture, shifted so that the window begins at its first row and column."""
        drawn: dict[str, Any] = super().get_params_dependent_on_data(params, data)
        window: Box = data["window"]
        shift = np.array([[1, 0, -window.left], [0, 1, -window.top], [0, 0, 1]], np.float64)
        return drawn | {"matrix": shift @ drawn["matrix"], "output_shape": window.size_hw}


class _Cut(A.DualTransform):  # type: ignore[misc]
    """Crop what was not warped to the window: every warp is left out of a part of the draws."""

    _targets = (Targets.IMAGE, Targets.MASK)

    @property
    def targets_as_params(self) -> list[str]:
        return ["window"]

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        return {"window": data["window"]}

    def apply(self, img: Pixels, window: Box, **params: Any) -> Pixels:
        """Crop an image or mask that is larger than the window."""
        return img if img.shape[:2] == window.size_hw else img[window.window]


class Exposure(A.ImageOnlyTransform):  # type: ignore[misc]
    """Change brightness and contrast in units of the image's standard deviation, as the network sees them.

    Albumentations shifts brightness by a share of 255, which can exceed the whole standard deviation of a dark X-ray:
    with 0.15 of 255, Dice on synthetic legs after 64 steps was 0.884; with 0.15 standard deviations it is 0.906 (3
    seeds).
    """

    def __init__(self, brightness: float, contrast: float, p: float) -> None:
        """Draw the shift from ±brightness standard deviations and the gain from 1 ± contrast."""
        super().__init__(p=p)
        self.brightness, self.contrast = brightness, contrast

    def get_params_dependent_on_data(self, params: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
        """Draw a lookup table for the 256 grey values."""
        mean, deviation = cv2.meanStdDev(data["image"].reshape(-1, 1))
        gain = 1 + self.py_random.uniform(-self.contrast, self.contrast)
        shift = self.py_random.uniform(-self.brightness, self.brightness) * deviation[0, 0]
        table = (np.arange(256) - mean[0, 0]) * gain + mean[0, 0] + shift
        return {"table": np.clip(np.rint(table), 0, 255).astype(np.uint8)}

    def apply(self, img: Pixels, table: Pixels, **params: Any) -> Pixels:
        """Apply the lookup table."""
        return np.asarray(cv2.LUT(img, table))


def _affine(border: Border, degrees: float, scale: float, shift: float, probability: float = 0.8) -> A.Affine:
    return _Warp(
        rotate=(-degrees, degrees),
        scale=(1 - scale, 1 + scale),
        translate_percent=(-shift, shift),
        interpolation=cv2.INTER_LINEAR,
        mask_interpolation=cv2.INTER_NEAREST,
        p=probability,
        **border,
    )


PRESETS: dict[str, Callable[[Border], list[Any]]] = {
    "none": lambda border: [],
    # By whole pixels, because interpolation would blur a finding of a few pixels. No exposure either: an angiogram's
    # deviation is some 20 grey values, so a tenth of 255 more drowns the vessels.
    "shift": lambda border: [_Warp(translate_px={"x": (-4, 4), "y": (-4, 4)}, p=0.9, **border)],
    "geometric": lambda border: [_affine(border, degrees=10, scale=0.1, shift=0.05)],
    # Little else than the differences between two consoles. A gamma of 0.88 to 1.14 moves a background of 190 by 8 grey
    # values at most and a vessel of 60 by 12; a change of contrast about 0 would move the background by more than a
    # vessel differs from it.
    "angiogram": lambda border: [
        _affine(border, degrees=10, scale=0.1, shift=0.05),
        A.RandomGamma((88, 114), p=0.5),
        A.OneOf([A.GaussNoise((0.005, 0.015)), A.GaussianBlur((3, 3))], p=0.3),
    ],
    "light": lambda border: [_affine(border, degrees=10, scale=0.1, shift=0.05), Exposure(0.15, 0.15, p=0.5)],
    "strong": lambda border: [
        _affine(border, degrees=25, scale=0.2, shift=0.08),
        Exposure(0.25, 0.25, p=0.7),
        A.RandomGamma((70, 140), p=0.4),
        A.OneOf([A.GaussianBlur((3, 5)), A.Sharpen((0.1, 0.4)), A.GaussNoise((0.01, 0.05))], p=0.4),
    ],
    # For anatomy that has no fixed up, such as a round ventricle, on scanners whose greys differ.
    "turning": lambda border: [
        A.RandomRotate90(p=1.0),
        _affine(border, degrees=20, scale=0.25, shift=0.05),
        Exposure(0.15, 0.3, p=0.7),
        A.RandomGamma((60, 160), p=0.5),
    ],
    # For pictures without up and down whose objects are counted: nothing that moves an object out of the picture.
    "quarter_turns": lambda border: [A.RandomRotate90(p=1.0), Exposure(0.15, 0.15, p=0.5)],
    # A grid of holes over half of the draws and nothing else, as the hand-bone report compared it; labels stay. The
    # report gives no ratio: half of each cell's side is the library's own.
    "grid_dropout": lambda border: [A.GridDropout(ratio=0.5, random_offset=True, fill=0, fill_mask=None, p=0.5)],
    # Up to six squares of half of the draws are hidden from the network and nothing else; their labels stay.
    "cutout": lambda border: [A.CoarseDropout((1, 6), (0.05, 0.15), (0.05, 0.15), fill=0, fill_mask=None, p=0.5)],
    # Half of the draws are rotated and nothing else, as the hand-bone report compared it.
    "rotate10": lambda border: [_affine(border, degrees=10, scale=0, shift=0, probability=0.5)],
    "rotate30": lambda border: [_affine(border, degrees=30, scale=0, shift=0, probability=0.5)],
}

# Not allowed for anatomy with a fixed up; a rotation by some degrees is no turn.
TURNS = (A.RandomRotate90, A.VerticalFlip, A.Transpose, A.D4)


def has_turns(preset: str) -> bool:
    """Return whether a preset turns images on their sides or heads."""
    return any(isinstance(transform, TURNS) for transform in PRESETS[preset](BLACK))


def check_augmentation(preset: str, track: Track) -> None:
    """Reject a preset that is unknown, or that the track's anatomy does not allow."""
    if preset not in PRESETS:
        raise CompetitionError(f"unknown augmentation {preset!r}{nearest_hint(preset, list(PRESETS))}")
    if track.upright and has_turns(preset):
        what = f"data.augmentation {preset!r} turns images on their sides and heads, but the classes of track"
        repair = "Use --set data.augmentation=strong, which rotates by some degrees"
        raise CompetitionError(f"{what} {track.name} follow from their order from the top", None, repair)


class Augmenter:
    """One preset, ready to be applied; its only state is albumentations' generator, which every call seeds."""

    def __init__(self, preset: str, labelled: bool = True) -> None:
        """Build the transforms; images without label planes (``labelled``) are continued by their edge."""
        transforms = PRESETS[preset](BLACK if labelled else REPEATED)
        warps = [place for place, transform in enumerate(transforms) if isinstance(transform, _Warp)]
        transforms.insert(warps[-1] + 1 if warps else 0, _Cut(p=1.0))
        self._transform = A.Compose(transforms)

    def __call__(
        self, images: Sequence[Pixels], planes: Pixels | None, seed: int, window: Box | None = None
    ) -> tuple[list[Pixels], Pixels | None]:
        """Augment one sample.

        Args:
            images: Its views, (H, W) or (H, W, 3) uint8 each. Every view has its own transform.
            planes: Label planes (H, W, P) uint8 of the only view, or None.
            seed: The same seed gives the same result, in any process.
            window: The part of the augmented image that is wanted; None is all of it.

        Returns:
            Images and planes of the same shapes, or of the window's.
        """
        window = window or Box(0, 0, *images[0].shape[:2])
        augmented = []
        for view, image in enumerate(images):
            # Augmented views of one patient must not move in step; 8191 keeps the seeds of views apart.
            self._transform.set_random_seed((seed + 8191 * view) % 2**32)
            if planes is None:
                augmented.append(self._transform(image=image, window=window)["image"])
            else:
                result = self._transform(image=image, mask=planes, window=window)
                augmented.append(result["image"])
                planes = result["mask"]
        return augmented, planes


def copy_paste(
    image: Pixels, planes: Pixels, donor_image: Pixels, donor_planes: Pixels, classes: int, random: np.random.Generator
) -> tuple[Pixels, Pixels]:
    """Paste the region of one random class of the donor, shifted a little, over a sample of the same shape.

    Within the region pixels and labels are the donor's, those of overlapping classes too; what it covers of the sample
    is hidden and no longer labelled. What would fall outside the image is cut off.

    Args:
        image: (H, W) or (H, W, 3) uint8; not changed.
        planes: (H, W, P) uint8 label planes; not changed.
        donor_image: Of the same shape.
        donor_planes: Of the same shape.
        classes: Number of classes.
        random: Draws the class and the shift.

    Returns:
        Image and planes; the given ones where the donor shows no class.
    """
    height, width = image.shape[:2]
    shown = np.flatnonzero(class_areas(donor_planes, classes))
    if len(shown) == 0:
        return image, planes
    region = unpack_class(donor_planes, int(random.choice(shown)))
    furthest = int(LARGEST_SHIFT * max(height, width))
    down, right = (int(shift) for shift in random.integers(-furthest, furthest + 1, 2))
    rows, columns = np.nonzero(region)
    to_rows, to_columns = rows + down, columns + right
    inside = (to_rows >= 0) & (to_rows < height) & (to_columns >= 0) & (to_columns < width)
    image, planes = image.copy(), planes.copy()
    image[to_rows[inside], to_columns[inside]] = donor_image[rows[inside], columns[inside]]
    planes[to_rows[inside], to_columns[inside]] = donor_planes[rows[inside], columns[inside]]
    return image, planes

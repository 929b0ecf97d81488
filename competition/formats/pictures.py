"""Images opened with Pillow: only expected formats, of one page, turned by their EXIF orientation."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile
from PIL.TiffImagePlugin import PHOTOMETRIC_INTERPRETATION, TiffImageFile

from competition.errors import CompetitionError
from competition.formats.label_values import describe_values
from competition.formats.source_files import MAX_PIXELS, first_line, require_file, require_finite, require_size

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM")
"""Others would start foreign programs (Ghostscript for EPS) or hold no medical image."""


class UnknownFormatError(CompetitionError):
    """A file of another format than its reader knows, here any but ``FORMATS``; damage is another error."""


Image.MAX_IMAGE_PIXELS = MAX_PIXELS

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What each EXIF orientation needs to be shown upright (EXIF 2.3, tag 0x0112)."""

_MODES = ("1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "YCbCr")


def _decode(path: Path) -> Image.Image:
    """Decode an image or mask and turn it by its EXIF orientation, a mask by its own tag.

    Labels are drawn on the image as viewers show it, so the tag is applied.
    """
    with _opened(path) as picture:
        # Pillow keeps the upper byte of 16 bits per colour: labels of 0 and 1 would be empty, a 12-bit X-ray black.
        wide_colour = len(picture.getbands()) > 1 and any("16" in str(tile[3]) for tile in picture.tile)
        orientation = picture.getexif().get(ExifTags.Base.Orientation)
        picture.load()
        if wide_colour:
            reason = "picture has 16 bits per colour, of which only the upper 8 could be read"
            raise CompetitionError(reason, path, "Save it as 16-bit grey, or with 8 bits per colour")
        turned: Image.Image = picture
        if orientation in _TURNS and picture.format != "TIFF":  # Pillow turns a TIFF itself
            turned = picture.transpose(_TURNS[orientation])
    if turned.mode == "F":
        require_finite(np.asarray(turned), "picture", path)
    return turned


def check_picture(path: Path) -> None:
    """Check an image's header as the readers here do, for those that decode it with another library."""
    with _opened(path):
        pass


def exif_orientation(path: Path) -> int:
    """Return the EXIF orientation of an image, 1 to 8; 1 where it has none or is no image."""
    with suppress(CompetitionError), _opened(path) as picture:
        if (orientation := picture.getexif().get(ExifTags.Base.Orientation)) in _TURNS:
            return int(orientation)
    return 1


def picture_size(path: Path) -> tuple[int, int] | None:
    """Return rows and columns of an image as it is shown, by its header; None where it is no image.

    Raises:
        CompetitionError: It is one that is not read, such as one of several pages.
    """
    with suppress(UnknownFormatError), _opened(path) as picture:
        columns, rows = picture.size
        turned = picture.getexif().get(ExifTags.Base.Orientation) in (5, 6, 7, 8)
        return (columns, rows) if turned and picture.format != "TIFF" else (rows, columns)  # Pillow turns a TIFF itself
    return None


def has_wide_grey(path: Path) -> bool:
    """Return whether an image's grey has more than 8 bits, so that it is stretched; False where it is no image."""
    with suppress(CompetitionError), _opened(path) as picture:
        return _is_wide(picture)
    return False


def _is_wide(picture: Image.Image) -> bool:
    return picture.mode.startswith(("I", "F"))


def _stored_pixels(picture: ImageFile) -> int:
    """Return how many pixels the parts of a file cover, which are decoded one after the other."""
    boxes = (tile[1] or (0, 0, *picture.size) for tile in picture.tile)
    return sum((right - left) * (bottom - top) for left, top, right, bottom in boxes)


@contextmanager
def _opened(path: Path) -> Iterator[ImageFile]:
    """Open an image and check its header; turn exceptions of Pillow into a sentence."""
    require_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata; what matters is rejected below
            # Opened by file, because by name Pillow maps an uncompressed TIFF of orientation 5 to 8 with its sides
            # exchanged (13.0).
            with path.open("rb") as file, Image.open(file, formats=FORMATS) as picture:
                require_size(picture.height, picture.width, path)
                if not _is_wide(picture) and picture.mode not in _MODES:
                    reason = f"picture has the colours {picture.mode}, grey or RGB is expected"
                    raise CompetitionError(reason, path, "Save it as grey or RGB")
                pages = getattr(picture, "n_frames", 1)
                if pages != 1:
                    reason = f"picture has {pages} pages or frames, one is expected"
                    raise CompetitionError(reason, path, "Save each as a file of its own")
                if picture.format == "TIFF" and _stored_pixels(picture) < picture.width * picture.height:
                    # Pillow would leave the rest black.
                    reason = "picture declares more pixels than it stores, so it must be damaged"
                    raise CompetitionError(reason, path, "Copy the file again")
                yield picture
    except CompetitionError:
        raise
    except Image.DecompressionBombError as error:
        raise CompetitionError(f"picture has more than the {MAX_PIXELS:,} pixels that are read", path) from error
    except UnidentifiedImageError as error:
        reason = f"image can't be read (not {', '.join(FORMATS[:-1])} or {FORMATS[-1]}, or damaged in its header)"
        raise UnknownFormatError(reason, path) from error
    except Exception as error:  # for damaged files Pillow raises KeyError, struct.error, SyntaxError and many others
        raise CompetitionError(f"image can't be read ({first_line(error)})", path, "Copy the file again") from error


AS_GREY = "Save it as 8-bit grey, 0 and 255"


def read_grey(path: Path) -> NDArray[np.uint8]:
    """Read an image as grey values, (H, W) uint8.

    Sixteen-bit grey is stretched from its own minimum and maximum to 0..255, because a 12-bit X-ray in a 16-bit file
    would be black otherwise. Colour is turned to luminance. Of a TIFF in which 0 is white, it is the brightest.

    Raises:
        CompetitionError: As ``decode_picture``, a value is not finite, or only the opacity varies.
    """
    picture = _decode_image(path)
    return _stretched(picture) if _is_wide(picture) else np.asarray(picture.convert("L"))


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Read an image as (H, W, 3) uint8; grey is repeated. Errors as ``read_grey``."""
    picture = _decode_image(path)
    if _is_wide(picture):
        return np.repeat(_stretched(picture)[..., None], 3, axis=2)
    return np.asarray(picture.convert("RGB"))


def _stretched(picture: Image.Image) -> NDArray[np.uint8]:
    """Stretch wide grey; where 0 is white it is mirrored between minimum and maximum, as ``read_dicom`` does."""
    values = np.asarray(picture)
    # Of up to 8 bits Pillow does it itself.
    if isinstance(picture, TiffImageFile) and picture.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == 0:
        values = values.min() + (values.max() - values)
    return stretch(values)


def read_values(path: Path) -> NDArray[np.integer]:
    """Read a label image's stored values: palette indices stay indices and nothing is stretched.

    Returns:
        (H, W) of the file's own integer type. Of colour files whose channels are equal, one channel; where that is
        constant and the opacity varies, the opacity.

    Raises:
        CompetitionError: As ``read_grey``, the file has unequal colour channels (then no value is *the* label), or
            colour and opacity both vary and contradict each other.
    """
    return _stored_values(_decode(path), path)


def read_ordered_values(path: Path) -> NDArray[np.integer]:
    """Read a label image, (H, W) of its own integer type, in which a larger value is more of its one class.

    Of a palette these are the indices if there are two, and the grey levels where the palette is a row of greys (soft
    edges). Any other palette has no order.

    Raises:
        CompetitionError: As ``read_values``, or a palette holds three or more indices that are no greys in ascending
            order, or shows index 0 brighter than the other, so that index and image contradict each other.
    """
    picture = _decode(path)
    values = _stored_values(picture, path)
    if picture.mode != "P":
        return values
    indices = np.unique(values)
    palette = np.zeros((256, 3), np.int64)  # black where a file names fewer colours than it uses
    named = np.asarray(picture.getpalette("RGB"), np.int64).reshape(-1, 3)
    palette[: len(named)] = named
    colours = palette[indices]
    steps = np.diff(colours[:, 0])
    grey = bool((colours == colours[:, :1]).all())
    if grey and len(indices) == 2 and steps[0] < 0:
        reason = f"palette label shows index {indices[0]} brighter than index {indices[1]}: which is the class?"
        raise CompetitionError(reason, path, AS_GREY)
    if len(indices) <= 2:
        return values
    if grey and (steps > 0).all():
        return np.asarray(picture.convert("L"))
    reason = f"palette label holds the indices {', '.join(map(str, indices[:6]))}: which of them is the class?"
    raise CompetitionError(
        reason, path, f"{AS_GREY}; a folder track can name them in its YAML, classes: {{name: index}}"
    )


def read_colours(path: Path) -> NDArray[np.integer]:
    """Read a label image whose colours (of a palette, those that it shows) name the classes.

    Returns:
        (H, W) int32, 0xRRGGBB of every pixel.

    Raises:
        CompetitionError: As ``read_grey``, or the file holds 16-bit grey, which is no colour.
    """
    picture = _decode(path)
    if _is_wide(picture):
        raise CompetitionError("label picture is 16-bit grey, and its classes are declared as colours", path)
    return _colour_codes(np.asarray(picture.convert("RGB")))


def _colour_codes(colours: NDArray[np.uint8]) -> NDArray[np.int32]:
    """Return 0xRRGGBB of every pixel: (H, W, 3) uint8 -> (H, W) int32."""
    return colours.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)


def _stored_values(picture: Image.Image, path: Path) -> NDArray[np.integer]:
    values = np.asarray(picture)
    if values.dtype == bool:
        return values.astype(np.uint8)
    if values.dtype.kind == "f":
        if (values != np.floor(values)).any() or np.abs(values).max(initial=0) > 2**31 - 1:
            raise CompetitionError("label picture holds fractions, which name no class", path)
        return values.astype(np.int32)
    if values.ndim == 3:
        channels = 1 if values.shape[2] == 2 else 3  # what follows is opacity
        colour, opacity = values[..., :channels], values[..., channels:]
        if not (colour == colour[..., :1]).all():
            codes = _colour_codes(colour)
            reason = f"label picture is in colour ({describe_values(codes, colours=True)}), so its values name no class"
            repair = f"Declare the colours in a folder track's YAML: classes: {_colour_line(codes)}"
            raise CompetitionError(reason, path, repair)
        values = np.ascontiguousarray(colour[..., 0])
        if opacity.size and opacity.min() < opacity.max():
            if values.min() == values.max():
                return np.ascontiguousarray(opacity[..., 0])
            if hidden := int(np.count_nonzero(values[opacity[..., 0] == 0])):
                reason = f"{hidden} pixels of the label picture hold a value and are fully transparent"
                raise CompetitionError(f"{reason}: is the mask the colour or the opacity?", path, AS_GREY)
    return values


def _colour_line(codes: NDArray[np.int32]) -> str:
    """Return the most frequent colours but black, as they are declared."""
    colours, counts = np.unique(codes[codes > 0], return_counts=True)
    frequent = colours[np.argsort(-counts, kind="stable")[:3]].tolist()
    return "{" + ", ".join(f'NAME{number}: "#{code:06x}"' for number, code in enumerate(frequent, 1)) + "}"


def _decode_image(path: Path) -> Image.Image:
    """Decode an image; its opacity is left out, and an image of nothing else is rejected."""
    picture = _decode(path)
    if picture.mode in ("LA", "RGBA"):
        constant = [low == high for low, high in map(Image.Image.getextrema, picture.split())]
        if all(constant[:-1]) and not constant[-1]:
            reason = "the colour of the picture is the same everywhere and only its opacity (alpha) varies"
            raise CompetitionError(reason, path, "Save it as grey or RGB without opacity")
    return picture


def stretch(values: NDArray[Any], between: tuple[float, float] | None = None) -> NDArray[np.uint8]:
    """Stretch an image's own minimum and maximum to 0..255; a constant one becomes black.

    Args:
        values: (H, W) finite numbers. They are stretched some rows at a time, because a large image as float64 takes
            eight times the memory of the result.
        between: The lowest and highest value in place of the image's own; what lies outside becomes 0 or 255. If they
            are equal, what is above becomes 255.
    """
    low, high = between or (float(values.min()), float(values.max()))
    if between is not None and low == high:
        return np.asarray((values > low) * np.uint8(255))
    stretched = np.zeros(values.shape, np.uint8)
    if high > low:
        rows = max(1, (1 << 20) // values[0].size)
        for at in range(0, len(values), rows):
            block = values[at : at + rows].astype(np.float64)
            if between is not None:
                block = block.clip(low, high)
            stretched[at : at + rows] = np.round((block - low) * (255 / (high - low)))
    return stretched


def has_colour(path: Path) -> bool:
    """Return whether the channels of an image differ, so that grey loses something; False where it is no image."""
    try:
        with _opened(path) as picture:
            if picture.mode in ("1", "L", "LA", "La") or picture.mode.startswith(("I", "F")):
                return False
        colours = read_rgb(path)
    except CompetitionError:
        return False
    return bool((colours != colours[..., :1]).any())

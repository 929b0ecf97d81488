"""Pictures opened with Pillow: only formats that are meant, of one page, turned as their own tag says."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import ExifTags, Image, UnidentifiedImageError
from PIL.ImageFile import ImageFile

from competition.errors import CompetitionError
from competition.imaging.source_files import MAX_PIXELS, first_line, require_file, require_size

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP", "PPM")
"""Others would start foreign programs (Ghostscript for EPS) or hold no picture of an examination."""

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


def decode_picture(path: Path) -> Image.Image:
    """Decodes a picture, images and masks alike, and turns it by its EXIF orientation.

    Labels are drawn on the picture as viewers show it, so the tag is applied. A mask is turned by its own tag.

    Raises:
        CompetitionError: The file is missing, no picture, damaged or too large, has several pages or frames, 16 bits
            per colour, or colours that are neither grey nor RGB (CMYK, LAB).
    """
    with _opened(path) as picture:
        # Pillow keeps the upper byte of 16 bits per colour: labels of 0 and 1 would be empty, a 12-bit X-ray black.
        wide_colour = len(picture.getbands()) > 1 and any("16" in str(tile[3]) for tile in picture.tile)
        orientation = picture.getexif().get(ExifTags.Base.Orientation)
        picture.load()
        if wide_colour:
            reason = "picture has 16 bits per colour, of which only the upper 8 could be read"
            raise CompetitionError(reason, path, "Save it as 16-bit grey, or with 8 bits per colour")
        if orientation in _TURNS and picture.format != "TIFF":  # Pillow turns a TIFF itself
            return picture.transpose(_TURNS[orientation])
        return picture


def check_picture(path: Path) -> None:
    """Checks a picture's header as ``decode_picture`` does, for readers that decode it with another library."""
    with _opened(path):
        pass


def exif_orientation(path: Path) -> int:
    """Returns the EXIF orientation of a picture, 1 to 8; 1 where it has none or is no picture."""
    try:
        with _opened(path) as picture:
            orientation = picture.getexif().get(ExifTags.Base.Orientation)
    except CompetitionError:
        return 1
    return orientation if orientation in _TURNS else 1


def has_wide_grey(path: Path) -> bool:
    """Returns whether a picture's grey has more than 8 bits, so that it is stretched; False where it is no picture."""
    try:
        with _opened(path) as picture:
            return picture.mode.startswith(("I", "F"))
    except CompetitionError:
        return False


def _stored_pixels(picture: ImageFile) -> int:
    """Returns how many pixels the parts of a file cover, which are decoded one after the other."""
    boxes = (tile[1] or (0, 0, *picture.size) for tile in picture.tile)
    return sum((right - left) * (bottom - top) for left, top, right, bottom in boxes)


@contextmanager
def _opened(path: Path) -> Iterator[ImageFile]:
    """Opens a picture and checks its header; what Pillow raises inside becomes a sentence."""
    require_file(path)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata; what matters is refused below
            # Opened by file, because by name Pillow maps an uncompressed TIFF of orientation 5 to 8 with its sides
            # exchanged (13.0).
            with path.open("rb") as file, Image.open(file, formats=FORMATS) as picture:
                require_size(picture.height, picture.width, path)
                if not picture.mode.startswith(("I", "F")) and picture.mode not in _MODES:
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
        raise CompetitionError(reason, path) from error
    except Exception as error:  # for damaged files Pillow raises KeyError, struct.error, SyntaxError and many others
        raise CompetitionError(f"image can't be read ({first_line(error)})", path) from error

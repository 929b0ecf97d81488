"""Images of a folder track in any format: ``images:`` in its YAML, and which samples a file holds."""

from pathlib import Path
from typing import Literal

from pydantic import field_validator

from competition.formats import nifti
from competition.formats.dicom import Window
from competition.settings import Section


class ImageReading(Section):
    """How DICOM, NIfTI and arrays become pictures."""

    window: Window = "min-max"
    """The values that become 0 to 255: the image's own minimum and maximum (of a volume, those of all slices); "voi",
    the window that a DICOM or NIfTI file names; or [lowest, highest], Hounsfield units for CT. Pictures such as PNG,
    and arrays of uint8, stay as they are."""
    slices: Literal[0, 1, 2] | None = None
    """The axis of a NIfTI volume whose slices are the samples; 2 in most files. Left out: a file is one image."""

    @field_validator("window")
    @classmethod
    def _ascending(cls, window: Window) -> Window:
        if not isinstance(window, str) and window[0] >= window[1]:
            raise ValueError(f"must be [lowest, highest], not [{window[0]:g}, {window[1]:g}]")
        return window


PLAIN = ImageReading()


def list_parts(image: Path, reading: ImageReading) -> list[str]:
    """Return the parts of a file that are samples: the numbers of its slices, or "" for the file as a whole.

    Raises:
        CompetitionError: Slices are declared, and the file is no readable volume.
    """
    if reading.slices is None or not nifti.is_nifti(image):
        return [""]
    return nifti.slice_numbers(nifti.count_slices(image, reading.slices))

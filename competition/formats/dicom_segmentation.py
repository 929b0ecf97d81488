"""DICOM SEG: masks of a DICOM image in a file of their own, which viewers show on the image."""

import warnings
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code
from pydicom.uid import generate_uid
from pydicom.valuerep import DA, TM

from competition.errors import CompetitionError
from competition.files import whole_file
from competition.formats.source_files import first_line
from competition.text import shortened

_REFERENCE = ("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID")
_MAY_BE_EMPTY = ("PatientID", "PatientName", "PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID")
_DATES = {"PatientBirthDate": DA, "StudyDate": DA, "StudyTime": TM}
_LONGEST_LABEL = 64  # characters of DICOM's value representation LO
_STRUCTURE = Code("123037004", "SCT", "Anatomical Structure")
_NETWORK = Code("123109", "DCM", "Artificial Intelligence")


def write_segmentation(
    path: Path,
    source: Path,
    names: Sequence[str],
    masks: NDArray[np.bool_],
    colours: Sequence[tuple[int, int, int]],
) -> None:
    """Write masks as a binary DICOM SEG that refers to the image it belongs to.

    Patient and study are those of the image, as the standard requires (PS3.3, A.51): what identifies a person there
    does so here. Dates that are none, such as the 00000000 of anonymised files, are left empty.

    Args:
        path: The file to write.
        source: The DICOM file of the image.
        names: One segment each, at least one.
        masks: (S, H, W) of the image's size; they may overlap.
        colours: RGB of each segment.

    Raises:
        CompetitionError: The image lacks what a reference needs, or its header or size does not fit.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of names of persons with a single component, and the like
        segmentation = _make(_read_header(source), source, names, masks, colours)
        with whole_file(path) as part:
            segmentation.save_as(part)


def _read_header(source: Path) -> Dataset:
    """Return the header of an image with all that a segmentation copies from it."""
    try:
        header = dcmread(source, stop_before_pixels=True, force=True)
        missing = [name for name in _REFERENCE if not header.get(name)]
    except Exception as error:  # of a damaged header pydicom raises almost anything
        raise CompetitionError(f"DICOM can't be read ({first_line(error)})", source) from error
    if missing:
        raise CompetitionError(f"no DICOM SEG can refer to this image, because it lacks {', '.join(missing)}", source)
    for name in (*_MAY_BE_EMPTY, *_DATES):
        if name not in header:
            setattr(header, name, "")
    for name, kind in _DATES.items():
        valid = False
        with suppress(Exception):  # what is no date, as pydicom says in many ways
            kind(str(header.get(name)))
            valid = True
        if not valid:
            setattr(header, name, "")
    if header.PatientSex not in ("M", "F", "O"):
        header.PatientSex = ""
    _make_geometry_whole(header, source)
    return header


def _make_geometry_whole(header: Dataset, source: Path) -> None:
    """Leave out what a projection radiograph has of a slice's geometry: highdicom would write a file it can't read.

    Without a slice thickness the pixel spacing can't be repeated in the segmentation; the image that it refers to has
    it. Without an orientation a frame of reference says nothing.
    """
    if "ImageOrientationPatient" not in header and "FrameOfReferenceUID" in header:
        del header.FrameOfReferenceUID
    if header.get("SliceThickness") is None:
        if "FrameOfReferenceUID" in header:
            raise CompetitionError("no DICOM SEG can be placed in space, because SliceThickness is missing", source)
        if "PixelSpacing" in header:
            del header.PixelSpacing


def _make(
    header: Dataset,
    source: Path,
    names: Sequence[str],
    masks: NDArray[np.bool_],
    colours: Sequence[tuple[int, int, int]],
) -> Dataset:
    """Return the segmentation; every exception of highdicom becomes a sentence about the image."""
    try:
        return _segmentation(header, names, masks, colours)
    except Exception as error:  # of an odd header highdicom raises almost anything
        what = f"no DICOM SEG can be made of this image's header ({first_line(error)})"
        raise CompetitionError(what, source) from error


def _segmentation(
    header: Dataset, names: Sequence[str], masks: NDArray[np.bool_], colours: Sequence[tuple[int, int, int]]
) -> Dataset:
    # Here, because highdicom takes half a second to import, and only DICOM input needs it.
    from highdicom import AlgorithmIdentificationSequence
    from highdicom.color import CIELabColor
    from highdicom.seg import Segmentation, SegmentDescription

    program, release = "medical-image-competition", version("medical-image-competition")
    algorithm = AlgorithmIdentificationSequence(program, _NETWORK, release)
    segments = [
        SegmentDescription(
            segment_number=number,
            segment_label=shortened(name, _LONGEST_LABEL),
            segmented_property_category=_STRUCTURE,
            # A competition's classes have no codes of their own, so their code is private.
            segmented_property_type=Code(f"CLASS{number}", "99MEDCOMP", shortened(name, _LONGEST_LABEL)),
            algorithm_type="AUTOMATIC",
            algorithm_identification=algorithm,
            display_color=CIELabColor.from_rgb(*colour),
        )
        for number, (name, colour) in enumerate(zip(names, colours, strict=True), 1)
    ]
    return Segmentation(
        source_images=[header],
        pixel_array=masks.transpose(1, 2, 0)[None],
        segmentation_type="BINARY",
        segment_descriptions=segments,
        series_instance_uid=generate_uid(),
        series_number=1,
        sop_instance_uid=generate_uid(),
        instance_number=1,
        manufacturer=program,
        manufacturer_model_name=program,
        software_versions=release,
        device_serial_number="0",
        content_label="SEGMENTATION",
        specific_character_set="ISO_IR 192",  # UTF-8, for the names of classes
    )

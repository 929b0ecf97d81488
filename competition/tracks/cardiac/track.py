"""Cardiac: the left ventricle's blood pool on short-axis MRI slices (Sunnybrook); group = patient.

The data comes in three forms, which the content of the data folder distinguishes: DICOM with contours
(``contours.py``), pairs of PNG pictures, and TFRecords (``records.py``). A slice has the same name and label pixels in
all forms, so a submission made from one form can be scored by the labels of another.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.file_listing import find_files, split_part, stem
from competition.formats.contours import fill_contour, read_contour
from competition.formats.dicom import read_dicom_grey, read_spacing_mm
from competition.formats.pictures import read_grey
from competition.masks.bit_planes import pack_masks
from competition.metrics.counts import DICE
from competition.submission.run_lengths.form import RunLengthForm
from competition.text import size_text
from competition.tracks.cardiac import disease, records, slice_key
from competition.tracks.cardiac.contours import find_contours, list_dicom_slices, list_test_dicoms
from competition.tracks.declared.declaration import FolderTrack
from competition.tracks.declared.folder_listing import list_folder, list_test_folder
from competition.tracks.declared.mask_files import SOFT_EDGES, binarise, count_between, read_masks
from competition.tracks.track import Listing, Mirror, Track

# The PNG form is two folders of equal names; a file name starts with the patient: SC-HF-I-05-IM-0001-0027.dcm.png.
PNG_PAIRS = FolderTrack(
    classes=["lv"],
    train="train/images/*.png",
    masks="train/labels/{stem}.png",
    test="test/images/*.png",
    group=r"^(SC-(?:HF-I|HF-NI|HYP|N)-\d+)",
)

LAYOUT = """\
one of three forms:
  DIR/dicom/SCD*/N.dcm, DIR/contours/SC-*/i-contours/IM-0001-NNNN-icontour-manual.txt, DIR/link.csv, DIR/test/dicom/...;
  DIR/train/images/*.png, DIR/train/labels/*.png of equal names, DIR/test/images/*.png;
  or DIR/train*.tfrecord(s), DIR/test*.tfrecord(s) or DIR/val*.tfrecord(s)"""


def list_slices(root: Path) -> Listing:
    """List the slices of both splits in their form.

    Raises:
        CompetitionError: There is no training slice below ``root`` or there are slices in two forms; further errors as
            of the listing of the form.
    """
    found = {
        "DICOM with contours": (root / "dicom").is_dir(),
        "PNG pictures": bool(find_files(root, PNG_PAIRS.patterns["train"])),
        "TFRecords": bool(records.record_files(root)),
    }
    forms = [form for form, there in found.items() if there]
    if not forms:
        raise CompetitionError("no training image found", root, f"The data folder must hold {' '.join(LAYOUT.split())}")
    if len(forms) > 1:
        repair = "Keep one of them there, or give the folder of one with --data"
        raise CompetitionError(f"slices in {len(forms)} forms ({', '.join(forms)})", root, repair)
    if forms[0] == "DICOM with contours":
        listing = list_dicom_slices(root)
        return replace(listing, remarks=[*listing.remarks, *_passed_over(root)])
    if forms[0] == "TFRecords":
        return records.list_records(root)
    listing = list_folder(root, PNG_PAIRS)
    return replace(listing, samples=[replace(sample, stratum=disease(sample.group)) for sample in listing.samples])


def _passed_over(root: Path) -> list[str]:
    """Return a remark on folders of PNG pictures beside the folder of DICOM files."""
    pictures = find_files(root, f"*/{PNG_PAIRS.train}")
    folders = sorted({picture.relative_to(root).parts[0] for picture in pictures})
    if not folders:
        return []
    reads = f"--data {root / folders[0]} reads {'them' if len(folders) == 1 else 'the first'} instead"
    return [f"the DICOM files are read; {len(pictures)} PNG pictures in {', '.join(folders)} are not ({reads})"]


def list_test_slices(folder: Path) -> Listing:
    """List a late test set in its form; errors as of the listing of that form."""
    if find_files(folder, "**/*.dcm"):
        return list_test_dicoms(folder)
    return records.list_test_records(folder) if records.record_files(folder) else list_test_folder(folder, PNG_PAIRS)


def read_slice(path: Path) -> NDArray[np.uint8]:
    """Read a DICOM file, a picture or a record ("train.tfrecord#12").

    Returns:
        (H, W) uint8.

    Raises:
        CompetitionError: It is missing, damaged or no such file.
    """
    file, record = split_part(path)
    if record:
        return records.read_record_image(file, int(record))
    return read_dicom_grey(path) if path.suffix.lower() == ".dcm" else read_grey(path)


def read_ventricle(path: Path, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """Read a contour's text, a label picture or a record ("train.tfrecord#12") into label planes.

    Returns:
        (H, W, 1) uint8.

    Raises:
        CompetitionError: It is missing, damaged or does not fit the slice.
    """
    file, record = split_part(path)
    if record:
        label = records.read_record_label(file, int(record))
        if label.shape != size_hw:
            found, wanted = size_text(label.shape), size_text(size_hw)
            raise CompetitionError(f"label is {found} pixels, its image {wanted} (rows x columns)", path)
        return pack_masks(binarise(label, path)[None])
    if path.suffix.lower() == ".txt":
        return pack_masks(fill_contour(read_contour(path, size_hw), size_hw)[None])
    return read_masks(path, size_hw, PNG_PAIRS.values)


def read_spacing(path: Path) -> tuple[float, float] | None:
    """Return the distance of pixel centres in mm between rows and columns; only DICOM files have it."""
    return read_spacing_mm(path) if path.suffix.lower() == ".dcm" else None


def inspect_label(path: Path, size_hw: tuple[int, int]) -> list[str]:
    """Return a remark on a label picture with soft edges; contours and records have none."""
    _, record = split_part(path)
    picture = not record and path.suffix.lower() != ".txt"
    return [SOFT_EDGES] if picture and count_between(path, PNG_PAIRS.values) else []


def find_labels(folder: Path) -> dict[str, list[Path]]:
    """Find contours, records and pictures below a folder: slice key -> paths for ``read_ventricle``."""
    found = records.find_records(folder)
    for patient, outlines in find_contours(folder).items():
        for number, path in outlines.items():
            found.setdefault(slice_key(patient, number), []).append(path)
    for path in find_files(folder, "**/*.png"):
        found.setdefault(stem(path.name), []).append(path)
    return found


CARDIAC = Track(
    name="cardiac",
    task="segmentation",
    classes=("lv",),
    metric=DICE,
    form=RunLengthForm(),
    list_samples=list_slices,
    list_test=list_test_slices,
    read_image=read_slice,
    read_label=read_ventricle,
    layout=LAYOUT,
    # A mirrored heart is anatomically wrong, but its ventricle's outline is as plausible.
    mirror=Mirror(classes=(0,)),
    read_spacing=read_spacing,
    find_labels=find_labels,
    inspect_label=inspect_label,
    public_data="Sunnybrook Cardiac Data, CC0",
)

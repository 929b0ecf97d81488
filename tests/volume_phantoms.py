"""Tiny data sets in the formats of medical images: NIfTI volumes, DICOM with run lengths, arrays, photographs."""

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import DigitalXRayImageStorageForPresentation, ExplicitVRLittleEndian

SIZE_HW = (20, 26)
SLICES = 3
UID = "1.2.276.0.7230010.3.1.4.8323329"


def write_volume(path: Path, values: NDArray[np.generic], zooms: tuple[float, ...] = (1.5, 1.25, 8.0)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nibabel.Nifti1Image(values, np.diag([*zooms[:3], 1.0]))
    image.header.set_zooms(zooms[: values.ndim])
    nibabel.save(image, path)


def draw_nifti(root: Path) -> dict[str, NDArray[np.uint8]]:
    """Four volumes of two patients and one of a third; returns the label values (H, W) of each training slice."""
    random, truth = np.random.default_rng(0), {}
    for person, frame in ((1, 1), (1, 12), (2, 1), (2, 9)):
        name = f"patient{person:03d}_frame{frame:02d}"
        labels = np.zeros((SIZE_HW[1], SIZE_HW[0], SLICES), np.uint8)  # the file's first axis runs along a row
        for value in (1, 2, 3):
            labels[4 * value : 4 * value + 5, 3 : 9 + value, 1:] = value
        labels[20, person : person + frame, 1:], labels[21, :person, 2] = 1, 1  # no two slices are equal
        write_volume(
            root / "imagesTr" / f"{name}.nii.gz", (labels * 90 + random.integers(0, 60, labels.shape)).astype(np.int16)
        )
        write_volume(root / "labelsTr" / f"{name}_gt.nii.gz", labels)
        truth |= {f"{name}_{number:03d}": labels[..., number].T for number in range(SLICES)}
    write_volume(
        root / "imagesTs" / "patient101_frame01.nii.gz", random.integers(0, 300, labels.shape).astype(np.int16)
    )
    return truth


def write_dicom(path: Path, values: NDArray[np.uint16], **attributes: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = DigitalXRayImageStorageForPresentation, UID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    dataset.SOPClassUID, dataset.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = *values.shape, 1
    dataset.PhotometricInterpretation, dataset.PixelRepresentation = "MONOCHROME2", 0
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 12, 11
    dataset.PixelSpacing = [0.168, 0.143]
    for name, value in attributes.items():
        setattr(dataset, name, value)
    dataset.PixelData = values.astype(np.uint16).tobytes()
    dataset["PixelData"].VR = "OW"
    dataset.save_as(path, enforce_file_format=True)


def _relative(mask: NDArray[np.bool_]) -> str:
    """Run lengths as SIIM-ACR writes them: column by column, each start counted from the end of the run before."""
    text, end = [], 0
    flat = np.concatenate([[False], mask.ravel(order="F"), [False]])
    for start, stop in np.flatnonzero(np.diff(flat.astype(int))).reshape(-1, 2).tolist():
        text += [str(start - end), str(stop - start)]
        end = stop
    return " ".join(text)


def draw_siim_acr(root: Path) -> dict[str, NDArray[np.uint8]]:
    """The first radiograph has two objects in two rows, the second none, written -1."""
    random, rows, truth = np.random.default_rng(1), ["ImageId, EncodedPixels"], {}
    for number in range(6):
        name, mask = f"{UID}.{number}.151787516{number}.25", np.zeros((2, *SIZE_HW), bool)
        if number != 1:
            mask[0, 2 : 8 + number, 3:9], mask[1, 11:16, 14:22] = True, True
        rows += [f"{name}, {_relative(each)}" for each in mask] if number != 1 else [f"{name}, -1"]
        grey = (mask.any(axis=0) * 900 + random.integers(0, 500, SIZE_HW)).astype(np.uint16)
        write_dicom(root / "dicom-images-train" / f"study{number}" / "1" / f"{name}.dcm", grey)
        truth[name] = mask.any(axis=0).astype(np.uint8)
    write_dicom(root / "dicom-images-test" / "study9" / "1" / f"{UID}.9.1.dcm", grey[::-1])
    (root / "train-rle.csv").write_text("\n".join(rows) + "\n")
    return truth


def draw_npz(root: Path) -> dict[str, NDArray[np.uint8]]:
    random, truth = np.random.default_rng(2), {}
    for folder, names in (
        ("train", ("case0005_slice000", "case0005_slice001", "case0006_slice000")),
        ("test", ("case0008_slice000",)),
    ):
        (root / folder).mkdir(parents=True)
        for name in names:
            label = np.zeros(SIZE_HW, np.uint8)
            label[3:9, 4 : 10 + len(truth)], label[11:17, 8:20] = 1, 2
            image = (label * 60.0 - 40 + random.normal(0, 9, SIZE_HW)).astype(np.float32)
            np.savez_compressed(root / folder / f"{name}.npz", image=image, label=label.astype(np.float32))
            if folder == "train":
                truth[name] = label
    return truth


def draw_isic(root: Path) -> dict[str, NDArray[np.uint8]]:
    random, truth = np.random.default_rng(3), {}
    places = ("ISIC2018_Task1-2_Training_Input", "ISIC2018_Task1_Training_GroundTruth", "ISIC2018_Task1-2_Test_Input")
    images, masks, tests = (root / place for place in places)
    for folder in (images, masks, tests):
        folder.mkdir(parents=True)
    for number in range(4):
        name, mask = f"ISIC_000000{number}", np.zeros(SIZE_HW, np.uint8)
        mask[3 : 9 + number, 5:18] = 1
        picture = Image.fromarray(random.integers(0, 256, (*SIZE_HW, 3), dtype=np.uint8))
        picture.save((images if number < 3 else tests) / f"{name}.jpg")
        if number < 3:
            Image.fromarray(mask * 255).save(masks / f"{name}_segmentation.png")
            truth[name] = mask
    return truth


PHANTOMS: dict[str, Callable[[Path], dict[str, NDArray[np.uint8]]]] = {
    "nifti": draw_nifti,
    "siim_acr": draw_siim_acr,
    "npz": draw_npz,
    "isic": draw_isic,
}
"""Name of a file in docs/layouts -> what draws its data, and returns key -> label values (H, W) of training samples."""

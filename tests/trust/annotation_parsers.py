"""Parsers of annotation tools' exports, NIfTI volumes and label arrays."""

import gzip
import io
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
from numpy.typing import NDArray
from trust_parser import Parser

from competition.formats import nifti
from competition.formats.array_images import read_image_array, read_label_array
from competition.formats.cvat import open_cvat, read_labelmap
from competition.formats.voc import read_voc
from competition.formats.yolo import read_yolo

_CVAT = b"""<?xml version="1.0" encoding="utf-8"?><annotations><version>1.1</version>
<image id="0" name="a.png" width="16" height="12"><polygon label="a" points="1,1;9,1.5;9,8" z_order="1"/>
<mask label="b" rle="1, 2, 3" left="4" top="5" width="3" height="2" z_order="0"/>
<ellipse label="a" cx="5" cy="5" rx="3" ry="2" rotation="20"/><box label="a" xtl="1" ytl="2" xbr="5" ybr="6"/></image>
</annotations>"""
_VOC = b"""<annotation><size><width>16</width><height>12</height></size><object><name>a</name><bndbox><xmin>3</xmin>
<ymin>1</ymin><xmax>6</xmax><ymax>4</ymax></bndbox></object></annotation>"""
_VALUES = np.random.default_rng(0).integers(-90, 900, (5, 7, 3)).astype(np.int16)


def annotation_parsers() -> list[Parser]:
    """Makes the valid files, and returns what reads them."""
    return [
        Parser("open_cvat", "annotations.xml", (_CVAT,), _read_cvat),
        Parser("read_labelmap", "labelmap.txt", (b"# label\nbackground:0,0,0::\na:1,2,3::\n",), read_labelmap),
        Parser("read_voc", "a.xml", (_VOC,), read_voc),
        Parser("read_yolo", "a.txt", (b"0 0 0 1 0 1 0.5\n1 0.5 0.5 0.2 0.2\n",), _read_yolo),
        Parser("read_nifti (nii)", "a.nii", (_volume(_VALUES), _volume(_VALUES.astype(np.float32))), _read_slice),
        Parser("read_nifti (gz)", "a.nii.gz", (gzip.compress(_volume(_VALUES)),), _read_slice),
        # In a gzip file a checksum gives away most damage, so the header is damaged before it is compressed.
        Parser("read_nifti (inside gz)", "inside.nii", (_volume(_VALUES),), _read_compressed),
        Parser("read_image_array", "a.npy", (_array(_VALUES), _array(_VALUES[..., 0] / 2)), read_image_array),
        Parser("read_label_array", "a.npz", (_arrays(label=_VALUES, image=_VALUES),), read_label_array),
    ]


def _read_cvat(path: Path) -> object:
    return [read() for read in open_cvat(path, boxes=True).images.values()]


_read_yolo = partial(read_yolo, size_hw=(12, 16), classes=("a", "b"), boxes=True)


def _read_slice(path: Path) -> NDArray[Any]:
    nifti.count_slices(path, 2)
    nifti.read_spacing_mm(path, 2)
    return nifti.read_values(path, 2, "001")


def _read_compressed(path: Path) -> NDArray[Any]:
    packed = path.with_name("inside.nii.gz")
    packed.write_bytes(gzip.compress(path.read_bytes(), 1))
    return _read_slice(packed)


def _volume(values: NDArray[Any]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.nii"
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)
        return path.read_bytes()


def _array(values: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


def _arrays(**values: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **values)
    return file.getvalue()

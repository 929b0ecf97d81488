from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from volume_phantoms import write_volume

from competition.data.checks.plausibility import is_narrow
from competition.formats.images import read_image
from competition.formats.pictures import read_grey
from competition.formats.tfrecords import build_example, write_records
from competition.tracks.cardiac.records import read_record_image


def test_one_bright_pixel_makes_the_range_narrow_only_where_it_is_stretched(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(1000, 2000, (40, 50)).astype(np.uint16)
    Image.fromarray(values).save(tmp_path / "good.png")
    values[3, 4] = 65_535
    Image.fromarray(values).save(tmp_path / "one.png")
    good, one = read_grey(tmp_path / "good.png"), read_grey(tmp_path / "one.png")
    Image.fromarray(one).save(tmp_path / "eight_bits.png")
    assert not is_narrow(tmp_path / "good.png", good)
    assert is_narrow(tmp_path / "one.png", one)
    assert not is_narrow(tmp_path / "eight_bits.png", one)


@pytest.mark.parametrize(
    "name", ["a.dcm", "a.DICOM", "a.ima", "1.2.840.7", "a.nii.gz", "a.npy", "a.npz", "f.npy", "a.tif"]
)
def test_the_range_of_every_stretched_format_may_be_narrow(tmp_path: Path, name: str, write_dicom: Any) -> None:
    values = np.random.default_rng(0).integers(1000, 2000, (40, 50)).astype(np.uint16)
    values[3, 4] = 65_535
    for dicom in ("a.dcm", "a.DICOM", "a.ima", "1.2.840.7"):
        write_dicom(tmp_path / dicom, values)
    write_volume(tmp_path / "a.nii.gz", values.T)
    np.save(tmp_path / "a.npy", values)
    np.save(tmp_path / "f.npy", values.astype(np.float32))
    np.savez(tmp_path / "a.npz", image=values, label=values > 9)
    Image.fromarray(values).save(tmp_path / "a.tif")
    image = read_image(tmp_path / name, 1)
    assert is_narrow(tmp_path / name, image)
    np.save(tmp_path / "eight_bits.npy", image)
    assert not is_narrow(tmp_path / "eight_bits.npy", image)


def test_the_range_of_a_record_is_narrow_where_wide_pixels_were_stretched(tmp_path: Path) -> None:
    values = np.random.default_rng(0).integers(1000, 2000, (40, 50)).astype("<i2")
    values[3, 4] = 32_767
    stored, grey = values.tobytes(), (values // 100).astype(np.uint8).tobytes()
    for name, pixels in (("wide", stored), ("bytes", grey)):
        features = {"height": 40, "width": 50, "img_raw": pixels}
        write_records(tmp_path / f"{name}.tfrecord", [build_example(features)])
    wide, flat = (read_record_image(tmp_path / f"{name}.tfrecord", 0) for name in ("wide", "bytes"))
    assert is_narrow(tmp_path / "wide.tfrecord#0", wide)
    assert not is_narrow(tmp_path / "bytes.tfrecord#0", flat)

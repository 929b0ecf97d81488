from pathlib import Path

import numpy as np
from PIL import Image

from competition.data.checks.plausibility import is_narrow
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

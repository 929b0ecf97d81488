"""Pascal VOC: boxes whose first pixel is 1 and whose last one belongs to them."""

import numpy as np
import pytest

from competition.errors import CompetitionError
from competition.formats.voc import read_voc
from competition.masks.outlines import drawn_planes

TEXT = """<annotation><filename>a.png</filename><size><width>20</width><height>10</height><depth>1</depth></size>
<object><name>nodule</name><bndbox><xmin>3</xmin><ymin>1</ymin><xmax>6</xmax><ymax>4</ymax></bndbox></object>
</annotation>"""


def test_a_box_has_its_first_and_its_last_pixel(tmp_path) -> None:
    (tmp_path / "a.xml").write_text(TEXT)
    expected = np.zeros((10, 20), np.uint8)
    expected[0:4, 2:6] = 1
    np.testing.assert_array_equal(drawn_planes(read_voc(tmp_path / "a.xml"), ["nodule"])[..., 0], expected)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("<xmin>3</xmin>", "", "box is no four numbers: .*object 1"),
        ("<width>20</width>", "", "width and height of the image are no numbers"),
        ("annotation>", "x>", "outermost element is <x>"),
        ("<xmin>3</xmin>", "<xmin>30</xmin>", "outside of its image"),
    ],
)
def test_what_does_not_fit_is_one_sentence(tmp_path, old, new, message) -> None:
    text = TEXT.replace(old, new).replace("<xmax>6", "<xmax>36" if "30" in new else "<xmax>6")
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(CompetitionError, match=message):
        read_voc(tmp_path / "a.xml")

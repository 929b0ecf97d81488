"""CVAT's XML: each kind of shape, and what is none or does not fit."""

import numpy as np
import pytest

from competition.errors import CompetitionError
from competition.formats.cvat import open_cvat, read_labelmap
from competition.masks.outlines import fill_objects

SIZE_HW = (12, 16)


def export(tmp_path, *shapes: str, image: str = 'name="a.png" width="16" height="12"', head: str = ""):
    path = tmp_path / "annotations.xml"
    path.write_text(f"{head}<annotations><image id='0' {image}>{''.join(shapes)}</image></annotations>")
    return path


def drawn(path, boxes: bool = False):
    return open_cvat(path, boxes).images["a.png"]()


def test_run_lengths_are_row_by_row_within_their_box(tmp_path) -> None:
    random = np.random.default_rng(0)
    part = random.random((5, 7)) < 0.5
    flat = np.concatenate([[False], part.ravel()])  # the first run is of background, here of one pixel more
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges, flat.size]).tolist()
    counts[0] -= 1
    text = ", ".join(map(str, counts))
    path = export(tmp_path, f'<mask label="a" rle="{text}" left="9" top="7" width="7" height="5"/>')
    expected = np.zeros(SIZE_HW, bool)
    expected[7:, 9:] = part
    assert (drawn(path).objects[0].mask == expected).all()


def test_objects_are_in_the_order_of_z(tmp_path) -> None:
    shape = '<polygon label="{}" points="1,1;9,1;9,8.5" z_order="{}"/>'
    image = drawn(export(tmp_path, shape.format("top", 2), shape.format("low", -1), shape.format("mid", 0)))
    assert [each.label for each in image.objects] == ["low", "mid", "top"]
    assert image.objects[0].rings[0].tolist() == [[1, 1], [9, 1], [9, 8.5]]


def test_boxes_count_where_they_are_asked_for_and_may_be_turned(tmp_path) -> None:
    path = export(tmp_path, '<box label="a" xtl="2" ytl="3" xbr="10" ybr="5" rotation="90"/>')
    with pytest.raises(CompetitionError, match=r"'a' is a box, which outlines no object.*object 1.*boxes: true"):
        drawn(path)
    mask = fill_objects(drawn(path, boxes=True).objects, SIZE_HW)
    assert (mask.sum(), mask[0:8, 5:7].sum()) == (16, 16)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ('<polygon label="a" points="1,1;5,5"/>', "polygon of 'a' has 2 points.*image a.png, object 1"),
        ('<polygon label="a" points="1,1;5"/>', "a number of this polygon is missing or no number.*object 1"),
        ('<polygon label="a"/>', "a number of this polygon is missing"),
        ('<polygon label="a" points="20,1;25,5;30,9"/>', "outside of its image of 12x16"),
        ('<polyline label="a" points="1,1;5,5;9,9"/>', "is a polyline, which outlines no object"),
        ('<points label="a" points="1,1"/>', "is a points, which"),
        ('<ellipse label="a" cx="5" cy="5" rx="0" ry="3"/>', "'a' has 0 points"),
        ('<mask label="a" rle="1,2" left="0" top="0" width="2" height="2"/>', "add up to 3, not to the 2x2"),
        ('<mask label="a" rle="4" left="15" top="0" width="2" height="2"/>', "box of a mask of 'a' leaves the image"),
        ('<mask label="a" rle="x" left="0" top="0" width="2" height="2"/>', "a number of this mask"),
    ],
)
def test_what_is_no_area_is_one_sentence(tmp_path, shape, message) -> None:
    with pytest.raises(CompetitionError, match=message):
        drawn(export(tmp_path, shape))


BOMB = "<!DOCTYPE x [<!ENTITY a 'ha'><!ENTITY b '&a;&a;&a;'>]>"


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"head": BOMB}, "defines a document type"),
        ({"image": "name='a.png' <"}, "can't be read as XML"),
        ({"image": 'name="a.png"'}, "width and height are no numbers"),
        ({"image": "name='a.png'></image><image name='a.png'"}, "two images are called 'a.png'"),
        ({"image": "><track/></image><image name='a.png'"}, "an image has no name"),
    ],
)
def test_other_xml_is_refused(tmp_path, keys, message) -> None:
    with pytest.raises(CompetitionError, match=message):
        drawn(export(tmp_path, **keys))


def test_other_files_are_refused(tmp_path) -> None:
    with pytest.raises(CompetitionError, match="tracks of a video"):
        open_cvat(export(tmp_path, "<track/>"))
    (tmp_path / "x.xml").write_text("<annotation/>")
    with pytest.raises(CompetitionError, match="outermost element is <annotation>, not <annotations>"):
        open_cvat(tmp_path / "x.xml")
    with pytest.raises(CompetitionError, match="file not found"):
        open_cvat(tmp_path / "none.xml")


def test_a_label_map_gives_colours(tmp_path) -> None:
    path = tmp_path / "labelmap.txt"
    path.write_text("# label:color_rgb:parts:actions\nbackground:0,0,0::\nleft rib:250,50,83::\n\n")
    assert read_labelmap(path) == {"background": 0, "left rib": 0xFA3253}
    for line in ("a:1,2::", "a:1,2,256::", "a", "a:0,0,0::", "background:1,2,3::"):
        path.write_text(f"background:0,0,0::\n{line}\n")
        with pytest.raises(CompetitionError, match="line 2"):
            read_labelmap(path)

"""labelme's files: written and read, and what is none of them."""

import base64
import json

import cv2
import numpy as np
import pytest

from competition.errors import CompetitionError
from competition.formats.drawn_objects import DrawnObject
from competition.formats.labelme import read_labelme, write_labelme
from competition.masks.outlines import drawn_planes

SQUARE = np.array([[1.0, 1], [9, 1], [9, 9], [1, 9]])
HOLE = np.array([[3.0, 3], [5.255, 3], [5, 5]])


def test_objects_come_back_with_their_holes(tmp_path) -> None:
    path = tmp_path / "a.json"
    write_labelme(path, "a.png", (12, 15), [DrawnObject("bone", (SQUARE, HOLE)), DrawnObject("bone", (SQUARE + 2,))])
    content = json.loads(path.read_text())
    assert (content["imagePath"], content["imageData"], content["imageHeight"]) == ("a.png", None, 12)
    assert [shape["group_id"] for shape in content["shapes"]] == [1, 1, None]
    image = read_labelme(path)
    assert image.size_hw == (12, 15)
    assert [(each.label, len(each.rings)) for each in image.objects] == [("bone", 2), ("bone", 1)]
    assert image.objects[0].rings[1] == pytest.approx(np.round(HOLE, 2))


def edited(tmp_path, **shape):
    path = tmp_path / "a.json"
    whole = {"label": "x", "points": [[0, 0], [4, 0], [4, 4]], "shape_type": "polygon"} | shape
    path.write_text(json.dumps({"shapes": [whole], "imageHeight": 5, "imageWidth": 5}))
    return path


def encoded(mask) -> str:
    return base64.b64encode(cv2.imencode(".png", np.asarray(mask, np.uint8))[1].tobytes()).decode()


def test_a_mask_lies_where_its_first_point_is(tmp_path) -> None:
    """labelme writes the box of a mask and its 0 and 1 within, for example of a model's proposal."""
    image = read_labelme(edited(tmp_path, shape_type="mask", points=[[1, 2], [3, 3]], mask=encoded(np.eye(2, 3))))
    expected = np.zeros((5, 5), bool)
    expected[2, 1] = expected[3, 2] = True
    np.testing.assert_array_equal(drawn_planes(image, ["x"])[..., 0], expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"points": [[3, 2], [5, 3]]}, r"a mask of 2x3 at row 2, column 3 leaves the image of 5x5.*shape 1"),
        ({"points": [[-1, 0], [1, 1]]}, "at row 0, column -1 leaves"),
        ({"mask": base64.b64encode(b"text").decode()}, "the mask of a shape is no PNG in base64"),
        ({"mask": ""}, "the mask of a shape is no PNG in base64"),
        ({"mask": "?"}, "the mask of a shape is no PNG in base64"),
        ({"mask": None}, "the mask of a shape is no PNG in base64"),
        ({"points": []}, "not a labelme file"),
    ],
)
def test_a_damaged_mask_is_one_sentence(tmp_path, changes, message) -> None:
    shape = {"shape_type": "mask", "points": [[0, 0], [2, 1]], "mask": encoded(np.ones((2, 3)))}
    with pytest.raises(CompetitionError, match=message):
        read_labelme(edited(tmp_path, **shape | changes))


def test_a_rectangle_is_a_polygon_of_four_points(tmp_path) -> None:
    image = read_labelme(edited(tmp_path, shape_type="rectangle", points=[[1, 2], [4, 3]]))
    assert image.objects[0].rings[0].tolist() == [[1, 2], [4, 2], [4, 3], [1, 3]]


def test_a_circle_covers_the_pixels_within_its_radius(tmp_path) -> None:
    path = edited(tmp_path, shape_type="circle", points=[[20.3, 18.7], [29.8, 18.7]])
    path.write_text(
        path.read_text().replace('"imageHeight": 5, "imageWidth": 5', '"imageHeight": 40, "imageWidth": 44')
    )
    rows, columns = np.mgrid[:40, :44] + 0.5
    distance = np.hypot(columns - 20.3, rows - 18.7)
    planes = drawn_planes(read_labelme(path), ["x"])[..., 0]
    sure = np.abs(distance - 9.5) > 0.005
    np.testing.assert_array_equal(planes[sure], (distance < 9.5)[sure])
    assert sure.mean() > 0.99


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ({"shape_type": "linestrip", "points": [[1, 1], [2, 2]]}, "type 'linestrip' with 2 points is no area.*shape 1"),
        ({"shape_type": "circle", "points": [[1, 1], [1, 1]]}, "'x' has 0 points, three are needed"),
        ({"points": [[1, 1], [2, 2]]}, "polygon of 'x' has 2 points, three are needed.*shape 1"),
        ({"points": [[7, 1], [9, 2], [8, 4]]}, "outside of its image of 5x5"),
        ({"points": [[1, 1], [2, 2], [1, float("nan")]]}, "not a finite number"),
        ({"points": [[1], [2, 2]]}, "not a labelme file"),
        ({"points": None}, "not a labelme file"),
    ],
)
def test_what_is_no_area_is_one_sentence(tmp_path, shape, message) -> None:
    with pytest.raises(CompetitionError, match=message):
        read_labelme(edited(tmp_path, **shape))


@pytest.mark.parametrize("text", ["{}", "[]", '{"shapes": 3, "imageHeight": 1, "imageWidth": 1}', "{"])
def test_other_json_is_refused(tmp_path, text) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(CompetitionError, match=r"a\.json"):
        read_labelme(tmp_path / "a.json")

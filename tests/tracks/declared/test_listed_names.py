"""Images joined with listed names, in cases small enough to decide by hand."""

import pytest

from competition.tracks.declared.listed_names import join_names


@pytest.mark.parametrize(
    ("images", "listed", "names"),
    [
        (["a/1.png", "b/1.png"], ["a/1.png", "b/1.png"], ["a/1.png", "b/1.png"]),
        (["a/1.png", "b/1.png"], ["b\\1.png", "a\\1.png"], ["a\\1.png", "b\\1.png"]),
        (["a/1.png"], ["x/1.png"], ["x/1.png"]),  # another folder: the only one of that name
        (["a/1.png"], ["x/a/1.png", "a/1.png"], ["a/1.png"]),
        (["x/a/1.png"], ["1.png", "a/1.png"], ["a/1.png"]),
        (["a/1.png", "b/1.png"], ["a/1.png"], ["a/1.png", None]),  # b/1.png is not listed
        (["a/1.png", "b/1.png"], ["1.png"], [None, None]),
        (["a/1.png"], ["x/1.png", "y/1.png"], [None]),
        (["a/1.png", "a/2.png"], ["1.png", "2.png"], ["1.png", "2.png"]),
        (["a/1.png"], [], [None]),
    ],
)
def test_each_image_gets_the_nearest_name_and_no_name_two_images(images, listed, names):
    joined = join_names({image: image for image in images}, listed)
    assert [joined.names.get(image) for image in images] == names
    without = {image for image, name in zip(images, names, strict=True) if name is None}
    assert joined.missing.keys() | joined.unclear.keys() == without


def test_what_has_no_name_says_why():
    joined = join_names({"a1": "a/1.png", "b1": "b/1.png", "c2": "c/2.png"}, ["1.png"])
    assert joined.unclear == dict.fromkeys(("a1", "b1"), "'1.png' could be 'a/1.png' and 'b/1.png'")
    assert joined.missing["c2"].startswith("annotation missing: the file does not list '2.png'")
    lost = join_names({"a": "a/1.png", "b": "b/1.png"}, ["a/1.png"]).missing["b"]
    assert lost == "annotation missing: the file does not list 'b/1.png'; 'a/1.png' is nearer to 'a/1.png'"

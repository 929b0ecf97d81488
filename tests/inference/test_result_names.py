"""Every result has a name of its own that follows from where the image lies; nothing is refused or overwritten."""

from pathlib import Path

import pytest

from competition.inference.images import image_name
from competition.inference.outputs import result_endings
from competition.inference.result_names import place_of, result_names

CLASSES = ("femur", "x.overlay")
RESERVED = ("summary.csv", "README.txt", "predictions.json")


def names(*found, classes=CLASSES):
    """Of files, each with the folder that was given; None where the file was given itself."""
    places = []
    for file, given in found:
        path = Path(file)
        places.append(place_of(path, path.parent if given is None else Path(given), image_name(path)))
    return result_names(places, result_endings(classes) if classes else (), RESERVED)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ([("/data/hand.png", None)], ["hand"]),
        ([("/in/1.png", "/in"), ("/in/a/1.png", "/in"), ("/in/b/c/1.png", "/in")], ["1", "a/1", "b/c/1"]),
        ([("/in/P1/IM0001", "/in"), ("/in/P2/IM0001", "/in")], ["P1/IM0001", "P2/IM0001"]),
        # Two arguments: all names get the folder above, or none.
        ([("/a/1.png", "/a"), ("/b/1.png", "/b"), ("/b/2.png", "/b")], ["a/1", "b/1", "b/2"]),
        ([("/a/1.png", "/a"), ("/b/2.png", "/b")], ["1", "2"]),
        ([("/x/a/1.png", None), ("/y/a/1.png", None)], ["x/a/1", "y/a/1"]),
        ([("/a/1.png", None), ("/1.png", None)], ["a/1", "1"]),
        # One folder, one name: the ending stays.
        ([("/a/1.png", "/a"), ("/a/1.jpg", "/a"), ("/a/2.png", "/a")], ["1.png", "1.jpg", "2"]),
        # What differs in capitals is one file on some disks.
        ([("/a/x.png", "/a"), ("/a/X.png", "/a"), ("/a/y.png", "/a")], ["x.png", "X.png_2", "y"]),
        # a.X writes a.X.overlay.png, and so does A for the class x.overlay.
        ([("/a/a.X.png", "/a"), ("/a/A.png", "/a")], ["a.X", "A_2"]),
        # A folder may be called like a file of the results.
        ([("/a/summary.csv/1.png", "/a")], ["summary.csv-1_2"]),
        ([("/a/1.png", "/a"), ("/a/1.overlay.png/2.png", "/a")], ["1", "1.overlay.png-2_2"]),
    ],
)
def test_names_are_those_of_the_images_with_their_folders(found, expected):
    assert names(*found) == expected


def test_patients_of_two_test_sets_are_told_apart_by_the_sets():
    found = [("/one/7", "/one"), ("/two/7", "/two")]
    assert names(*found, classes=()) == ["one/7", "two/7"]


def test_no_two_results_share_a_file_whatever_the_names():
    parts = ("a", "A", "a.femur", "a.femur.png", "a.overlay.png", "a_2", "summary.csv")
    found = [(f"/{top}/{folder}/{name}", f"/{top}") for top in "xy" for folder in parts for name in parts]
    given = names(*found)
    files = [{f"{name}.{ending}".casefold() for ending in result_endings(CLASSES)} for name in given]
    assert len(given) == len(found)
    assert sum(map(len, files)) == len(set.union(*files))
    folders = {
        "/".join(name.casefold().split("/")[:count]) for name in given for count in range(1, name.count("/") + 1)
    }
    assert not folders & (set.union(*files) | {name.casefold() for name in RESERVED})


def test_ten_thousand_names_take_no_time_to_speak_of():
    found = [(f"/in/P{number // 100}/S{number % 7}/{number % 100}.dcm", "/in") for number in range(10_000)]
    assert len({name.casefold() for name in names(*found)}) == len(found)

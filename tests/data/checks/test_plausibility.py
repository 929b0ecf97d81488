"""Classes that are empty or full in every mask are named; one implausible mask is counted."""

from dataclasses import replace

import pytest

from competition.data.checks.plausibility import implausible_classes, questionable_masks
from competition.data.manifest import Entry

ENTRY = Entry(
    sample="1",
    name="1.png",
    split="train",
    group="1",
    stratum="",
    present=(True,),
    height=10,
    width=20,
    mean=(0.0,),
    std=(1.0,),
    targets=(),
    pixels="",
    labels="",
    fingerprint="",
)


def masks(*areas: tuple[int, ...]) -> list[Entry]:
    return [replace(ENTRY, sample=str(number), name=f"{number}.png", areas=each) for number, each in enumerate(areas)]


@pytest.mark.parametrize(
    ("label", "cause"),
    [
        ("m/{class}/0.png", "check that the files of the class hold its masks, for example m/b/0.png"),
        ("m/0.png", "check the class's pixel value and the folder, for example m/0.png"),
        ("t.csv#0", "check the columns and the class names of t.csv"),
    ],
)
def test_a_class_that_is_empty_everywhere_is_named_with_its_cause(label: str, cause: str) -> None:
    found = implausible_classes(masks((3, 0), (0, 0)), ["a", "b"], {"0": label, "1": label})
    assert found == [f"class b has no pixel in any of the 2 training masks: {cause}"]


def test_all_classes_empty_is_one_sentence() -> None:
    (sentence,) = implausible_classes(masks((0, 0), (0, 0)), ["a", "b"], {})
    assert sentence.startswith("no class has a pixel in any of the 2 training masks")


def test_a_class_that_covers_every_image_is_named() -> None:
    found = implausible_classes(masks((200, 5), (199, 5)), ["a", "b"], {})
    assert len(found) == 1
    assert found[0].startswith("class a covers the whole image in all 2 training masks")
    assert questionable_masks(masks((200, 5), (199, 5)), ["a", "b"]) == []
    assert implausible_classes(masks((200, 5), (198, 5)), ["a", "b"], {}) == []  # 99 % is not the whole image
    assert questionable_masks(masks((3, 5), (200, 5)), ["a", "b"]) == [
        "labels: masks that cover their whole image: 1 (the first: 1.png, class a); is that meant?"
    ]


def test_plausible_masks_and_samples_without_masks_give_nothing() -> None:
    assert implausible_classes(masks((3, 1), (0, 9)), ["a", "b"], {}) == []
    assert questionable_masks(masks((3, 1), (0, 9)), ["a", "b"]) == []
    assert implausible_classes([ENTRY], ["a", "b"], {}) == questionable_masks([ENTRY], ["a", "b"]) == []


def test_a_class_that_covers_most_of_every_image_may_be_the_background() -> None:
    entries = masks((190, 20, 200), (101, 150, 200))  # of 200 pixels
    assert questionable_masks(entries, ["a", "b", "c"]) == [
        "labels: a (at least 50 %) covers more than half of every image; are background and class swapped?"
    ]
    assert questionable_masks(masks((100, 20), (190, 20)), ["a", "b"]) == []
    assert questionable_masks([ENTRY], ["a"]) == []

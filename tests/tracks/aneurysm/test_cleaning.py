"""Cleaning on the three kinds of stills (clean; black margins; margins and text) in the sizes of the real set."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from competition.tracks.aneurysm.cleaning import (
    clean_angiogram,
    cover_text,
    has_text,
    margin_box,
    margin_share,
    median_grey,
    text_mask,
)

Image = NDArray[np.uint8]
TEXT_LEFT = ("FOV: 20x20 cm", "RAO: 0.1 deg", "CRA: 27.5 deg", "L: -0.1 deg", "Tilt: 0 deg")
TEXT_RIGHT = ("(Filt. 7) (Shut.)", "FRNT", "Seq: 3", "FRAME = 27 / 52", "MASK = 1")

# Width x height of the canvas, and the picture inside it (top, bottom, left, right).
FRAMED = {
    "side bars 5:4": ((1250, 1000), (0, 1000, 125, 1125)),
    "side bars 5:3": ((1672, 1000), (0, 1000, 336, 1336)),
    "small 5:4": ((940, 750), (0, 750, 95, 845)),
    "thin frame": ((960, 960), (12, 948, 12, 948)),
    "wide frame": ((720, 720), (120, 600, 120, 600)),
    "bars above and below": ((1024, 1024), (70, 954, 0, 1024)),
    "one bar": ((777, 776), (0, 776, 0, 690)),
    "uneven frame": ((1000, 800), (5, 700, 180, 960)),
}


def still(height: int, width: int, grey: int = 190, seed: int = 0) -> Image:
    """Noisy grey with a thick dark vessel that leaves at the bottom, and thin ones that leave on both sides."""
    rng = np.random.default_rng(seed)
    image = np.clip(rng.normal(grey, 4, (height, width)), 0, 255).astype(np.uint8)
    unit = height / 720
    for start, end, wide in (
        ((0.6, 1.1), (0.55, 0.5), 22),
        ((-0.1, 0.4), (1.1, 0.3), 6),
        ((0.55, 0.5), (0.9, -0.1), 9),
    ):
        a = (int(start[0] * width), int(start[1] * height))
        b = (int(end[0] * width), int(end[1] * height))
        cv2.line(image, a, b, 30, max(int(wide * unit), 1), cv2.LINE_AA)
    return image


def frame(picture: Image, canvas_wh: tuple[int, int], box: tuple[int, int, int, int]) -> Image:
    canvas = np.zeros((canvas_wh[1], canvas_wh[0]), dtype=np.uint8)
    canvas[box[0] : box[1], box[2] : box[3]] = picture
    return canvas


def burn(image: Image, box: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    """Burns both text blocks in across the picture's edges; returns where there is ink."""
    ink = np.zeros_like(image)
    scale = 0.42 * max(image.shape[0] / 720, 1)
    for row in range(5):
        base = box[0] + int((0.79 + 0.036 * row) * (box[1] - box[0]))
        for text, start in ((TEXT_LEFT[row], max(box[2] - 30, 5)), (TEXT_RIGHT[row], box[3] - int(200 * scale))):
            cv2.putText(ink, text, (start, base), cv2.FONT_HERSHEY_SIMPLEX, scale, 255, 1, cv2.LINE_AA)
    image[ink > 100] = 255
    return ink > 100


def jpeg(image: Image) -> Image:
    _, data = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 92])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), dtype=np.uint8)


@pytest.mark.parametrize(
    ("width", "height"), [(720, 720), (777, 776), (940, 750), (960, 960), (1000, 800), (1024, 1024), (1672, 1000)]
)
def test_clean_still_is_left_as_it_is(width: int, height: int) -> None:
    image = still(height, width)
    before = image.copy()
    cleaned = clean_angiogram(image)
    np.testing.assert_array_equal(cleaned, before)
    cleaned[:] = 0
    np.testing.assert_array_equal(image, before)  # a copy: the caller's image is not written to


def with_edge_lines(image: Image) -> Image:
    """As on an export of 720 x 720: a black row above and half of the next, two black lines right and below."""
    lined = image.copy()
    lined[0], lined[-2:], lined[:, -2:] = 0, 0, 0
    lined[1, : image.shape[1] // 2] = 90
    return lined


def with_ticks(image: Image, line: tuple[slice, int] | tuple[int, slice], length: int) -> Image:
    """White ticks of some pixels every 27, with black ones between them, along one outer line."""
    ticked = image.copy()
    along = np.arange(ticked[line].shape[0]) % 27
    ticked[line] = np.where(along < length, 255, np.where((along >= 13) & (along < 13 + length), 0, ticked[line]))
    return ticked


COLUMN, ROW = (slice(None), 0), (0, slice(None))


def test_edge_lines_and_ticks_are_cut_off_and_nothing_else() -> None:
    image = still(720, 720)
    lined = with_ticks(with_edge_lines(image), COLUMN, 1)
    np.testing.assert_array_equal(clean_angiogram(lined), image[2:718, 1:718])


@pytest.mark.parametrize("length", [1, 4, 8, 13])
@pytest.mark.parametrize("line", [COLUMN, ROW, (slice(None), -1), (-1, slice(None))])
def test_ticks_of_any_length_are_cut_off_on_every_side(line: tuple[slice, int], length: int) -> None:
    image = still(720, 720)
    kept = tuple(
        slice(None) if isinstance(part, slice) else slice(1, None) if part == 0 else slice(-1) for part in line
    )
    np.testing.assert_array_equal(clean_angiogram(with_ticks(image, line, length)), image[kept])


@pytest.mark.parametrize("length", [1, 4, 8])
def test_nothing_of_edge_lines_and_ticks_is_left_in_a_jpeg(length: int) -> None:
    image = still(720, 720)
    lined = jpeg(with_ticks(with_edge_lines(image), COLUMN, length))
    cleaned = clean_angiogram(lined)
    assert min(cleaned.shape) >= 720 - 6
    for line in (cleaned[0], cleaned[-1], cleaned[:, 0], cleaned[:, -1]):
        assert line.max() < 235
        assert np.mean(line < 150) < 0.06  # a vessel may leave there


def test_vessels_that_leave_the_picture_are_no_edge_line() -> None:
    image = np.full((720, 720), 190, dtype=np.uint8)
    image[700:, 300:322] = image[700:, 400:422] = image[:20, 100:122] = image[200:222, :20] = 20
    np.testing.assert_array_equal(clean_angiogram(image), image)


def test_residue_of_bone_at_the_edge_costs_three_lines_at_most_and_stays_what_it_is() -> None:
    image = still(720, 720)
    cv2.ellipse(image, (10, 640), (30, 14), 20, 0, 360, 255, -1)
    cv2.ellipse(image, (24, 650), (28, 12), 20, 0, 360, 10, -1)
    cleaned = clean_angiogram(image)
    np.testing.assert_array_equal(cleaned, image[:, 720 - cleaned.shape[1] :])
    assert cleaned.shape[1] >= 717


def test_column_of_black_and_white_dashes_is_no_picture() -> None:
    image = still(720, 720)
    image[:, 0] = np.where(np.arange(720) % 27 < 14, 255, 0)
    assert margin_box(image) == (0, 720, 1, 720)


@pytest.mark.parametrize("name", FRAMED)
@pytest.mark.parametrize("lossy", [False, True])
def test_margins_are_cropped_to_the_picture(name: str, lossy: bool) -> None:
    canvas_wh, box = FRAMED[name]
    picture = still(box[1] - box[0], box[3] - box[2], grey=130 if name == "wide frame" else 190)
    framed = frame(picture, canvas_wh, box)
    found = margin_box(jpeg(framed) if lossy else framed)
    # JPEG smears the edge of a bar over a pixel.
    np.testing.assert_allclose(found, box, atol=1 if lossy else 0)


def test_black_bars_need_not_be_quite_black() -> None:
    rng = np.random.default_rng(0)
    canvas = rng.integers(0, 25, (720, 900)).astype(np.uint8)
    canvas[:, 90:810] = still(720, 720)
    assert margin_box(canvas) == (0, 720, 90, 810)


@pytest.mark.parametrize("name", FRAMED)
@pytest.mark.parametrize("text", [False, True])
def test_framed_version_of_a_still_cleans_to_the_still(name: str, text: bool) -> None:
    canvas_wh, box = FRAMED[name]
    picture = still(box[1] - box[0], box[3] - box[2], grey=130 if name == "wide frame" else 190, seed=3)
    framed = frame(picture, canvas_wh, box)
    if text:
        burn(framed, box)
    top, bottom, left, right = margin_box(framed)
    assert (top, bottom, left, right) == box
    difference = np.abs(clean_angiogram(framed).astype(int) - clean_angiogram(picture))
    if text:
        assert np.quantile(difference, 0.999) < 25  # nothing white is left; the vessel itself may be under a letter
        assert np.mean(difference > 0) < 0.06
    else:
        assert difference.max() == 0


def test_text_over_the_picture_disappears_and_nothing_else_changes() -> None:
    canvas_wh, box = FRAMED["side bars 5:4"]
    picture = still(1000, 1000)
    framed = frame(picture, canvas_wh, box)
    burned = burn(framed, box)
    ink = burned[:, 125:1125]
    assert ink.sum() > 300  # there is text on the picture
    cleaned = clean_angiogram(jpeg(framed))
    assert cleaned[ink].max() < 215
    around = cv2.dilate(ink.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    assert np.abs(cleaned[around].astype(int) - 190).mean() < 1  # the JPEG halo of the strokes is covered too
    assert abs(float(np.median(cleaned[ink])) - 190) < 3
    reach = cv2.dilate(burned.astype(np.uint8), np.ones((11, 11), np.uint8))[:, 125:1125] > 0
    np.testing.assert_array_equal(cleaned[~reach], jpeg(framed)[:, 125:1125][~reach])


BAR = 120  # of a canvas of 960 x 720 with bars at both sides


def letters(left: int, right: int, bold: tuple[int, int] = (1, 1)) -> NDArray[np.bool_]:
    """Both text blocks on that canvas, from columns ``left`` and ``right`` on, their strokes as bold as asked."""
    ink = np.zeros((720, 960), np.uint8)
    for row in range(5):
        for text, start in ((TEXT_LEFT[row], left), (TEXT_RIGHT[row], right)):
            cv2.putText(ink, text, (start, 570 + 26 * row), cv2.FONT_HERSHEY_SIMPLEX, 0.42, 255, 1, cv2.LINE_AA)
    return np.asarray(cv2.dilate(ink, np.ones(bold, np.uint8)) > 100)


def inked(ink: NDArray[np.bool_], grey: int = 190) -> Image:
    canvas = frame(still(720, 720, grey), (960, 720), (0, 720, BAR, 720 + BAR))
    canvas[ink] = 255
    return jpeg(canvas)


@pytest.mark.parametrize("inside", [1, 3, 6, 10, 14, 20, 40])
@pytest.mark.parametrize("bold", [(1, 1), (1, 3)])
def test_letters_of_a_line_that_lies_nearly_all_in_the_margin_are_covered(inside: int, bold: tuple[int, int]) -> None:
    last = int(np.flatnonzero(letters(0, 870, bold)[:, :400].any(axis=0))[-1])  # column of the longest line
    ink = letters(BAR + inside - 1 - last, 870, bold)
    assert ink[:, BAR : BAR + inside].any()
    assert not ink[:, BAR + inside : 400].any()
    image = inked(ink)
    cleaned = clean_angiogram(image)
    assert cleaned.shape == (720, 720)
    assert cleaned.max() < 215
    assert has_text(image)


@pytest.mark.slow
@pytest.mark.parametrize("grey", [130, 190])
@pytest.mark.parametrize("bold", [(1, 2), (1, 3), (3, 3), (3, 4), (2, 5)])
@pytest.mark.parametrize("start", [(60, 640), (125, 640), (10, 560), (20, 700)])
def test_bold_letters_that_run_into_each_other_are_covered(
    grey: int, bold: tuple[int, int], start: tuple[int, int]
) -> None:
    image = inked(letters(*start, bold), grey)
    assert (image[:, BAR:-BAR] > 240).sum() > 1000
    assert clean_angiogram(image).max() < grey + 30


@pytest.mark.parametrize("side", [slice(0, BAR - 4), slice(BAR + 724, None)])
def test_text_wholly_in_one_margin_is_told_and_changes_nothing_of_the_picture(side: slice) -> None:
    ink = np.zeros((720, 960), np.bool_)
    ink[:, side] = letters(5, 850)[:, side]
    image = inked(ink)
    assert has_text(image)
    np.testing.assert_array_equal(clean_angiogram(image), image[:, BAR:-BAR])
    assert not has_text(inked(np.zeros_like(ink)))


def test_lines_of_which_every_word_is_one_part_are_text() -> None:
    ink = letters(30, 640, (1, 6))
    assert cv2.connectedComponents(ink[:, :400].astype(np.uint8))[0] - 1 < 13
    image = inked(ink)
    assert has_text(image)
    assert clean_angiogram(image).max() < 215


def test_text_in_a_bar_below_is_told() -> None:
    canvas = frame(still(720, 720), (720, 900), (90, 810, 0, 720))
    assert not has_text(canvas)
    canvas[820:] = np.where(letters(10, 400)[550:630, :720], 255, canvas[820:])
    assert has_text(canvas)
    assert margin_box(canvas) == (90, 810, 0, 720)


def test_the_blurred_edge_of_a_framed_picture_and_ticks_are_no_letters() -> None:
    image = jpeg(frame(with_ticks(still(720, 720), COLUMN, 8), (960, 720), (0, 720, BAR, 720 + BAR)))
    assert not has_text(image)


def test_one_white_patch_is_residue_and_not_text() -> None:
    image = still(720, 720)
    cv2.ellipse(image, (150, 600), (25, 12), 30, 0, 360, 255, -1)
    for x in (40, 80, 120):  # three stray letters' worth of small spots are none either
        image[650:660, x : x + 6] = 255
    np.testing.assert_array_equal(cover_text(image, margin_box(image)), image)


def test_long_residue_is_no_line_of_bold_letters() -> None:
    image = still(720, 720)
    for row, turn in ((560, 0), (620, 4)):
        cv2.ellipse(image, (150, row), (75, 9), turn, 0, 360, 255, -1)
    np.testing.assert_array_equal(cover_text(image, margin_box(image)), image)


def test_white_outside_the_lower_corners_is_not_covered() -> None:
    image = still(720, 720)
    cv2.putText(image, "FRAME = 27 / 52", (20, 100), cv2.FONT_HERSHEY_SIMPLEX, 0.42, 255, 1)
    np.testing.assert_array_equal(cover_text(image, margin_box(image)), image)


def test_text_mask_covers_every_stroke() -> None:
    corner = np.full((240, 288), 190, dtype=np.uint8)
    ink = np.zeros_like(corner)
    for row, line in enumerate(TEXT_LEFT):
        cv2.putText(ink, line, (10, 40 + 26 * row), cv2.FONT_HERSHEY_SIMPLEX, 0.42, 255, 1, cv2.LINE_AA)
    corner[ink > 100] = 255
    mask = text_mask(corner, np.full_like(corner, 190), 720)
    assert mask[ink > 100].all()
    assert mask.mean() < 0.25


@pytest.mark.parametrize("name", FRAMED)
@pytest.mark.parametrize("text", [False, True])
def test_margins_and_text_are_told(name: str, text: bool) -> None:
    (width, height), box = FRAMED[name]
    framed = frame(
        still(box[1] - box[0], box[3] - box[2], grey=130 if name == "wide frame" else 190), (width, height), box
    )
    if text:
        burn(framed, box)
    assert margin_share(framed) == pytest.approx(1 - (box[1] - box[0]) * (box[3] - box[2]) / (width * height))
    assert has_text(framed) is text


def test_a_clean_still_has_neither_margin_nor_text() -> None:
    image = still(720, 720)
    assert margin_share(image) == 0
    assert not has_text(image)
    cv2.ellipse(image, (150, 600), (25, 12), 30, 0, 360, 255, -1)  # residue of bone
    assert not has_text(image)


@pytest.mark.parametrize("size_hw", [(1, 1), (1, 2), (3, 3), (4, 4), (97, 64)])
@pytest.mark.parametrize("highest", [1, 2, 9, 256])
def test_the_median_from_the_histogram_is_numpys(size_hw: tuple[int, int], highest: int) -> None:
    image = np.random.default_rng(highest).integers(0, highest, size_hw, dtype=np.uint8)
    assert median_grey(image) == np.median(image)
    assert median_grey(255 - image[:, ::-1]) == np.median(255 - image)

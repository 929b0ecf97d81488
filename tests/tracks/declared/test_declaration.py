"""The YAML of a folder track: what it says, and one sentence about everything that it can say wrongly."""

import re
from pathlib import Path

import pytest

from competition.errors import CompetitionError
from competition.tracks.declared.declaration import read_declaration
from competition.tracks.declared.run_length_table import RunLengthTable

BASE = {
    "classes": "[femur]",
    "train": "train/images/*.png",
    "masks": "train/labels/{stem}.png",
    "test": "test/images/*.png",
    "group": r"'^(\d+)'",
}
TABLE = "{csv: t.csv, image: id, class: kind, rle: rle, order: row}"
BACK = "{image: id, class: kind, rle: rle, ending: false, order: row}"


def declare(folder: Path, **changes: str | None) -> Path:
    """Writes a declaration; a change to None leaves the key out."""
    keys = BASE | changes
    path = folder / "mine.yaml"
    path.write_text("\n".join(f"{key}: {value}" for key, value in keys.items() if value is not None))
    return path


def failure(path: Path) -> str:
    with pytest.raises(CompetitionError) as caught:
        read_declaration(path)
    assert "mine.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("flipp", "true", "unknown key 'flipp', did you mean 'flip'"),
        ("group", None, "group is missing, the person .*makes each image its own group"),
        ("group", "", "group is missing"),
        ("train", "", "train is missing: the pattern"),
        ("group", "'abc'", "group: .*needs a bracket"),
        ("group", "'('", "group: .*is no regular expression"),
        ("classes", "[]", "classes: "),
        ("classes", "[a, b]", "several classes need {class} in masks"),
        ("classes", "{a: x}", "classes: "),
        ("channels", "2", "channels: Input should be 1, 3, .red., .green. or .blue."),
        ("masks", "'train/labels/all.png'", "masks needs {stem}"),
        ("masks", None, "masks is missing: where"),
        ("masks", "3", "masks: "),
    ],
)
def test_a_bad_declaration_is_an_error_in_one_sentence(
    tmp_path: Path, key: str, value: str | None, expected: str
) -> None:
    assert re.search(expected, failure(declare(tmp_path, **{key: value})))


@pytest.mark.parametrize("key", ["train", "test", "masks"])
@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("/data/{stem}.png", "must be a path below the data folder, not '/data/{stem}.png'"),
        ("", "must be a path below the data folder, not ''"),
        (".", "must be a path below the data folder, not '.'"),
        ("../{stem}.png", "must be a path below the data folder, not '../{stem}.png'"),
        ("images/../../{stem}.png", "must be a path below the data folder"),
    ],
)
def test_a_pattern_that_does_not_lie_below_the_data_folder_is_named(
    tmp_path: Path, key: str, pattern: str, reason: str
) -> None:
    sentence = failure(declare(tmp_path, **{key: f"'{pattern}'"}))
    assert sentence.startswith(f"{key}: ")
    assert reason in sentence


@pytest.mark.parametrize(
    ("classes", "keys", "expected"),
    [
        ("[disc, disc]", {"masks": "'m/{class}/{stem}.png'"}, "classes holds 'disc' twice"),
        ("[disc, disc]", {"masks": TABLE, "submission": BACK}, "classes holds 'disc' twice"),
        ("['\u00e9', 'e\u0301']", {"masks": TABLE, "submission": BACK}, "classes holds '\u00e9' and 'e\u0301'"),
        ("[Disc, disc]", {"masks": "'m/{class}/{stem}.png'"}, "'Disc' and 'disc', which are one file on a case-insen"),
        ("{disc: 1, disc: 2}", {}, "key 'disc' appears twice"),
        ("{a: 1, b: 1}", {}, "classes 'a' and 'b' have the same value 1"),
        ("{a: '#FF0000', b: '#ff0000'}", {}, "classes 'a' and 'b' have the same value '#ff0000'"),
        ("{a: 1, b: '#ff0000'}", {}, "mix pixel values and colours"),
        ("{a: 1}", {"background": "['#ff0000']"}, "mix pixel values and colours"),
        ("{a: 1}", {"background": "[255, 1]"}, "1 is the class 'a' and in background"),
        ("[a]", {"background": "[255]"}, "background needs classes with pixel values"),
        ("{a: 1}", {"ignore": "255"}, r"no key 'ignore'; background: \[255\] counts them as background"),
    ],
)
def test_classes_that_cannot_be_told_apart_are_refused(
    tmp_path: Path, classes: str, keys: dict[str, str], expected: str
) -> None:
    assert re.search(expected, failure(declare(tmp_path, classes=classes, **keys)))


@pytest.mark.parametrize("value", ["#ff0000", "'#ff00'", "x", "true", "1.5"])
def test_a_value_that_is_neither_number_nor_colour_is_refused(tmp_path: Path, value: str) -> None:
    path = declare(tmp_path, classes=f"\n  a: {value}\n  b: 2")
    assert "must be a pixel value such as 1 or a colour such as '#ff0000', not" in failure(path)


def test_names_that_differ_in_capitals_are_two_classes_in_a_table(tmp_path: Path) -> None:
    declaration = read_declaration(declare(tmp_path, classes="[Disc, disc]", masks=TABLE, submission=BACK))
    assert declaration.classes == ["Disc", "disc"]


def test_a_background_changes_what_prepare_goes_by(tmp_path: Path) -> None:
    plain = read_declaration(declare(tmp_path, classes="{a: 1}"))
    more = read_declaration(declare(tmp_path, classes="{a: 1}", background="[255]"))
    assert (plain.background_values, more.background_values) == ((0,), (0, 255))
    assert plain.reading != more.reading
    assert plain.data_form != more.data_form


@pytest.mark.parametrize(("content", "expected"), [("", "declaration: "), ("a: b: c", "not valid YAML")])
def test_a_file_that_declares_nothing_is_an_error(tmp_path: Path, content: str, expected: str) -> None:
    (tmp_path / "mine.yaml").write_text(content)
    assert expected in failure(tmp_path / "mine.yaml")


def test_a_missing_or_unreadable_declaration_is_an_error(tmp_path: Path) -> None:
    assert "no such track declaration" in failure(tmp_path / "mine.yaml")
    (tmp_path / "mine.yaml").write_bytes(b"\xff\xfe\x00")
    assert "can't be read" in failure(tmp_path / "mine.yaml")


def test_a_table_of_run_lengths_is_declared_with_its_columns(tmp_path: Path) -> None:
    back = "{image: id, rle: rle, ending: true, order: row}"
    plain = read_declaration(
        declare(tmp_path, masks="{csv: train.csv, image: id, rle: rle, order: row}", submission=back)
    ).masks
    assert isinstance(plain, RunLengthTable)
    assert (plain.class_column, plain.order, plain.start, plain.relative) == (None, "row", 1, False)
    text = "{csv: a/b.csv, image: ImageId, class: kind, rle: pixels, order: column, start: 0, relative: true}"
    back = "{image: id, class: kind, rle: rle, ending: false, order: row}"
    full = read_declaration(declare(tmp_path, classes="[a, b]", masks=text, submission=back)).masks
    assert isinstance(full, RunLengthTable)
    assert (full.csv, full.image, full.class_column, full.rle) == ("a/b.csv", "ImageId", "kind", "pixels")
    assert (full.order, full.start, full.relative) == ("column", 0, True)


@pytest.mark.parametrize(
    ("classes", "masks", "expected"),
    [
        ("[a]", "{csv: t.csv, rle: rle}", r"masks.image is missing \(keys are image, class, rle, order.*csv"),
        (
            "[a]",
            "{csv: t.csv, image: i, rle: r, ordr: row, order: row}",
            "unknown key 'masks.ordr', did you mean 'masks.order'",
        ),
        ("[a]", "{csv: t.csv, image: i, rle: r}", "masks.order is missing: row if pixels are counted row by row"),
        ("[a]", "{csv: t.csv, image: i, rle: r, order: both}", "masks.order: Input should be 'row' or 'column'"),
        ("[a]", "{csv: t.csv, image: i, rle: r, start: 2, order: row}", "masks.start: Input should be 0 or 1"),
        ("[a]", "{csv: /t.csv, image: i, rle: r, order: row}", "masks: .*below the data folder, not '/t.csv'"),
        ("[a]", "{csv: '', image: i, rle: r, order: row}", "masks: .*below the data folder, not ''"),
        ("[a, b]", "{csv: t.csv, image: i, rle: r, order: row}", "several classes need a class column in masks"),
        ("[a, b]", "{csv: t.csv, image: i, class: c, order: row}", "needs an rle column too"),
        ("{a: 1}", "{csv: t.csv, image: i, rle: r, order: row}", "with run lengths, classes is a list of names"),
    ],
)
def test_a_bad_table_is_an_error_in_one_sentence(tmp_path: Path, classes: str, masks: str, expected: str) -> None:
    assert re.search(expected, failure(declare(tmp_path, classes=classes, masks=masks)))


@pytest.mark.parametrize(
    ("classes", "submission", "expected"),
    [
        (
            "[a]",
            "{image: i, rle: r, order: row}",
            r"submission.ending is missing: true if .* \(keys are .*ending, empty",
        ),
        (
            "[a]",
            "{image: i, rle: r, ending: true, emty: -1, order: row}",
            "'submission.emty', did you mean 'submission.empty'",
        ),
        (
            "[a]",
            "{image: i, rle: r, ending: true, empty: 1 2, order: row}",
            "submission.empty: must be a text that can't be taken",
        ),
        (
            "[a]",
            "{image: i, rle: r, ending: true}",
            "submission.order is missing: row if pixels are counted row by row",
        ),
        ("[a]", "rle", "submission: Input should be"),
        ("[a, b]", "{image: i, rle: r, ending: true, order: row}", "several classes need a class column in submission"),
        (
            "[a, b]",
            "{image: i, class: c, ending: true, order: row}",
            "submission names a class column, so it needs an rle column",
        ),
    ],
)
def test_a_bad_form_is_an_error_in_one_sentence(tmp_path: Path, classes: str, submission: str, expected: str) -> None:
    masks = "'train/masks/{class}/{stem}.png'"
    assert re.search(expected, failure(declare(tmp_path, classes=classes, masks=masks, submission=submission)))


def test_the_form_of_a_submission_is_asked_for_where_masks_are_run_lengths(tmp_path: Path) -> None:
    masks = "{csv: t.csv, image: id, class: kind, rle: pixels, order: column, start: 0, relative: true}"
    sentence = failure(declare(tmp_path, classes="[a, b]", masks=masks))
    (line,) = re.findall(r"likely submission: (\{.*?\})", sentence)
    # What the sentence proposes can be pasted, once two words are replaced that nothing here can tell.
    assert "submission.ending: " in failure(declare(tmp_path, classes="[a, b]", masks=masks, submission=line))
    line = line.replace("ENDING", "false").replace("EMPTY", "-1")
    form = read_declaration(declare(tmp_path, classes="[a, b]", masks=masks, submission=line)).form.columns
    assert form.header(("a", "b")) == ("id", "kind", "pixels")
    assert (form.order, form.start, form.relative, form.ending, form.empty) == ("column", 0, True, False, "-1")
    by_files = read_declaration(declare(tmp_path)).form.columns
    assert (by_files.header(("femur",)), by_files.ending, by_files.empty) == (("image_name", "class", "rle"), True, "")

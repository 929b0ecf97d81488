"""Every kind of broken or oddly written submission, given to vote, compare and score as a user would."""

import io

import numpy as np
import pandas as pd
import pytest

from competition.formats.parquet_tables import write_table
from competition.submission.run_lengths.files import read_rle_csv, write_rle_csv
from competition.submission.table.files import read_table_csv, write_table_csv
from competition.tracks import get_track

BONES = get_track("hand_bone").classes
VESSELS = get_track("aneurysm").classes
IMAGES = ("a.png", "b.png")

# A change of a valid file, and its message. Row 2 of it is a.png, finger-1; images have 12 x 10 pixels.
BROKEN = {
    "an image less": (lambda lines: [line for line in lines if "b.png" not in line], ("29 rows are missing", "b.png")),
    "another image": (lambda lines: [line.replace("b.png", "c.png") for line in lines], ("rows are missing",)),
    "a duplicate key": (lambda lines: [*lines, lines[1]], ("class 'finger-1' of image 'a.png' appears twice",)),
    "a row less": (lambda lines: lines[:-1], ("1 rows are missing", "b.png Ulna")),
    "no rows": (lambda lines: lines[:1], ("58 rows are missing",)),
    "a run past the end": (lambda lines: first(lines, "119 3"), ("a run ends at pixel 121, but the image has 120",)),
    "overlapping runs": (lambda lines: first(lines, "1 5 3 4"), ("starts before the one ahead of it has ended",)),
    "descending runs": (lambda lines: first(lines, "30 2 10 2"), ("starts before the one ahead of it has ended",)),
    "an odd number": (lambda lines: first(lines, "1 5 9"), ("run lengths of 3 numbers",)),
    "a float start": (lambda lines: first(lines, "1.0 5"), ("'1.0' in run lengths is no pixel number",)),
    "a negative start": (lambda lines: first(lines, "-1 5"), ("'-1' in run lengths is no pixel number",)),
    "a start of 0": (lambda lines: first(lines, "0 5"), ("starts at 0, but pixels are counted from 1",)),
    "a length of 0": (lambda lines: first(lines, "5 0"), ("has length 0",)),
    "a huge number": (lambda lines: first(lines, "1 99999999999999999999"), ("a.png",)),
    "a word": (lambda lines: first(lines, "none"), ("'none' in run lengths is no pixel number",)),
    "a wrong class": (lambda lines: [line.replace("finger-1,", "finger-01,") for line in lines], ("finger-01",)),
    "a class too many": (lambda lines: [*lines, "a.png,Ulnar,1 2"], ("1 rows are", "a.png Ulnar")),
    "a cut row": (lambda lines: [*lines[:-1], "b.png,Ulna"], ("row 59 has 2 fields, not 3",)),
    "a wrong header": (
        lambda lines: ["image,class,rle", *lines[1:]],
        ("no column 'image_name', did you mean 'image'?",),
    ),
    "no header": (lambda lines: lines[1:], ("the first line is 'a.png,", "(no header, or")),
    "semicolons": (lambda lines: [line.replace(",", ";") for line in lines], ("separated by ';', not by ','",)),
    "another track": (
        lambda lines: [lines[0], *(f"{line.partition(',')[0]},lv,1 2" for line in lines[1:2])],
        ("no class of it is the track's (lv; not finger-1,", "another track? See --track"),
    ),
    "nothing at all": (lambda lines: [], ("the file is empty",)),
}
ODD = {
    "Windows line ends": lambda text: text.replace("\n", "\r\n"),
    "a byte order mark": lambda text: "\ufeff" + text,
    "both": lambda text: "\ufeff" + text.replace("\n", "\r\n"),
    "NaN for an empty mask": lambda text: text.replace(",finger-2,\n", ",finger-2,NaN\n"),
    "nan for an empty mask": lambda text: text.replace(",finger-2,\n", ",finger-2,nan\n"),
    "shuffled rows": lambda text: shuffled(text),
    "no line end at the end": lambda text: text.rstrip("\n"),
    "blank lines": lambda text: text.replace("b.png,finger-1", "\n\nb.png,finger-1"),
    "other columns": lambda text: "".join(f"{n or ''},{line},9\n" for n, line in enumerate(text.splitlines())),
    "blanks": lambda text: text.replace(",", " , "),
    "quotes": lambda text: text.replace("a.png,Ulna,", '"a.png","Ulna",'),
    "another order of columns": lambda text: (
        pd.read_csv(io.StringIO(text), dtype=str)[["rle", "class", "image_name"]].fillna("").to_csv(index=False)
    ),
}


def first(lines, rle):
    return [lines[0], f"a.png,finger-1,{rle}", *lines[2:]]


def shuffled(text):
    header, *rows = text.splitlines()
    return "\n".join([header, *np.random.default_rng(0).permutation(rows)]) + "\n"


@pytest.fixture
def sound(tmp_path):
    """Two sound submissions of two images, whose sizes are prepared; finger-2 of both is empty."""
    folder = tmp_path / "workspace" / "cache" / "hand_bone"
    folder.mkdir(parents=True)
    frame = pd.DataFrame({"name": IMAGES, "split": "test", "height": 12, "width": 10, "stratum": "", "group": "one"})
    write_table(folder / "manifest.parquet", frame)
    for number, name in enumerate(("A.csv", "B.csv")):
        rows = [
            (image, bone, "" if bone == "finger-2" else f"{1 + number + position} 4 90 {position + 1}")
            for image in IMAGES
            for position, bone in enumerate(BONES)
        ]
        write_rle_csv(tmp_path / name, rows)
    return tmp_path / "A.csv", tmp_path / "B.csv"


def words_of(stage_name, first_file, second_file, tmp_path):
    out = ("--out", tmp_path / "V.csv") if stage_name == "vote" else ()
    return (stage_name, first_file, second_file, *out)


def break_file(file, break_it):
    file.write_text("".join(f"{line}\n" for line in break_it(file.read_text().splitlines())))


@pytest.mark.slow
@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize("stage_name", ["vote", "compare", "score"])
@pytest.mark.parametrize("broken", BROKEN)
def test_a_broken_file_is_one_sentence_that_names_it(refusal, sound, tmp_path, broken, stage_name, position):
    break_it, sentences = BROKEN[broken]
    break_file(sound[position], break_it)
    error, _ = refusal(*words_of(stage_name, *sound, tmp_path))
    assert not (tmp_path / "V.csv").exists()
    if stage_name == "score" and position == 1:
        # Of a truth that is too short, the submission has too much.
        assert "truth" in error or str(sound[1]) in error or "not in the truth" in error
        return
    assert all(sentence in error for sentence in sentences), error
    assert str(sound[position]) in error or broken == "another image"  # either of two sets may be meant


@pytest.mark.slow
@pytest.mark.parametrize("odd", ODD)
def test_an_odd_spelling_changes_nothing(stage, sound, tmp_path, odd):
    plain_vote, _ = stage("vote", *sound, "--out", tmp_path / "plain.csv")
    plain = [stage(name, *sound)[0] for name in ("compare", "score")]
    text = ODD[odd](sound[1].read_text())
    assert text != sound[1].read_text()
    sound[1].write_bytes(text.encode())
    odd_vote, _ = stage("vote", *sound, "--out", tmp_path / "odd.csv")
    assert (tmp_path / "odd.csv").read_bytes() == (tmp_path / "plain.csv").read_bytes()
    assert odd_vote["rows"] == plain_vote["rows"] == 58
    for name, figures in zip(("compare", "score"), plain, strict=True):
        again = stage(name, *sound)[0]
        assert again | {"seconds": 0, "peak_mb": 0} == figures | {"seconds": 0, "peak_mb": 0}
    assert read_rle_csv(tmp_path / "odd.csv")["a.png", "finger-2"] == ""


@pytest.mark.parametrize("weights", ["2,6", "0.1,0.3", "25,75", "0.25,0.75"])
def test_weights_in_any_scale_are_the_same_vote(stage, sound, tmp_path, weights):
    stage("vote", *sound, "--weights", "1,3", "--out", tmp_path / "V.csv")
    figures, said = stage("vote", *sound, "--weights", weights, "--out", tmp_path / "W.csv")
    assert figures["weights"] == [0.25, 0.75]
    assert (tmp_path / "V.csv").read_bytes() == (tmp_path / "W.csv").read_bytes()
    assert ("weights, normalised: 0.2500, 0.7500" in said) == (weights != "0.25,0.75")


def test_two_files_without_a_row_are_refused(refusal, sound, tmp_path):
    for file in sound:
        file.write_text("image_name,class,rle\n")
    for name in ("vote", "compare"):
        assert "there are no rows" in refusal(*words_of(name, *sound, tmp_path))[0]
    assert "there is nothing to score" in refusal("score", *sound)[0]


BROKEN_TABLES = {
    "a patient less": (lambda lines: lines[:-1], "csv has (0013)"),
    "a duplicate": (lambda lines: [*lines, lines[1]], "Index '0010' appears twice"),
    "no number": (lambda lines: [*lines[:1], lines[1].replace("0.", "o."), *lines[2:]], "not a number"),
    "an empty cell": (lambda lines: [*lines[:1], cell(lines[1], 1, ""), *lines[2:]], "Aneurysm is '', not a number"),
    "NaN": (lambda lines: [*lines[:1], cell(lines[1], 1, "NaN"), *lines[2:]], "Aneurysm"),
    "a probability above 1": (lambda lines: [*lines[:1], cell(lines[1], 1, "1.5"), *lines[2:]], "Aneurysm"),
    "a wrong column": (
        lambda lines: [lines[0].replace("L_ICA", "L_IKA"), *lines[1:]],
        "no column 'L_ICA', did you mean 'L_IKA'?",
    ),
    "a cut row": (lambda lines: [*lines[:-1], lines[-1][:20]], "fields, not 23"),
}
ODD_TABLES = {
    "Windows line ends": ODD["Windows line ends"],
    "a byte order mark": ODD["a byte order mark"],
    "shuffled rows": ODD["shuffled rows"],
    "a row number": lambda text: "".join(f"{n or ''},{line}\n" for n, line in enumerate(text.splitlines())),
    "columns in another order": lambda text: (
        pd.read_csv(io.StringIO(text), dtype=str).iloc[:, ::-1].to_csv(index=False)
    ),
}


def cell(line, position, value):
    fields = line.split(",")
    fields[position] = value
    return ",".join(fields)


@pytest.fixture
def tables(tmp_path):
    """A submission and a truth of four patients."""
    truth = np.zeros((4, 22))
    truth[1:3, [0, 4]] = 1
    ours = truth.copy()
    ours[:, 0] = 0.1, 0.8, 0.3, 0.4
    for name, values in (("A.csv", ours), ("B.csv", truth)):
        write_table_csv(tmp_path / name, ["0010", "0011", "0012", "0013"], VESSELS, values)
    return tmp_path / "A.csv", tmp_path / "B.csv"


@pytest.mark.parametrize("stage_name", ["vote", "compare", "score"])
@pytest.mark.parametrize("broken", BROKEN_TABLES)
def test_a_broken_table_is_one_sentence_that_names_it(refusal, tables, tmp_path, broken, stage_name):
    break_it, sentence = BROKEN_TABLES[broken]
    break_file(tables[0], break_it)
    if stage_name == "score" and broken == "a probability above 1":
        return  # an AUROC asks for an order alone; check is there for the form
    error, _ = refusal(*words_of(stage_name, *tables, tmp_path), "--track", "aneurysm")
    assert "A.csv" in error
    assert sentence in error or (stage_name == "score" and "missing (13)" in error)
    assert not (tmp_path / "V.csv").exists()


@pytest.mark.slow
@pytest.mark.parametrize("odd", ODD_TABLES)
def test_an_odd_spelling_of_a_table_changes_nothing(stage, tables, tmp_path, odd):
    words = ("--track", "aneurysm")
    stage("vote", *tables, "--out", tmp_path / "plain.csv", *words)
    plain = [stage(name, *tables, *words)[0] for name in ("compare", "score")]
    text = ODD_TABLES[odd](tables[1].read_text())
    assert text != tables[1].read_text()
    tables[1].write_bytes(text.encode())
    stage("vote", *tables, "--out", tmp_path / "odd.csv", *words)
    assert (tmp_path / "odd.csv").read_bytes() == (tmp_path / "plain.csv").read_bytes()
    for name, figures in zip(("compare", "score"), plain, strict=True):
        again = stage(name, *tables, *words)[0]
        assert again | {"seconds": 0, "peak_mb": 0} == figures | {"seconds": 0, "peak_mb": 0}
    assert len(read_table_csv(tmp_path / "odd.csv", VESSELS)) == 4


def test_where_the_file_is_missing_the_newest_submission_is_named(refusal, tmp_path):
    newest = tmp_path / "workspace" / "submissions" / "hand_bone" / "submission.csv"
    error, _ = refusal("check", "--track", "hand_bone", tmp_path / "s.csv")
    assert error == f"error: no such file: {tmp_path / 's.csv'}.\n"
    newest.parent.mkdir(parents=True)
    newest.write_text("")
    error, _ = refusal("check", "--track", "hand_bone", tmp_path / "s.csv")
    assert error == f"error: no such file: {tmp_path / 's.csv'}. The newest submission is {newest}.\n"

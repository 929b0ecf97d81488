import os
import resource
import time
from pathlib import Path

import pytest

from competition.errors import CompetitionError
from competition.submission.known_images import KnownImages
from competition.submission.run_lengths.checks import check_rle_submission
from competition.submission.run_lengths.columns import SubmissionColumns
from competition.submission.run_lengths.files import read_rle_csv, write_rle_csv


def test_written_rle_is_byte_for_byte_the_organisers_form(tmp_path):
    path = tmp_path / "new" / "submission.csv"
    write_rle_csv(path, iter([("a.png", "lv", "3 2 9 1"), ("b.png", "lv", "")]))
    assert path.read_bytes() == b"image_name,class,rle\na.png,lv,3 2 9 1\nb.png,lv,\n"
    assert [file.name for file in path.parent.iterdir()] == ["submission.csv"]
    assert path.stat().st_mode & 0o777 == 0o644


def test_reads_back_what_was_written_in_order(tmp_path):
    rows = [("b,1.png", "lv", "1 1"), ("a.png", "lv", ""), ("a.png", "rv", "5 3")]
    write_rle_csv(tmp_path / "s.csv", rows)
    assert list(read_rle_csv(tmp_path / "s.csv").items()) == [((name, cls), rle) for name, cls, rle in rows]


@pytest.mark.parametrize(
    "content",
    [
        b"image_name,class,rle\na,x,1 2\na,y,\n",
        b"\xef\xbb\xbfimage_name,class,rle\na,x,1 2\na,y,\n",
        b"image_name,class,rle\r\na,x,1 2\r\na,y,\r\n",
        b"image_name,class,rle\na,x,1 2\na,y,NaN\n",
        b"image_name,class,rle\na,x,1 2\na,y,nan\n\n",
        b'"image_name","class","rle"\n"a","x","1 2"\n"a","y",""',
        b"class,rle,image_name\nx,1 2,a\ny,,a\n",
        b",Height,image_name,class,rle,Usage\n0,8,a,x,1 2,Public\n1,8,a,y,,Ignored\n",
        b" image_name , class,rle\na ,x, 1 2\na, y,\n",
    ],
    ids=[
        "plain",
        "byte order mark",
        "windows",
        "NaN",
        "nan and blank line",
        "quoted, no last line end",
        "by name",
        "other columns",
        "blanks",
    ],
)
def test_takes_every_common_spelling(tmp_path, content):
    path = tmp_path / "s.csv"
    path.write_bytes(content)
    assert read_rle_csv(path) == {("a", "x"): "1 2", ("a", "y"): ""}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "empty"),
        (b"image_name,rle\na,1 2\n", "missing 'class'"),
        (b"image,class,rle\na,x,1 2\n", "missing 'image_name'; too many 'image'"),
        (b"image_name,class,rle,rle\na,x,1 2,\n", "twice 'rle'"),
        (b"image_name,class,rle\na,x,1 2\na,y\n", "row 3 has 2 fields, not 3"),
        (b"image_name,class,rle\na,x,1 2\na,y,\na,x,\n", "row 4: class 'x' of image 'a' appears twice"),
        (b"\xff\xfe\x00image", "this is text in UTF-16, not in UTF-8"),
    ],
)
def test_malformed_rle_file_is_named_with_its_row(tmp_path, content, message):
    path = tmp_path / "broken.csv"
    path.write_bytes(content)
    with pytest.raises(CompetitionError, match=message) as caught:
        read_rle_csv(path)
    assert "broken.csv" in str(caught.value)


@pytest.mark.parametrize(
    ("keys", "content"),
    [
        ({"class": "kind", "rle": "pixels"}, "id,kind,pixels\na,x,0 2\na,y,-1\nb,x,4 1 2 3\nb,y,0 1\n"),
        ({}, "id,x,y\na,0 2,-1\nb,4 1 2 3,0 1\n"),
    ],
    ids=["a row per class", "a column per class"],
)
def test_a_form_of_its_own_is_written_and_read_back(tmp_path, keys, content):
    form = SubmissionColumns.model_validate(
        {"image": "id", "start": 0, "relative": True, "ending": False, "empty": -1, **keys}
    )
    rows = [("a", "x", "1 2"), ("a", "y", ""), ("b", "x", "5 1 8 3"), ("b", "y", "1 1")]
    path = tmp_path / "s.csv"
    write_rle_csv(path, iter(rows), ("x", "y"), form)
    assert path.read_text() == content
    assert read_rle_csv(path, ("x", "y"), form) == {row[:2]: row[2] for row in rows}
    assert check_rle_submission(path, ("x", "y"), KnownImages(["a", "b"], size_hw=(2, 5)), form).ok
    broken = check_rle_submission(path, ("x", "y"), KnownImages(["a", "b"], size_hw=(2, 4)), form)
    assert [error for error in broken.errors if "row" in error and "b, x" in error] == broken.errors != []


def test_one_class_needs_no_column(tmp_path):
    form = SubmissionColumns.model_validate({"image": "img", "rle": "rle_mask", "ending": True})
    write_rle_csv(tmp_path / "s.csv", iter([("a.png", "salt", "3 2"), ("b.png", "salt", "")]), ("salt",), form)
    assert (tmp_path / "s.csv").read_text() == "img,rle_mask\na.png,3 2\nb.png,\n"
    assert read_rle_csv(tmp_path / "s.csv", ("salt",), form) == {("a.png", "salt"): "3 2", ("b.png", "salt"): ""}


def test_missing_file_is_a_sentence(tmp_path):
    with pytest.raises(CompetitionError, match=r"No such file.*none\.csv"):
        read_rle_csv(tmp_path / "none.csv")


def test_mask_longer_than_the_csv_modules_own_limit(tmp_path):
    rle = " ".join(f"{start} 1" for start in range(1, 200_001, 2))
    assert len(rle) > 131_072
    write_rle_csv(tmp_path / "s.csv", [("a", "x", rle)])
    assert read_rle_csv(tmp_path / "s.csv") == {("a", "x"): rle}


@pytest.mark.slow
def test_hand_bone_sized_file_is_read_within_a_second(tmp_path):
    row = " ".join(f"{start} 20" for start in range(100_000, 100_000 + 260 * 2048, 2048))
    write_rle_csv(tmp_path / "s.csv", ((f"{i}.png", str(c), row) for i in range(288) for c in range(29)))
    assert (tmp_path / "s.csv").stat().st_size > 20e6
    start = time.process_time()
    assert len(read_rle_csv(tmp_path / "s.csv")) == 8352
    assert time.process_time() - start < 1.0


def test_a_failing_row_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "s.csv"
    write_rle_csv(path, [("a", "x", "1 1")])
    before = path.read_bytes()

    def rows():
        yield "b", "x", "1 1"
        raise CompetitionError("no map for image c")

    with pytest.raises(CompetitionError, match="no map"):
        write_rle_csv(path, rows())
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["s.csv"]


def test_an_unreadable_prediction_is_not_called_a_full_disk(tmp_path):
    def rows():
        yield "b", "x", Path(tmp_path / "gone.b2").read_text()

    with pytest.raises(CompetitionError, match=r"prediction .* can't be read .*gone\.b2"):
        write_rle_csv(tmp_path / "s.csv", rows())
    assert os.listdir(tmp_path) == []


def test_full_disk_names_the_path_and_leaves_nothing(tmp_path):
    path = tmp_path / "s.csv"
    write_rle_csv(path, [("a", "x", "1 1")])
    before = path.read_bytes()
    child = os.fork()  # the limit on file sizes can't be raised again, so it is set in a child
    if child == 0:
        import signal

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
        try:
            write_rle_csv(path, ((str(i), "x", "1 1 " * 100) for i in range(1000)))
        except CompetitionError as error:
            os._exit(0 if "can't write" in str(error) and str(path) in str(error) else 1)
        os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["s.csv"]

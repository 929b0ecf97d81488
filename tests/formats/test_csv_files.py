"""Files that a spreadsheet or a packer has spoilt are named in one sentence, wherever a text is read."""

import gzip
import io
import json
import zipfile
from pathlib import Path

import openpyxl
import pytest

from competition.errors import CompetitionError
from competition.formats.csv_files import EXCEL_CELL, read_csv
from competition.formats.json_files import read_json
from competition.tracks.hand_bone.labels import read_annotations

TEXT = "image_name,class,rle\na.png,왼손,1 2\n손.png,Ulna,3 4\n"


def workbook() -> bytes:
    book, file = openpyxl.Workbook(), io.BytesIO()
    for line in TEXT.splitlines():
        book.active.append(line.split(","))
    book.save(file)
    return file.getvalue()


def zipped(method: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr("a.csv", TEXT)
    return file.getvalue()


SPOILT = {
    "cp949": (TEXT.encode("cp949"), "text in cp949 (as Korean Excel saves it), not in UTF-8"),
    "cp949 far down": ((TEXT[:21] + "a,b,c\n" * 5000 + TEXT[21:]).encode("cp949"), "text in cp949"),
    "latin": ("image_name,class,rle\nJosé.png,Fuß,1 2\n".encode("latin-1"), "in UTF-8"),
    "UTF-16": (TEXT.encode("utf-16"), "text in UTF-16"),
    "UTF-16 without mark": (TEXT.encode("utf-16-le"), "text in UTF-16"),
    "UTF-16 of the other end": (TEXT.encode("utf-16-be"), "text in UTF-16"),
    "gzip": (gzip.compress(TEXT.encode()), "packed with gzip"),
    "zip": (zipped(zipfile.ZIP_DEFLATED), "this is a zip"),
    "stored zip": (zipped(zipfile.ZIP_STORED), "this is a zip"),
    "xlsx": (workbook(), "Excel workbook (.xlsx)"),
    "xls": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "old Excel workbook (.xls)"),
    "semicolons": (TEXT.replace(",", ";").encode(), "cells are separated by ';'"),
    "tabs": (TEXT.replace(",", "\t").encode(), "cells are separated by tabs"),
    "cut": (TEXT.encode() + b"b.png,Ulna," + b"1" * EXCEL_CELL + b"\n", "(first in row 4)"),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_a_spoilt_csv_is_named_with_the_repair(tmp_path: Path, kind: str) -> None:
    content, sentence = SPOILT[kind]
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(CompetitionError) as refused:
        read_csv(path)
    error = refused.value
    assert sentence in error.what
    assert error.where == str(path)
    assert error.repair
    assert str(error).isprintable()


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_a_byte_order_mark_is_read(tmp_path: Path, mark: str) -> None:
    (tmp_path / "a.csv").write_text(mark + TEXT, encoding="utf-8")
    header, rows = read_csv(tmp_path / "a.csv")
    assert header == ["image_name", "class", "rle"]
    assert rows == [(2, ["a.png", "왼손", "1 2"]), (3, ["손.png", "Ulna", "3 4"])]
    annotations = {"annotations": [{"label": "Ulna", "points": [[0, 0]]}], "왼": "손"}
    (tmp_path / "a.json").write_text(mark + json.dumps(annotations, ensure_ascii=False), encoding="utf-8")
    assert read_json(tmp_path / "a.json", "Make it") == annotations
    assert read_annotations(tmp_path / "a.json") == annotations["annotations"]


@pytest.mark.parametrize(("encoding", "name"), [("cp949", "cp949"), ("utf-16", "UTF-16")])
def test_json_in_another_encoding_is_named(tmp_path: Path, encoding: str, name: str) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"annotations": [], "왼": "손"}', encoding=encoding)
    for read in (lambda: read_json(path, "Make it"), lambda: read_annotations(path)):
        with pytest.raises(CompetitionError, match=f"this is text in {name}") as refused:
            read()
        assert refused.value.repair


def test_cells_are_cut_only_where_none_is_longer(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    cells = [EXCEL_CELL - 1, EXCEL_CELL, EXCEL_CELL + 1]
    path.write_text("a,b\n" + "".join(f"x,{'1' * length}\n" for length in cells))
    assert [len(fields[1]) for _, fields in read_csv(path)[1]] == cells


def test_no_foreign_sign_is_seen_in_a_plain_csv(tmp_path: Path) -> None:
    for content in ("a\n1\n", "PK,a\n1,2\n", "a;b,c\n1,2\n", "a\tb,c\n1,2\n", "BZ,h\n"):
        (tmp_path / "a.csv").write_text(content)
        assert read_csv(tmp_path / "a.csv")[0] == content.splitlines()[0].split(",")

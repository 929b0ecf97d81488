"""Folds of others: taken where the same people lie together, refused with the first person where they do not."""

from dataclasses import replace

import pytest

from competition.data.folds import read_folds, write_folds
from competition.errors import CompetitionError
from competition.runs.imports.folds import match_folds, read_imported_folds

OURS = {"ann": 0, "bob": 1, "cid": 2, "dan": 0, "eve": 1, "fay": 2}


@pytest.fixture
def matched(shared_hands, tmp_path):
    """Reads a fold file and matches it with ours; every person has one picture."""
    entries = [
        type(entry)(**vars(entry) | {"group": group, "sample": f"{group}1", "name": f"{group}1.png"})
        for entry, group in zip(shared_hands.train(), OURS, strict=False)
    ]
    write_folds(tmp_path / "ours.csv", OURS, "made for a test")
    ours = read_folds(tmp_path / "ours.csv")

    def match(content):
        path = tmp_path / "theirs.csv"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return match_folds(read_imported_folds(path, entries), path, ours, entries)

    return match


def csv_of(fold_of, key="group"):
    return f"{key},fold\n" + "".join(f"{group},{fold}\n" for group, fold in fold_of.items())


@pytest.mark.parametrize(
    "names", [(0, 1, 2), (2, 0, 1), (7, 40, -1), ("a", "b", "fold 3"), ("0", "00", "000")], ids=str
)
def test_folds_may_be_called_anything(matched, names):
    assert matched(csv_of({group: names[fold] for group, fold in OURS.items()})) == [0, 1, 2]


def test_rows_in_any_order_comments_a_mark_and_windows_line_ends(matched):
    text = "# how it was made\n" + csv_of(dict(reversed(OURS.items())))
    assert matched(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode()) == [0, 1, 2]


@pytest.mark.parametrize("ending", ["", ".png"])
def test_images_stand_for_their_people(matched, ending):
    assert matched(csv_of({f"{group}1{ending}": fold for group, fold in OURS.items()}, "image")) == [0, 1, 2]


def test_a_name_with_the_sign_of_comments_is_whole(shared_hands, tmp_path):
    entries = [replace(entry, name=f"case#{n}.png", group=f"p{n}") for n, entry in enumerate(shared_hands.train()[:2])]
    (tmp_path / "f.csv").write_text('# theirs\nimage,fold\ncase#0.png,a\n#case#9.png,b\n"case#1.png",b#2\n')
    assert read_imported_folds(tmp_path / "f.csv", entries) == {"p0": "a", "p1": "b#2"}


def test_some_of_the_folds_are_enough(matched):
    assert matched(csv_of({group: fold for group, fold in OURS.items() if fold != 1})) == [0, 2]


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"dan": 1}, r"'dan' is in different folds \(1 of 6 groups are\): in our fold 0 and in their fold '1', .* 1,"),
        ({"dan": 1, "eve": 0}, r"'dan' is in different folds \(2 of 6 groups are\)"),
        ({"fay": 3}, r"'fay' is in different folds .* our fold 2 and in their fold '3', which holds out part of"),
        ({"ann": 1, "dan": 1}, r"'(ann|bob)' is in different folds \(2 of 6"),  # two of our folds are one of theirs
        ({"zoe": 0}, "group 'zoe' of their folds is unknown in"),
        ({"dan": None}, r"'dan' is in our fold 0 and in none of their folds"),
    ],
)
def test_a_fold_that_leaks_names_the_first_person_why_and_the_other_way(matched, changed, sentence):
    folds = {group: fold for group, fold in (OURS | changed).items() if fold is not None}
    with pytest.raises(CompetitionError, match=sentence) as refused:
        matched(csv_of(folds))
    assert "theirs.csv" in str(refused.value)
    if "zoe" not in changed:
        assert "seen our held-out groups" in str(refused.value)
        assert "import without --oof" in str(refused.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("", "not a fold file"),
        ("group,fold\n", "columns group,fold or image,fold"),
        ("group,split\nann,0\n", "columns group,fold or image,fold"),
        ("group,fold,extra\nann,0,1\n", "columns group,fold or image,fold"),
        ("group,fold\nann,0,1\nbob,1,2\n", "columns group,fold or image,fold"),
        ("group,fold\nann\n", "columns group,fold or image,fold"),
        ("group,fold\nann,0\nann,1\n", "'ann' is in their folds '0' and '1'.*seen the group"),
        ("image,fold\nann1,0\nann1.png,1\n", "'ann' is in their folds '0' and '1'"),
        ("image,fold\nann2,0\n", "'ann2' is not a training image"),
        ("image,fold\nx\\ANN1.jpg,0\n", "'x.*ANN1.jpg' is not a training image, did you mean 'ann1.png'"),
        ("image,fold\n\x00\xff", "not a fold file|is not a training image|columns group"),
    ],
)
def test_what_is_no_fold_file_is_named(matched, content, sentence):
    with pytest.raises(CompetitionError, match=rf"({sentence}).*theirs\.csv"):
        matched(content)


def test_a_missing_fold_file_is_named(tmp_path):
    with pytest.raises(CompetitionError, match=r"can't read the fold file .*none\.csv"):
        read_imported_folds(tmp_path / "none.csv", [])

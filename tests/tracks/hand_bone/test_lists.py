"""exclude.txt and strata.csv: what they name is found, what they name in vain is said, and bad files are refused."""

import re
from pathlib import Path

import pytest

from competition.errors import CompetitionError
from competition.tracks.hand_bone.lists import with_strata, without_excluded, wrongly_labelled
from competition.tracks.track import Listing, Problem, Sample, Split


def xray(person: str, stem: str, split: Split = "train") -> Sample:
    return Sample(stem, f"{stem}.png", split, person, (f"{split}/DCM/{person}/{stem}.png",))


HANDS = [xray("ID001", "a"), xray("ID001", "b"), xray("ID002", "c"), xray("ID300", "d"), xray("ID040", "t", "test")]


def excluded(root: Path, text: str, listing: Listing | None = None) -> tuple[list[str], list[str]]:
    """What is left of the training part, and the remarks."""
    (root / "exclude.txt").write_text(text)
    rest = without_excluded(root, listing or Listing(HANDS))
    return [sample.key for sample in rest.samples if sample.split == "train"], rest.remarks


def test_without_a_list_everything_stays(tmp_path: Path) -> None:
    listing = Listing(HANDS, [Problem("a", "train", "p", "r")], ["said before"])
    assert without_excluded(tmp_path, listing) == listing


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("ID001", ["c", "d"]),
        ("a", ["b", "c", "d"]),
        ("a.png", ["b", "c", "d"]),
        ("ID001/a", ["b", "c", "d"]),
        ("ID001/a.png  # the ring", ["b", "c", "d"]),
        ("\ufeffa\r\n\r\n# only a remark\r\nID300\r\n a ", ["b", "c"]),
        ("", ["a", "b", "c", "d"]),
        ("ID002/a", ["a", "b", "c", "d"]),
        ("ID00", ["a", "b", "c", "d"]),
        ("A", ["a", "b", "c", "d"]),
    ],
)
def test_a_line_names_a_person_or_an_xray(tmp_path: Path, line: str, left: list[str]) -> None:
    assert excluded(tmp_path, line)[0] == left


def test_what_is_left_out_and_what_is_in_vain_is_said(tmp_path: Path) -> None:
    left, remarks = excluded(tmp_path, "ID001\nID999\nd\nimage77\n", Listing(HANDS, [], ["said before"]))
    assert left == ["c"]
    assert remarks == [
        "said before",
        "exclude.txt: 3 training X-rays are left out (ID001, d)",
        "exclude.txt: 2 lines match no X-ray (ID999, image77)",
    ]


@pytest.mark.parametrize("line", ["ID040", "t", "t.png", "ID040/t"])
def test_a_test_xray_is_never_left_out(tmp_path: Path, line: str) -> None:
    sentence = rf"'{line}' is a test X-ray, and a missing row voids a submission: .*exclude\.txt\. Remove that line"
    with pytest.raises(CompetitionError, match=sentence):
        excluded(tmp_path, f"a\n{line}\n")


def test_problems_of_what_is_left_out_go_too_and_others_stay(tmp_path: Path) -> None:
    problems = [
        Problem("a", "train", "train/outputs_json/ID001/a.json", "annotation missing"),
        Problem("z", "train", "train/outputs_json/ID009/z.json", "annotation without X-ray"),
        Problem("c", "train", "train/outputs_json/ID002/c.json", "annotation missing"),
        Problem("ID009", "test", "test/DCM/ID009/x.png", "two X-rays share the name"),
    ]
    (tmp_path / "exclude.txt").write_text("a\nID009\n")
    rest = without_excluded(tmp_path, Listing(HANDS, problems))
    assert rest.problems == problems[2:]
    assert rest.remarks == ["exclude.txt: 1 training X-rays are left out (a, ID009)"]


def test_a_list_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "exclude.txt").write_bytes(b"\xff\xfe\x00a")
    with pytest.raises(CompetitionError, match=r"can't be read as a list of names .*exclude\.txt"):
        without_excluded(tmp_path, Listing(HANDS))


BAD = {
    "ID058": "image1661392103627",
    "ID325": "image1664846270124",
    "ID363": "image1664935962797",
    "ID547": "image1667353928376",
}


def test_known_bad_xrays_are_named_until_they_are_excluded(tmp_path: Path) -> None:
    hands = [*HANDS, *(xray(person, stem) for person, stem in BAD.items()), xray("ID058", "image1661392103628")]
    (sentence,) = wrongly_labelled(hands)
    assert all(f"{person}/{stem} (" in sentence for person, stem in BAD.items())
    assert "image1661392103628" not in sentence
    assert "exclude.txt" in sentence
    names = re.findall(r"ID\d+/image\d+", sentence)
    (tmp_path / "exclude.txt").write_text("\n".join(names[:3]))
    (sentence,) = wrongly_labelled(without_excluded(tmp_path, Listing(hands)).samples)
    assert re.findall(r"ID\d+/image\d+", sentence) == names[3:]
    (tmp_path / "exclude.txt").write_text("\n".join(names))
    assert wrongly_labelled(without_excluded(tmp_path, Listing(hands)).samples) == []


def test_only_training_xrays_of_those_very_names_are_known_to_be_bad() -> None:
    assert wrongly_labelled(HANDS) == []
    assert wrongly_labelled([xray(person, stem, "test") for person, stem in BAD.items()]) == []
    assert wrongly_labelled([xray("ID325", BAD["ID058"])]) == []


def strata(root: Path, samples: list[Sample], text: str | None = None) -> dict[str, str]:
    if text is not None:
        (root / "strata.csv").write_text(text)
    return {sample.key: sample.stratum for sample in with_strata(root, samples)[0]}


@pytest.mark.parametrize(
    ("person", "stratum"),
    [
        ("ID001", "straight"),
        ("ID039", "straight"),
        ("ID040", ""),  # a test person
        ("ID068", ""),
        ("ID136", "straight"),
        ("ID273", ""),
        ("ID274", "oblique"),
        ("ID319", "oblique"),
        ("ID320", "straight"),
        ("ID321", "oblique"),
        ("ID322", "straight"),
        ("ID548", "straight"),
        ("ID549", ""),
        ("ID1274", ""),
        ("274", ""),
        ("p3", ""),
    ],
)
def test_the_wrists_of_the_public_training_people_are_known(tmp_path: Path, person: str, stratum: str) -> None:
    assert strata(tmp_path, [xray(person, "a")]) == {"a": stratum}
    assert strata(tmp_path, [xray(person, "a", "test")]) == {"a": ""}


def test_47_public_training_people_are_oblique(tmp_path: Path) -> None:
    found = strata(tmp_path, [xray(f"ID{n:03d}", str(n)) for n in range(1, 551)])
    assert list(found.values()).count("oblique") == 47
    assert list(found.values()).count("straight") == 353


@pytest.mark.parametrize("header", ["image_name,stratum", "ID,stratum", "\ufeffID, stratum"])
def test_a_list_goes_before_what_is_known_and_an_xray_before_its_person(tmp_path: Path, header: str) -> None:
    text = f"{header}\nID001,oblique\nb.png,straight\nt,oblique\n\nID300/d,straight\n"
    found = strata(tmp_path, HANDS, text)
    assert found == {"a": "oblique", "b": "straight", "c": "straight", "d": "straight", "t": "oblique"}


def test_counts_and_rows_in_vain_are_said(tmp_path: Path) -> None:
    assert with_strata(tmp_path, HANDS)[1] == ["wrists: train 1 oblique, 3 straight; test 1 unknown"]
    (tmp_path / "strata.csv").write_text("ID,stratum\nID040,oblique\nID041,oblique\n")
    assert with_strata(tmp_path, HANDS)[1] == [
        "wrists: train 1 oblique, 3 straight; test 1 oblique",
        "strata.csv: 1 rows match no X-ray (ID041)",
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the file is empty"),
        ("ID\nID001\n", "the columns are image_name,stratum or ID,stratum, not 'ID'"),
        ("stratum,ID\noblique,ID001\n", "not 'stratum,ID'"),
        ("ID,stratum,fold\nID001,oblique,1\n", "not 'ID,stratum,fold'"),
        ("ID,stratum\nID001\n", "line 2 has 1 fields, not 2"),
        ("ID,stratum\n\nID001,oblique,x\n", "line 3 has 3 fields, not 2"),
        ("ID,stratum\nID001,obliqe\n", "line 2: unknown stratum 'obliqe', did you mean 'oblique'"),
        ("ID,stratum\nID001,\n", "line 2: unknown stratum ''"),
        ("ID,stratum\nID001,oblique\nID001,straight\n", "line 3 calls ID001 straight, an earlier line oblique"),
    ],
)
def test_a_malformed_list_is_refused(tmp_path: Path, text: str, sentence: str) -> None:
    with pytest.raises(CompetitionError, match=re.escape(sentence)) as caught:
        strata(tmp_path, HANDS, text)
    assert "strata.csv" in str(caught.value)


def test_the_same_row_twice_is_no_contradiction(tmp_path: Path) -> None:
    assert strata(tmp_path, HANDS[:1], "ID,stratum\nID001,oblique\nID001,oblique\n") == {"a": "oblique"}


def test_a_name_in_vain_comes_with_the_near_one(tmp_path: Path) -> None:
    _, remarks = excluded(tmp_path, "id001\nB.jpg\n")
    assert remarks[-1] == (
        "exclude.txt: 2 lines match no X-ray (id001, did you mean 'ID001'?, B.jpg, did you mean 'b'?)"
    )

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from competition.data.folds import (
    FULL,
    Folds,
    check_leaks,
    extend_folds,
    find_folds,
    fold_table,
    make_folds,
    read_fold_names,
    read_folds,
    write_folds,
)
from competition.data.manifest import Entry
from competition.errors import CompetitionError
from competition.workspace import Workspace


def entry(sample: str, group: str, stratum: str = "", targets: tuple[int, ...] = (1,), pixels: str = "") -> Entry:
    return Entry(
        sample,
        f"{sample}.png",
        "train",
        group,
        stratum,
        (True,),
        8,
        8,
        (0.0,),
        (1.0,),
        targets,
        pixels or sample,
        "",
        "",
        view_pixels=(pixels or sample,),
    )


def people(count: int, seed: int = 0, strata: int = 1) -> list[Entry]:
    """Groups of 1 to 9 samples, each group of one stratum, in mixed order."""
    random = np.random.default_rng(seed)
    entries = []
    for person in range(count):
        stratum = str(random.integers(strata))
        entries += [entry(f"{person}_{n}", f"p{person:03d}", stratum) for n in range(int(random.integers(1, 10)))]
    return [entries[index] for index in random.permutation(len(entries))]


def sizes(entries: list[Entry], fold_of: dict[str, int]) -> list[int]:
    counts = Counter(fold_of[one.group] for one in entries)
    return [counts[fold] for fold in range(max(fold_of.values()) + 1)]


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [2, 5])
@pytest.mark.parametrize("stratified", [False, True])
def test_every_group_is_held_out_by_exactly_one_fold(seed: int, count: int, stratified: bool) -> None:
    entries = people(23, seed, strata=2)
    folds = Folds(make_folds(entries, count, stratified), Path("f.csv"))
    assert set(folds.fold_of) == {one.group for one in entries}
    assert folds.count == count
    held_out = [one.sample for fold in range(count) for one in folds.held_out(entries, fold)]
    assert sorted(held_out) == sorted(one.sample for one in entries)
    for fold in range(count):
        training, rest = folds.training(entries, fold), folds.held_out(entries, fold)
        assert training
        assert rest
        assert not {one.group for one in training} & {one.group for one in rest}
        assert len(training) + len(rest) == len(entries)


@pytest.mark.parametrize("seed", range(5))
def test_folds_are_as_even_as_those_of_scikit_learn(seed: int) -> None:
    entries = people(40, seed)
    groups = [one.group for one in entries]
    reference = sorted(len(held_out) for _, held_out in GroupKFold(5).split(groups, groups=groups))
    assert sorted(sizes(entries, make_folds(entries))) == reference
    assert reference[-1] - reference[0] <= 3


@pytest.mark.parametrize("stratified", [False, True])
def test_the_order_of_the_list_never_moves_a_group(stratified: bool) -> None:
    entries = people(30, strata=3)
    assert make_folds(entries, 5, stratified) == make_folds(entries[::-1], 5, stratified)


def test_stratified_folds_hold_strata_in_equal_shares() -> None:
    entries = [entry(f"{n}", f"g{n:03d}", "rare" if n % 5 == 0 else "common") for n in range(100)]
    folds = Folds(make_folds(entries, 5, stratified=True), Path("f.csv"))
    for fold in range(5):
        assert Counter(one.stratum for one in folds.held_out(entries, fold)) == {"rare": 4, "common": 16}


def test_stratified_folds_are_as_balanced_as_those_of_scikit_learn() -> None:
    entries = sorted(people(40, 3, strata=3), key=lambda one: (one.group, one.sample))
    groups, strata = [one.group for one in entries], np.array([one.stratum for one in entries])
    splits = StratifiedGroupKFold(5, shuffle=True, random_state=0).split(groups, strata, groups)
    reference = [Counter(strata[held_out].tolist()) for _, held_out in splits]
    folds = Folds(make_folds(entries, 5, stratified=True), Path("f.csv"))
    assert [Counter(one.stratum for one in folds.held_out(entries, fold)) for fold in range(5)] == reference


@pytest.mark.parametrize("strata", [("", ""), ("rare", "common")])
def test_stratified_folds_hold_further_kinds_of_people_in_equal_shares(strata: tuple[str, str]) -> None:
    entries = [entry(f"{n}", f"g{n:03d}", strata[n % 4 > 0]) for n in range(160)]
    kinds = {f"g{n:03d}": "ab"[n // 4 % 2] for n in range(160)}
    folds = Folds(make_folds(entries, 5, True, kinds), Path("f.csv"))
    for fold in range(5):
        found = Counter((one.stratum, kinds[one.group]) for one in folds.held_out(entries, fold))
        assert found == Counter({(strata[0], "a"): 4, (strata[0], "b"): 4}) + Counter(
            {(strata[1], "a"): 12, (strata[1], "b"): 12}
        )
    assert make_folds(entries, 5, False, kinds) == make_folds(entries, 5)


def test_groups_of_unknown_kind_are_a_kind() -> None:
    entries = [entry(f"{n}", f"g{n:03d}") for n in range(60)]
    known = {f"g{n:03d}": "a" for n in range(15)}
    folds = Folds(make_folds(entries, 5, True, known), Path("f.csv"))
    assert [sum(one.group in known for one in folds.held_out(entries, fold)) for fold in range(5)] == [3] * 5


def test_without_strata_the_classes_present_are_balanced() -> None:
    entries = [entry(f"{n}", f"g{n:03d}", targets=(int(n < 20), 1)) for n in range(60)]
    folds = Folds(make_folds(entries, 4, stratified=True), Path("f.csv"))
    assert [sum(one.targets[0] for one in folds.held_out(entries, fold)) for fold in range(4)] == [5, 5, 5, 5]


def test_strata_rarer_than_the_folds_are_pooled() -> None:
    entries = [entry(f"{n}", f"g{n:03d}", f"once{n}" if n < 10 else "often") for n in range(60)]
    folds = Folds(make_folds(entries, 5, stratified=True), Path("f.csv"))
    for fold in range(5):
        assert sum(one.stratum.startswith("once") for one in folds.held_out(entries, fold)) == 2


@pytest.mark.parametrize("stratified", [False, True])
def test_as_many_groups_as_folds_is_leave_one_group_out(stratified: bool) -> None:
    assert sorted(make_folds([entry(f"{n}", f"g{n}") for n in range(3)], 3, stratified).values()) == [0, 1, 2]


def test_fewer_groups_than_folds_or_fewer_than_two_folds_is_an_error() -> None:
    entries = [entry(f"{n}", f"g{n % 4}") for n in range(40)]
    with pytest.raises(CompetitionError, match=r"4 groups can't be split into 5 folds\. Give --folds"):
        make_folds(entries, 5)
    for count in (1, 0, -2):
        with pytest.raises(CompetitionError, match="at least 2 folds are required"):
            make_folds(entries, count)


def test_new_groups_get_the_emptiest_fold_and_old_ones_stay() -> None:
    old = {"a": 0, "b": 1, "c": 2, "gone": 1}
    entries = [entry(f"a{n}", "a") for n in range(3)] + [entry("b0", "b"), entry("c0", "c"), entry("c1", "c")]
    entries += [entry(f"d{n}", "d") for n in range(4)] + [entry("e0", "e"), entry("f0", "f")]
    # Samples per fold before: 3, 1, 2. d -> 1 (then 5), e -> 2 (then 3), f -> 0 (a tie of 3 and 3).
    assert extend_folds(old, entries) == old | {"d": 1, "e": 2, "f": 0}
    assert old == {"a": 0, "b": 1, "c": 2, "gone": 1}
    assert extend_folds(old, entries[:6]) == old


def test_a_fold_whose_groups_are_all_gone_is_filled_first() -> None:
    assert extend_folds({"a": 0, "gone": 1}, [entry("1", "a"), entry("2", "b")])["b"] == 1


AWKWARD = ["001", "01", "1", "NA", "nan", "None", "1e5", "a,b", "p#7", "#first", 'say "x"', " left", "Müller", "True"]


@pytest.mark.parametrize("names", [AWKWARD, ["001", "010", "7"], ["NA", "nan", ""], ["1.0", "2", "1e3"]])
def test_a_fold_file_comes_back_with_group_names_as_text(tmp_path: Path, names: list[str]) -> None:
    fold_of = {name: number % 3 for number, name in enumerate(names)}
    path = tmp_path / "folds" / "knee.csv"
    write_folds(path, fold_of, "GroupKFold of 3, 14 samples; made by prepare")
    folds = read_folds(path)
    assert folds.fold_of == fold_of
    assert (folds.count, folds.path) == (3, path)
    assert all(type(fold) is int for fold in folds.fold_of.values())
    assert path.read_text().startswith("# GroupKFold of 3, 14 samples; made by prepare\ngroup,fold\n")


def test_plain_names_are_written_plainly_and_sorted(tmp_path: Path) -> None:
    write_folds(tmp_path / "f.csv", {"ID2": 0, "ID1": 1}, "by hand")
    assert (tmp_path / "f.csv").read_text() == "# by hand\ngroup,fold\nID1,1\nID2,0\n"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("group,fold\na,0\nb,1\na,1\n", "group 'a' is listed twice"),
        ("group,fold\na,0\na,0\n", "group 'a' is listed twice"),
        ("group,fold\na,0\nb,2\n", "without a gap"),
        ("group,fold\na,1\nb,2\n", "without a gap"),
        ("group,fold\na,-1\nb,0\n", "without a gap"),
        ("fold,group\n0,a\n", "columns group,fold"),
        ("person,fold\na,0\n", "columns group,fold"),
        ("group,fold,extra\na,0,1\n", "columns group,fold"),
        ("group,fold\na,b,0\nc,d,1\n", "columns group,fold"),
        ("group,fold\na,0\nb,0,1\n", "not a fold file"),
        ("group,fold\na,0.5\n", "whole numbers"),
        ("group,fold\na,x\n", "whole numbers"),
        ("group,fold\na,\nb,0\n", "whole numbers"),
        ("group,fold\n", "columns group,fold"),
        ("# only a comment\n", "not a fold file"),
        ("", "not a fold file"),
    ],
)
def test_a_malformed_fold_file_is_an_error_that_names_it(tmp_path: Path, content: str, expected: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(content)
    with pytest.raises(CompetitionError, match=expected) as caught:
        read_folds(path)
    assert "bad.csv" in str(caught.value)


def test_a_missing_fold_file_is_an_error_that_says_what_makes_it(tmp_path: Path) -> None:
    with pytest.raises(CompetitionError, match=r"no fold file: .*absent\.csv. Run \./run\.sh prepare"):
        read_folds(tmp_path / "absent.csv")


def test_the_hash_is_of_who_is_where_and_of_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("# made on Monday\ngroup,fold\na,0\nb,1\n")
    (tmp_path / "b.csv").write_text("group,fold\nb,1\n# moved\na,0\n")
    (tmp_path / "c.csv").write_text("group,fold\na,1\nb,0\n")
    a, b, c = (read_folds(tmp_path / f"{name}.csv").hash() for name in "abc")
    assert a == b
    assert a != c
    assert len(a) == 10


@pytest.mark.usefixtures("committed_folds")
@pytest.mark.parametrize(("dataset", "own"), [("knee", "knee.csv"), ("hand_bone", "hand_bone_own.csv")])
def test_own_folds_come_before_committed_ones_and_those_before_shipped_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dataset: str, own: str
) -> None:
    monkeypatch.setattr("competition.workspace.REPOSITORY", tmp_path / "repository")
    workspace = Workspace(tmp_path / "work", dataset)
    assert find_folds(workspace) is None
    files = [f"repository/folds/{own}", f"work/folds/{own}"]
    if dataset == "hand_bone":
        files.insert(0, "repository/folds/hand_bone.csv")
    for number, file in enumerate(files):
        write_folds(tmp_path / file, {"a": 0, "b": 1, f"c{number}": 0}, "made for a test")
        found = find_folds(workspace)
        assert found is not None
        assert found.path == tmp_path / file
        assert f"c{number}" in found.fold_of


@pytest.mark.usefixtures("committed_folds")
def test_a_file_of_the_shipped_name_in_another_workspace_is_nobodys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("competition.workspace.REPOSITORY", tmp_path / "repository")
    write_folds(tmp_path / "work/folds/hand_bone.csv", {"a": 0, "b": 1}, "made for a test")
    assert find_folds(Workspace(tmp_path / "work", "hand_bone")) is None


@pytest.mark.parametrize("line", ["", "# by hand, with care\n", "#\n"])
def test_the_remark_on_how_folds_were_made_comes_back(tmp_path: Path, line: str) -> None:
    (tmp_path / "f.csv").write_text(f"{line}group,fold\na,0\nb,1\n")
    assert read_folds(tmp_path / "f.csv").how == line.strip("# \n")


def test_the_same_picture_in_two_folds_is_a_leak() -> None:
    folds = Folds({"a": 0, "b": 1, "c": 1}, Path("knee.csv"))
    entries = [entry("1", "a", pixels="x"), entry("2", "b", pixels="y"), entry("3", "c", pixels="x")]
    with pytest.raises(CompetitionError, match=r"1\.png of group a and 3\.png of group c are the same .*knee\.csv"):
        check_leaks(folds, entries)
    check_leaks(Folds({"a": 1, "b": 0, "c": 1}, Path("knee.csv")), entries)


def test_one_view_of_many_that_two_folds_share_is_a_leak() -> None:
    folds = Folds({"a": 0, "b": 1}, Path("vessels.csv"))
    one, other = entry("1", "a"), entry("2", "b")
    absent = [replace(one, view_pixels=("x", "")), replace(other, view_pixels=("", "y"))]
    check_leaks(folds, absent)
    with pytest.raises(CompetitionError, match="are the same picture"):
        check_leaks(folds, [replace(one, view_pixels=("x", "z")), replace(other, view_pixels=("z", "y"))])


def test_names_of_folds_are_read_and_what_is_none_is_named() -> None:
    assert read_fold_names("3,0..2,full,1", "--folds") == [3, 0, 1, 2, FULL]
    with pytest.raises(CompetitionError, match=r"--folds takes 0, or 0\.\.4, or 0,2,3, or full, not '0,x'"):
        read_fold_names("0,x", "--folds")
    with pytest.raises(CompetitionError, match=r"--folds 3\.\.1 names no fold"):
        read_fold_names("3..1", "--folds")


def test_a_group_without_fold_is_an_error() -> None:
    with pytest.raises(CompetitionError, match=r"group 'b' has no fold: knee\.csv. Run \./run\.sh prepare"):
        check_leaks(Folds({"a": 0}, Path("knee.csv")), [entry("1", "a"), entry("2", "b")])


def test_the_table_counts_samples_groups_and_the_rarest_class() -> None:
    folds = Folds({"a": 0, "b": 0, "c": 1, "empty": 2}, Path("knee.csv"))
    entries = [entry("1", "a", targets=(1, 1)), entry("2", "a", targets=(1, 0)), entry("3", "b", targets=(1, 0))]
    entries.append(entry("4", "c", targets=(0, 1)))
    assert fold_table(folds, entries, ("femur", "tibia")) == [
        ["0", "3", "2", "1 tibia"],
        ["1", "1", "1", "0 femur"],
        ["2", "0", "0", "-"],
    ]
    assert fold_table(folds, [entry("1", "a", targets=())], ())[0] == ["0", "1", "1", "-"]

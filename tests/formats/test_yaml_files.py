"""YAML that PyYAML answers with any exception there is, or with an object that nobody can print."""

import os
import time
from pathlib import Path

import pytest

from competition.errors import CompetitionError
from competition.formats.yaml_files import LARGEST_YAML, parse_yaml, read_yaml
from competition.settings import load_experiment

VALUES = [
    "2001-13-45",
    "!!bool maybe",
    "0x_",
    "!!int x",
    "!!float x",
    "!!timestamp x",
    "!!python/object:os.system x",
    "9" * 5000,
    "[" * 900,
    "{a: " * 900,
    "a\x00b",
    "\ud800",
    '"\\ud800"',
    "*a",
    "{[a]: b}",
]


@pytest.mark.parametrize("text", ["train: **/*.png", "a: {b: #ff0000}", "a: b: c"])
def test_a_value_that_needs_quotes_says_so(text: str) -> None:
    with pytest.raises(CompetitionError) as caught:
        parse_yaml(text, "here")
    assert str(caught.value.repair).startswith("Put a value in single quotes")
    with pytest.raises(CompetitionError) as twice:
        parse_yaml("a: 1\na: 2", "here")
    assert not twice.value.repair


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a: 1\nb: {c: x\nd: y\n", "(line 3, column 2, 'd: y': did not find expected ',' or '}')"),
        ("a: 1\nb: 2\na: 3\n", "(line 3, column 1, 'a: 3': key 'a' appears twice)"),
        ("a: [1\n", "(line 2, column 1: did not find expected ',' or ']')"),
    ],
)
def test_the_wrong_line_is_shown(text: str, place: str) -> None:
    with pytest.raises(CompetitionError) as caught:
        parse_yaml(text, "here")
    assert place in str(caught.value)


def test_open_brackets_take_no_time() -> None:
    start = time.perf_counter()
    with pytest.raises(CompetitionError, match="not valid YAML"):
        parse_yaml("[" * 9000, "here")
    assert time.perf_counter() - start < 0.5


@pytest.mark.parametrize("value", VALUES)
def test_a_value_that_cannot_be_is_one_sentence(tmp_path: Path, value: str) -> None:
    with pytest.raises(CompetitionError, match="not valid YAML") as caught:
        parse_yaml(f"train: {{lr: {value}}}", "here")
    assert len(str(caught.value)) < 500
    with pytest.raises(CompetitionError, match="not valid YAML"):
        load_experiment(_file(tmp_path, ""), [f"train.lr={value}"])


def _file(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


BOMB = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]\n" for n in range(1, 40))
MERGES = "a0: &a0 {k: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 40))


@pytest.mark.parametrize("text", [BOMB, MERGES, "a: &a [*a]", "a: &a {b: *a}", "train: {lr: &a [*a]}"])
def test_aliases_that_never_end_are_refused_at_once(tmp_path: Path, text: str) -> None:
    start = time.perf_counter()
    with pytest.raises(CompetitionError, match=r"aliases \(\*name\) expand to more than 100,000 values"):
        load_experiment(_file(tmp_path, text))
    assert time.perf_counter() - start < 2


def test_aliases_are_what_they_stand_for() -> None:
    assert parse_yaml("a: &x [1, 2]\nb: *x\nc: {<<: {d: 3}, e: *x}", "") == {
        "a": [1, 2],
        "b": [1, 2],
        "c": {"d": 3, "e": [1, 2]},
    }
    assert parse_yaml("", "") is None
    assert parse_yaml("# nothing", "") is None


def test_a_large_wrong_value_is_shown_short(tmp_path: Path) -> None:
    for value in (f"[{'abc, ' * 5000}]", "x" * 100_000, "0x" + "f" * 9000):
        with pytest.raises(CompetitionError, match=r"train\.ema: .*given: ") as caught:
            load_experiment(_file(tmp_path, f"train: {{ema: {value}}}"))
        assert len(str(caught.value)) < 500
    many = "".join(f"  k{n}: 1\n" for n in range(2000))
    with pytest.raises(CompetitionError, match="and 1995 more") as caught:
        load_experiment(_file(tmp_path, f"train:\n{many}"))
    assert len(str(caught.value)) < 3000


def test_no_setting_is_a_number_without_end(tmp_path: Path) -> None:
    for key in ("train.seed", "train.epochs", "data.size"):
        with pytest.raises(CompetitionError, match=rf"{key}: Input should be less than"):
            load_experiment(_file(tmp_path, ""), [f"{key}=0x{'f' * 9000}"])


def test_only_ordinary_files_of_a_sane_size_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")
    with pytest.raises(CompetitionError, match="a pipe or a device, not a file"):
        read_yaml(tmp_path / "pipe.yaml", "missing")
    with pytest.raises(CompetitionError, match="missing"):
        read_yaml(tmp_path / "none.yaml", "missing")
    (tmp_path / "large.yaml").write_bytes(b"a" * (LARGEST_YAML + 1))
    with pytest.raises(CompetitionError, match="the limit is 1 MB"):
        read_yaml(tmp_path / "large.yaml", "missing")

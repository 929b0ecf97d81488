"""The README and the help say what is: every command line in them parses, and every file they name is there."""

import re
import shlex
from pathlib import Path

import pytest

from pipelines.__main__ import STAGES, main

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```\w*\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def command_lines():
    """The ./run.sh lines of the code blocks, with their remarks."""
    lines = [line.strip() for block in BLOCKS for line in block.splitlines()]
    return list(dict.fromkeys(line for line in lines if line.startswith("./run.sh")))


def test_the_readme_shows_the_way_from_data_to_leaderboard():
    shown = set(re.findall(r"\./run\.sh ([a-z]+)", README))
    assert shown == {*STAGES, "test"}


@pytest.mark.parametrize("line", command_lines())
def test_each_command_of_the_readme_is_one_that_the_program_takes(line, parse):
    words = shlex.split(line, comments=True)
    if words[1] == "test":
        assert all((ROOT / word).exists() for word in words[2:])
    else:
        assert words[1] in STAGES
        parse(line)


@pytest.mark.parametrize("line", [line for line in command_lines() if "--experiment" in line])
def test_experiments_named_in_the_readme_exist(line, parse):
    args = parse(line)
    folder = "folder" if args.track.endswith(".yaml") else args.track  # a folder track takes those of all of them
    assert (ROOT / "pipelines" / "experiments" / folder / f"{args.experiment}.yaml").is_file()


def test_a_command_that_the_program_does_not_take_would_be_noticed(parse):
    with pytest.raises(SystemExit):
        parse("./run.sh train --folds 0..4")
    with pytest.raises(ModuleNotFoundError):
        parse("./run.sh predict")


def test_all_files_the_readme_links_or_names_are_there():
    linked = [target for target in re.findall(r"\]\(([^)#]+)[^)]*\)", README) if "://" not in target]
    named = re.findall(r"\b([A-Z]{4,}\.md)\b", README)
    assert named
    missing = [name for name in {*linked, *named} if not (ROOT / name).is_file()]
    assert missing == []


@pytest.mark.parametrize("stage", STAGES)
def test_help_explains_each_stage_with_an_example_that_parses(stage, parse, capsys):
    with pytest.raises(SystemExit) as end:
        main([stage, "--help"])
    assert end.value.code == 0
    text = capsys.readouterr().out
    example = text.split("example:\n")[1].splitlines()[0].strip()
    assert example.startswith(f"./run.sh {stage}")
    parse(example)
    for option in ("--track", "--workspace", "--json", "--debug"):
        assert option in text


def test_without_a_stage_all_stages_are_listed(parse, capsys):
    assert main([]) == 0
    text = capsys.readouterr().out
    assert all(re.search(rf"^    {stage} ", text, re.MULTILINE) for stage in (*STAGES, "test"))
    for example in re.findall(r"\./run\.sh [a-z]+ .*", text):
        if "STAGE" not in example and "--help" not in example:
            parse(example)

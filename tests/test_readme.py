"""README and help are true: every command in them parses, every file they name exists, the library example runs."""

import io
import re
import shlex
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import yaml

from competition.metrics.counts import CountMetric
from competition.metrics.metric import make_metric
from competition.tracks.declared.declaration import read_declaration
from pipelines.__main__ import STAGES, main

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))]
BLOCKS = re.findall(r"^```\w*\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
(MINE,) = re.findall(r"^```yaml\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
(LIBRARY,) = re.findall(r"^```python\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def command_lines():
    """The ./run.sh lines of the code blocks, with their remarks."""
    lines = [line.strip() for block in BLOCKS for line in block.splitlines()]
    return list(dict.fromkeys(line for line in lines if line.startswith("./run.sh")))


def test_the_readme_can_be_read_in_three_minutes():
    assert len(README.splitlines()) <= 90
    assert len(LIBRARY.splitlines()) <= 20


def test_readme_and_pages_show_the_way_from_data_to_leaderboard():
    way = ("demo", "test", "prepare", "doctor", "train", "tune", "ensemble", "leaderboard")
    assert [line.split()[1] for line in command_lines()] == list(way)
    shown = set(re.findall(r"^\./run\.sh ([a-z]+)", "\n".join([README, *PAGES]), re.MULTILINE))
    assert shown == {*STAGES, "test"}


def test_the_yaml_of_the_readme_is_that_of_the_tutorial(tmp_path):
    (page,) = [page for page in PAGES if page.startswith("# Your competition")]
    declarations = []
    for text in (MINE, re.findall(r"^```yaml\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[0]):
        (tmp_path / "mine.yaml").write_text(text)
        declarations.append(read_declaration(tmp_path / "mine.yaml"))
    assert declarations[0] == declarations[1]
    for remark in re.findall(r"^metric: .*# or (\w+), or (\{.*\})$", MINE, re.MULTILINE)[0]:
        assert isinstance(make_metric(yaml.safe_load(remark)), CountMetric)


def test_the_library_example_prints_what_it_says():
    written = io.StringIO()
    with redirect_stdout(written):
        exec(compile(LIBRARY, "README.md", "exec"), {})
    expected = [line.rpartition("#")[2].strip() for line in LIBRARY.splitlines() if line.startswith("print(")]
    assert written.getvalue().splitlines()[-len(expected) :] == expected
    assert len(expected) == 3


@pytest.mark.parametrize("line", command_lines())
def test_each_command_of_the_readme_is_one_that_the_program_takes(line, parse):
    words = shlex.split(line, comments=True)
    if words[1] == "test":
        assert all((ROOT / word).exists() for word in words[2:])
    else:
        assert words[1] in STAGES
        parse(line)


def test_a_command_that_the_program_does_not_take_would_be_noticed(parse):
    with pytest.raises(SystemExit):
        parse("./run.sh train --folds 0..4")
    with pytest.raises(ModuleNotFoundError):
        parse("./run.sh forecast")


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

"""Fixtures that run stages as a user types them."""

import argparse
import importlib
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
from documented_figures import written_figures

from pipelines.__main__ import build_parser, main


@pytest.fixture
def stage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[dict[str, object], str]]:
    """Runs a stage that must succeed; returns its figures and what it said."""

    def run(*words: object) -> tuple[dict[str, object], str]:
        file = tmp_path / "figures.json"
        words = (*words, "--no-report") if words[0] == "ensemble" else words  # it takes seconds, and has its own tests
        status = main([*map(str, words), "--workspace", str(tmp_path / "workspace"), "--json", str(file)])
        captured = capsys.readouterr()
        assert status == 0, captured.err
        return written_figures(str(words[0]), file), captured.out

    return run


@pytest.fixture
def refusal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[str, str]]:
    """Runs a stage that must refuse; returns its one sentence and what it said before."""

    def run(*words: object, workspace: Path = tmp_path / "workspace") -> tuple[str, str]:
        status = main([*map(str, words), "--workspace", str(workspace)])
        captured = capsys.readouterr()
        assert status == 1, captured.out
        assert re.fullmatch(r"error: [^\n]+\n", captured.err), captured.err
        assert "Traceback" not in captured.out
        return captured.err, captured.out

    return run


@pytest.fixture(scope="session")
def parse() -> Callable[[str], argparse.Namespace]:
    """Parses a line "./run.sh STAGE ..." as its stage would; the line may end in a remark."""

    def run(line: str) -> argparse.Namespace:
        _, stage, *words = shlex.split(line, comments=True)
        return build_parser(stage, importlib.import_module(f"pipelines.{stage}")).parse_args(words)

    return run

"""docs/json.md: the keys that each stage writes with --json; ``python -m pipelines.json_page`` writes it again."""

import importlib
from collections.abc import Mapping

from competition.files import write_text
from competition.installation import REPOSITORY
from pipelines.__main__ import STAGES

PAGE = REPOSITORY / "docs" / "json.md"

COMMON = {
    "seconds": "Seconds that the stage took.",
    "peak_mb": "Most memory that the process held, in MB (without worker processes).",
}
"""Key that every stage writes -> what it is."""

CONDITION = "Only "
"""How the sentence of a key begins that is not always there."""

INTRODUCTION = """\
# What `--json FILE` writes

Every stage writes its figures into one JSON object with `--json FILE`, if it succeeds. A failed stage writes nothing.
A key is always there unless its sentence begins with "Only". Unknown figures are `null`; there is no NaN. Paths are
text. Scores are those of the track's metric. `.venv/bin/python -m pipelines.json_page` builds this page from `FIGURES`
of the stages, with which the tests compare the keys that the stages write.

Every stage writes:

"""


def always(figures: Mapping[str, str]) -> set[str]:
    """Return the keys of a stage's ``FIGURES`` that are always there."""
    return {key for key, sentence in figures.items() if not sentence.startswith(CONDITION)}


def json_page() -> str:
    """Return the page as Markdown."""
    parts = [INTRODUCTION + _table(COMMON)]
    for stage in STAGES:
        figures = importlib.import_module(f"pipelines.{stage}").FIGURES
        parts.append(f"## {stage}\n\n{_table(figures)}")
    return "\n".join(parts)


def _table(figures: Mapping[str, str]) -> str:
    rows = "".join(f"| `{key}` | {sentence.replace('<', '&lt;')} |\n" for key, sentence in figures.items())
    return f"| key | value |\n|---|---|\n{rows}"


if __name__ == "__main__":
    write_text(PAGE, json_page())

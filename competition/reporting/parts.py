"""A section is made of parts, each of which gives figures or says in one sentence why there are none."""

from collections.abc import Callable, Iterable, Sequence

from competition.errors import CompetitionError
from competition.reporting.inputs import ReportInputs
from competition.reporting.page import Figure, Section

Part = Callable[[ReportInputs], Iterable[Figure]]
"""Gives figures, or raises a CompetitionError whose sentence takes their place."""

MOST_CLASSES = 30
"""Charts and tables show so many classes, the worst ones; the CSV files hold all of them."""


def section_of(name: str, title: str, inputs: ReportInputs, parts: Sequence[Part]) -> Section:
    """Return a section of the figures of all parts; the sentences of parts that are missing come first, each once."""
    figures: list[Figure] = []
    missing: dict[str, None] = {}
    for part in parts:
        try:
            figures += part(inputs)
        except CompetitionError as error:
            missing[_capitalised(str(error))] = None
    return Section(name, title, figures, "\n".join(missing))


def _capitalised(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]

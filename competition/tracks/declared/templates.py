"""Templates: texts such as "{case}_slice_{slice}" whose fields are filled from the path of an image."""

import re
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath

from competition.file_listing import stem
from competition.text import nearest_hint, same_spelling

PATH_FIELDS = ("stem", "name", "dir", "parent")
"""Of every image: its file name without and with ending, the path of its folder below the data folder, and the name of
that folder alone."""
CLASS = "class"
"""The field of ``masks`` that each class fills with its name."""

_FIELD = re.compile(r"\{([^\W\d]\w*)\}")
_BRACES = re.compile(r"\{([^{}]*)\}")


def is_template(text: str) -> bool:
    r"""Return whether a text has a field; a brace without a word, as in "\\d{4}", is that of a regular expression."""
    return _FIELD.search(text) is not None


def fields_in(template: str) -> list[str]:
    """Return the fields of a template in their order."""
    return _FIELD.findall(template)


def unknown_field(template: str, known: Collection[str]) -> str | None:
    """Return why a template can't be filled, with the nearest field; None if it can."""
    found = [field for field in _BRACES.findall(template) if field not in known]
    if not found:
        return None
    return f"holds {{{found[0]}}}, which is unknown{nearest_hint(found[0], sorted(known))}"


def path_fields(relative: str) -> dict[str, str]:
    """Return the fields of every image from its path below the data folder, in composed Unicode (NFC)."""
    path = PurePosixPath(same_spelling(relative))
    folder = "" if path.parent == PurePosixPath(".") else str(path.parent)
    return {"stem": stem(path.name), "name": path.name, "dir": folder, "parent": path.parent.name}


def fill(template: str, fields: Mapping[str, str]) -> str:
    """Return a template with its fields filled; those that are not given stay."""
    return _FIELD.sub(lambda found: fields.get(found[1], found[0]), template)

"""Templates: texts such as "{case}_slice_{slice}" whose fields are filled from the path of an image."""

import re
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath

from competition.file_listing import part_key, stem
from competition.text import nearest_hint, same_spelling

PATH_FIELDS = ("stem", "name", "dir", "parent")
"""Of every image: its file name without and with ending, the path of its folder below the data folder, and the name of
that folder alone."""
CLASS = "class"
"""The field of ``masks`` that each class fills with its name."""
SLICE = "slice"
"""The field of ``key`` that each slice of a volume fills with its number, from 0 on."""

_FIELD = re.compile(r"\{([^\W\d]\w*)(?::0(\d))?\}")
_BRACES = re.compile(r"\{([^{}]*?)(?::0\d)?\}")


def is_template(text: str) -> bool:
    r"""Return whether a text has a field; a brace without a word, as in "\\d{4}", is that of a regular expression."""
    return _FIELD.search(text) is not None


def fields_in(template: str) -> list[str]:
    """Return the fields of a template in their order."""
    return [name for name, _ in _FIELD.findall(template)]


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
    """Return a template with its fields filled, "{slice:04}" with four digits; those that are not given stay."""
    return _FIELD.sub(
        lambda found: fields[found[1]].zfill(int(found[2] or 0)) if found[1] in fields else found[0], template
    )


def key_of_part(key: str, part: str) -> str:
    """Return the key of a part of a file: its number is where ``{slice}`` stays in the file's key, else at the end."""
    return fill(key, {SLICE: str(int(part))}) if part and SLICE in fields_in(key) else part_key(key, part)

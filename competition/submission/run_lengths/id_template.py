"""Ids that hold an image and a class: "{image}_{class}" is written as "007_disc" and read back by the known classes."""

import re
from collections.abc import Collection, Sequence

FIELDS = ("image", "class")


def template_fault(template: str, classes: int) -> str | None:
    """Return why a template can't be read back, None if it can."""
    fields = re.findall(r"\{([^{}]*)\}", template)
    if unknown := [field for field in fields if field not in FIELDS]:
        return f"holds {{{unknown[0]}}}, which is unknown; the fields are {{image}} and {{class}}"
    if fields.count("image") != 1 or fields.count("class") > 1:
        return "holds {image} once, and {class} at most once"
    if "class" not in fields and classes > 1:
        return "needs {class}, because there are several classes"
    if "{image}{class}" in template or "{class}{image}" in template:
        return "needs something between {image} and {class}, such as _"
    return None


def write_id(template: str, image: str, class_name: str) -> str:
    """Return the id of an image and class."""
    return template.replace("{class}", class_name).replace("{image}", image)


def split_id(template: str, text: str, classes: Sequence[str], known: Collection[str] = ()) -> tuple[str, str]:
    """Return image and class of an id.

    Where several classes fit ("x_a_b" with the classes b and a_b), the one whose image is ``known`` is taken, else the
    longest. Of an id that fits no class, the text in the place of the class is returned, or the whole id and "" if the
    template does not match.
    """
    if "{class}" not in template:
        found = re.fullmatch(_pattern(template, ""), text, re.DOTALL)
        return (found["image"], classes[0]) if found else (text, "")
    fits = possible_splits(template, text, classes)
    if fits:
        return next((split for split in fits if split[0] in known), fits[0])
    found = re.fullmatch(_pattern(template, ".+?"), text, re.DOTALL)
    return (found["image"], found["class"]) if found else (text, "")


def possible_splits(template: str, text: str, classes: Sequence[str]) -> list[tuple[str, str]]:
    """Return image and class of an id for each class that fits, the longest class first."""
    fits = []
    for name in sorted(classes, key=len, reverse=True):
        if name in text and (found := re.fullmatch(_pattern(template, re.escape(name)), text, re.DOTALL)):
            fits.append((found["image"], name))
    return fits


def _pattern(template: str, class_pattern: str) -> str:
    escaped = re.escape(template)
    with_image = escaped.replace(re.escape("{image}"), "(?P<image>.+)")
    return with_image.replace(re.escape("{class}"), f"(?P<class>{class_pattern})")

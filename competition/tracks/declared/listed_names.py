"""Images joined with the names that one file lists, whose folders a tool has shortened, lengthened or left out."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from competition.text import NearKeys, same_spelling


@dataclass(frozen=True)
class JoinedNames:
    """What each image is called in the file, by the image's key; and why others have no name."""

    names: dict[str, str] = field(default_factory=dict)
    missing: dict[str, str] = field(default_factory=dict)  # not listed
    unclear: dict[str, str] = field(default_factory=dict)  # several images and names that could belong together


def join_names(images: Mapping[str, str], listed: Sequence[str]) -> JoinedNames:
    """Join images with the listed name that has the longest equal end of the path; an equal path wins.

    Args:
        images: Key of each image -> its path.
        listed: Paths or names, on any system. No name is given to two images.
    """
    by_name = defaultdict[str, list[str]](list)
    for name in listed:
        by_name[parts_of(name)[-1]].append(name)
    joined, near, claims = JoinedNames(), NearKeys(by_name), defaultdict[str, list[str]](list)

    for key, image in images.items():
        found = _nearest(by_name.get(parts_of(image)[-1], []), image)
        if len(found) == 1:
            claims[found[0]].append(key)
        elif found:
            joined.unclear[key] = f"{found[0]!r} and {found[1]!r} could both be {image!r}"
        else:
            name = PurePosixPath(image).name
            joined.missing[key] = f"annotation missing: the file does not list {name!r}{near.hint(name)}"
    for name, keys in claims.items():
        found = _nearest([images[key] for key in keys], name)
        for key in keys:
            if images[key] not in found:
                other = f"{name!r} is nearer to {found[0]!r}"
                joined.missing[key] = f"annotation missing: the file does not list {images[key]!r}; {other}"
            elif len(found) == 1:
                joined.names[key] = name
            else:
                joined.unclear[key] = f"{name!r} could be {found[0]!r} and {found[1]!r}"
    return joined


def parts_of(path: str) -> tuple[str, ...]:
    """Return the parts of a path, which a tool on Windows writes with backslashes."""
    return PurePosixPath(same_spelling(path).replace("\\", "/")).parts or ("",)


def _nearest(paths: Sequence[str], wanted: str) -> list[str]:
    """Return those of the paths that share the longest end with the wanted one, or are that path."""

    def shared(path: str) -> tuple[int, bool]:
        pairs = list(zip(reversed(parts_of(path)), reversed(parts_of(wanted)), strict=False))
        count = next((number for number, (one, other) in enumerate(pairs) if one != other), len(pairs))
        return count, parts_of(path) == parts_of(wanted)

    longest = max(map(shared, paths), default=(0, False))
    return [path for path in paths if shared(path) == longest]

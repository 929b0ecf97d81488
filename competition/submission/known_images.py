"""What is known about the images that a submission is of: their names, their order, their sizes."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class KnownImages:
    """The images of a submission, as far as they are known.

    Attributes:
        names: In the organiser's order; None where they are not known.
        sizes: Image name -> rows and columns.
        size_hw: Rows and columns of every image that ``sizes`` lacks; None where they are not known.
        groups: Image name -> group, where it is known: a metric may pool the images of a group.
    """

    names: Sequence[str] | None = None
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    size_hw: tuple[int, int] | None = None
    groups: Mapping[str, str] = field(default_factory=dict)

    def size_of(self, name: str) -> tuple[int, int] | None:
        """Return rows and columns of an image, None where they are not known."""
        return self.sizes.get(name, self.size_hw)

    def pixels_of(self, name: str) -> int | None:
        """Return the number of pixels of an image, None where it is not known."""
        size = self.size_of(name)
        return None if size is None else math.prod(size)

    def renamed(self, name_in_file: Callable[[str], str]) -> "KnownImages":
        """Return the same images under the names that a submission gives them."""
        names = None if self.names is None else [name_in_file(name) for name in self.names]
        sizes = {name_in_file(name): size for name, size in self.sizes.items()}
        groups = {name_in_file(name): group for name, group in self.groups.items()}
        return KnownImages(names, sizes, self.size_hw, groups)


NOTHING_KNOWN = KnownImages()

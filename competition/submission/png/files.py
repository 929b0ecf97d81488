"""PNG masks in a zip or a folder: one per image, with a value for each class, or one per image and class.

The bytes of the zip depend on nothing but the masks and their order.
"""

import os
import re
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator

from competition.errors import CompetitionError
from competition.file_listing import find_relative_paths
from competition.files import whole_file
from competition.formats.pictures import read_values
from competition.formats.source_files import damage_named
from competition.masks.bit_planes import pack_masks, unpack_class
from competition.settings import Section
from competition.submission.array_zip.files import archive_member
from competition.text import few, nearest_hint, size_text

LARGEST_BYTES = 1 << 28
"""Of one PNG; one of a mask of 3268x3268 has 30 KB."""


class PngMasks(Section):
    """The files of a submission of PNG masks."""

    kind: Literal["png"]
    """Always "png"."""
    file: str = "{image}.png"
    """Path of a mask in the zip: "{image}.png", or "{class}/{image}.png" where each class has a file of its own."""
    value: Annotated[int, Field(ge=1, le=255)] = 255
    """The value of a mask's pixels, where a file holds one class; the others are 0."""
    values: dict[str, Annotated[int, Field(ge=1, le=255)]] | None = None
    """Class -> the value of its pixels, where one file holds all classes. Where masks overlap the later class wins."""

    @field_validator("file")
    @classmethod
    def _is_a_path(cls, file: str) -> str:
        fields = re.findall(r"\{([^{}]*)\}", file)
        if unknown := [field for field in fields if field not in ("image", "class")]:
            raise ValueError(f"holds {{{unknown[0]}}}, which is unknown; the fields are {{image}} and {{class}}")
        if fields.count("image") != 1 or fields.count("class") > 1 or not file.lower().endswith(".png"):
            raise ValueError("holds {image} once, {class} at most once, and ends in .png")
        if file.startswith("/") or ".." in file.split("/") or "\\" in file:
            raise ValueError("must be a path within the zip")
        return file

    @property
    def by_class(self) -> bool:
        """Return whether each class has a file of its own."""
        return "{class}" in self.file

    def contradiction(self, classes: Sequence[str]) -> str | None:
        """Return why the keys contradict each other or the classes, None if they fit."""
        if self.by_class:
            return "submission: with {class} in file, values has no meaning: give value" if self.values else None
        if self.values is None:
            return None if len(classes) == 1 else "submission: several classes need {class} in file, or values"
        if odd := [name for name in self.values if name not in classes]:
            return f"submission.values: unknown class {odd[0]!r}{nearest_hint(odd[0], list(classes))}"
        if missing := [name for name in classes if name not in self.values]:
            return f"submission.values lacks {few(missing)}"
        if len(set(self.values.values())) < len(classes):
            return "submission.values gives two classes the same value"
        return None

    def names(self, image: str, classes: Sequence[str]) -> list[str]:
        """Return the names of an image's files: one, or one per class."""
        name = self.file.replace("{image}", image)
        return [name.replace("{class}", one) for one in classes] if self.by_class else [name]

    def image_of(self, name: str, classes: Sequence[str]) -> str | None:
        """Return the image of a file; None if it is named otherwise."""
        pattern = re.escape(self.file).replace(re.escape("{image}"), "(?P<image>[^/]+)")
        every = "|".join(map(re.escape, sorted(classes, key=len, reverse=True)))
        found = re.fullmatch(pattern.replace(re.escape("{class}"), f"(?:{every})"), name)
        return None if found is None else found["image"]

    def pictures(self, planes: NDArray[np.uint8], classes: Sequence[str]) -> list[NDArray[np.uint8]]:
        """Return the pictures (H, W) of label planes, in the order of ``names``."""
        if self.values is None:
            return [unpack_class(planes, index) * np.uint8(self.value) for index in range(len(classes))]
        picture = np.zeros(planes.shape[:2], dtype=np.uint8)
        for index, name in enumerate(classes):
            picture[unpack_class(planes, index)] = self.values[name]
        return [picture]

    def planes(self, pictures: Sequence[NDArray[np.integer]], classes: Sequence[str]) -> NDArray[np.uint8]:
        """Return the label planes of pictures; the reverse of ``pictures``."""
        if self.values is None:
            return pack_masks(np.stack([picture == self.value for picture in pictures]))
        return pack_masks(np.stack([pictures[0] == self.values[name] for name in classes]))

    def allowed(self) -> list[int]:
        """Return the values that a picture may have."""
        return [0, *([self.value] if self.values is None else self.values.values())]


def write_png_zip(path: Path, files: Iterable[tuple[str, NDArray[np.uint8]]]) -> int:
    """Write the zip, one picture at a time, and return how many.

    Raises:
        CompetitionError: The disk is full or the folder can't be written.
    """
    written = 0
    with whole_file(path) as part:
        with zipfile.ZipFile(part, "w") as archive:
            for name, picture in files:
                archive.writestr(archive_member(name, zipfile.ZIP_STORED), cv2.imencode(".png", picture)[1].tobytes())
                written += 1
        with part.open("rb") as file:
            os.fsync(file.fileno())
    return written


@dataclass(frozen=True)
class PngFiles:
    """An open submission: a zip, or the folder of its files."""

    path: Path
    form: PngMasks
    classes: Sequence[str]
    names: list[str]  # of the files, in the order of the zip or by name; a zip may hold a name twice
    archive: zipfile.ZipFile | None

    def images(self) -> list[str]:
        """Return the images of which there is any file.

        Raises:
            CompetitionError: A file appears twice or is named like no mask, or a file of an image is missing.
        """
        if twice := [name for name, count in Counter(self.names).items() if count > 1]:
            raise CompetitionError(f"{len(twice)} files appear twice ({few(twice)})", self.path)
        found = {name: self.form.image_of(name, self.classes) for name in self.names}
        if foreign := [name for name, image in found.items() if image is None]:
            raise CompetitionError(
                f"{len(foreign)} files are not named like {self.form.file} ({few(foreign)})", self.path
            )
        images = list(dict.fromkeys(image for image in found.values() if image is not None))
        wanted = [name for image in images for name in self.form.names(image, self.classes)]
        if missing := [name for name in wanted if name not in found]:
            raise CompetitionError(f"{len(missing)} files are missing ({few(missing)})", self.path)
        if not images:
            raise CompetitionError("there is no file", self.path)
        return images

    def planes(self, image: str, size_hw: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """Return the label planes (H, W, ceil(C / 8)) of an image.

        Raises:
            CompetitionError: A file is damaged, of another size than the image or the other classes, or has a value
                that belongs to no class.
        """
        pictures: list[NDArray[np.integer]] = []
        for name in self.form.names(image, self.classes):
            picture = self._read(name)
            if size_hw is not None and picture.shape != size_hw:
                wanted = size_text(size_hw)
                what = f"{name} is {size_text(picture.shape)} pixels, not {wanted} (rows x columns)"
                raise CompetitionError(what, self.path)
            size_hw = (picture.shape[0], picture.shape[1])
            if len(strange := np.setdiff1d(picture, self.form.allowed())):
                allowed = ", ".join(map(str, self.form.allowed()))
                what = f"{name} has the value {int(strange[0])}, which belongs to no class (there are {allowed})"
                raise CompetitionError(what, self.path)
            pictures.append(picture)
        return self.form.planes(pictures, self.classes)

    def _read(self, name: str) -> NDArray[np.integer]:
        if self.archive is None:
            return read_values(self.path / name)
        with damage_named(f"{name} can't be read", self.path):
            if self.archive.getinfo(name).file_size > LARGEST_BYTES:
                raise CompetitionError(f"{name} has more than {LARGEST_BYTES >> 20} MB", self.path)
            with tempfile.TemporaryDirectory() as folder:
                unpacked = Path(folder) / "mask.png"
                unpacked.write_bytes(self.archive.read(name))
                return read_values(unpacked)


@contextmanager
def open_png_files(path: Path, form: PngMasks, classes: Sequence[str]) -> Iterator[PngFiles]:
    """Open a zip of PNG masks, or the folder of them.

    Raises:
        CompetitionError: It is missing, or a file that is no zip.
    """
    if path.is_dir():
        yield PngFiles(path, form, classes, find_relative_paths(path), None)
        return
    if not path.exists():
        raise CompetitionError("no such file or folder", path)
    with damage_named("this is not a zip of PNG masks, or it is incomplete", path):
        archive = zipfile.ZipFile(path)
    with archive:
        yield PngFiles(path, form, classes, [name for name in archive.namelist() if not name.endswith("/")], archive)

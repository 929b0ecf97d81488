"""Labels of a folder track in the files of annotation tools or as arrays: ``masks: {coco: annotations.json}`` etc.

A source is either one file for all images (COCO, CVAT), whose label of an image is "annotations.json#image.png", or a
template of a file for each image, which is found as pictures of masks are.
"""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Annotated, Any

import numpy as np
from numpy.typing import NDArray
from pydantic import Discriminator, SerializerFunctionWrapHandler, Tag, model_serializer, model_validator

from competition.errors import CompetitionError
from competition.file_listing import class_files, find_files, split_part, stem
from competition.formats.array_images import read_label_array
from competition.formats.coco import open_coco
from competition.formats.cvat import open_cvat, read_labelmap
from competition.formats.drawn_objects import DrawnFile, DrawnImage, require_known
from competition.formats.labelme import read_labelme
from competition.formats.pictures import read_values
from competition.formats.voc import read_voc
from competition.formats.yolo import read_yolo
from competition.masks.bit_planes import pack_masks
from competition.masks.objects import Objects, Pixels, instance_pixels, join_classes
from competition.masks.outlines import drawn_planes, fill_objects
from competition.settings import Section
from competition.text import size_text
from competition.tracks.declared.listed_names import join_names, parts_of
from competition.tracks.declared.mask_files import binarise, read_masks
from competition.tracks.declared.run_length_table import RunLengthTable
from competition.tracks.track import Problem

OF_ALL_IMAGES = ("coco", "cvat")
OF_ONE_IMAGE = ("labelme", "yolo", "voc", "arrays", "instances", "pictures")
"""Sources that are one file for all images, and those that are a file for each."""


class LabelFiles(Section):
    """Exactly one source, a path or template below the data folder, and how it is read."""

    coco: str | None = None
    """A JSON file in COCO's form: polygons and run lengths of all images."""
    cvat: str | None = None
    """An XML file of CVAT ("CVAT for images 1.1"): polygons, masks and ellipses of all images."""
    labelme: str | None = None
    """JSON files of labelme, "labels/{stem}.json": polygons, rectangles and circles. Polygons of one class and
    group_id are one object, those within another its holes."""
    yolo: str | None = None
    """Text files of YOLO, "labels/{stem}.txt"; number n is the n-th of ``classes``."""
    voc: str | None = None
    """XML files of Pascal VOC, "Annotations/{stem}.xml", which hold boxes only: needs ``boxes: true``."""
    arrays: str | None = None
    """Arrays in .npy or .npz: (H, W) of values, as the mapping of ``classes`` names them, or of one class; or a plane
    for each class in order, (C, H, W) or (H, W, C)."""
    instances: str | None = None
    """Pictures of 8 or 16 bits in which each object has a number of its own; whatever is not 0 is the class."""
    pictures: str | None = None
    """Pictures whose colours the file ``labelmap`` names, as CVAT exports masks: "SegmentationClass/{stem}.png"."""
    labelmap: str | None = None
    """The text file of lines "femur:255,0,0::" for ``pictures``."""
    boxes: bool = False
    """Whether boxes are masks: filled rectangles. Otherwise a box is an error."""

    @model_validator(mode="after")
    def _one_source(self) -> "LabelFiles":
        given = [name for name in (*OF_ALL_IMAGES, *OF_ONE_IMAGE) if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"names {' and '.join(given) or 'no source'}, one of them is needed")
        if (self.labelmap is None) != (self.pictures is None):
            raise ValueError("pictures and labelmap belong together")
        if self.voc is not None and not self.boxes:
            raise ValueError("voc holds boxes, which are no outlines; boxes: true makes filled rectangles of them")
        if self.boxes and self.kind not in ("coco", "cvat", "yolo", "voc"):
            raise ValueError(f"boxes can't be given for {self.kind}")
        return self

    @model_serializer(mode="wrap")
    def _given(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Return only what was given, so that a new source does not change the text of those that exist."""
        return {key: value for key, value in handler(self).items() if value not in (None, False)}

    @property
    def kind(self) -> str:
        """Return the name of the source."""
        return next(name for name in (*OF_ALL_IMAGES, *OF_ONE_IMAGE) if getattr(self, name) is not None)

    @property
    def place(self) -> str:
        """Return the path or template of the source."""
        return str(getattr(self, self.kind))

    @property
    def places(self) -> list[str]:
        """Return all paths below the data folder."""
        return [self.place, *filter(None, (self.labelmap,))]

    @property
    def template(self) -> str | None:
        """Return the template of a file for each image; None where one file is for all."""
        return self.place if self.kind in OF_ONE_IMAGE else None

    def contradiction(self, classes: Mapping[str, Any] | Sequence[str]) -> str | None:
        """Return why the source and ``classes`` contradict each other; None if they don't."""
        if isinstance(classes, Mapping) and self.kind != "arrays":
            return f"masks: {{{self.kind}: ...}} names classes itself, so classes is a list of names, without values"
        if self.kind == "instances" and len(classes) > 1 and "{class}" not in self.place:
            return f"instances of {len(classes)} classes need {{class}} in their path"
        if self.kind != "instances" and "{class}" in self.place:
            return f"a file of {self.kind} holds all classes, so its path can't contain {{class}}"
        return None


@dataclass(frozen=True)
class LabelsOfAll:
    """The labels in one file: label of each sample by its key, what is wrong, and remarks."""

    labels: dict[str, str]
    problems: list[Problem]
    remarks: tuple[str, ...]


def list_labels(
    root: Path, images: Mapping[str, str], form: LabelFiles, classes: Sequence[str], others: Collection[str] = ()
) -> LabelsOfAll:
    """Join training images with their names in the one file of ``form``, by the longest end of a path that is equal.

    Args:
        root: The data folder.
        images: Key of each training sample -> path of its image below the root.
        form: A source of ``OF_ALL_IMAGES``.
        classes: Of the track.
        others: Paths of further images, such as test images, that the file may list.

    Raises:
        CompetitionError: The file can't be read, or has objects of an unknown class.
    """
    drawn = _open(root / form.place, form)
    require_known(drawn.labels, classes, "", root / form.place)
    joined = join_names(images, list(drawn.images))
    labels = {key: f"{form.place}#{name}" for key, name in joined.names.items()}
    problems = [
        Problem(key, "train", form.place, reason, kind="images not listed") for key, reason in joined.missing.items()
    ]
    problems += [Problem(key, "train", form.place, reason) for key, reason in joined.unclear.items()]
    used, known = set(joined.names.values()), {parts_of(other)[-1] for other in others}
    for name in drawn.images:
        if name not in used and parts_of(name)[-1] not in known:
            reason = f"it lists {name!r}, which is no training image"
            problems.append(Problem(stem(parts_of(name)[-1]), "train", form.place, reason, note=True, kind="no image"))
    return LabelsOfAll(labels, problems, drawn.remarks)


def read_label(
    path: Path,
    size_hw: tuple[int, int],
    form: LabelFiles,
    classes: dict[str, int] | list[str],
    background: Sequence[int] = (0,),
) -> NDArray[np.uint8]:
    """Read the label planes (H, W, ceil(C/8)) uint8 of one image.

    Args:
        path: As ``list_labels`` or the template gives it.
        size_hw: Rows and columns of the image.
        form: The source.
        classes: Names, or names and values of arrays.
        background: Values of arrays that belong to no class.

    Raises:
        CompetitionError: A file is missing or damaged, is of an image of another size, or has an unknown class.
    """
    names = tuple(classes)
    if form.kind == "arrays":
        return _array_planes(path, size_hw, classes, background)
    if form.kind == "instances":
        nothing, pictures = np.zeros(size_hw, np.bool_), _instance_pictures(path, size_hw, names)
        return pack_masks(np.stack([np.any([nothing, *(one != 0 for one in own)], axis=0) for own in pictures]))
    if form.labelmap is not None:
        return _colour_planes(path, size_hw, form, names)
    return drawn_planes(_drawn_image(path, size_hw, form, names), names)


def is_missing(path: Path, classes: Sequence[str]) -> bool:
    """Return whether no file of a label exists."""
    files = (split_part(file)[0] for of_class in class_files(path, classes) for file in of_class)
    return not any(map(os.path.lexists, files))


def has_objects(form: LabelFiles) -> bool:
    """Return whether a source distinguishes the objects of a class."""
    return form.kind not in ("arrays", "pictures")


def read_objects(path: Path, size_hw: tuple[int, int], form: LabelFiles, classes: Sequence[str]) -> Objects:
    """Read the objects of one image from a source that has them; arguments and errors as ``read_label``.

    An object that covers the centre of no pixel is none.
    """
    if form.kind == "instances":
        pictures = _instance_pictures(path, size_hw, classes)
        return join_classes(size_hw, [[one for values in own for one in instance_pixels(values)] for own in pictures])
    by_class: dict[str, list[Pixels]] = {name: [] for name in classes}
    for drawn in _drawn_image(path, size_hw, form, classes).objects:
        pixels = np.flatnonzero(fill_objects([drawn], size_hw))
        by_class[drawn.label] += [pixels] if len(pixels) else []
    return join_classes(size_hw, list(by_class.values()))


def _drawn_image(path: Path, size_hw: tuple[int, int], form: LabelFiles, classes: Sequence[str]) -> DrawnImage:
    image = _read_drawn(path, size_hw, form, classes)
    if image.size_hw != size_hw:
        found, wanted = size_text(image.size_hw), size_text(size_hw)
        raise CompetitionError(f"the labels are of an image of {found}, the image has {wanted} (rows x columns)", path)
    require_known((drawn.label for drawn in image.objects), classes, "", path)
    return image


def _read_drawn(path: Path, size_hw: tuple[int, int], form: LabelFiles, classes: Sequence[str]) -> DrawnImage:
    if form.kind == "labelme":
        return read_labelme(path)
    if form.kind == "voc":
        return read_voc(path)
    if form.kind == "yolo":
        return read_yolo(path, size_hw, classes, form.boxes)
    file, name = split_part(path)
    read = _open(file, form).images.get(name)
    if read is None:
        raise CompetitionError(f"the file does not list the image {name!r}", file)
    return read()


def _open(path: Path, form: LabelFiles) -> DrawnFile:
    status = path.stat() if path.exists() else None
    return _open_stamped(path, status and (status.st_size, status.st_mtime_ns), form)


@lru_cache(maxsize=4)  # asked for again by every image; a file that has changed has another stamp
def _open_stamped(path: Path, stamp: tuple[int, int] | None, form: LabelFiles) -> DrawnFile:
    opened: dict[str, Callable[[Path, bool], DrawnFile]] = {"coco": open_coco, "cvat": open_cvat}
    return opened[form.kind](path, form.boxes)


def _array_planes(
    path: Path, size_hw: tuple[int, int], classes: dict[str, int] | list[str], background: Sequence[int]
) -> NDArray[np.uint8]:
    values = read_label_array(path)
    if values.ndim == 2 and (isinstance(classes, dict) or len(classes) == 1):
        return read_masks(path, size_hw, classes, background)
    shapes = {0: (len(classes), *size_hw), 2: (*size_hw, len(classes))}
    axes = [axis for axis, shape in shapes.items() if values.shape == shape]
    if isinstance(classes, dict) or len(axes) != 1:
        found, wanted = size_text(values.shape), " or ".join(map(size_text, shapes.values()))
        why = "planes first and planes last are the same here" if axes else f"{wanted} is expected"
        repair = "Name the values where it is one plane, classes: {name: value}"
        raise CompetitionError(f"the label is an array of {found}, {why}", path, repair)
    return pack_masks(np.stack([binarise(plane, path) for plane in np.moveaxis(values, axes[0], 0)]))


def _instance_pictures(path: Path, size_hw: tuple[int, int], classes: Sequence[str]) -> list[list[NDArray[np.integer]]]:
    """Return the pictures (H, W) of each class."""
    pictures = list[list[NDArray[np.integer]]]()
    for of_class in class_files(path, classes):
        pictures.append([])
        for file in of_class:
            values = read_values(file)
            if values.shape != size_hw:
                found, wanted = size_text(values.shape), size_text(size_hw)
                raise CompetitionError(f"mask is {found} pixels, its image {wanted} (rows x columns)", file)
            pictures[-1].append(values)
    return pictures


def _colour_planes(path: Path, size_hw: tuple[int, int], form: LabelFiles, classes: Sequence[str]) -> NDArray[np.uint8]:
    """Read a picture by the label map, which lies at its place below a folder above the picture."""
    place = str(form.labelmap)
    file = next((above / place for above in path.parents if (above / place).is_file()), path.parent / place)
    colours = read_labelmap(file)
    require_known([name for name in classes if name not in colours], list(colours), " in classes of the YAML", file)
    background = [code for name, code in colours.items() if name == "background"]
    return read_masks(path, size_hw, {name: colours[name] for name in classes}, [0, *background], colours=True)


def find_labels(folder: Path, form: LabelFiles) -> dict[str, list[Path]]:
    """Find the files of a source below a folder: image name without ending -> paths for ``read_label``."""
    found: dict[str, list[Path]] = {}
    for path in find_files(folder, f"**/{PurePosixPath(form.place).name}"):
        for name in _open(path, form).images:
            found.setdefault(stem(parts_of(name)[-1]), []).append(Path(f"{path}#{name}"))
    return found


def _which(masks: object) -> str:
    """Return the name of the class that reads ``masks`` of a YAML."""
    if not isinstance(masks, Mapping | Section):
        return "str"
    keys = type(masks).model_fields if isinstance(masks, Section) else masks
    return (
        RunLengthTable.__name__
        if "csv" in keys or not set(keys) & set(LabelFiles.model_fields)
        else LabelFiles.__name__
    )


Masks = Annotated[
    Annotated[str, Tag("str")]
    | Annotated[RunLengthTable, Tag(RunLengthTable.__name__)]
    | Annotated[LabelFiles, Tag(LabelFiles.__name__)],
    Discriminator(_which),
]
"""All that ``masks`` may be; one class is chosen by the keys, so that errors are those of what was meant."""

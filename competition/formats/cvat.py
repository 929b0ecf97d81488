"""CVAT: one XML file for all images ("CVAT for images 1.1"), and the colours of its mask pictures (labelmap.txt).

https://docs.cvat.ai/docs/dataset_management/formats/format-cvat/
"""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.files import read_text
from competition.formats.drawn_objects import (
    DrawnFile,
    DrawnImage,
    DrawnObject,
    box_points,
    ellipse_points,
    make_ring,
)
from competition.formats.source_files import MAX_PIXELS
from competition.formats.xml_files import read_xml
from competition.text import shown

REPAIR = "Export the file again as 'CVAT for images 1.1'"
AREAS = ("polygon", "mask", "ellipse", "box")
NO_AREAS = ("polyline", "points", "cuboid", "skeleton")
"""Shapes that enclose no pixels. A tag belongs to the whole image and is no shape."""


def open_cvat(path: Path, boxes: bool = False) -> DrawnFile:
    """Read a file; ``boxes`` makes boxes masks, which otherwise are an error, because an organ is no box.

    Objects are in the order in which CVAT draws them, by ``z_order``. Those of two classes that overlap keep the pixels
    that they share.

    Raises:
        CompetitionError: It is no such file, or two images have one name.
    """
    images: dict[str, partial[DrawnImage]] = {}
    labels = set()
    for element in read_xml(path, "annotations", REPAIR).iter():
        if element.tag == "track":
            raise CompetitionError("it holds the tracks of a video, not images", path, REPAIR)
        if element.tag != "image":
            continue
        name = element.get("name", "")
        if not name or name in images:
            raise CompetitionError(f"two images are called {shown(name)}" if name else "an image has no name", path)
        shapes = [shape for shape in element if shape.tag in (*AREAS, *NO_AREAS)]
        labels |= {shape.get("label", "") for shape in shapes}
        images[name] = partial(_image, path, name, element, shapes, boxes)
    return DrawnFile(images, tuple(sorted(labels)))


def _image(path: Path, name: str, element: Element, shapes: Sequence[Element], boxes: bool) -> DrawnImage:
    where = f"{path}, image {name}"
    try:
        size_hw = int(element.attrib["height"]), int(element.attrib["width"])
    except (KeyError, ValueError) as error:
        raise CompetitionError("width and height are no numbers", where, REPAIR) from error
    drawn = []
    for number, shape in enumerate(shapes, start=1):
        place = f"{where}, object {number}"
        try:
            drawn.append((int(shape.get("z_order", 0)), _object(shape, size_hw, place, boxes)))
        except (KeyError, OverflowError, ValueError) as error:
            raise CompetitionError(f"a number of this {shape.tag} is missing or no number", place, REPAIR) from error
    return DrawnImage(size_hw, tuple(each for _, each in sorted(drawn, key=lambda pair: pair[0])))


def _object(shape: Element, size_hw: tuple[int, int], place: str, boxes: bool) -> DrawnObject:
    label = shape.get("label", "")
    if shape.tag == "mask":
        return DrawnObject(label, mask=_mask(shape, size_hw, place))
    if shape.tag in NO_AREAS or (shape.tag == "box" and not boxes):
        what = f"a shape of {shown(label)} is a {shape.tag}, which outlines no object"
        repair = "Write boxes: true under masks, or draw polygons" if shape.tag == "box" else "Draw a polygon or mask"
        raise CompetitionError(what, place, repair)
    return DrawnObject(label, (make_ring(_points(shape), label, size_hw, place, REPAIR),))


def _points(shape: Element) -> NDArray[np.float64]:
    if shape.tag == "polygon":
        pairs = [pair.split(",") for pair in shape.attrib["points"].split(";") if pair.strip()]
        return np.array(pairs, dtype=np.float64)
    degrees = float(shape.get("rotation", 0))
    if shape.tag == "ellipse":
        x, y, across, down = (float(shape.attrib[key]) for key in ("cx", "cy", "rx", "ry"))
        return ellipse_points((x, y), (across, down), degrees)
    left, top, right, bottom = (float(shape.attrib[key]) for key in ("xtl", "ytl", "xbr", "ybr"))
    return box_points(left, top, right, bottom, degrees)


def _mask(shape: Element, size_hw: tuple[int, int], place: str) -> NDArray[np.bool_]:
    """Return the mask of run lengths, row by row within a box, beginning with the background."""
    left, top, width, height = (int(shape.attrib[key]) for key in ("left", "top", "width", "height"))
    inside = left >= 0 and top >= 0 and width > 0 and height > 0
    if not (inside and top + height <= size_hw[0] and left + width <= size_hw[1]) or height * width > MAX_PIXELS:
        raise CompetitionError(f"the box of a mask of {shown(shape.get('label'))} leaves the image", place, REPAIR)
    counts = [int(count) for count in shape.attrib["rle"].split(",")]
    if sum(counts) != height * width or min(counts) < 0:
        what = f"run lengths add up to {sum(counts)}, not to the {height}x{width} pixels of the mask's box"
        raise CompetitionError(what, place, REPAIR)
    mask = np.zeros(size_hw, np.bool_)
    runs = np.repeat(np.arange(len(counts)) % 2 == 1, counts)
    mask[top : top + height, left : left + width] = runs.reshape(height, width)
    return mask


def read_labelmap(path: Path) -> dict[str, int]:
    """Read the colours of CVAT's mask pictures: class -> 0xRRGGBB, of lines such as "femur:255,0,0::".

    Raises:
        CompetitionError: It is missing, or a line is no name with a colour, or repeats one.
    """
    colours: dict[str, int] = {}
    try:
        lines = read_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CompetitionError(
            f"can't read the label map ({error})", path, "Export the masks again from CVAT"
        ) from error
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        name, _, rest = line.partition(":")
        parts = rest.split(":")[0].split(",")
        where = f"{path}, line {number}"
        if len(parts) != 3 or not all(re.fullmatch("[0-9]{1,3}", part.strip()) and int(part) < 256 for part in parts):
            raise CompetitionError(f"{shown(line)} is not 'name:red,green,blue::'", where)
        code = int.from_bytes(bytes(int(part) for part in parts), "big")
        if name in colours or code in colours.values():
            raise CompetitionError(f"the name or the colour of {shown(name)} appears twice", where)
        colours[name] = code
    return colours

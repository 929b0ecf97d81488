"""Pascal VOC: an XML file per image with boxes, whose first pixel is 1 and whose last one belongs to them."""

from pathlib import Path

from competition.errors import CompetitionError
from competition.formats.drawn_objects import DrawnImage, DrawnObject, box_points, make_ring
from competition.formats.xml_files import read_xml

REPAIR = "Export the file again as Pascal VOC"


def read_voc(path: Path) -> DrawnImage:
    """Read the boxes of an image as filled rectangles.

    Raises:
        CompetitionError: It is no such file, or a box is no four numbers.
    """
    annotation = read_xml(path, "annotation", REPAIR)
    try:
        size_hw = (int(annotation.findtext("size/height", "")), int(annotation.findtext("size/width", "")))
    except ValueError as error:
        raise CompetitionError("width and height of the image are no numbers", path, REPAIR) from error
    objects = []
    for number, element in enumerate(annotation.iter("object"), start=1):
        place, label = f"{path}, object {number}", element.findtext("name", "").strip()
        try:
            sides = [float(element.findtext(f"bndbox/{key}", "")) for key in ("xmin", "ymin", "xmax", "ymax")]
        except ValueError as error:
            raise CompetitionError("its box is no four numbers", place, REPAIR) from error
        ring = make_ring(box_points(sides[0] - 1, sides[1] - 1, sides[2], sides[3]), label, size_hw, place, REPAIR)
        objects.append(DrawnObject(label, (ring,)))
    return DrawnImage(size_hw, tuple(objects))

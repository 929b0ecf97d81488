"""What is to be reviewed, in the form of annotation tools: labelme or COCO for masks, a table for patients."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from competition.console import progress
from competition.data.cache import read_cached_image
from competition.data.manifest import Entry
from competition.data.preparation.corrected_files import CORRECTED, SAMPLE, TABLE, format_targets
from competition.data.preparation.corrections import draw_objects
from competition.drawing.outlines import as_rgb, write_png
from competition.errors import CompetitionError
from competition.files import keep_out_of_git, whole_folder
from competition.formats.coco import write_coco
from competition.formats.drawn_objects import DrawnImage, DrawnObject
from competition.formats.labelme import write_labelme
from competition.masks.bit_planes import unpack_class
from competition.tracks.track import Track
from competition.workspace import Workspace

Form = Literal["labelme", "coco"]
FORMS: tuple[Form, ...] = get_args(Form)
COCO_FILE, PAGE = "annotations.json", "review.html"


@dataclass(frozen=True)
class Reviewed:
    """A sample to look at, with the reason and its score from 0 to 1."""

    entry: Entry
    label: str
    reason: str
    score: float


def check_out(folder: Path) -> None:
    """Reject a folder that holds anything: it may be corrections of an earlier review.

    Raises:
        CompetitionError: It is no empty folder.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise CompetitionError("--out holds files, perhaps corrected labels", folder, "Give a new folder")


def export_masks(
    track: Track,
    workspace: Workspace,
    out: Path,
    chosen: Sequence[Reviewed],
    planes_of: Callable[[Entry], NDArray[np.uint8]],
    form: Form,
    page: str,
) -> None:
    """Write a PNG and the outlines of each image, review.csv with the reasons, and the page that shows them.

    Args:
        track: Its classes.
        workspace: Where the images are.
        out: A new folder, written whole or not at all.
        chosen: In the order in which to look at them.
        planes_of: The label planes (H, W, P) to begin with: the labels, or a prediction where there are none.
        form: One file of labelme per image, or one of COCO.
        page: HTML. No pictures beside the images: labelme lists every picture below its folder as one to annotate.
    """
    images: dict[str, DrawnImage] = {}
    with whole_folder(out, TABLE) as part, progress("exporting", len(chosen)) as ticker:
        keep_out_of_git(part)
        for reviewed in chosen:
            entry = reviewed.entry
            objects = _objects(planes_of(entry), track.classes, form)
            picture = f"{entry.sample}.png"
            write_png(part / picture, as_rgb(read_cached_image(workspace, entry.sample, track.views[0])))
            if form == "labelme":
                write_labelme(part / f"{entry.sample}.json", picture, (entry.height, entry.width), objects)
            images[picture] = DrawnImage((entry.height, entry.width), tuple(objects))
            ticker.advance(entry.sample)
        if form == "coco":
            write_coco(part / COCO_FILE, track.classes, images)
        _reasons(chosen).to_csv(part / TABLE, index=False)
        (part / PAGE).write_text(page, encoding="utf-8")


def _objects(planes: NDArray[np.uint8], classes: Sequence[str], form: Form) -> list[DrawnObject]:
    """Return the objects of all classes; COCO has no holes, so there a class with holes is written as its pixels."""
    objects: list[DrawnObject] = []
    for index, name in enumerate(classes):
        mask = unpack_class(planes, index)
        drawn = draw_objects(name, mask)
        if form == "coco" and any(len(each.rings) > 1 for each in drawn):
            drawn = [DrawnObject(name, mask=mask)]
        objects += drawn
    return objects


def export_table(
    track: Track, out: Path, chosen: Sequence[Reviewed], probabilities: NDArray[np.float64], page: str
) -> None:
    """Write review.csv and the page: reasons, targets, probabilities (n, C), and an empty column "corrected"."""
    frame = _reasons(chosen)
    frame["targets"] = [
        format_targets(each.entry.targets, track.classes) if each.entry.targets else "" for each in chosen
    ]
    for index, name in enumerate(track.classes):
        frame[f"probability {name}"] = probabilities[:, index].round(4)
    frame.insert(2, CORRECTED, "")
    with whole_folder(out, TABLE) as part:
        keep_out_of_git(part)
        frame.to_csv(part / TABLE, index=False)
        (part / PAGE).write_text(page, encoding="utf-8")


def _reasons(chosen: Sequence[Reviewed]) -> pd.DataFrame:
    rows = [(each.entry.sample, each.entry.name, each.label, round(each.score, 4), each.reason) for each in chosen]
    return pd.DataFrame(rows, columns=[SAMPLE, "name", "class", "score", "reason"])

"""Tracks of images with a table of labels, declared in a YAML file without code.

``docs/layouts/blood_cells_multilabel.yaml`` is an example.
"""

from functools import partial
from pathlib import Path

from competition.formats.images import read_image, read_spacing
from competition.formats.yaml_files import read_yaml
from competition.submission.sample import read_sample
from competition.tracks.declared.image_sources import list_parts
from competition.tracks.declared.table_declaration import read_table_declaration
from competition.tracks.declared.table_listing import list_table, list_test_table
from competition.tracks.track import Mirror, Track

_OF_DATA = {"task", "classes", "train", "test", "table", "views", "group", "channels", "path", "key", "stratum"}
_OF_DATA |= {"exclude", "images"}


def is_table_track(path: Path) -> bool:
    """Return whether a YAML declares labels of whole images, not masks; errors as of ``read_yaml``."""
    content = read_yaml(path, "no such track declaration")
    return isinstance(content, dict) and ("table" in content or content.get("task", "segmentation") != "segmentation")


def load_table_track(path: Path) -> Track:
    """Make a track of a declaration; the file's stem is the track's name.

    Raises:
        CompetitionError: The file is missing, not YAML, or a key is wrong.
    """
    declaration = read_table_declaration(path)
    classes, views, images = declaration.names, tuple(declaration.views), declaration.images
    mirror = Mirror(tuple(range(len(classes))), tuple(range(len(views))), (True,) * len(views))
    named = "" if declaration.submission.ending else " without ending"
    ordered = "" if declaration.sample is None else f" in the order of {read_sample(Path(declaration.sample)).digest}"
    return Track(
        name=path.stem,
        task="classification",
        classes=classes,
        metric=declaration.table_metric,
        form=declaration.form,
        list_samples=partial(list_table, declaration=declaration),
        list_test=partial(list_test_table, declaration=declaration),
        read_image=partial(read_image, channels=declaration.channels, window=images.window, slices=images.slices),
        read_label=None,
        read_spacing=partial(read_spacing, slices=images.slices),
        list_parts=partial(list_parts, reading=images),
        layout=f"DIR/{declaration.train}, DIR/{declaration.table.csv} and DIR/{declaration.test}",
        targets=declaration.task,
        views=views,
        channels=3 if declaration.channels == 3 else 1,
        colour=declaration.channels if isinstance(declaration.channels, str) else None,
        mirror=mirror if declaration.flip else None,
        reading=declaration.model_dump_json(include={"channels", "images"}),
        data_form=declaration.model_dump_json(include=_OF_DATA) + named + ordered,
    )

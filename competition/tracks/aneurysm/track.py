"""K-ium 2023: eight angiogram stills per patient, the probability of an aneurysm and its 21 possible locations."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from competition.errors import CompetitionError
from competition.file_listing import find_files, stem
from competition.formats.csv_files import read_csv
from competition.formats.pictures import check_picture
from competition.formats.source_files import require_file
from competition.metrics.tables import AUROC
from competition.submission.table.form import TableForm
from competition.text import near_pairs, shown
from competition.tracks.aneurysm.cleaning import clean_angiogram, has_text, margin_share
from competition.tracks.listing import skipped_pictures
from competition.tracks.track import Listing, Mirror, Problem, Sample, Split, Track

# The organisers' column order; BA is the one location without a side.
LOCATIONS = (
    "L_ICA", "R_ICA", "L_PCOM", "R_PCOM", "L_AntChor", "R_AntChor", "L_ACA", "R_ACA", "L_ACOM", "R_ACOM", "L_MCA",
    "R_MCA", "L_VA", "R_VA", "L_PICA", "R_PICA", "L_SCA", "R_SCA", "BA", "L_PCA", "R_PCA",
)  # fmt: skip
CLASSES = ("Aneurysm", *LOCATIONS)

# Injected side (L, R), injected artery (I = internal carotid, V = vertebral), projection (A = frontal, B = lateral).
VIEWS = ("LI-A", "LI-B", "LV-A", "LV-B", "RI-A", "RI-B", "RV-A", "RV-B")

CAROTID = ("ICA", "PCOM", "AntChor", "ACA", "ACOM", "MCA")
VERTEBRAL = ("PCOM", "VA", "PICA", "SCA", "BA", "PCA")  # the posterior communicating artery fills from both

IMAGE_NAME = re.compile(rf"(?P<index>[0-9]+)(?P<view>{'|'.join(VIEWS)})\.jpg")

SECOND_FILE = "a second file of view"

LAYOUT = """train_set/train.csv       Index, Aneurysm and 21 locations, 0 or 1
train_set/<Index><view>.jpg   8 per patient, views LI-A LI-B LV-A LV-B RI-A RI-B RV-A RV-B
                              (also found in train_set/images/ or train_set/train_set/)
test_set/test.csv         the same columns, coded 0
test_set/<Index><view>.jpg    Index padded to four digits; may be missing until the organisers release them"""


def is_visible(class_name: str, view: str) -> bool:
    """Return whether a class can be seen in a view: on the injected side, downstream of the injected artery."""
    if class_name == "Aneurysm":
        return True
    side, _, artery = class_name.rpartition("_")
    return side in ("", view[0]) and artery in (CAROTID if view[1] == "I" else VERTEBRAL)


def _other_side(name: str) -> str:
    """Return R_ICA for L_ICA, LV-A for RV-A, and a name without a side unchanged."""
    sided = name in VIEWS or "_" in name
    return {"L": "R", "R": "L"}[name[0]] + name[1:] if sided else name


# Frontal stills are flipped. Lateral stills face left for both sides, so they only change places.
MIRROR = Mirror(
    classes=tuple(CLASSES.index(_other_side(name)) for name in CLASSES),
    views=tuple(VIEWS.index(_other_side(name)) for name in VIEWS),
    flipped_views=tuple(name.endswith("A") for name in VIEWS),
)


def image_name(index: int, view: str) -> str:
    """Return the file name of a view: the organisers pad the Index to four digits."""
    return f"{index:04d}{view}.jpg"


def read_image(path: Path) -> NDArray[np.uint8]:
    """Read a JPG, grey or with three equal channels, and clean it.

    Returns:
        (H, W) uint8 without margins and text.

    Raises:
        CompetitionError: If the file can't be read, is incomplete or is no image.
    """
    return clean_angiogram(_decode(path))


def read_traits(root: Path, sample: Sample) -> tuple[float, ...]:
    """Return properties of a patient's files apart from the vessels: a shortcut if they predict an aneurysm.

    Returns:
        Rows, columns, the share of the canvas that is margin, and whether there is text, each the mean over the
        existing views; then the Index in thousands, because the patients come in two blocks.

    Raises:
        CompetitionError: If a file can't be read.
    """
    stills = [_decode(root / path) for path in sample.images if path is not None]
    of_views = [(*still.shape, margin_share(still), float(has_text(still))) for still in stills]
    means = np.mean(of_views, axis=0).tolist() if of_views else [0.0] * 4
    return (*means, float(int(sample.key) // 1000))


def _decode(path: Path) -> NDArray[np.uint8]:
    """Return the still as it was exported, (H, W) uint8."""
    require_file(path)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CompetitionError(f"can't read the image ({error.strerror})", path) from error
    # Some decoders fill the rest of an incomplete JPG with grey and raise nothing, so its end is checked. Compressed
    # data never contains the two markers.
    is_jpeg, scan, end = data.startswith(b"\xff\xd8"), data.rfind(b"\xff\xda"), data.rfind(b"\xff\xd9")
    if is_jpeg and end < scan:
        raise CompetitionError("the JPG is cut off", path, "Copy it again")
    check_picture(path)
    image = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), cv2.IMREAD_GRAYSCALE) if data else None
    if image is None:
        raise CompetitionError("not a readable image", path, "Copy it again")
    return np.asarray(image, dtype=np.uint8)


def list_samples(root: Path) -> Listing:
    """List the patients of train_set/ and then of test_set/, each in the order of their CSV.

    Test patients are listed only if there are test images: the first release had none.

    Raises:
        CompetitionError: If train.csv or its images are missing, or a CSV breaks the organisers' form.
    """
    table = _find_table(root / "train_set", "train")
    if table is None:
        raise CompetitionError("no train.csv found in train_set", root, "Unpack train_set.zip there")
    images = _find_images(root / "train_set", "train")
    if not images:
        raise CompetitionError("no JPG found beside train.csv", table.parent, "Unpack train_set.zip there")
    train = _list_patients(root, table, images, "train")
    test_table = _find_table(root / "test_set", "test")
    test_images = _find_images(root / "test_set", "test")
    if test_table is None and test_images:
        raise CompetitionError("test images but no test.csv in test_set", root, "Unpack test_set.zip there")
    if test_table is None or not test_images:
        return train
    test = _list_patients(root, test_table, test_images, "test")
    both = {int(sample.key) for sample in train.samples} & {int(sample.key) for sample in test.samples}
    if both:
        raise CompetitionError(f"Index {min(both)} is in train.csv and in test.csv", test_table)
    return Listing(train.samples + test.samples, train.problems + test.problems, test.remarks)


def list_test_samples(folder: Path) -> Listing:
    """List a late test set: test.csv and its JPGs, in a folder or in its test_set/.

    Raises:
        CompetitionError: If test.csv or the images are missing, or the CSV breaks the organisers' form.
    """
    table = _find_table(folder, "test")
    if table is None:
        raise CompetitionError("no test.csv found", folder, "Name the folder that holds test.csv and the JPGs")
    images = _find_images(folder, "test")
    if not images:
        raise CompetitionError("no JPG found beside test.csv", folder, "Name the folder that holds both")
    return _list_patients(folder, table, images, "test")


def _find_table(folder: Path, split: Split) -> Path | None:
    """Return the split's CSV, in its folder or, where the archive was unpacked into a folder of its name, one below."""
    places = (folder / f"{split}.csv", folder / f"{split}_set" / f"{split}.csv")
    return next((place for place in places if place.is_file()), None)


def _find_images(folder: Path, split: Split) -> dict[str, Path]:
    """Return all JPGs of a split by name; teams keep them beside the CSV, in images/ or one folder deeper."""
    found: dict[str, Path] = {}
    for place in (folder, folder / "images", folder / f"{split}_set"):
        here: dict[str, Path] = {}
        for path in find_files(place, "*.jpg"):
            if (other := here.setdefault(f"{stem(path.name)}.jpg", path)) != path:
                raise CompetitionError(f"the names of two JPGs differ in spelling only (the other is {other})", path)
        if here and found:
            first = next(iter(found.values())).parent
            raise CompetitionError(f"JPGs in two places, here and in {first}", place, "Keep one of the two")
        found |= here
    return found


@dataclass(frozen=True)
class _Row:
    """A patient in the CSV: Index as written and as a number, and a 0/1 per class (test: unknown)."""

    written: str
    index: int
    targets: tuple[int, ...] | None


def _read_table(path: Path, split: Split) -> list[_Row]:
    """Read the CSV of a split, columns Index and one per class in any order; test values are placeholders, not read.

    Raises:
        CompetitionError: It is no CSV, a column is missing, unknown or named twice, or a row is invalid.
    """
    names, lines = read_csv(path)
    header = [name.strip() for name in names]
    for name in ("Index", *CLASSES):
        if header.count(name) != 1:
            raise CompetitionError(f"column {name!r} is {'named twice' if name in header else 'missing'}", path)
    unknown = sorted(set(header) - {"Index", *CLASSES})
    if unknown:
        raise CompetitionError(f"unknown column {unknown[0]!r}", path, "Keep Index, Aneurysm and the 21 locations")
    rows: dict[int, _Row] = {}
    for number, line in lines:
        row = _read_row(header, line, split, f"{path}, row {number}")
        if row.index in rows:
            raise CompetitionError(f"Index {row.written} appears twice", f"{path}, row {number}")
        rows[row.index] = row
    return list(rows.values())


def _read_row(header: list[str], line: list[str], split: Split, where: str) -> _Row:
    if len(line) != len(header):
        raise CompetitionError(f"{len(line)} values for {len(header)} columns", where)
    values = {name: value.strip() for name, value in zip(header, line, strict=True)}
    written = values["Index"]
    if not re.fullmatch("[0-9]{1,9}", written):
        whole = re.fullmatch(r"([0-9]{1,9})\.0+", written)
        repair = f"Write {whole[1]} (pandas writes .0 after numbers of a column with empty cells)" if whole else None
        raise CompetitionError(f"Index {shown(written)} is not a number of at most nine digits", where, repair)
    if split == "test":
        return _Row(written, int(written), None)  # the zeros of test.csv are placeholders, not truth
    for name in CLASSES:
        if values[name] not in ("0", "1"):
            raise CompetitionError(f"value {values[name]!r} is neither 0 nor 1", f"{where}, column {name}")
    return _Row(written, int(written), tuple(int(values[name]) for name in CLASSES))


def _list_patients(root: Path, table: Path, images: dict[str, Path], split: Split) -> Listing:
    rows = _read_table(table, split)
    folder = next(iter(images.values())).parent.relative_to(root)
    left_over = dict(images)
    samples, problems = list[Sample](), list[Problem]()
    for row in rows:
        paths = tuple(_take_view(row, view, left_over, root) for view in VIEWS)
        found = _problems(row, paths, folder, table.relative_to(root), split)
        problems.extend(found)
        if split == "test" or not found:
            stratum = "" if row.targets is None else f"{row.targets[0]}-{row.index // 1000}"
            samples.append(Sample(row.written, row.written, split, row.written, paths, None, row.targets, stratum))
    unlisted, problems = _unlisted(left_over, rows, problems, root, split, table.name)
    # A test picture without a row is only a remark, because a row without its picture is a problem anyway. Of two files
    # of one view, one is wrong.
    strays = [problem for problem in unlisted if split == "test" and not problem.reason.startswith(SECOND_FILE)]
    problems.extend(problem for problem in unlisted if problem not in strays)
    keys = {stem(path.name) for path in images.values()}
    others = skipped_pictures(root, split, [(folder / "*.jpg").as_posix()], keys)
    # Each row of the CSV is a sample whatever lies there, so no picture beside the JPGs is a sample of its own.
    problems += [replace(problem, note=True) for problem in others]
    remarks = [
        f"left out, because {table.name} has no row for it: {first.path} ({first.reason}; {len(strays)} in all)"
        for first in strays[:1]
    ]
    return Listing(samples, problems, remarks)


def _take_view(row: _Row, view: str, left_over: dict[str, Path], root: Path) -> str | None:
    """Remove a patient's view from what is left and return it: padded to four digits, else the Index as written."""
    names = (image_name(row.index, view), f"{row.written}{view}.jpg", f"{row.index}{view}.jpg")
    found = next((left_over.pop(name) for name in names if name in left_over), None)
    return None if found is None else found.relative_to(root).as_posix()


def _problems(row: _Row, paths: tuple[str | None, ...], folder: Path, table: Path, split: Split) -> list[Problem]:
    """Return what is wrong with a patient. A training patient must be complete; a test patient needs a row anyway."""
    found = []
    if row.targets is not None and row.targets[0] != max(row.targets[1:]):
        where = "no location is" if row.targets[0] else "a location is 1"
        found.append(Problem(row.written, split, table.as_posix(), f"Aneurysm is {row.targets[0]} but {where}"))
    effect = "it is masked" if split == "test" else "the patient is left out"
    for view, path in zip(VIEWS, paths, strict=True):
        if path is None:
            missing = (folder / image_name(row.index, view)).as_posix()
            found.append(Problem(row.written, split, missing, f"view {view} is missing; {effect}", split == "test"))
    return found


def _unlisted(
    left_over: dict[str, Path], rows: Sequence[_Row], problems: Sequence[Problem], root: Path, split: Split, table: str
) -> tuple[list[Problem], list[Problem]]:
    """Return JPGs without row, and the problems so far, with the JPG that was probably meant by a missing view."""
    known = {row.index for row in rows}
    missing = {Path(problem.path).name: problem for problem in problems if problem.path.endswith(".jpg")}
    meant = near_pairs(missing, [name for name in left_over if IMAGE_NAME.fullmatch(name) is None])
    hints = {missing[wanted].path: f", did you mean {name}?" for wanted, name in meant.items()}
    hinted = [replace(problem, reason=problem.reason + hints.get(problem.path, "")) for problem in problems]
    found = []
    for name, path in left_over.items():
        parts = IMAGE_NAME.fullmatch(name)
        if parts is None and name in meant.values():
            continue
        if parts is None:
            key, reason = stem(path.name), "the name is not an Index and a view"
        elif int(parts["index"]) in known:
            key, reason = parts["index"], f"{SECOND_FILE} {parts['view']}"
        else:
            key, reason = parts["index"], f"the patient is not in {table}"
        found.append(Problem(key, split, path.relative_to(root).as_posix(), reason))
    return found, hinted


ANEURYSM = Track(
    name="aneurysm",
    task="classification",
    classes=CLASSES,
    metric=AUROC,
    form=TableForm(),
    list_samples=list_samples,
    list_test=list_test_samples,
    read_image=read_image,
    read_label=None,
    read_traits=read_traits,
    layout=LAYOUT,
    views=VIEWS,
    channels=1,
    size_hw=None,
    mirror=MIRROR,
    visible=tuple(tuple(is_visible(name, view) for name in CLASSES) for view in VIEWS),
)

"""Hand bone: 29 overlapping bones on 2048x2048 X-rays of both hands; group = person (the ID folder).

Layout and traps of the data were gathered from the public team repositories of the yearly competition.
"""

from pathlib import Path

from competition.errors import CompetitionError
from competition.imaging.readers import read_grey
from competition.tracks.hand_labels import CARPAL_BONES, FINGER_BONES, FOREARM_BONES, HAND_BONE_CLASSES, read_bones
from competition.tracks.hand_lists import OBLIQUE, STRAIGHT, with_strata, without_excluded, wrongly_labelled
from competition.tracks.hand_people import SHEET, Person, describe_people, read_people
from competition.tracks.hand_sides import with_sides
from competition.tracks.track import Listing, Mirror, Problem, Sample, Split, Track, check_names

LAYOUT = """DIR/train/DCM/IDxxx/*.png, DIR/train/outputs_json/IDxxx/*.json and DIR/test/DCM/IDxxx/*.png"""

# Five teams counted the bent wrists of the test images by eye: 57 to 58 %, against 12 % of the training images.
TEST_MIX = {OBLIQUE: 0.58, STRAIGHT: 0.42}


def list_hands(root: Path) -> Listing:
    """Lists the X-rays of both splits, sorted by relative path as the organiser's submission is.

    Args:
        root: Folder that holds ``train`` and ``test``, and perhaps ``meta_data.xlsx``, ``exclude.txt`` and
            ``strata.csv``.

    Returns:
        Samples with side and stratum, problems (an X-ray without annotation, two X-rays of one name, an annotation
        without X-ray), remarks on what was left out, on the people and their wrists, and the people's sexes.

    Raises:
        CompetitionError: There is no training X-ray below ``root``, or one of the three files can't be read.
    """
    samples: list[Sample] = []
    problems: list[Problem] = []
    seen: dict[str, str] = {}
    splits: tuple[Split, ...] = ("train", "test")
    for split in splits:
        for image in sorted(root.glob(f"{split}/DCM/*/*.png")):
            relative = image.relative_to(root).as_posix()
            if image.stem in seen:
                reason = f"two X-rays share the name {image.name} (the other is {seen[image.stem]})"
                problems.append(Problem(image.stem, split, relative, reason))
                continue
            seen[image.stem] = relative
            samples.append(_sample(root, image, split))
    if not any(sample.split == "train" for sample in samples):
        raise CompetitionError("no training X-ray found", root / "train" / "DCM", f"The data folder must hold {LAYOUT}")
    for sample in samples:
        if sample.label is not None and not (root / sample.label).exists():
            problems.append(Problem(sample.key, sample.split, sample.label, "annotation missing"))
    problems += _annotations_without_image(root, samples)
    samples, remarks = with_sides(root, samples)
    listing = without_excluded(root, Listing(samples, problems, remarks))
    samples, strata = with_strata(root, listing.samples)
    people = read_people(root / SHEET) if (root / SHEET).exists() else {}
    remarks = [*listing.remarks, *wrongly_labelled(samples), *strata, *_describe(people, samples)]
    return Listing(samples, listing.problems, remarks, {name: person.sex or "" for name, person in people.items()})


def _describe(people: dict[str, Person], samples: list[Sample]) -> list[str]:
    groups = {split: {sample.group for sample in samples if sample.split == split} for split in ("train", "test")}
    return [describe_people(people, groups["train"], groups["test"])] if people else []


def list_test_hands(folder: Path) -> Listing:
    """Lists a test set that came later: every PNG below ``folder``, sorted by path; the person is the PNG's folder.

    Raises:
        CompetitionError: There is no PNG, or two of one name, or a ``strata.csv`` there can't be read.
    """
    images = sorted(folder.rglob("*.png"))
    check_names(images, folder)
    samples, remarks = with_sides(folder, [_sample(folder, image, "test") for image in images])
    samples, strata = with_strata(folder, samples)
    return Listing(samples, remarks=[*remarks, *strata])


def _sample(root: Path, image: Path, split: Split) -> Sample:
    person = image.parent.name
    label = f"train/outputs_json/{person}/{image.stem}.json" if split == "train" else None
    relative = image.relative_to(root).as_posix()
    return Sample(key=image.stem, name=image.name, split=split, group=person, images=(relative,), label=label)


def _annotations_without_image(root: Path, samples: list[Sample]) -> list[Problem]:
    known = {sample.label for sample in samples}
    return [
        Problem(path.stem, "train", path.relative_to(root).as_posix(), "annotation without X-ray")
        for path in sorted(root.glob("train/outputs_json/*/*.json"))
        if path.relative_to(root).as_posix() not in known
    ]


HAND_BONE = Track(
    name="hand_bone",
    task="segmentation",
    classes=HAND_BONE_CLASSES,
    metric="dice",
    submission="rle",
    list_samples=list_hands,
    list_test=list_test_hands,
    read_image=read_grey,
    read_label=read_bones,
    layout=LAYOUT,
    size_hw=(2048, 2048),
    # A mirrored left hand is a right hand: every bone keeps its name.
    mirror=Mirror(classes=tuple(range(len(HAND_BONE_CLASSES)))),
    test_mix=TEST_MIX,
    class_groups={"fingers": FINGER_BONES, "carpals": CARPAL_BONES, "forearm": FOREARM_BONES},
)

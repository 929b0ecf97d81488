"""Hand bone: 29 overlapping bones on 2048x2048 X-rays of both hands; group = person (the ID folder).

The layout and traps of the data are known from public team repositories of the yearly competition.
"""

from collections.abc import Sequence
from pathlib import Path

from competition.errors import CompetitionError
from competition.file_listing import find_files, on_disk, stem
from competition.formats.pictures import read_grey
from competition.metrics.counts import DICE
from competition.submission.run_lengths.form import RunLengthForm
from competition.text import near_pairs, same_spelling
from competition.tracks.hand_bone.labels import CARPAL_BONES, FINGER_BONES, FOREARM_BONES, HAND_BONE_CLASSES, read_bones
from competition.tracks.hand_bone.lists import OBLIQUE, STRAIGHT, with_strata, without_excluded, wrongly_labelled
from competition.tracks.hand_bone.people import SHEET, describe_people, read_people
from competition.tracks.hand_bone.sides import with_sides
from competition.tracks.listing import NamesInUse, find_late_images, skipped_pictures
from competition.tracks.track import Listing, Mirror, Problem, Sample, Split, Track

IMAGES: dict[Split, str] = {"train": "train/DCM/*/*.png", "test": "test/DCM/*/*.png"}
LATE_IMAGES = "**/*.png"
LAYOUT = """DIR/train/DCM/IDxxx/*.png, DIR/train/outputs_json/IDxxx/*.json and DIR/test/DCM/IDxxx/*.png"""

# Bent wrists of the test images, counted by five teams: 57 to 58 %; 12 % of the training images.
TEST_MIX = {OBLIQUE: 0.58, STRAIGHT: 0.42}


def list_hands(root: Path) -> Listing:
    """List the X-rays of both splits, sorted by relative path as the organiser's submission is.

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
    names = NamesInUse("X-rays")
    for split, pattern in IMAGES.items():
        for image in find_files(root, pattern):
            if clash := names.clash(image.name, relative := image.relative_to(root).as_posix()):
                problems.append(Problem(stem(image.name), split, relative, clash, kind="names"))
                continue
            samples.append(_sample(root, image, split))
    if not any(sample.split == "train" for sample in samples):
        raise CompetitionError("no training X-ray found", root / "train" / "DCM", f"The data folder must hold {LAYOUT}")
    problems += _missing_and_unused(root, samples) + _skipped(root, samples)
    samples, remarks = with_sides(root, samples)
    listing = without_excluded(root, Listing(samples, problems, remarks))
    samples, strata = with_strata(root, listing.samples)
    people = read_people(root / SHEET) if (root / SHEET).exists() else {}
    groups = [{sample.group for sample in samples if sample.split == split} for split in ("train", "test")]
    about = [describe_people(people, *groups)] if people else []
    remarks = [*listing.remarks, *wrongly_labelled(samples), *strata, *about]
    return Listing(samples, listing.problems, remarks, {name: person.sex or "" for name, person in people.items()})


def list_test_hands(folder: Path) -> Listing:
    """List a late test set: every PNG below ``folder``, sorted by path; the person is the PNG's folder.

    Raises:
        CompetitionError: There is no PNG, or two of one name, an X-ray is no PNG, or a ``strata.csv`` there can't be
            read.
    """
    images, skipped = find_late_images(folder, [LATE_IMAGES])
    samples, remarks = with_sides(folder, [_sample(folder, image, "test") for image in images])
    samples, strata = with_strata(folder, samples)
    return Listing(samples, remarks=[*remarks, *skipped, *strata])


def _sample(root: Path, image: Path, split: Split) -> Sample:
    person, key, name = same_spelling(image.parent.name), stem(image.name), same_spelling(image.name)
    label = None
    if split == "train":
        wanted = root / "train" / "outputs_json" / image.parent.name / f"{image.stem}.json"
        label = on_disk(wanted).relative_to(root).as_posix()
    return Sample(key, name, split, person, (image.relative_to(root).as_posix(),), label)


def _missing_and_unused(root: Path, samples: Sequence[Sample]) -> list[Problem]:
    """Return X-rays without annotation, each with the file that was probably meant, and annotations without X-ray."""
    wanted = {sample.label: sample for sample in samples if sample.label is not None}
    there = [path.relative_to(root).as_posix() for path in find_files(root, "train/outputs_json/*/*.json")]
    missing, strays = [label for label in wanted if not (root / label).exists()], set(there).difference(wanted)
    meant = near_pairs(missing, strays)
    problems = []
    for label in missing:
        reason = "annotation missing" + (f", did you mean {meant[label]}?" if label in meant else "")
        problems.append(Problem(wanted[label].key, "train", label, reason, kind="annotation missing"))
    for label in sorted(strays.difference(meant.values())):
        problems.append(Problem(stem(label), "train", label, "annotation without X-ray"))
    return problems


def _skipped(root: Path, samples: Sequence[Sample]) -> list[Problem]:
    """Return pictures in the people's folders that are not listed X-rays."""
    labelled = {stem(path.name) for path in find_files(root, "train/outputs_json/*/*.json")}
    problems = []
    for split, pattern in IMAGES.items():
        keys = {sample.key for sample in samples if sample.split == split}
        problems += skipped_pictures(root, split, [pattern], keys, labelled=labelled)
    return problems


HAND_BONE = Track(
    name="hand_bone",
    task="segmentation",
    classes=HAND_BONE_CLASSES,
    metric=DICE,
    form=RunLengthForm(),
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

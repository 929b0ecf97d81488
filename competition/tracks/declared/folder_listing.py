"""The samples of a declared track: its images, each with key, group, stratum and label, and what is wrong with them."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePath, PurePosixPath

from competition.errors import CompetitionError
from competition.file_listing import find_files, find_pictures_beside, split_part, stem
from competition.text import counted, few, same_spelling
from competition.tracks.declared.declaration import FolderTrack
from competition.tracks.declared.folder_labels import (
    Labels,
    labels_in_export,
    labels_in_files,
    labels_in_index,
    labels_in_table,
)
from competition.tracks.declared.found_images import (
    DeclaredImages,
    FoundImage,
    FoundImages,
    find_images,
    key_of,
    with_parts,
    without_masks,
)
from competition.tracks.declared.image_sources import list_parts
from competition.tracks.declared.label_sources import LabelFiles
from competition.tracks.declared.mask_paths import MaskFiles
from competition.tracks.declared.mask_submission import check_test_names, copied_columns_remark, submission_remarks
from competition.tracks.declared.places import PathFaultError
from competition.tracks.declared.run_length_table import RunLengthTable
from competition.tracks.listing import NamesInUse, find_late_images, skipped_pictures
from competition.tracks.track import WARNING, Listing, Problem, Sample

FEW_IMAGES = 5
"""With fewer images, a group for each is no sign of a wrong pattern."""

REPAIR_KEYS = "Write key: in the track's YAML file so that it differs"
REPAIR_NAMES = (
    "Give the images names that differ without their folder and ending, or write key: in the track's YAML file, for "
    "example '{parent}_{stem}'"
)


def list_folder(root: Path, declaration: FolderTrack) -> Listing:
    """List the images of both splits, sorted by path or in the order of the index.

    Raises:
        CompetitionError: There is no training image, a table can't be read, or a mask is that of two images.
    """
    found, masks = find_images(root, declaration), None
    if declaration.mask_template is not None:
        masks = MaskFiles(root, declaration.mask_template, tuple(declaration.classes))
        found = without_masks(found, masks, declaration)
    found = with_parts(found, declaration)
    samples, problems = _samples(found.images, declaration)
    problems = [*found.problems, *problems]
    if not any(sample.split == "train" for sample, _ in samples):
        raise no_training_image(root, problems, declaration)
    training = {sample.key: image for sample, image in samples if sample.split == "train"}
    if masks is not None:
        labels = labels_in_files(root, training, found, masks, declaration)
    elif isinstance(declaration.masks, RunLengthTable):
        labels = labels_in_table(root, training, found, declaration.masks, declaration)
    elif isinstance(declaration.masks, LabelFiles):
        others = [str(sample.images[0]) for sample, _ in samples if sample.split == "test"]
        labels = labels_in_export(root, training, declaration.masks, declaration, others)
    else:
        labels = labels_in_index(root, training, declaration)
    listed = [replace(sample, label=labels.of_sample.get(sample.key)) for sample, _ in samples]
    tests = [sample.name for sample in listed if sample.split == "test"]
    # Of test images with equal names only one is listed, so that the sample would seem to have too many.
    if not any(problem.kind == "names" and problem.split == "test" for problem in problems):
        check_test_names(tests, declaration.submission, list(declaration.classes), declaration.sample)
    problems = [*problems, *labels.problems, *_skipped(root, found, listed, labels, declaration)]
    remarks = [*found.remarks, *labels.remarks, *_group_remarks(listed, declaration)]
    remarks += submission_remarks(declaration.submission, declaration.masks, declaration.mask_metric)
    remarks += copied_columns_remark(declaration.submission, list(declaration.classes), declaration.sample)
    if "test" not in {sample.split for sample in listed} | {problem.split for problem in problems}:
        remarks.append(no_test_image(root, declaration))
    return Listing(listed, problems, remarks)


def list_test_folder(folder: Path, declaration: FolderTrack) -> Listing:
    """List a late test set: every file below ``folder`` that is named as the declaration's test images are.

    Raises:
        CompetitionError: There is none, two have one key or none, or an image has another ending than the test images.
    """
    if declaration.test is None:
        what = "the images of a late test set are found by their names, and the track's YAML file has no test:"
        raise CompetitionError(what, folder, "Write test: there, for example test/*.png, or list them in the index")

    def late_key(image: Path) -> str:
        return key_of(_late_image(folder, image, declaration), declaration)

    try:
        images, remarks = find_late_images(folder, [f"**/{Path(declaration.test).name}"], late_key)
        found = [_late_image(folder, image, declaration) for image in images]
        parts = [replace(image, part=part) for image in found for part in list_parts(image.file, declaration.images)]
        late = [_placed(image, declaration, late=True) for image in parts]
    except PathFaultError as fault:
        raise CompetitionError(f"a test image can't be named: {fault.reason}", folder, fault.repair or None) from fault
    return Listing(late, remarks=remarks)


def _late_image(folder: Path, image: Path, declaration: FolderTrack) -> FoundImage:
    relative = image.relative_to(folder).as_posix()
    return FoundImage("test", image, relative, declaration.places.fields_of(relative))


def _samples(
    images: Sequence[FoundImage], declaration: FolderTrack
) -> tuple[list[tuple[Sample, FoundImage]], list[Problem]]:
    samples, problems = list[tuple[Sample, FoundImage]](), list[Problem]()
    names = NamesInUse("images", "key" if declaration.own_keys else "name")
    for image in images:
        try:
            key = key_of(image, declaration)
            if clash := names.clash_of(key, image.path):
                repair = REPAIR_KEYS if declaration.own_keys else REPAIR_NAMES
                problems.append(Problem(key, image.split, image.relative, clash, kind="names", repair=repair))
                continue
            samples.append((_placed(image, declaration), image))
        except PathFaultError as fault:
            key = stem(image.file.name)
            problems.append(Problem(key, image.split, image.relative, fault.reason, repair=fault.repair))
    return samples, problems


def _placed(image: FoundImage, declaration: FolderTrack, late: bool = False) -> Sample:
    """Return the sample of an image, without its label; of a late one without group, its key is the group."""
    key, places, cells = key_of(image, declaration), declaration.places, image.row.cells if image.row else {}
    assert image.fields is not None  # or there was no key
    try:
        group = cells["group"] if "group" in cells else places.group_of(image.relative, image.fields)
    except PathFaultError:
        if not late:
            raise
        group = key
    stratum = cells["stratum"] if "stratum" in cells else places.stratum_of(image.relative, image.fields)
    name = key
    if not declaration.own_keys:
        name = same_spelling(image.file.name) if declaration.names_with_ending else key
    return Sample(key, name, image.split, group, images=(image.path,), stratum=stratum)


def no_training_image(root: Path, problems: Sequence[Problem], declaration: DeclaredImages) -> CompetitionError:
    """Return why there is none, with the pictures that lie there or the first problem of an image."""
    train = declaration.patterns.get("train")
    source = train or (declaration.index.csv if declaration.index else "")
    if refused := [problem for problem in problems if problem.split == "train"]:
        what = f"none of the {len(refused)} images of {source} can be used"
        first = f"{what}; the first: {refused[0].reason}"
        repair = "Fix group: in the track's YAML file; group: '{parent}' is the folder of an image"
        return CompetitionError(first, root / refused[0].path, refused[0].repair or repair)
    if train is None:
        return CompetitionError("no row of a training image", root / source, "Fix index: in the track's YAML file")
    if beside := find_pictures_beside(root, [source]):
        what = f"no training image found, but {len(beside)} other pictures lie there, for example {beside[0].name}"
        return CompetitionError(what, root / source, "Fix train: in the track's YAML file")
    repair = f"The data folder (--data DIR) is the one that holds {source}"
    return CompetitionError("no training image found", root / source, repair)


def no_test_image(root: Path, declaration: DeclaredImages) -> str:
    """Return the remark that there is none."""
    test = declaration.patterns.get("test")
    if test is None:
        return "no test image: there is no test: in the track's YAML file, and no row of the index is of the test set"
    return f"no test image: nothing fits {root / test} (test: in the track's YAML file)"


def _group_remarks(samples: Sequence[Sample], declaration: FolderTrack) -> list[str]:
    """Return a remark on a group for each image, where it may be wrong, and on images of unknown stratum."""
    training = [sample for sample in samples if sample.split == "train"]
    remarks, group = [], declaration.group
    single = max(Counter(sample.group for sample in training).values()) == 1
    whole = all(sample.group in (sample.key, name := _name(sample), stem(name)) for sample in training)
    if group is not None and single and not whole and len(training) >= FEW_IMAGES:
        example = f"{training[0].images[0]} is of group {training[0].group}"
        remarks.append(f"group: '{group}' makes each of {len(training)} images a group of its own ({example})")
    if group is not None and whole and (joined := _of_several_folders(training)):
        first, second = (sample.images[0] for sample in joined[:2])
        remarks.append(
            f"{WARNING}group: '{group}' makes one group of equal names in different folders ({first} and {second}). "
            "Where a folder holds the images of a person, this splits the person across folds: write group: '{parent}'"
        )
    if declaration.stratum is not None and (unknown := [sample.key for sample in samples if not sample.stratum]):
        remarks.append(
            f"stratum: '{declaration.stratum}' matches nothing in {counted(len(unknown), 'image')} ({few(unknown)})"
        )
    return remarks


def _of_several_folders(samples: Sequence[Sample]) -> list[Sample]:
    """Return the samples of a group that holds images of several folders, of which one has several groups."""
    groups, folders = defaultdict[str, list[Sample]](list), defaultdict[PurePath, set[str]](set)
    for sample in samples:
        groups[sample.group].append(sample)
        folders[_folder(sample)].add(sample.group)
    for members in groups.values():
        places = {_folder(sample): sample for sample in members}
        if len(places) > 1 and any(len(folders[place]) > 1 for place in places):
            return list(places.values())
    return []


def _folder(sample: Sample) -> PurePath:
    return PurePosixPath(str(sample.images[0])).parent


def _name(sample: Sample) -> str:
    return PurePosixPath(same_spelling(str(sample.images[0]))).name


def _skipped(
    root: Path, found: FoundImages, samples: Sequence[Sample], labels: Labels, declaration: FolderTrack
) -> list[Problem]:
    """Return the pictures beside the images of each split that belong to neither split and are no masks."""
    files = {sample.key: split_part(root / str(sample.images[0]))[0] for sample in samples}
    used = set(files.values()) | labels.files
    used |= {image.file for image in found.excluded} | {root / problem.path for problem in found.problems}
    problems, patterns = [], declaration.patterns
    for split, pattern in patterns.items():
        stems = {stem(files[sample.key].name) for sample in samples if sample.split == split}
        every = PurePosixPath(pattern).with_name("*.*")
        repair = f"Let {split}: in the track's YAML file take them ({every}), convert them, or move them away"
        taken = used.union(*(find_files(root, other) for name, other in patterns.items() if name != split))
        labelled = labels.stems if split == "train" else ()
        problems += skipped_pictures(root, split, [pattern], stems, taken=taken, labelled=labelled, repair=repair)
    return problems

"""Cardiac data in its original form: DICOM slices, outlines as text, and a table that links the two.

Under the data root, and again under ``test/``::

    dicom/SCD0000201/60.dcm
    contours/SC-HF-I-2/i-contours/IM-0001-0060-icontour-manual.txt    endocardium, around the blood pool
    contours/SC-HF-I-2/o-contours/IM-0001-0060-ocontour-manual.txt    epicardium, no class here
    link.csv                                                          patient_id,original_id: SCD0000201,SC-HF-I-2

The number in a contour's name is that of the DICOM file. Most slices of a series have no contour: they are unlabelled,
so they are neither empty nor training samples.
"""

import hashlib
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from competition.errors import CompetitionError
from competition.file_listing import find_files
from competition.formats.csv_files import read_csv
from competition.text import NearKeys, same_spelling
from competition.tracks.cardiac import PATIENT, disease, padded, slice_key, slice_name
from competition.tracks.track import Listing, Problem, Sample, Split

LINK_COLUMNS = ["patient_id", "original_id"]
CONTOUR_NAME = re.compile(r"IM-\d{4}-(?P<number>\d{4})-(?P<kind>[io])contour-manual\.txt")

Slices = dict[str, dict[int, Path]]
"""Patient -> slice number -> file."""


def list_dicom_slices(root: Path) -> Listing:
    """List the slices of both splits, sorted by patient and number.

    Test slices are those with a contour if there is a ``test/contours`` (for scoring only), else all of them.

    Raises:
        CompetitionError: link.csv breaks its form, or no contour has its DICOM image.
    """
    train = _list_split(root, root, "train", _read_link(root / "link.csv"))
    if not train.samples:
        where = root / "contours"
        raise CompetitionError("no training image found: no contour has its DICOM image", where, "Is link.csv there?")
    test = Listing([])
    if (root / "test").is_dir():
        link = root / "test" / "link.csv"
        test = _list_split(root, root / "test", "test", _read_link(link if link.exists() else root / "link.csv"))
    problems = train.problems + test.problems + _copies(root)
    return Listing(train.samples + test.samples, problems, train.remarks + test.remarks)


def list_test_dicoms(folder: Path) -> Listing:
    """List a late test set: every DICOM slice below ``folder``, or below ``dicom`` in it.

    Raises:
        CompetitionError: A file name holds no number, two slices are one, or link.csv breaks its form.
    """
    links = [place / "link.csv" for place in (folder, folder.parent)]
    slices, problems = _dicoms(folder, folder, "test", _read_link(next(filter(Path.exists, links), links[0])))
    if problems:
        raise CompetitionError(problems[0].reason, folder / problems[0].path)
    return Listing(
        [_sample(folder, patient, number, slices, "test") for patient in slices for number in slices[patient]]
    )


def find_contours(folder: Path) -> Slices:
    """Return all endocardial contours below a folder: patient -> slice number -> file."""
    return {patient: kinds["i"] for patient, kinds in _contours(folder).items() if kinds["i"]}


def _list_split(root: Path, folder: Path, split: Split, link: Mapping[str, str]) -> Listing:
    """List one split below its folder; paths are relative to the root."""
    dicoms, problems = _dicoms(root, folder, split, link)
    contours = find_contours(folder / "contours")
    unlinked = _unlinked(folder, dicoms, contours, link)
    samples = []
    for patient, outlines in contours.items():
        if patient not in dicoms:
            path, hint = next(iter(outlines.values())).parent.relative_to(root).as_posix(), unlinked.get(patient, "")
            reason = f"contours of {patient}, but no DICOM folder is linked to it by link.csv{hint}"
            problems.append(Problem(patient, split, path, reason, note=split == "test"))
            continue
        for number, outline in outlines.items():
            if number in dicoms[patient]:
                samples.append(_sample(root, patient, number, dicoms, split, outline if split == "train" else None))
            else:
                key, path = slice_key(patient, number), outline.relative_to(root).as_posix()
                problems.append(Problem(key, split, path, "contour without DICOM image", note=split == "test"))
    if split == "test" and not contours:
        samples = [_sample(root, patient, number, dicoms, split) for patient in dicoms for number in dicoms[patient]]
    unlabelled = sum(map(len, dicoms.values())) - len(samples)
    remark = f"{split}: {unlabelled} DICOM images have no contour; they are unlabelled, not empty, and left out"
    return Listing(samples, problems, [remark] if unlabelled else [])


def _unlinked(folder: Path, dicoms: Slices, contours: Slices, link: Mapping[str, str]) -> dict[str, str]:
    """Return for patients with contours but without DICOM which folder was probably meant."""
    hints = {}
    written = {padded(original): patient_id for patient_id, original in link.items()}
    near = NearKeys(dicoms.keys() - contours.keys())
    for patient in contours.keys() - dicoms.keys():
        row = written.get(patient, patient)
        meant = near.find(row) or near.find(patient)
        if meant is not None:
            hints[patient] = f", did you mean folder {meant!r} by {row!r}?"
    return hints


def _sample(root: Path, patient: str, number: int, dicoms: Slices, split: Split, outline: Path | None = None) -> Sample:
    key = slice_key(patient, number)
    return Sample(
        key=key,
        name=slice_name(key),
        split=split,
        group=patient,
        images=(dicoms[patient][number].relative_to(root).as_posix(),),
        label=None if outline is None else outline.relative_to(root).as_posix(),
        stratum=disease(patient),
    )


def _dicoms(root: Path, folder: Path, split: Split, link: Mapping[str, str]) -> tuple[Slices, list[Problem]]:
    """Return the DICOM files of each patient by number; a patient is a folder, under its linked name if it has one."""
    base = folder / "dicom" if (folder / "dicom").is_dir() else folder
    slices: Slices = defaultdict(dict)
    problems = []
    for path in find_files(base, "**/*.dcm"):
        below = path.relative_to(base).parts
        patient_id = same_spelling(below[0] if len(below) > 1 else base.name)
        patient = padded(link.get(patient_id, patient_id))
        relative, digits = path.relative_to(root).as_posix(), re.search(r"\d+$", path.stem)
        number = int(digits[0]) if digits else -1
        if digits is None:
            problems.append(Problem(path.stem, split, relative, "the name does not end in the slice's number"))
        elif number in slices[patient]:
            other = slices[patient][number].relative_to(root)
            reason = f"two DICOM files of {patient} have number {number} (the other is {other})"
            problems.append(Problem(slice_key(patient, number), split, relative, reason))
        else:
            slices[patient][number] = path
    return {patient: dict(sorted(slices[patient].items())) for patient in sorted(slices)}, problems


def _contours(folder: Path) -> dict[str, dict[str, dict[int, Path]]]:
    """Return all contours below a folder: patient -> kind of contour (i, o) -> slice number -> file."""
    found: dict[str, dict[str, dict[int, Path]]] = {}
    for path in find_files(folder, "**/IM-*contour-manual.txt"):
        name = CONTOUR_NAME.fullmatch(path.name)
        # Below the patient's folder the distributions differ: i-contours/, or contours-manual/IRCCI-expert/.
        patients = [part for part in path.parts if PATIENT.fullmatch(part)]
        if name is not None and patients:
            kinds = found.setdefault(padded(patients[-1]), {"i": {}, "o": {}})
            kinds[name["kind"]][int(name["number"])] = path
    return found


def _copies(root: Path) -> list[Problem]:
    """Return contour files of different patients with the same bytes: one of the two is in a wrong folder.

    Neither of two endocardial contours can be a training label; other contours only show that a folder was mixed up.
    """
    same: dict[bytes, list[tuple[str, str, int, Path]]] = defaultdict(list)
    for patient, kinds in _contours(root).items():
        for kind, outlines in kinds.items():
            for number, path in outlines.items():
                same[hashlib.sha256(path.read_bytes()).digest()].append((patient, kind, number, path))
    problems = []
    for files in same.values():
        for patient, kind, number, path in files:
            others = [other for other in files if other[0] != patient]
            if others:
                relative, copy = path.relative_to(root), others[0][3].relative_to(root)
                split: Split = "test" if relative.parts[0] == "test" else "train"
                reason = f"byte copy of another patient's contour ({copy})"
                note = kind == "o" or split == "test"
                problems.append(Problem(slice_key(patient, number), split, relative.as_posix(), reason, note=note))
    return sorted(problems, key=lambda problem: problem.path)


def _read_link(path: Path) -> dict[str, str]:
    """Return DICOM patient -> patient of the contours; without a table both have the same names."""
    if not path.exists():
        return {}
    header, lines = read_csv(path)
    if sorted(header) != sorted(LINK_COLUMNS):
        raise CompetitionError(f"the columns are not {','.join(LINK_COLUMNS)}", path)
    link: dict[str, str] = {}
    for number, fields in lines:
        where = f"{path}, row {number}"
        if len(fields) != len(header):
            raise CompetitionError(f"{len(fields)} values for {len(header)} columns", where)
        row = {name: same_spelling(cell.strip()) for name, cell in zip(header, fields, strict=True)}
        if row["patient_id"] in link or row["original_id"] in link.values():
            raise CompetitionError(f"{row['patient_id']} or {row['original_id']} is linked twice", where)
        link[row["patient_id"]] = row["original_id"]
    return link

"""Two optional lists beside the hand-bone data: ``exclude.txt`` and ``strata.csv``.

``exclude.txt`` names X-rays or people to leave out of training, one per line; # begins a comment. Four X-rays of the
public data are known to be labelled wrongly. Without them a team gained 0.0012 Dice; another lost 0.0009 by leaving out
68 X-rays merely for their low scores.

``strata.csv`` (image_name,stratum or ID,stratum) lists which wrists are bent. This is known for the public training
people; about half of the test wrists are bent, but there is no list of them.
"""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

from competition.errors import CompetitionError
from competition.formats.csv_files import read_csv
from competition.text import NearKeys, nearest_hint, same_spelling
from competition.tracks.track import Listing, Problem, Sample

OBLIQUE, STRAIGHT = "oblique", "straight"
EXCLUDE, STRATA = "exclude.txt", "strata.csv"

# The people of the public training part, and those among them whose wrist is bent.
PUBLIC_TRAINING = frozenset((*range(1, 40), *range(50, 68), *range(69, 137), *range(274, 549)))
PUBLIC_OBLIQUE = frozenset((*range(274, 320), 321))

# Public training X-rays with wrong labels, and what is wrong.
WRONGLY_LABELLED = {
    "ID058/image1661392103627": "bones mixed up",
    "ID325/image1664846270124": "a row of carpals",
    "ID363/image1664935962797": "the ring within finger-14",
    "ID547/image1667353928376": "the Pisiform on the Ulna",
}


def wrongly_labelled(samples: Sequence[Sample]) -> list[str]:
    """Return a sentence that names the training X-rays among ``samples`` with known wrong labels, or none."""
    here = {f"{sample.group}/{sample.key}" for sample in samples if sample.split == "train"}
    found = [f"{name} ({fault})" for name, fault in WRONGLY_LABELLED.items() if name in here]
    remark = f"known to be labelled wrongly: {', '.join(found)}; lines of {EXCLUDE} with these names leave them out"
    return [remark] if found else []


def without_excluded(root: Path, listing: Listing) -> Listing:
    """Leave out the training X-rays that ``exclude.txt`` names, and their problems.

    Returns:
        The rest, with remarks on what was left out and on lines that match nothing.

    Raises:
        CompetitionError: The file can't be read, or names a test X-ray, whose missing rows would void a submission.
    """
    path = root / EXCLUDE
    if not path.exists():
        return listing
    names = _lines(path)
    for sample in listing.samples:
        if sample.split == "test" and (hit := _names(sample) & set(names)):
            reason = f"{min(hit)!r} is a test X-ray, and a missing row voids a submission"
            raise CompetitionError(reason, path, "Remove that line")
    here = set().union(*map(_names, listing.samples), *map(_names, listing.problems))
    used = [name for name in names if name in here]
    kept = [sample for sample in listing.samples if not _names(sample) & set(names)]
    problems = [problem for problem in listing.problems if problem.split == "test" or not _names(problem) & set(names)]
    remarks = [f"{EXCLUDE}: {len(listing.samples) - len(kept)} training X-rays are left out ({', '.join(used) or '-'})"]
    if unused := [name for name in names if name not in here]:
        remarks.append(f"{EXCLUDE}: {len(unused)} lines match no X-ray ({_with_hints(unused, here)})")
    return Listing(kept, problems, [*listing.remarks, *remarks])


def _with_hints(names: Sequence[str], known: Collection[str]) -> str:
    """Return unknown names, each with the known name that was probably meant."""
    # An X-ray has names with and without ending and folder: one of them is enough for a hint.
    near = NearKeys(name for name in known if "/" not in name and not name.endswith(".png"))
    return ", ".join(name + near.hint(name) for name in names)


def _lines(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CompetitionError(f"can't be read as a list of names ({error})", path) from error
    names = [same_spelling(line.partition("#")[0].strip()) for line in lines]
    return list(dict.fromkeys(name for name in names if name))


def _names(item: Sample | Problem) -> set[str]:
    """Return what a list may call an X-ray: ID058, image1661392103627, the same with .png, or with ID058/ before it."""
    person = item.group if isinstance(item, Sample) else Path(item.path).parent.name
    stems = (item.key, f"{item.key}.png")
    return {person, *stems, *(f"{person}/{stem}" for stem in stems)}


def with_strata(root: Path, samples: Sequence[Sample]) -> tuple[list[Sample], list[str]]:
    """Set which wrists are bent, by ``strata.csv``, else by the list of the public training people.

    Returns:
        The same samples with their stratum, "" if unknown, and a sentence on how many there are.

    Raises:
        CompetitionError: strata.csv can't be read, has other columns, an unknown stratum or a name twice.
    """
    listed = _read_strata(root / STRATA) if (root / STRATA).exists() else {}
    known = [replace(sample, stratum=_stratum(sample, listed)) for sample in samples]
    every = set().union(*map(_names, samples)) if samples else set()
    remarks = [_count(known)]
    if unused := [name for name in listed if name not in every]:
        remarks.append(f"{STRATA}: {len(unused)} rows match no X-ray ({_with_hints(unused, every)})")
    return known, remarks


def _stratum(sample: Sample, listed: dict[str, str]) -> str:
    # An X-ray's own row has priority over that of its person.
    for name in (*sorted(_names(sample) - {sample.group}), sample.group):
        if name in listed:
            return listed[name]
    number = re.fullmatch(r"ID(\d{3})", sample.group)
    if sample.split == "test" or number is None or int(number[1]) not in PUBLIC_TRAINING:
        return ""
    return OBLIQUE if int(number[1]) in PUBLIC_OBLIQUE else STRAIGHT


def _read_strata(path: Path) -> dict[str, str]:
    """Return name or ID -> stratum."""
    header, rows = read_csv(path)
    columns = [cell.strip() for cell in header]
    if columns not in (["image_name", "stratum"], ["ID", "stratum"]):
        raise CompetitionError(f"the columns are image_name,stratum or ID,stratum, not {','.join(columns)!r}", path)
    listed: dict[str, str] = {}
    for number, row in rows:
        if len(row) != 2:
            raise CompetitionError(f"line {number} has {len(row)} fields, not 2", path)
        name, stratum = (same_spelling(cell.strip()) for cell in row)
        if stratum not in (OBLIQUE, STRAIGHT):
            hint = nearest_hint(stratum, (OBLIQUE, STRAIGHT))
            raise CompetitionError(f"line {number}: unknown stratum {stratum!r}{hint}", path)
        if listed.setdefault(name, stratum) != stratum:
            raise CompetitionError(f"line {number} calls {name} {stratum}, an earlier line {listed[name]}", path)
    return listed


def _count(samples: Collection[Sample]) -> str:
    parts = []
    for split in ("train", "test"):
        counts = Counter(sample.stratum or "unknown" for sample in samples if sample.split == split)
        if counts:
            parts.append(f"{split} " + ", ".join(f"{count} {stratum}" for stratum, count in sorted(counts.items())))
    return "wrists: " + "; ".join(parts)

"""The cardiac track: the left ventricle on short-axis slices; here the names of patients and slices (Sunnybrook)."""

import re

PATIENT = re.compile(r"SC-(HF-I|HF-NI|HYP|N)-(\d+)")


def padded(patient: str) -> str:
    """Return the name with two digits, as in label pictures: SC-HF-I-2 -> SC-HF-I-02; others are unchanged."""
    match = PATIENT.fullmatch(patient)
    return patient if match is None else f"SC-{match[1]}-{int(match[2]):02d}"


def disease(patient: str) -> str:
    """Return HF-I or HF-NI (heart failure, infarction or not), HYP (thick walls) or N (healthy); "" if unknown."""
    match = PATIENT.fullmatch(patient)
    return "" if match is None else match[1]


def slice_key(patient: str, number: int) -> str:
    """Return the key of a slice, in all forms of the data: SC-HF-I-02-IM-0001-0060.dcm."""
    return f"{padded(patient)}-IM-0001-{number:04d}.dcm"


def slice_name(key: str) -> str:
    """Return the name of a slice in submissions: that of its published picture, in all forms of the data."""
    return f"{key}.png"

"""Who is who among the Sunnybrook hearts: patients, slices and diseases by their names."""

import re

PATIENT = re.compile(r"SC-(HF-I|HF-NI|HYP|N)-(\d+)")


def padded(patient: str) -> str:
    """Return the name with two digits, as the label pictures have it: SC-HF-I-2 -> SC-HF-I-02; other names stay."""
    match = PATIENT.fullmatch(patient)
    return patient if match is None else f"SC-{match[1]}-{int(match[2]):02d}"


def disease(patient: str) -> str:
    """HF-I, HF-NI (heart failure with and without infarction), HYP (thick walls) or N (healthy); "" if not known."""
    match = PATIENT.fullmatch(patient)
    return "" if match is None else match[1]


def slice_key(patient: str, number: int) -> str:
    """Return the key of a slice, in all forms of the data: SC-HF-I-02-IM-0001-0060.dcm."""
    return f"{padded(patient)}-IM-0001-{number:04d}.dcm"


def slice_name(key: str) -> str:
    """Return what the submission calls a slice: the name of its published picture, whatever form it was read from."""
    return f"{key}.png"

"""Options that several stages take, how they are parsed, and how they were typed."""

import argparse
import re
import shlex
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from competition.data.remote.remote_files import is_address
from competition.errors import CompetitionError
from competition.text import shown

DEFAULT_TRACK = "hand_bone"
# At most 20 digits before the point, 30 after it and two in the exponent: 1e999999999 would take minutes to write out.
_NUMBER = re.compile(r"[+-]?[0-9]{0,20}(?:\.[0-9]{0,30})?(?:[eE][+-]?[0-9]{1,2})?|[0-9]{1,20}/[0-9]{1,20}")


def typed_options(args: argparse.Namespace) -> str:
    """Return the track, --phantom and the workspace as they were typed, quoted, each after a space."""
    options = [] if args.track in (None, DEFAULT_TRACK) else ["--track", args.track]
    options += ["--phantom"] * args.phantom
    options += ["--workspace", args.workspace] if args.workspace else []
    return "".join(f" {shlex.quote(str(option))}" for option in options)


def add_fill_bad(parser: argparse.ArgumentParser) -> None:
    """Add --fill-bad."""
    help_text = "replace unreadable test samples with black images, which score about 0"
    parser.add_argument("--fill-bad", action="store_true", help=help_text)


def folder_or_address(text: str) -> Path | str:
    """Read a folder, or an address such as s3://bucket/folder, which stays a text."""
    return text if is_address(text) else Path(text)


def add_size(parser: argparse.ArgumentParser, help_text: str) -> None:
    """Add --size, rows x columns of every image."""
    parser.add_argument("--size", type=parse_size, metavar="ROWSxCOLUMNS", help=help_text)


def parse_size(text: str) -> tuple[int, int]:
    """Read "2048x1536" as rows and columns."""
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not ROWSxCOLUMNS, for example 2048x2048")
    return int(match[1]), int(match[2])


def parse_folders(texts: Sequence[str], option: str, kind: str, names: Sequence[str]) -> list[tuple[str, Path]]:
    """Read "NAME=DIR" of a repeatable option, where ``kind`` is what is named; reject unknown names."""
    pairs = []
    for text in texts:
        name, _, folder = text.partition("=")
        if name not in names or not folder:
            form = f"{kind.upper()}=DIR with a {kind} of {', '.join(names)}"
            raise CompetitionError(f"{option} takes {form}, not {text!r}")
        pairs.append((name, Path(folder).expanduser()))
    return pairs


def parse_weights(text: str, count: int, things: str) -> list[Fraction]:
    """Read "2,1,0.5" as one weight for each of ``count`` things.

    Raises:
        CompetitionError: The number of weights is wrong, or one is not a number.
    """
    weights = [parse_fraction(part, "--weights") for part in text.split(",")]
    if len(weights) != count:
        raise CompetitionError(f"--weights names {len(weights)} weights for {count} {things}")
    return weights


def parse_fraction(text: str, option: str) -> Fraction:
    """Read "0.1" as exactly a tenth.

    Raises:
        CompetitionError: It is not a number, or has too many digits.
    """
    try:
        if not _NUMBER.fullmatch(text.strip()):
            raise ValueError
        return Fraction(text.strip())
    except (ValueError, ZeroDivisionError) as error:
        raise CompetitionError(f"{option} takes numbers such as 0.5, not {shown(text)}") from error

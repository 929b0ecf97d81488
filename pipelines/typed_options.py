"""Options that several commands take, and how they were typed."""

import argparse
import re
import shlex

DEFAULT_TRACK = "hand_bone"


def typed_options(args: argparse.Namespace) -> str:
    """Return the track, --phantom and the workspace as they were typed, quoted, each after a space."""
    options = [] if args.track in (None, DEFAULT_TRACK) else ["--track", args.track]
    options += ["--phantom"] * args.phantom
    options += ["--workspace", args.workspace] if args.workspace else []
    return "".join(f" {shlex.quote(str(option))}" for option in options)


def add_fill_bad(parser: argparse.ArgumentParser) -> None:
    """Add --fill-bad."""
    parser.add_argument(
        "--fill-bad", action="store_true", help="take unreadable test samples as black images, which score next to 0"
    )


def parse_size(text: str) -> tuple[int, int]:
    """Read "2048x1536" as rows and columns."""
    match = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not ROWSxCOLUMNS, for example 2048x2048")
    return int(match[1]), int(match[2])

"""Options that several commands take, and how they were typed."""

import argparse
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

"""The options of a command that every further command needs in order to mean the same data."""

import argparse
import shlex

DEFAULT_TRACK = "hand_bone"


def typed_options(args: argparse.Namespace) -> str:
    """Return the track, --phantom and the workspace as they were typed, quoted, each after a space."""
    options = [] if args.track in (None, DEFAULT_TRACK) else ["--track", args.track]
    options += ["--phantom"] * args.phantom
    options += ["--workspace", args.workspace] if args.workspace else []
    return "".join(f" {shlex.quote(str(option))}" for option in options)

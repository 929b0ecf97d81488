"""Where prepare finds raw data, and the drawing of data where there is none."""

import argparse
from pathlib import Path

from competition.console import progress, say, shout
from competition.data.folds import FOLDS
from competition.data.manifest import prepared_root
from competition.errors import CompetitionError
from competition.files import remove_folder, whole_folder
from competition.phantoms import PHANTOMS
from competition.tracks.track import Track
from competition.workspace import PHANTOM, Workspace
from pipelines.context import workspace_root

# Sides of drawn images: below, bones are no pixel wide; above, one image of 29 masks takes gigabytes.
SMALLEST, LARGEST = 32, 8192

# What tells the folders that are thrown away with an older drawing.
PREPARED = ("*.parquet", "images/*.b2", "labels/*.b2")
TRAINED = ("*/*/config.yaml", "*/*/.lock", "*/imported.json", "ensembles/*/decision.json", "search/*.db")


def find_data(args: argparse.Namespace, track: Track) -> tuple[Workspace, Path]:
    """Where the raw data is: --data, what was prepared before, data/<track>, else drawn data, drawn now if need be.

    Args:
        args: The stage's options.
        track: What is competed in.

    Returns:
        The workspace of the data set, real or drawn, and the folder of its raw data.

    Raises:
        CompetitionError: The folder is missing or empty, or the track has no drawn data.
    """
    root = workspace_root(args)
    real = Workspace(root, track.name)
    if not args.phantom:
        given = args.data.expanduser().resolve() if args.data is not None else prepared_root(real)
        if given is not None or real.data_folder().exists():
            folder = _existing(given or real.data_folder())
            _refuse_drawing(args, folder)
            return real, folder
    elif args.data is not None:
        raise CompetitionError("--phantom draws its own data, so --data can't be given with it")
    phantom = Workspace(root, PHANTOM + track.name)
    _check_drawable(track)
    if not args.phantom:
        shout(
            f"PHANTOM DATA: {real.data_folder()} does not exist, so this works on drawn images (--data DIR gives yours)"
        )
    _draw_phantom(args, track, phantom)
    return phantom, phantom.data_folder()


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise CompetitionError("data folder not found", folder, "Give the folder of the raw data with --data DIR")
    if not any(folder.iterdir()):
        raise CompetitionError("data folder is empty", folder)
    return folder


def _refuse_drawing(args: argparse.Namespace, folder: Path) -> None:
    options = {"--people": args.people, "--test-people": args.test_people, "--size": args.size, "--seed": args.seed}
    if given := [option for option, value in options.items() if value]:
        repair = f"Leave {' '.join(given)} out, or draw data with --phantom"
        raise CompetitionError(f"{given[0]} is for drawn data, and this data was given", folder, repair)


def _check_drawable(track: Track) -> None:
    if track.name not in PHANTOMS:
        known = ", ".join(PHANTOMS)
        raise CompetitionError(
            f"track {track.name} has no drawn data (only {known})", None, "Give yours with --data DIR"
        )


def _draw_phantom(args: argparse.Namespace, track: Track, workspace: Workspace) -> None:
    phantom = PHANTOMS[track.name]
    people, test_people = args.people or phantom.people, args.test_people or phantom.test_people
    size = phantom.size if args.size is None else args.size
    if not SMALLEST <= size <= LARGEST:
        raise CompetitionError(f"--size {size}: images are drawn from {SMALLEST} to {LARGEST} pixels wide")
    if args.seed < 0:
        raise CompetitionError(f"--seed {args.seed}: a seed is 0 or more")
    recipe = f"people {people}, test people {test_people}, size {size}, seed {args.seed}\n"
    folder = workspace.data_folder()
    note = folder / "drawn.txt"
    asked = args.people or args.test_people or args.size or args.seed
    if note.exists() and (note.read_text(errors="replace") == recipe or not asked):
        return
    folds = FOLDS if args.folds is None else args.folds
    if people < folds:  # said before anything of an older drawing is thrown away
        repair = f"Give --people {folds} or more, or a smaller number to --folds"
        raise CompetitionError(f"--people {people} can't be split into {folds} folds", None, repair)
    before = note.read_text(errors="replace").strip() if note.exists() else ""
    with (
        whole_folder(folder, "drawn.txt") as part,
        progress("drawing", (people + test_people) * phantom.steps_per_person) as ticker,
    ):
        phantom.draw(part, people, test_people, size, args.seed, ticker.advance)
        (part / "drawn.txt").write_text(recipe)
    if before:
        say(f"drawn again: {folder} held {before}; what was trained on it goes with it")
        remove_folder(workspace.cache_folder(), *PREPARED)
        remove_folder(workspace.run_folder("*").parent, *TRAINED)
        workspace.fold_file().unlink(missing_ok=True)

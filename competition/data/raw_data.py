"""Finding the raw data of a track, and drawing synthetic data where there is none."""

from dataclasses import dataclass
from pathlib import Path

from competition.console import progress, say, shout
from competition.data.manifest import prepared_root
from competition.errors import CompetitionError
from competition.files import remove_folder, whole_folder
from competition.phantoms import PHANTOMS
from competition.tracks.track import Track
from competition.workspace import PHANTOM, Workspace

# Sides of drawn images: below, bones are no pixel wide; above, one image of 29 masks takes gigabytes.
SMALLEST, LARGEST = 32, 8192

# What tells the folders that are thrown away with an older drawing.
PREPARED = ("*.parquet", "images/*.b2", "labels/*.b2")
TRAINED = ("*/*/config.yaml", "*/*/.lock", "*/imported.json", "ensembles/*/decision.json", "search/*.db")


@dataclass(frozen=True)
class Drawing:
    """How synthetic data is drawn; None and 0 stand for the track's own values.

    Attributes:
        people: Number of training people.
        test_people: Number of test people.
        size: Side of an image in pixels.
        seed: Another seed draws other people.
    """

    people: int | None = None
    test_people: int | None = None
    size: int | None = None
    seed: int = 0

    def given(self) -> list[str]:
        """Return the options of prepare that were given."""
        options = {"--people": self.people, "--test-people": self.test_people, "--size": self.size, "--seed": self.seed}
        return [option for option, value in options.items() if value]


def find_data(
    track: Track, root: Path, data: Path | None, phantom: bool, drawing: Drawing, folds: int
) -> tuple[Workspace, Path]:
    """Find raw data: ``data``, what was prepared before, data/<track>, else synthetic data, drawn now if need be.

    Args:
        track: What is competed in.
        root: Of the workspace.
        data: The folder that the user gives.
        phantom: Whether synthetic data is asked for.
        drawing: How it is drawn.
        folds: How many folds are to be made; fewer people can't be split.

    Returns:
        The workspace of the data set, real or drawn, and the folder of its raw data.

    Raises:
        CompetitionError: The folder is missing or empty, or the track has no drawn data.
    """
    real = Workspace(root, track.name)
    if not phantom:
        given = data.expanduser().resolve() if data is not None else prepared_root(real)
        if given is not None or real.data_folder().exists():
            folder = _existing(given or real.data_folder())
            _refuse_drawing(drawing, folder)
            return real, folder
    elif data is not None:
        raise CompetitionError("--phantom draws its own data, so --data can't be given with it")
    drawn = Workspace(root, PHANTOM + track.name)
    _check_drawable(track)
    if not phantom:
        shout(
            f"PHANTOM DATA: {real.data_folder()} does not exist, so this works on drawn images (--data DIR gives yours)"
        )
    _draw(track, drawn, drawing, folds)
    return drawn, drawn.data_folder()


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise CompetitionError("data folder not found", folder, "Give the folder of the raw data with --data DIR")
    if not any(folder.iterdir()):
        raise CompetitionError("data folder is empty", folder)
    return folder


def _refuse_drawing(drawing: Drawing, folder: Path) -> None:
    if given := drawing.given():
        repair = f"Leave {' '.join(given)} out, or draw data with --phantom"
        raise CompetitionError(f"{given[0]} is for drawn data, and this data was given", folder, repair)


def _check_drawable(track: Track) -> None:
    if track.name not in PHANTOMS:
        known = ", ".join(PHANTOMS)
        raise CompetitionError(
            f"track {track.name} has no drawn data (only {known})", None, "Give yours with --data DIR"
        )


def _draw(track: Track, workspace: Workspace, drawing: Drawing, folds: int) -> None:
    phantom = PHANTOMS[track.name]
    people, test_people = drawing.people or phantom.people, drawing.test_people or phantom.test_people
    size = phantom.size if drawing.size is None else drawing.size
    if not SMALLEST <= size <= LARGEST:
        raise CompetitionError(f"--size {size}: images are drawn from {SMALLEST} to {LARGEST} pixels wide")
    if drawing.seed < 0:
        raise CompetitionError(f"--seed {drawing.seed}: a seed is 0 or more")
    recipe = f"people {people}, test people {test_people}, size {size}, seed {drawing.seed}\n"
    folder = workspace.data_folder()
    note = folder / "drawn.txt"
    if note.exists() and (note.read_text(errors="replace") == recipe or not drawing.given()):
        return
    if people < folds:  # said before anything of an older drawing is thrown away
        repair = f"Give --people {folds} or more, or a smaller number to --folds"
        raise CompetitionError(f"--people {people} can't be split into {folds} folds", None, repair)
    before = note.read_text(errors="replace").strip() if note.exists() else ""
    with (
        whole_folder(folder, "drawn.txt") as part,
        progress("drawing", (people + test_people) * phantom.steps_per_person) as ticker,
    ):
        phantom.draw(part, people, test_people, size, drawing.seed, ticker.advance)
        (part / "drawn.txt").write_text(recipe)
    if before:
        say(f"drawn again: {folder} held {before}; what was trained on it goes with it")
        remove_folder(workspace.cache_folder(), *PREPARED)
        remove_folder(workspace.run_folder("*").parent, *TRAINED)
        workspace.fold_file().unlink(missing_ok=True)

"""Finding the raw data of a track, or drawing synthetic data where there is none."""

from dataclasses import dataclass
from pathlib import Path

from competition.console import progress, say, shout
from competition.data.manifest import prepared_root
from competition.data.remote.staging import stage
from competition.errors import CompetitionError
from competition.files import remove_folder, whole_folder
from competition.phantoms import PHANTOMS
from competition.tracks.track import Track
from competition.workspace import PHANTOM, Workspace

# Sides of synthetic images: below, bones are no pixel wide; above, one image of 29 masks takes gigabytes.
SMALLEST, LARGEST = 32, 8192

# Files by which folders are recognised that are deleted with older synthetic data.
PREPARED = ("*.parquet", "images/*.b2", "labels/*.b2")
_SEARCHES = ("search/*.journal", "search/*.db")
TRAINED = ("*/*/config.yaml", "*/*/.lock", "*/imported.json", "ensembles/*/decision.json", *_SEARCHES)


@dataclass(frozen=True)
class Drawing:
    """Options of synthetic data; None and 0 are the track's own values."""

    people: int | None = None  # number of training persons
    test_people: int | None = None  # number of test persons
    size: int | None = None  # side of an image in pixels
    seed: int = 0  # another seed draws other persons

    def given(self) -> list[str]:
        """Return the options of prepare that were given."""
        options = {"--people": self.people, "--test-people": self.test_people, "--size": self.size, "--seed": self.seed}
        return [option for option, value in options.items() if value]


def find_data(
    track: Track, root: Path, data: Path | str | None, phantom: bool, drawing: Drawing, folds: int
) -> tuple[Workspace, Path]:
    """Find raw data: ``data``, what was prepared before, data/<track>, else synthetic data, drawn now if need be.

    Args:
        track: The competition.
        root: Of the workspace.
        data: The folder that the user gives, or an address, which is staged.
        phantom: Whether synthetic data is asked for.
        drawing: Options of synthetic data.
        folds: How many folds are to be made; fewer persons can't be split.

    Returns:
        The workspace of the data set, real or synthetic, and the folder of its raw data.

    Raises:
        CompetitionError: The folder is missing or empty, the address can't be staged, or the track has no synthetic
            data.
    """
    real = Workspace(root, track.name)
    if not phantom:
        given = _given_folder(real, data)
        if given is not None or real.data_folder().exists():
            return real, _existing(given or real.data_folder(), drawing.given())
    elif data is not None:
        raise CompetitionError("--phantom makes its own data, so --data can't be given with it")
    synthetic = Workspace(root, PHANTOM + track.name)
    if track.name not in PHANTOMS:
        what = f"track {track.name} has no synthetic data (only {', '.join(PHANTOMS)})"
        raise CompetitionError(what, None, "Give yours with --data DIR")
    if not phantom:
        shout(f"PHANTOM DATA: {real.data_folder()} does not exist, so images are synthetic (--data DIR gives yours)")
    _draw(track, synthetic, drawing, folds)
    return synthetic, synthetic.data_folder()


def _given_folder(workspace: Workspace, data: Path | str | None) -> Path | None:
    if isinstance(data, str):
        return stage(data, workspace)
    return data.expanduser().resolve() if data is not None else prepared_root(workspace)


def _existing(folder: Path, options: list[str]) -> Path:
    """Return the folder of real data; reject ``options`` of synthetic data."""
    if not folder.is_dir():
        raise CompetitionError("data folder not found", folder, "Give the folder of the raw data with --data DIR")
    if not any(folder.iterdir()):
        raise CompetitionError("data folder is empty", folder, "Give the folder of the raw data with --data DIR")
    if options:
        repair = f"Leave {' '.join(options)} out, or make synthetic data with --phantom"
        raise CompetitionError(f"{options[0]} is for synthetic data, and real data was given", folder, repair)
    return folder


def _draw(track: Track, workspace: Workspace, drawing: Drawing, folds: int) -> None:
    phantom = PHANTOMS[track.name]
    people, test_people = drawing.people or phantom.people, drawing.test_people or phantom.test_people
    size = phantom.size if drawing.size is None else drawing.size
    if not SMALLEST <= size <= LARGEST:
        raise CompetitionError(f"--size {size}: synthetic images are {SMALLEST} to {LARGEST} pixels wide")
    if drawing.seed < 0:
        raise CompetitionError(f"--seed {drawing.seed}: a seed must be 0 or more")
    recipe = f"people {people}, test people {test_people}, size {size}, seed {drawing.seed}\n"
    folder = workspace.data_folder()
    note = folder / "drawn.txt"
    before = note.read_text(errors="replace") if note.exists() else ""
    if note.exists() and (before == recipe or not drawing.given()):
        return
    if people < folds:  # checked before older synthetic data is deleted
        repair = f"Give --people {folds} or more, or a smaller number to --folds"
        raise CompetitionError(f"--people {people} can't be split into {folds} folds", None, repair)
    steps = (people + test_people) * phantom.steps_per_person
    with whole_folder(folder, "drawn.txt") as part, progress("drawing", steps) as ticker:
        phantom.draw(part, people, test_people, size, drawing.seed, ticker.advance)
        (part / "drawn.txt").write_text(recipe)
    if before := before.strip():
        say(f"drawn again: {folder} held {before}; runs trained on it are deleted")
        remove_folder(workspace.cache_folder(), *PREPARED)
        remove_folder(workspace.run_folder("*").parent, *TRAINED)
        workspace.fold_file().unlink(missing_ok=True)

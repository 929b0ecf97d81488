"""All tracks by name, built in or declared in YAML."""

from dataclasses import replace
from pathlib import Path

from competition.errors import CompetitionError
from competition.names import check_name, name_fault
from competition.plugins import load_plugins, plugin_hash
from competition.text import nearest_hint, shown
from competition.tracks.aneurysm.track import ANEURYSM
from competition.tracks.cardiac.track import CARDIAC
from competition.tracks.declared.table_track import is_table_track, load_table_track
from competition.tracks.declared.track import load_folder_track
from competition.tracks.hand_bone.track import HAND_BONE
from competition.tracks.lumbar.track import LUMBAR
from competition.tracks.track import Track
from competition.workspace import PHANTOM, SHIPPED_FOLDS

FOLDER_TRACKS = Path(__file__).resolve().parent
TRACKS = {track.name: track for track in (HAND_BONE, ANEURYSM, CARDIAC, LUMBAR)}


def track_names() -> list[str]:
    """Return the names of all tracks: those in code, and those declared in a YAML beside this file."""
    return [*TRACKS, *sorted(path.stem for path in FOLDER_TRACKS.glob("*.yaml"))]


def get_track(name: str) -> Track:
    """Return the track of that name, or the one that a YAML or Python file of that path declares.

    Raises:
        CompetitionError: There is no such track, or the name of the declaration is taken.
    """
    if name in TRACKS:
        return TRACKS[name]
    if name.endswith(".py"):
        return _track_of_plugin(Path(name).resolve())
    named = not name.endswith((".yaml", ".yml"))
    declaration = FOLDER_TRACKS / f"{name}.yaml" if named else Path(name)
    if named and name_fault(name):
        raise CompetitionError(f"unknown track {shown(name)}{nearest_hint(name, track_names())}")
    check_name(declaration.stem, "a track", f"Give another name to {declaration.name[:60]}")
    if not declaration.exists() and declaration.parent != FOLDER_TRACKS:
        raise CompetitionError("no such track declaration", declaration, "Give the path of a YAML file to --track")
    if not declaration.exists():
        yours = [f"{name}{ending}" for ending in (".yaml", ".yml") if Path(f"{name}{ending}").exists()]
        hint = f", did you mean {yours[0]!r}?" if yours else nearest_hint(name, track_names())
        repair = "Name a competition of your own by the path of its YAML file"
        raise CompetitionError(f"unknown track {name!r}{hint}", None, repair)
    # The name is the track's folder in the workspace, which must not hold another track's folds and runs.
    if reason := _taken(declaration):
        raise CompetitionError(reason, declaration, "Give the declaration's file another name")
    track = load_table_track(declaration) if is_table_track(declaration) else load_folder_track(declaration)
    return track if declaration.parent == FOLDER_TRACKS else replace(track, declaration=declaration)


def _track_of_plugin(path: Path) -> Track:
    """Return the track that a Python file defines at its top level."""
    (module,), (content,) = load_plugins([path]), plugin_hash([path])
    defined = [value for value in vars(module).values() if isinstance(value, Track)]
    if len(defined) != 1:
        raise CompetitionError(f"the file defines {len(defined)} tracks", path, "Define one Track at its top level")
    if reason := _taken(path.with_name(f"{defined[0].name}.py")):
        raise CompetitionError(reason, path, "Give the track another name")
    reading, data_form = f"{defined[0].reading}{content}", f"{defined[0].data_form}{content}"
    return replace(defined[0], declaration=path, reading=reading, data_form=data_form)


def _taken(declaration: Path) -> str | None:
    """Return why the name of a declared track is taken in a workspace; None if it is free."""
    name = declaration.stem
    if name in track_names() and declaration.resolve().parent != FOLDER_TRACKS:
        return "there is a built-in track of this name"
    if name.startswith(PHANTOM):
        return f"{PHANTOM}... is the prefix of synthetic data"
    if name in {f"{shipped}_own" for shipped in SHIPPED_FOLDS} or name.startswith("leaderboard.csv"):
        return "a file of the workspace has this name"
    return None

"""The mark of a finished fold: what its predictions belong to, and whether it learned shuffled labels."""

from datetime import datetime
from pathlib import Path
from typing import Any

from competition.errors import CompetitionError
from competition.files import write_sealed_json
from competition.formats.json_files import read_json_object
from competition.formats.yaml_files import read_yaml
from competition.training.checkpoints import Identity
from competition.workspace import finished_file, settings_file


def write_finished(fold_folder: Path, identity: Identity, shuffled: bool = False) -> None:
    """Mark a fold as finished; written last, so that an interrupted fold is no fold for any reader.

    Args:
        fold_folder: Of the run.
        identity: What the predictions belong to.
        shuffled: Whether the fold learned shuffled labels (``data.shuffle_labels``).
    """
    content = {
        "identity": vars(identity) | {"classes": list(identity.classes)},
        "shuffled": shuffled,
    }
    write_sealed_json(finished_file(fold_folder), content)


def read_identity(fold_folder: Path, repair: str) -> dict[str, Any]:
    """Return what a finished fold belongs to.

    Raises:
        CompetitionError: The fold is not finished or its mark is damaged; ``repair`` names the command that makes it.
    """
    path = finished_file(fold_folder)
    identity: Any = read_json_object(path, ("identity",), repair)["identity"]
    if not isinstance(identity, dict) or not identity.keys() >= {"fold_hash", "data_hash", "config_hash", "classes"}:
        raise CompetitionError("the identity of the fold is missing", path, repair)
    return identity


def learned_shuffled_labels(fold_folder: Path) -> bool:
    """Return whether a finished fold learned shuffled labels.

    Marks written before version 0.2.0 do not say; the settings of the fold do.
    """
    stored = read_json_object(finished_file(fold_folder), ("identity",), "Train the fold again with --force")
    if "shuffled" in stored:
        return bool(stored["shuffled"])
    path = settings_file(fold_folder)
    settings = read_yaml(path, "no settings of the fold") if path.exists() else {}
    data = settings.get("data") if isinstance(settings, dict) else None
    return isinstance(data, dict) and bool(data.get("shuffle_labels"))


def finished_at(fold_folder: Path) -> datetime:
    """Return when a fold was finished, with time zone: the time of its mark, whose content knows no time."""
    return datetime.fromtimestamp(finished_file(fold_folder).stat().st_mtime).astimezone()

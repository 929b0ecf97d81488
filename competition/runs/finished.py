"""The mark of a finished fold: the identity of its predictions, and whether it learned shuffled labels."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from competition.errors import CompetitionError
from competition.files import write_sealed_json
from competition.formats.json_files import read_json_object
from competition.formats.yaml_files import read_yaml
from competition.workspace import finished_file, settings_file

if TYPE_CHECKING:  # an exported model opens its decision without torch
    from competition.training.checkpoints import Identity


def write_finished(fold_folder: Path, identity: "Identity", shuffled: bool = False) -> None:
    """Mark a fold as finished; written last, so that no reader takes an interrupted fold for a finished one."""
    content = {"identity": vars(identity) | {"classes": list(identity.classes)}, "shuffled": shuffled}
    write_sealed_json(finished_file(fold_folder), content)


def read_identity(fold_folder: Path, repair: str) -> dict[str, Any]:
    """Return the identity of a finished fold.

    Raises:
        CompetitionError: The fold is not finished or its mark is damaged; ``repair`` is the command that makes it.
    """
    path = finished_file(fold_folder)
    identity: Any = read_json_object(path, ("identity",), repair)["identity"]
    if not isinstance(identity, dict) or not identity.keys() >= {"fold_hash", "data_hash", "config_hash", "classes"}:
        raise CompetitionError("the identity of the fold is missing", path, repair)
    return identity


def learned_shuffled_labels(fold_folder: Path) -> bool:
    """Return whether a finished fold learned shuffled labels; before version 0.2.0 only its settings record it."""
    stored = read_json_object(finished_file(fold_folder), ("identity",), "Train the fold again with --force")
    if "shuffled" in stored:
        return bool(stored["shuffled"])
    path = settings_file(fold_folder)
    settings = read_yaml(path, "no settings of the fold") if path.exists() else {}
    data = settings.get("data") if isinstance(settings, dict) else None
    return isinstance(data, dict) and bool(data.get("shuffle_labels"))

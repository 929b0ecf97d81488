"""JSON files: read, and compared with their checksum if they carry one."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from competition.errors import CompetitionError
from competition.files import CHECKSUM, check_file, json_checksum
from competition.formats.csv_files import other_encoding


def read_json(path: Path, repair: str) -> Any:
    """Read a JSON file, with or without a byte order mark, and compare it with its checksum if it carries one.

    Raises:
        CompetitionError: It is missing, not JSON, or not what was written; ``repair`` makes it again.
    """
    check_file(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        stored = content.pop(CHECKSUM, None) if isinstance(content, dict) else None
        unchanged = stored is None or stored == json_checksum(content)
    except FileNotFoundError as error:
        raise CompetitionError("file not found", path, repair) from error
    except UnicodeDecodeError as error:
        reason = other_encoding(path, error.object).what
        raise CompetitionError(f"can't be read as JSON ({reason})", path, repair) from error
    except (OSError, ValueError, RecursionError) as error:
        reason = "brackets are nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise CompetitionError(f"can't be read as JSON ({reason})", path, repair) from error
    except MemoryError as error:
        raise CompetitionError("the file does not fit into memory", path, repair) from error
    if not unchanged:
        raise CompetitionError("the file is not as it was written: it was edited or is damaged", path, repair)
    return content


def read_json_object(path: Path, keys: Sequence[str], repair: str) -> dict[str, Any]:
    """Read a JSON object that has at least these keys; errors as of ``read_json``."""
    stored = read_json(path, repair)
    if not isinstance(stored, dict) or not stored.keys() >= set(keys):
        raise CompetitionError(f"one of the keys {', '.join(keys)} is missing", path, repair)
    return stored

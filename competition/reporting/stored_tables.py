"""The CSV files that train and tune leave, as tables; a file that was edited into something else is named."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from competition.errors import CompetitionError
from competition.files import check_file


def read_stored_table(path: Path, texts: Sequence[str], numbers: Sequence[str], repair: str) -> pd.DataFrame:
    """Read a CSV: columns of text as they are ("NA" is a name), columns of numbers as float64, NaN where empty.

    Args:
        path: Of train or tune.
        texts: Columns it must have.
        numbers: Likewise.
        repair: The command that makes it again.

    Returns:
        All columns of the file, those not named as text.

    Raises:
        CompetitionError: The file is missing, no CSV, lacks a column, or a number is none.
    """
    if not path.exists():
        raise CompetitionError("the file is missing", path, repair)
    check_file(path)
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, index_col=False)
    except (OSError, ValueError) as error:  # pandas' ParserError and UnicodeDecodeError are ValueErrors
        raise CompetitionError(f"can't be read as a table ({str(error)[:200]})", path, repair) from error
    if absent := [name for name in (*texts, *numbers) if name not in table.columns]:
        raise CompetitionError(f"column {absent[0]!r} is missing", path, repair)
    for name in numbers:
        try:
            table[name] = pd.to_numeric(table[name].where(table[name] != "")).astype("float64")
            if np.isinf(table[name]).any():
                raise ValueError("not finite")
        except (OverflowError, ValueError) as error:
            raise CompetitionError(f"column {name!r} holds what is no number", path, repair) from error
    return table

"""Tables on disk: Parquet files with a checksum, written whole or not at all."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow.parquet

from competition.checksums import check_seal, sealed_file
from competition.errors import CompetitionError
from competition.formats.source_files import damage_named

# A million samples of 29 classes take 0.25 GB.
_LARGEST_TABLE_BYTES = 1 << 30


def write_table(path: Path, frame: pd.DataFrame) -> None:
    """Write a table without its index, whole or not at all."""
    with sealed_file(path) as part:
        frame.to_parquet(part, index=False)


def read_table(path: Path, repair: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a table of ``write_table``, or some of its columns.

    Raises:
        CompetitionError: It is missing or damaged, or lacks a column; ``repair`` makes it again.
    """
    if path.exists():
        check_seal(path, repair)
    return read_imported_table(path, repair, columns)


def read_imported_table(path: Path, repair: str, columns: Sequence[str] | None = None) -> pd.DataFrame:
    """Read a Parquet file that another program may have made; errors as of ``read_table``."""
    if not path.exists():
        raise CompetitionError("table not found", path, repair)
    check_seal(path, repair, required=False)
    with damage_named("table can't be read", path, repair):
        about = pyarrow.parquet.read_metadata(path)
        if about.num_rows * about.num_columns * 8 > _LARGEST_TABLE_BYTES:
            raise ValueError(f"{about.num_rows} rows of {about.num_columns} columns")
        content = pyarrow.parquet.read_table(path, columns=None if columns is None else list(columns))
        content.validate(full=True)  # else text that is not UTF-8 is read, and raises where it is used
        frame: pd.DataFrame = content.to_pandas()
        return frame

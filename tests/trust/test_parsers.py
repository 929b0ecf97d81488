"""Every parser on thousands of damaged files: it reads them, or refuses them with one sentence.

``./run.sh test`` tries 100 files for each, ``./run.sh test trust`` 500, and ``./run.sh test trust --inputs 50000`` as
many as are asked for.
"""

import itertools
import time
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from annotation_parsers import annotation_parsers
from array_parsers import array_parsers
from class_table_parsers import class_table_parsers
from damage import damaged_files, programs
from hypothesis import HealthCheck, Phase, given, note, seed, settings
from label_parsers import label_parsers
from mask_form_parsers import mask_form_parsers
from model_parsers import model_parsers
from peak_memory import forget_peak, peak_bytes
from picture_parsers import picture_parsers
from submission_parsers import submission_parsers
from text_parsers import text_parsers
from trust_parser import Parser
from trust_table import Fuzzed, TrustTable

from competition.errors import CompetitionError

LONGEST_SECONDS, BYTES_PER_SECOND, LARGEST_BYTES = 5.0, 20e6, 1 << 30
PARSERS = [
    *picture_parsers(),
    *label_parsers(),
    *annotation_parsers(),
    *array_parsers(),
    *text_parsers(),
    *submission_parsers(),
    *class_table_parsers(),
    *mask_form_parsers(),
    *model_parsers(),
]
BATCH, FILES_OF_PROGRAM = 2000, 20
_SETTINGS = settings(
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.generate, Phase.shrink],
)
# A parser that is tried on several kinds of files, named in brackets, shares its inputs among them.
KINDS = Counter(parser.name.partition(" (")[0] for parser in PARSERS)


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
def test_valid_files_are_read(parser: Parser, tmp_path: Path) -> None:
    for content in parser.valid:
        path = tmp_path / parser.file
        path.write_bytes(content)
        parser.read(path)


@pytest.mark.parametrize("parser", PARSERS, ids=lambda parser: parser.name)
@pytest.mark.filterwarnings("ignore")
def test_damaged_files_are_read_or_refused(
    parser: Parser, tmp_path: Path, inputs: int, trust_table: TrustTable
) -> None:
    path = tmp_path / parser.file
    share = -(-inputs // KINDS[parser.name.partition(" (")[0]])
    fuzzed = trust_table.fuzzed(parser.name)

    def read_or_refuse(program: bytes) -> None:
        for content in damaged_files(parser.valid, program):
            note(content)
            path.unlink(missing_ok=True)
            path.write_bytes(content)
            refused = _try(parser, path, fuzzed)
            assert refused is None or (refused.isprintable() and len(refused) < 3000), refused

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = forget_peak()
        for number in itertools.count():
            # In batches, because hypothesis keeps all that it has drawn.
            examples = min(BATCH, (share - fuzzed.inputs) // FILES_OF_PROGRAM + 1)
            drawn = settings(_SETTINGS, max_examples=examples)(given(programs())(read_or_refuse))
            seed(number)(drawn)()
            if fuzzed.inputs >= share:
                break
        fuzzed.peak_bytes = peak_bytes() - before
    assert fuzzed.peak_bytes < LARGEST_BYTES


def _try(parser: Parser, path: Path, fuzzed: Fuzzed) -> str | None:
    """Reads a file within the time that its declared size allows; returns the sentence that refused it."""
    for _ in range(2):  # a second chance, because other processes may have held the first up
        start = time.perf_counter()
        read, refused = None, None
        try:
            read = parser.read(path)
        except CompetitionError as error:
            refused = str(error)
            if parser.names_file:
                assert path.parent.name in refused or path.name in refused, f"no file is named: {refused}"
        seconds = time.perf_counter() - start
        allowed = LONGEST_SECONDS + (read.nbytes if isinstance(read, np.ndarray) else 0) / BYTES_PER_SECOND
        if seconds < allowed:
            break
    fuzzed.count(refused is not None, seconds)
    assert seconds < allowed, f"took {seconds:.1f} s"
    return refused

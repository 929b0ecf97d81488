"""One flipped bit anywhere in a file of ours is noticed before anything is computed with it."""

import random
from pathlib import Path

import pytest
from array_parsers import own_artefacts
from damage import flip_bit
from trust_table import TrustTable

from competition.errors import CompetitionError

ARTEFACTS = own_artefacts()


@pytest.mark.parametrize("name", ARTEFACTS)
def test_a_flipped_bit_is_refused(name: str, tmp_path: Path, inputs: int, trust_table: TrustTable) -> None:
    whole, read = ARTEFACTS[name]
    path = tmp_path / name
    path.write_bytes(whole)
    read(path)
    bits = random.Random(0).sample(range(8 * len(whole)), min(inputs, 8 * len(whole)))
    for bit in bits:
        path.write_bytes(flip_bit(whole, bit))
        with pytest.raises(CompetitionError, match=str(path.parent.name)):
            read(path)
    trust_table.add(f"{len(bits):,} files `{name}` with one flipped bit", "all refused")

"""One flipped bit anywhere in a file of ours is noticed before anything is computed with it."""

import random
from pathlib import Path

import pytest
from array_parsers import own_artefacts
from damage import flip_bit
from trust_table import TrustTable

from competition.errors import CompetitionError
from competition.files import write_sealed_json
from competition.formats.json_files import read_json

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


def test_a_flipped_bit_of_a_json_file_never_changes_what_it_says(tmp_path: Path, trust_table: TrustTable) -> None:
    path = tmp_path / "decision.json"
    written = {
        "levels": {"lv": 127, "rv": 131},
        "weights": [600, 400],
        "score": 0.8908,
        "name": "K\u00f6nig",
        "folds": None,
    }
    write_sealed_json(path, written)
    whole = path.read_bytes()
    refused: list[str] = []
    for bit in range(8 * len(whole)):
        path.write_bytes(flip_bit(whole, bit))
        try:
            read = read_json(path, "Run ./run.sh tune")
        except CompetitionError as error:
            refused.append(str(error))
        else:  # white space, or the name of the checksum itself
            assert {key: read[key] for key in written} == written
    assert len(refused) > 7 * len(whole)
    assert all(path.name in sentence for sentence in refused)
    tried = f"{8 * len(whole):,} files `{path.name}` with one flipped bit"
    trust_table.add(tried, f"{len(refused):,} refused, others equal")

import sys

import pytest
import torch
from gpu import measure

from competition.errors import CompetitionError


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, on which this takes minutes")
def test_without_a_card_the_measurements_end_with_one_sentence(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["measure.py"])
    with pytest.raises(CompetitionError, match=r"a graphics card, and there is none. Give --tiny"):
        measure.main()


@pytest.mark.exhaustive
@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU, on which this takes minutes")
def test_small_networks_are_measured_without_a_card(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["measure.py", "--tiny"])
    measure.main()
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert len(rows) == 11
    assert ["| counts that differ", "0 of 174", "0 of 174 |"] in rows
    assert not any("memory is short" in cell or cell.strip(" |") == "-" for row in rows for cell in row)


def test_the_table_has_a_column_per_experiment():
    table = measure.Table(["one", "other"])
    table.put("a step", "one", "5 ms")
    table.put("a step", "other", "7 ms")
    table.put("loading", "other", "1 ms")
    assert table.markdown("A card, 24 GiB").splitlines() == [
        "| A card, 24 GiB | `one` | `other` |",
        "|---|---|---|",
        "| a step | 5 ms | 7 ms |",
        "| loading | - | 1 ms |",
    ]

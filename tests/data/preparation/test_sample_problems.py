"""The problems of prepare are listed by kind, with a count and an example."""

import pytest

from competition.data.preparation.sample_problems import settle_problems
from competition.errors import CompetitionError
from competition.tracks.track import Problem


def test_equal_problems_are_one_row_with_a_count(capsys: pytest.CaptureFixture[str]) -> None:
    missing = [Problem(f"p{number}", "train", f"m/p{number}.png", "annotation missing") for number in range(30)]
    sizes = [Problem(f"q{n}", "train", f"m/q{n}.png", f"mask is {n}x9 pixels, its image 9x{n}") for n in range(4)]
    with pytest.raises(CompetitionError, match="34 training samples"):
        settle_problems([*missing, *sizes], [])
    rows = [line.split("│")[1:-1] for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
    cells = [[cell.strip() for cell in row] for row in rows]
    assert [(row[0], row[3]) for row in cells] == [("30", "m/p0.png"), ("4", "m/q0.png")]
    assert cells[0][1] == "p0, p1, p2, p3, p4 and 25 more"
    assert cells[1][4] == "mask is 0x9 pixels, its image 9x0"


def test_leaving_samples_out_is_offered_only_where_some_are_left(tiny_hands) -> None:
    entries = tiny_hands.train()[:2]
    bad = [Problem(entry.sample, "train", "m.png", "annotation missing") for entry in entries]
    with pytest.raises(CompetitionError) as one:
        settle_problems(bad[:1], entries)
    with pytest.raises(CompetitionError) as all_of_them:
        settle_problems(bad, entries)
    assert one.value.repair == "Fix the files, or leave those samples out with --skip-bad"
    assert all_of_them.value.repair == "Fix the files"

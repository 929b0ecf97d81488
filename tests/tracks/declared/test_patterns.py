import signal
import time

import pytest

from competition.errors import CompetitionError
from competition.tracks.declared.patterns import find_group


@pytest.mark.parametrize(
    ("pattern", "text", "group"),
    [(r"^(\d+)_", "012_a.png", "012"), (r"(b)", "abc", "b"), (r"^(x)", "ax", None), (r"(x*)a", "a", None)],
)
def test_the_first_bracket_is_the_group(pattern: str, text: str, group: str | None) -> None:
    assert find_group(pattern, text) == group


@pytest.mark.parametrize("pattern", ["^(a+)+$", "^(a|aa)+$"])
def test_a_pattern_that_runs_away_is_one_sentence(monkeypatch: pytest.MonkeyPatch, pattern: str) -> None:
    monkeypatch.setattr("competition.tracks.declared.patterns.SECONDS", 0.1)
    before, start = signal.getsignal(signal.SIGALRM), time.perf_counter()
    with pytest.raises(CompetitionError, match=r"takes more than 0\.1 s on 'aaa.* Write it without a repetition"):
        find_group(pattern, "a" * 60 + ".png")
    assert time.perf_counter() - start < 2
    assert signal.getsignal(signal.SIGALRM) == before
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0

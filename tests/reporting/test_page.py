"""The page: what is text stays text, every table is a CSV beside it, and a name is used once."""

import pandas as pd
import pytest
from markupsafe import Markup

from competition.reporting.page import Figure, Report, Section, html_table, write_report

SCRIPT = "<script>alert(1)</script>"


def report(*names):
    table = pd.DataFrame({"class": [SCRIPT, "tibia"], "Dice": [0.91234, float("nan")], "pixels": [1200345, 5]})
    figures = [Figure(name, SCRIPT, SCRIPT, html_table(table), table) for name in names]
    return Report(SCRIPT, SCRIPT, [(SCRIPT, SCRIPT)], [Section("data", SCRIPT, figures, SCRIPT)])


def test_names_and_sentences_are_text_and_every_table_is_a_csv(tmp_path):
    page = write_report(tmp_path / "report", report("one", "two"))
    text = page.read_text(encoding="utf-8")
    assert text.count("<script>") == 1  # the page's own
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert sorted(path.name for path in page.parent.iterdir()) == ["one.csv", "report.html", "two.csv"]
    assert pd.read_csv(page.with_name("one.csv"))["class"].tolist() == [SCRIPT, "tibia"]


def test_numbers_are_rounded_and_a_missing_one_is_a_dash():
    cells = html_table(pd.DataFrame({"class": ["a"], "Dice": [0.91236], "pixels": [1200345], "none": [None]}), digits=3)
    assert '<td class="n">0.912</td><td class="n">1,200,345</td><td>–</td>' in cells


def test_figures_of_one_name_are_refused(tmp_path):
    with pytest.raises(ValueError, match="figures of one name: one"):
        write_report(tmp_path / "report", report("one", "one"))
    assert not (tmp_path / "report").exists()


def test_a_body_that_is_no_markup_is_escaped(tmp_path):
    figures = [Figure("one", "t", "s", "<b>bold</b>"), Figure("two", "t", "s", Markup("<i>italic</i>"))]
    text = write_report(tmp_path / "report", Report("t", "s", sections=[Section("a", "A", figures)])).read_text()
    assert "&lt;b&gt;bold&lt;/b&gt;" in text
    assert "<i>italic</i>" in text

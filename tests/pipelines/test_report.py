"""The stage report: what it writes in every state of a workspace, and in a browser."""

import json
import webbrowser
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from competition.ensembling.tuning import TuneRequest, tune
from competition.errors import CompetitionError
from competition.files import write_json
from competition.formats.json_files import read_json
from competition.reporting import report as report_module
from competition.reporting.report import make_report
from competition.submission.leaderboard import Row, append
from pipelines import report as report_stage
from pipelines.__main__ import main
from pipelines.reports.drawn_report import draw_report

pytestmark = pytest.mark.slow
SECTIONS = ["data", "input", "training", "results", "why", "ensemble", "leaderboard"]


def missing(figures, section):
    return figures["sections"][section]["missing"]


def test_a_report_is_a_page_and_a_csv_for_every_figure(stage_on, tiny_hands, tuned_hands, monkeypatch):
    opened = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    figures = stage_on(report_stage, tiny_hands, open=True)
    page = Path(figures["report"])
    assert page == tiny_hands.workspace.root / "reports" / "tiny_hands" / "quick" / "report.html"
    assert opened == [page.as_uri()]
    assert page.stat().st_size == figures["bytes"] < 15 << 20
    assert list(figures["sections"]) == SECTIONS
    names = [name for section in figures["sections"].values() for name in section["figures"]]
    assert len(names) == len(set(names))
    # Pictures have no table, and neither has a confusion of classes where there is none.
    without = {"samples", "augmentations", "training-grid", "confusions"}
    assert {path.stem for path in page.parent.glob("*.csv")} == set(names) - without
    assert figures["sections"]["results"]["missing"] == ""
    for path in page.parent.glob("*.csv"):
        assert len(pd.read_csv(path)) > 0 or path.stem.endswith("duplicates")


def test_without_a_decision_the_training_is_shown_and_the_command_named(stage_on, tiny_hands, add_masks, blurred):
    empty = stage_on(report_stage, tiny_hands)
    assert "No run is trained yet" in missing(empty, "training")
    add_masks(tiny_hands, "quick", blurred)
    figures = stage_on(report_stage, tiny_hands)
    assert Path(figures["report"]).parent.name == "undecided"
    assert figures["sections"]["training"]["figures"] == ["training-1"]
    for section in ("results", "ensemble"):
        assert missing(figures, section).startswith("Nothing is tuned yet")
        assert f"./run.sh tune --workspace {tiny_hands.workspace.root}" in missing(figures, section)
    with pytest.raises(CompetitionError, match="no decision 'x'"):
        stage_on(report_stage, tiny_hands, decision="x")


@pytest.mark.exhaustive
def test_a_decision_of_an_earlier_version_shows_all_but_single_images(stage_on, tiny_hands, tuned_hands):
    tuned_hands.decision_file.with_name("scored_vote.npz").unlink()
    figures = stage_on(report_stage, tiny_hands)
    shown = figures["sections"]["results"]["figures"]
    assert shown == ["scores", "confusions", "reliability"]
    (line,) = missing(figures, "results").splitlines()
    assert "not kept by an earlier version of tune" in line
    assert "--members quick:0,1 --name quick" in line
    tune(tiny_hands.track, tiny_hands.workspace, TuneRequest({"quick": (0, 1)}, name="quick"))
    assert missing(stage_on(report_stage, tiny_hands), "results") == ""


def test_a_decision_older_than_the_runs_says_so(stage_on, tiny_hands, tuned_hands, add_masks, blurred, monkeypatch):
    monkeypatch.setattr(report_module, "SECTIONS", ())
    add_masks(tiny_hands, "later", blurred)
    page = Path(stage_on(report_stage, tiny_hands)["report"]).read_text()
    assert "It is older than later (folds 0,1): run ./run.sh tune" in page


@pytest.mark.exhaustive
def test_a_run_trained_anew_with_other_settings_is_not_mixed_with_the_decision(stage_on, tiny_hands, tuned_hands):
    for fold in (0, 1):
        path = tiny_hands.workspace.fold_folder("quick", fold) / "finished.json"
        content = read_json(path, "")
        content["identity"]["config_hash"] = "another"
        write_json(path, {name: value for name, value in content.items() if name != "sha256"})
    figures = stage_on(report_stage, tiny_hands)
    assert "trained with other settings since this decision was tuned" in missing(figures, "results")
    assert "scores" in figures["sections"]["results"]["figures"]


@pytest.mark.exhaustive
def test_one_fold_and_no_test_images(stage_on, tiny_hands, add_masks, blurred, inputs_of):
    add_masks(tiny_hands, "quick", blurred, folds=[0])
    inputs_of(tiny_hands)
    figures = stage_on(report_stage, tiny_hands)
    assert missing(figures, "results") == ""
    folds = pd.read_csv(Path(figures["report"]).with_name("fold-scores.csv"))
    assert folds["images"].tolist() == [6]
    assert "Only one fold is trained" in Path(figures["report"]).read_text()


@pytest.mark.exhaustive
def test_an_imported_member_has_no_curves_but_all_else(stage_on, tiny_patients, add_table, unsure, inputs_of):
    add_table(tiny_patients, "ours", unsure)
    add_table(tiny_patients, "theirs", lambda targets: np.round(unsure(targets), 1))
    inputs_of(tiny_patients, method="equal")
    tiny_patients.workspace.imported_file("theirs").touch()
    figures = stage_on(report_stage, tiny_patients)
    assert figures["sections"]["training"]["figures"] == ["training-1"]
    assert missing(figures, "training") == "Member 'theirs' was imported as predictions, so its training is not known."
    assert "agreement" in figures["sections"]["ensemble"]["figures"]
    assert missing(figures, "results") == ""


def test_a_failure_to_draw_is_a_warning(tiny_hands, tuned_hands, monkeypatch, capsys):
    def broken(inputs):
        raise ZeroDivisionError("a chart")

    monkeypatch.setattr(report_module, "SECTIONS", (broken,))
    assert draw_report(tiny_hands.track, tiny_hands.workspace, "quick", "") is None
    assert "warning: no report was written: a chart" in capsys.readouterr().out
    monkeypatch.setattr(report_module, "SECTIONS", ())
    page = draw_report(tiny_hands.track, tiny_hands.workspace, "quick", "")
    assert capsys.readouterr().out.endswith(f"report: {page}\n")


def test_ensemble_writes_the_report_too_unless_told_otherwise(hands_with_run, tmp_path, capsys):
    words = ["ensemble", "--workspace", str(hands_with_run.root), "--json", str(tmp_path / "figures.json")]
    assert main([*words, "--no-report"]) == 0
    assert json.loads((tmp_path / "figures.json").read_text())["report"] is None
    assert not (hands_with_run.root / "reports").exists()
    assert main(words) == 0
    page = json.loads((tmp_path / "figures.json").read_text())["report"]
    assert capsys.readouterr().out.endswith(f"report: {page}\n")
    leaderboard = pd.read_csv(Path(page).with_name("submissions.csv"))
    assert len(leaderboard) == 2


def test_a_whole_report_in_chromium(browser, tiny_hands, add_masks, blurred, inputs_of):
    """With a class and an organiser's scores that try to be code."""
    add_masks(tiny_hands, "quick", blurred)
    add_masks(tiny_hands, "other", lambda truth, number: blurred(truth, number + 1))
    inputs = inputs_of(tiny_hands, method="equal", window=(0.5, 0.5))
    script = "<script>window.broken = 1</script>"
    row = Row(script, "2026-11-21T10:00:00+00:00", "tiny_hands", False, script, "1", cv_crossfit=0.9, public=0.8)
    append(tiny_hands.workspace.leaderboard_file(), row)
    append(tiny_hands.workspace.leaderboard_file(), replace(row, id="second"))
    page, _ = make_report(tiny_hands.track, tiny_hands.workspace, inputs.decision_file.parent.name, "")
    browser.open(page)
    log = browser.log()
    assert not [line for line in log if "Error" in line or "Refused" in line]
    asked = [
        json.loads(line)["message"]["params"].get("request", {}).get("url", "") for line in log if "WillBeSent" in line
    ]
    assert {address.partition(":")[0] for address in asked} <= {"file", "data", ""}
    browser.run("for (const picture of document.images) picture.loading = 'eager'")
    widths = browser.run(
        "return Promise.all([...document.querySelectorAll('main img')].map(i => i.decode().then(() => i.naturalWidth)))"
    )
    assert len(widths) > 10
    assert min(widths) > 0
    assert browser.run("return window.broken === undefined && document.scripts.length") == 1
    assert script in browser.run("return document.querySelector('#leaderboard').parentElement.textContent")
    labels = browser.run("return [...document.querySelectorAll('svg.chart')].map(e => e.getAttribute('aria-label'))")
    assert len(labels) > 6
    assert all(labels)
    identities = browser.run("return [...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(identities) == len(set(identities))
    for width in (390, 800, 1400):
        browser.open(page, width)
        root = "document.documentElement"
        assert browser.run(f"return {root}.scrollWidth <= {root}.clientWidth")

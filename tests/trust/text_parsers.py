"""Parsers of text: YAML, JSON, fold files, options, names, and the leaderboard."""

import dataclasses
import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from optuna.distributions import FloatDistribution
from trust_parser import Parser

from competition import names
from competition.data.folds import read_fold_names, read_folds
from competition.data.manifest import Entry, Manifest, read_manifest, write_manifest
from competition.data.remote.staging import read_staged_index
from competition.ensembling.decision import load_decision
from competition.ensembling.voting.blend import round_weights
from competition.errors import CompetitionError
from competition.formats.csv_files import read_csv
from competition.formats.json_files import read_json
from competition.metrics.counts import DICE
from competition.prediction.probability_maps import read_index
from competition.reporting.stored_tables import read_stored_table
from competition.runs.imports.member import read_imported
from competition.runs.members import parse_members
from competition.settings import load_experiment
from competition.submission import leaderboard
from competition.tracks import get_track
from competition.tracks.declared.declaration import read_declaration
from competition.tracks.declared.places import PathFaultError
from competition.tracks.declared.templates import path_fields
from competition.training.search_space import parse_space
from competition.training.shared_study import SharedStudy, finished_trials, open_study
from competition.workspace import Workspace
from pipelines.comparisons.declaration import find_comparison
from pipelines.options import parse_weights
from pipelines.tune import parse_window

_REPOSITORY = Path(__file__).resolve().parents[2]
_EXPERIMENTS = tuple(path.read_bytes() for path in sorted((_REPOSITORY / "pipelines/experiments").glob("*/quick.yaml")))
_COMPARISONS = tuple(path.read_bytes() for path in sorted((_REPOSITORY / "pipelines/comparisons").glob("*.yaml")))
_ENTRY = Entry("a", "a", "train", "a", "", (True,), 4, 4, (0.5,), (0.1,), (1.0,), "c", "d", "e")
_STAGED = b'{"version": "5 \\"a\\"", "file": "0f 5 1 1 1 a/b.png"}\n{"version": "5 b", "file": "0f 5 1 1 1 c.png"}\n'
_DECLARATION = (_REPOSITORY / "pipelines/benchmarks/nuclei.yaml").read_bytes()


def text_parsers() -> list[Parser]:
    """Makes the valid files, and returns what reads them."""
    return [*_declarations(), *_json(), *_options(), *_leaderboard()]


def _declarations() -> list[Parser]:
    folds = b'# GroupKFold of 3\ngroup,fold\n1,0\n0047,1\n"a,b",2\n'
    return [
        Parser("load_experiment", "quick.yaml", _EXPERIMENTS, load_experiment),
        Parser("read_declaration", "nuclei.yaml", (_DECLARATION,), read_declaration),
        Parser("find_comparison", "own.yaml", _COMPARISONS, lambda path: find_comparison(str(path))),
        Parser("Places.group_of", "pattern", (b"^(\\d+)_[a-z]+(?:-x)?$",), _find_group, names_file=False),
        Parser("read_folds", "folds.csv", (folds,), read_folds),
        Parser("read_csv", "table.csv", (b"image,class,rle\na,x,1 2\nb,,\n",), read_csv),
        Parser("read_stored_table", "history.csv", (b"epoch,fold,loss\n1,0,0.5\n2,NA,\n",), _read_stored_table),
    ]


def _find_group(path: Path) -> str | None:
    """What a pattern in a declaration finds in a file name."""
    own = path.with_name("own.yaml")
    pattern = path.read_bytes().decode(errors="replace")
    declaration = {"classes": ["x"], "train": "a/*.png", "masks": "b/{stem}.png", "test": "c/*.png", "group": pattern}
    own.write_text(json.dumps(declaration))  # which is YAML too
    with suppress(PathFaultError):
        return read_declaration(own).places.group_of("0047_wrist-x", path_fields("0047_wrist-x"))
    return None


def _json() -> list[Parser]:
    member = {"name": "quick", "folds": [0, 1], "weight": 1000, "config_hash": "a" * 12, "fold_hash": "b"}
    scores = {"fold_mean": 0.8, "fold_sd": 0.1, "oof": 0.8, "oof_crossfit": 0.79}
    scores |= {"interval_low": 0.7, "interval_high": 0.9}
    decision = {
        "track": "cardiac",
        "dataset": "cardiac",
        "task": "segmentation",
        "classes": ["lv"],
        "members": [member],
    }
    decision |= {"levels": {"lv": 128}, "thresholds": {"lv": 0.503921568627451}, "operations": {"lv": "none"}}
    decision |= {"scores": scores, "coverage": 4, "reason": "one member", "created": "2026-11-28T10:00:00+00:00"}
    index = {"classes": ["x", "y"], "samples": ["a", "b"], "made_by": {"config_hash": "a" * 12, "epoch": 3}}
    imported = {"content_hash": "a", "folds": [0, "full"], "fold_hash": "b", "data_hash": "c", "pictures": {"t": "d"}}
    return [
        Parser("load_decision", "decision.json", (_dumped(decision),), load_decision),
        Parser("read_index", "index.json", (_dumped(index),), lambda path: read_index(path.parent, "Predict again")),
        Parser("read_staged_index", "staged.jsonl", (_STAGED,), read_staged_index),
        Parser("open_study", "a.journal", (_journal(),), _open_study),
        Parser("read_imported", "imported.json", (_dumped(imported),), _read_imported),
        Parser("read_manifest", "prepared.json", (_about(),), _read_manifest, names_file=False),
        Parser(
            "read_json", "a.json", (_dumped(decision), b"[[1, 2.5e3], null]"), lambda path: read_json(path, "Again")
        ),
    ]


def _dumped(content: object) -> bytes:
    return json.dumps(content, indent=1).encode()


def _journal() -> bytes:
    """What a search writes of one trial."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.journal"
        shared = _open_study(path)
        shared.study.tell(shared.study.ask({"train.lr": FloatDistribution(0.1, 1)}), 0.5)
        return path.read_bytes()


def _open_study(path: Path) -> SharedStudy:
    shared = open_study(path, {"fold": "0"}, 9, {"train.lr": 0.5})
    finished_trials(shared.study)
    return shared


def _read_imported(path: Path) -> object:
    workspace = Workspace(path.parent / "workspace", "cardiac")
    place = workspace.imported_file("theirs")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(path.read_bytes())
    return read_imported(workspace, "theirs")


# Not "data", which is there once the demo has run.
_NOWHERE = Path("raw data that is not here")


def _about() -> bytes:
    """What prepare writes beside the table of a manifest."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder), "cardiac")
        write_manifest(workspace, get_track("cardiac"), Manifest(_NOWHERE, (_ENTRY,), ("- - - - - list.csv",)))
        return workspace.manifest_file().with_name("prepared.json").read_bytes()


def _read_manifest(path: Path) -> object:
    workspace = Workspace(path.parent / "workspace", "cardiac")
    if not workspace.manifest_file().exists():
        write_manifest(workspace, get_track("cardiac"), Manifest(_NOWHERE, (_ENTRY,)))
    workspace.manifest_file().with_name("prepared.json").write_bytes(path.read_bytes())
    return read_manifest(workspace, get_track("cardiac"))


def _options() -> list[Parser]:
    """What is typed: the text comes from the file, so that all parsers are damaged alike."""
    reads: dict[str, tuple[bytes, Callable[[str], Any]]] = {
        "parse_weights": (b"0.5,1/3,2", lambda text: parse_weights(text, 3, "files")),
        "parse_members": (b"quick:0,1,full,strong@8,other", parse_members),
        "read_fold_names": (b"0..4,full", lambda text: read_fold_names(text, "--fold")),
        "parse_window": (b"0.1:0.9", parse_window),
        "parse_space": (b"train.lr=log:1e-4:1e-2", lambda text: parse_space(text.split("\n"))),
        "--set": (b"train.lr=1e-4", lambda text: load_experiment(_REPOSITORY / _QUICK, [text])),
        "name_fault, run_fault, label_fault, file_fault": (b"quick_lr5e-4", _name_faults),
        "round_weights": (b"0.5,0.25,1e3", lambda text: _round(text)),
    }
    return [
        Parser(name, "typed", (valid,), lambda path, read=read: read(_text(path)), names_file=False)
        for name, (valid, read) in reads.items()
    ]


_QUICK = "pipelines/experiments/hand_bone/quick.yaml"


def _read_stored_table(path: Path) -> object:
    return read_stored_table(path, ("fold",), ("epoch", "loss"), "Run ./run.sh train")


def _text(path: Path) -> str:
    return path.read_bytes().decode(errors="surrogateescape")  # as arguments reach a program


def _name_faults(text: str) -> None:
    for fault in (names.name_fault, names.run_fault, names.label_fault, names.file_fault):
        reason = fault(text)
        assert reason is None or reason.isprintable()
        if reason is None and fault != names.label_fault:  # a label is no file name
            assert (Path("/folder") / text).parent == Path("/folder")


def _round(text: str) -> None:
    """Weights as an optimiser returns them: any finite numbers >= 0 with a positive sum."""
    try:
        weights = [float(word) for word in text.split(",")]
    except ValueError:
        return
    if all(0 <= weight < float("inf") for weight in weights) and 0 < sum(weights) < float("inf"):
        assert round_weights(weights).sum() == 1000


def _leaderboard() -> list[Parser]:
    row = leaderboard.Row("20261121-1-a", "2026-11-21T15:30:12", "hand_bone", False, "quick:0,1", "1", cv_crossfit=0.9)
    other = dataclasses.replace(row, id="20261121-2-b", phantom=True, members="quick+x", weights="0.5+0.5")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "leaderboard.csv"
        leaderboard.append(path, row)
        leaderboard.append(path, other)
        valid = (path.read_bytes(),)

    def record(path: Path) -> None:
        before = path.read_bytes()
        try:
            leaderboard.record(path, row.id, lambda track: DICE, 0.5)
        except CompetitionError:  # a line that was cut by a kill is moved to a file beside it
            assert path.read_bytes() == before or not before.endswith(b"\n")
            raise

    new = dataclasses.replace(row, id="20261121-3-c")
    return [
        Parser("leaderboard (read, rankings)", "leaderboard.csv", valid, leaderboard.rankings),
        Parser("leaderboard (record)", "leaderboard.csv", valid, record),
        Parser("leaderboard (append)", "leaderboard.csv", valid, lambda path: leaderboard.append(path, new)),
    ]

"""Imports run one way between the layers, and no file is too long to read at one sitting."""

import ast
from pathlib import Path

import pytest

from pipelines.__main__ import STAGES

REPOSITORY = Path(__file__).resolve().parent.parent
# Each may import from itself and from those before it.
LAYERS = (
    "errors",
    "installation",
    "text",
    "names",
    "background",
    "console",
    "machine",
    "files",
    "file_listing",
    "checksums",
    "formats",
    "plugins",
    "workspace",
    "settings",
    "masks",
    "metrics",
    "submission",
    "tracks",
    "phantoms",
    "data",
    "models",
    "prediction",
    "training",
    "runs",
    "planning",
    "drawing",
    "explanation",
    "ensembling",
    "inference",
    "review",
    "export",
    "reporting",
)
LONGEST_FILE = 350
LONGEST_STAGE = 150


def imports(source: str) -> list[str]:
    """Dotted names of all that a module imports, also within functions: "competition.errors.CompetitionError"."""
    names = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names += ["." * node.level + f"{node.module or ''}.{alias.name}" for alias in node.names]
    return names


def wrong_imports(layer: str, source: str) -> list[str]:
    """What a file of a layer imports that it may not."""
    allowed = LAYERS[: LAYERS.index(layer) + 1]
    wrong = []
    for name in imports(source):
        parts = name.split(".")
        below = parts[0] == "competition" and parts[1] in allowed
        foreign = parts[0] not in ("competition", "pipelines", "tests", "")
        if not (below or foreign):
            wrong.append(name)
    return wrong


def source_files(folder: str) -> list[Path]:
    return sorted((REPOSITORY / folder).rglob("*.py"))


def layer_of(path: Path) -> str:
    return path.relative_to(REPOSITORY / "competition").parts[0].removesuffix(".py")


def test_every_part_of_the_package_has_its_place_in_the_order() -> None:
    found = {layer_of(path) for path in source_files("competition")} - {"__init__"}
    assert found == set(LAYERS)


@pytest.mark.parametrize("layer", LAYERS)
def test_a_layer_imports_only_from_itself_and_those_before_it(layer: str) -> None:
    files = [path for path in source_files("competition") if layer_of(path) == layer]
    assert files
    wrong = {str(path): wrong_imports(layer, path.read_text(encoding="utf-8")) for path in files}
    assert not {name: names for name, names in wrong.items() if names}


def test_the_package_itself_imports_nothing() -> None:
    assert imports((REPOSITORY / "competition" / "__init__.py").read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "caught"),
    [
        ("from competition.data.folds import Folds", ["competition.data.folds.Folds"]),
        ("import competition.reporting", ["competition.reporting"]),
        ("from competition import training", ["competition.training"]),
        ("def late():\n    from competition.models.factory import make", ["competition.models.factory.make"]),
        ("from pipelines.context import open_track", ["pipelines.context.open_track"]),
        ("from ..data import folds", ["..data.folds"]),
        ("import tests", ["tests"]),
        ("import json\nfrom competition.settings import Section\nfrom competition.tracks.track import Track", []),
    ],
)
def test_the_walk_catches_what_a_track_may_not_import(source: str, caught: list[str]) -> None:
    assert wrong_imports("tracks", source) == caught


def test_no_file_is_longer_than_can_be_read_at_one_sitting() -> None:
    files = [path for folder in ("competition", "pipelines", "tests") for path in source_files(folder)]
    assert len(files) > 50
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert not {str(path): lines for path, lines in lengths.items() if lines > LONGEST_FILE}


def stage_imports(stage: str, source: str) -> list[str]:
    """Return the other stages that the module of a stage imports."""
    others = {f"pipelines.{other}" for other in STAGES if other != stage}
    return [name for name in imports(source) if name in others or name.rpartition(".")[0] in others]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_imports_no_other_stage_and_is_short(stage: str) -> None:
    source = (REPOSITORY / "pipelines" / f"{stage}.py").read_text(encoding="utf-8")
    assert stage_imports(stage, source) == []
    assert len(source.splitlines()) <= LONGEST_STAGE


@pytest.mark.parametrize(
    ("source", "caught"),
    [
        ("from pipelines import prepare, context", ["pipelines.prepare"]),
        ("def late():\n    import pipelines.train", ["pipelines.train"]),
        ("from pipelines.check import parse_size", ["pipelines.check.parse_size"]),
        ("from pipelines.reports.training_report import report_training\nfrom pipelines.demo import run", []),
    ],
)
def test_a_stage_that_imports_another_is_caught(source: str, caught: list[str]) -> None:
    assert stage_imports("demo", source) == caught


def test_helpers_of_stages_import_no_stage() -> None:
    helpers = [path for path in source_files("pipelines") if path.stem not in STAGES or path.parent.name != "pipelines"]
    sources = {path.name: path.read_text(encoding="utf-8") for path in helpers}
    assert not {name: found for name, source in sources.items() if (found := stage_imports("", source))}

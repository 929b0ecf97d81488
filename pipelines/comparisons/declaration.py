"""The YAML file of a comparison: its keys, and what is invalid in a file."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError

from competition.errors import CompetitionError
from competition.formats.yaml_files import read_yaml
from competition.names import check_name, check_run_name
from competition.phantoms import PHANTOMS
from competition.settings import Experiment, Positive, Section, load_experiment
from competition.text import nearest_hint, shortened
from competition.tracks import get_track
from pipelines.comparisons.figures import figures_of
from pipelines.context import experiment_file

FORMER_COLUMNS = {"ceiling": "attainable_dice"}
COMPARISONS = Path(__file__).resolve().parent

# On synthetic data every network sees equally many images, in the same order. On prepared data each recipe keeps its
# own budget, because the question there is which recipe is better.
EQUAL = ("train.epochs", "train.repeats", "train.seed", "data.classes")


class Drawn(Section):
    """The synthetic data of a comparison."""

    people: Positive
    """Persons for training; each is held out once."""
    size: Positive
    """Side of an image in pixels."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Another seed draws other persons."""


class Recipe(Section):
    """How one of the runs is trained."""

    experiment: str
    """An experiment of the track, or a YAML file."""
    set: tuple[str, ...] = ()
    """Its own changed settings, as ``train --set`` takes them."""
    rule: Literal["ours", "report"] = "ours"
    """How locations of patients are decided: by our cross-fitted thresholds, or by the aneurysm report's rule."""
    learns: bool = True
    """False for rules without a network, which need not see images as often as a network."""


def _current_names(columns: Any) -> Any:
    if not isinstance(columns, list):
        return columns
    return [FORMER_COLUMNS.get(name, name) if isinstance(name, str) else name for name in columns]


class Comparison(Section):
    """A question, and recipes that answer it on the same held-out images."""

    question: str
    """One sentence."""
    track: str
    """A track, or its YAML file."""
    phantom: Drawn | None = None
    """The synthetic data; without it the prepared data is used, with its folds."""
    folds: Annotated[int, Field(ge=2)] = 2
    """Of synthetic data. Every recipe trains all of them, so that every person is held out once."""
    set: tuple[str, ...] = ()
    """Changed settings of all recipes; a recipe's own come after them."""
    columns: Annotated[tuple[str, ...], BeforeValidator(_current_names)] = ()
    """Figures beside the track's own metric, from pipelines/comparisons/figures.py."""
    recipes: Annotated[dict[str, Recipe], Field(min_length=2)]
    """Name -> recipe; the others are compared with the first."""

    def settings(self, name: str) -> list[str]:
        """Return the changed settings of a recipe, as --set options."""
        return [*self.set, *self.recipes[name].set]


def find_comparison(name: str) -> tuple[str, Comparison]:
    """Return the name and the declaration of a comparison, shipped or in a YAML file of the user's.

    Raises:
        CompetitionError: There is none, or it is invalid.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else COMPARISONS / f"{name}.yaml"
    check_name(path.stem, "a comparison", "Give another name to its file")
    if path.parent == COMPARISONS and not path.exists():
        raise CompetitionError(f"unknown comparison {name!r}{nearest_hint(name, comparison_names())}")
    try:
        comparison = Comparison.model_validate(read_yaml(path, "no such comparison"))
    except ValidationError as error:
        raise CompetitionError(_explain(error), path) from error
    try:
        _check(comparison, path)
    except CompetitionError as error:  # an unknown track or run name is reported without a file
        raise CompetitionError(error.what, error.where or path, error.repair or None) from error
    return path.stem, comparison


def comparison_names() -> list[str]:
    """Return the names of the shipped comparisons."""
    return sorted(path.stem for path in COMPARISONS.glob("*.yaml"))


def load_recipes(comparison: Comparison) -> dict[str, Experiment]:
    """Return the settings of every recipe, which must be equal where a fair comparison needs it."""
    track = get_track(comparison.track)
    experiments = {
        name: load_experiment(experiment_file(track, recipe.experiment), comparison.settings(name))
        for name, recipe in comparison.recipes.items()
    }
    learning = {name: each for name, each in experiments.items() if comparison.recipes[name].learns}
    for key in EQUAL if comparison.phantom is not None else ():
        section, field = key.split(".")
        values = {name: getattr(getattr(each, section), field) for name, each in learning.items()}
        first, wanted = next(iter(values.items()))
        for name, value in values.items():
            if value != wanted:
                what = f"{first} and {name} differ in {key} ({wanted} and {value}), so the comparison is not fair"
                raise CompetitionError(what, None, f"Put one {key} under the comparison's own set")
    return experiments


def _check(comparison: Comparison, path: Path) -> None:
    for name in comparison.recipes:
        check_run_name(name)
    track = get_track(comparison.track)
    if comparison.phantom is not None and track.name not in PHANTOMS:
        raise CompetitionError(f"track {track.name} has no synthetic data (only {', '.join(PHANTOMS)})", path)
    own, *further = figures_of(track)
    for column in comparison.columns:
        if column not in further:
            raise CompetitionError(f"unknown column {column!r} beside {own}{nearest_hint(column, further)}", path)
    reports = [name for name, recipe in comparison.recipes.items() if recipe.rule == "report"]
    if reports and "cells" not in further:
        what = f"{reports[0]}: rule is for locations of patients, which track {track.name} does not have"
        raise CompetitionError(what, path)


def _explain(error: ValidationError) -> str:
    """Return the first error, with the keys that are known there."""
    first: dict[str, Any] = dict(error.errors()[0])
    place = [str(part) for part in first["loc"]]
    forms: dict[str, type[Section]] = {"phantom": Drawn, "recipes": Recipe}
    form = forms.get(place[0], Comparison) if len(place) > 1 else Comparison
    where = shortened(".".join(place), 200) or "comparison"
    return f"{where}: {shortened(first['msg'], 500)} (keys are {', '.join(form.model_fields)})"

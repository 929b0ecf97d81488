"""What the YAML file of a comparison may say, and what is wrong with one that says something else."""

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
from pipelines.comparisons.figures import FIGURES
from pipelines.context import experiment_file

FORMER_COLUMNS = {"ceiling": "attainable_dice"}
COMPARISONS = Path(__file__).resolve().parent

# On drawn data every network sees as many images as every other, in the same order. On prepared data each keeps the
# budget of its own, because whose recipe is better is the question there.
EQUAL = ("train.epochs", "train.repeats", "train.seed", "data.classes")


class Drawn(Section):
    """The drawn data of a comparison."""

    people: Positive
    """Training people; all of them are held out once."""
    size: Positive
    """Side of an image in pixels."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Another seed draws other people."""


class Recipe(Section):
    """How one of the runs is trained."""

    experiment: str
    """An experiment of the track, or a YAML file."""
    set: tuple[str, ...] = ()
    """Its own changed settings, as ``train --set`` takes them."""
    rule: Literal["ours", "report"] = "ours"
    """How locations of patients are decided: thresholds that must earn their place, or the aneurysm report's."""
    learns: bool = True
    """False for rules without a network, which need not see images as often as networks do."""


def _current_names(columns: Any) -> Any:
    if not isinstance(columns, list):
        return columns
    return [FORMER_COLUMNS.get(name, name) if isinstance(name, str) else name for name in columns]


class Comparison(Section):
    """A question, and those who answer it on the same held-out images."""

    question: str
    """One sentence."""
    track: str
    """What is competed in."""
    phantom: Drawn | None = None
    """The drawn data; without it the comparison is about the data that is prepared, with its folds."""
    folds: Annotated[int, Field(ge=2)] = 2
    """Of drawn data. Every recipe trains all of them, so that every person is held out once."""
    set: tuple[str, ...] = ()
    """Changed settings of all recipes; a recipe's own come after them."""
    columns: Annotated[tuple[str, ...], BeforeValidator(_current_names)] = ()
    """Figures beside the track's own metric, of pipelines/comparisons/figures.py."""
    recipes: Annotated[dict[str, Recipe], Field(min_length=2)]
    """Name -> who it is; the others are compared with the first."""

    def settings(self, name: str) -> list[str]:
        """Return the changed settings of a recipe, as --set options."""
        return [*self.set, *self.recipes[name].set]


def find_comparison(name: str) -> tuple[str, Comparison]:
    """Return the name and the declaration of a comparison, shipped or in a YAML file of the user's.

    Raises:
        CompetitionError: There is none, or what it says can't be.
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
    """Return the comparisons that are shipped."""
    return sorted(path.stem for path in COMPARISONS.glob("*.yaml"))


def load_recipes(comparison: Comparison) -> dict[str, Experiment]:
    """Return the settings of every recipe.

    Raises:
        CompetitionError: An experiment or a setting is unknown, or networks differ where they must be equal.
    """
    track = get_track(comparison.track)
    experiments = {
        name: load_experiment(experiment_file(track, recipe.experiment), comparison.settings(name))
        for name, recipe in comparison.recipes.items()
    }
    if comparison.phantom is not None:
        _check_equal({name: each for name, each in experiments.items() if comparison.recipes[name].learns})
    return experiments


def _check_equal(experiments: dict[str, Experiment]) -> None:
    for key in EQUAL:
        section, field = key.split(".")
        values = {name: getattr(getattr(each, section), field) for name, each in experiments.items()}
        first, wanted = next(iter(values.items()))
        for name, value in values.items():
            if value != wanted:
                raise CompetitionError(
                    f"{first} and {name} differ in {key} ({wanted} and {value}), so the comparison is not fair",
                    None,
                    f"Put one {key} under the comparison's own set",
                )


def _check(comparison: Comparison, path: Path) -> None:
    for name in comparison.recipes:
        check_run_name(name)
    track = get_track(comparison.track)
    if comparison.phantom is not None and track.name not in PHANTOMS:
        raise CompetitionError(f"track {track.name} has no drawn data (only {', '.join(PHANTOMS)})", path)
    own, *further = FIGURES[track.task]
    for column in comparison.columns:
        if column not in further:
            raise CompetitionError(f"unknown column {column!r} beside {own}{nearest_hint(column, further)}", path)
    reports = [name for name, recipe in comparison.recipes.items() if recipe.rule == "report"]
    if reports and track.task == "segmentation":
        raise CompetitionError(f"{reports[0]}: rule decides locations of patients, and {track.name} has masks", path)


def _explain(error: ValidationError) -> str:
    """Return the first thing that is wrong, with the keys that are known there."""
    first: dict[str, Any] = dict(error.errors()[0])
    place = [str(part) for part in first["loc"]]
    forms: dict[str, type[Section]] = {"phantom": Drawn, "recipes": Recipe}
    form = forms.get(place[0], Comparison) if len(place) > 1 else Comparison
    where = shortened(".".join(place), 200) or "comparison"
    return f"{where}: {shortened(first['msg'], 500)} (keys are {', '.join(form.model_fields)})"

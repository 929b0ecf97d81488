"""What the YAML file of a contest may say, and what is wrong with one that says something else."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from competition.errors import CompetitionError
from competition.formats.yaml_files import read_yaml
from competition.names import check_name, check_run_name
from competition.phantoms import PHANTOMS
from competition.settings import Experiment, Positive, Section, load_experiment
from competition.text import nearest_hint, shortened
from competition.tracks import get_track
from pipelines.contest_figures import FIGURES
from pipelines.context import experiment_file

CONTESTS = Path(__file__).resolve().parent / "contests"

# On drawn data every network sees as many images as every other, in the same order. On prepared data each keeps the
# recipe of its own, because whose recipe is better is the question there.
EQUAL = ("train.epochs", "train.repeats", "train.seed", "data.classes")


class Drawn(Section):
    """The drawn data of a contest."""

    people: Positive
    """Training people; all of them are held out once."""
    size: Positive
    """Side of an image in pixels."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Another seed draws other people."""


class Contestant(Section):
    """Who competes."""

    experiment: str
    """An experiment of the track, or a YAML file."""
    set: tuple[str, ...] = ()
    """Its own changed settings, as ``train --set`` takes them."""
    rule: Literal["ours", "report"] = "ours"
    """How locations of patients are decided: thresholds that must earn their place, or the aneurysm report's."""
    learns: bool = True
    """False for rules without a network, which need not see images as often as networks do."""


class Contest(Section):
    """A question, and those who answer it on the same held-out images."""

    question: str
    """One sentence."""
    track: str
    """What is competed in."""
    phantom: Drawn | None = None
    """The drawn data; without it the contest is about the data that is prepared, with its folds."""
    folds: Annotated[int, Field(ge=2)] = 2
    """Of drawn data. Every contestant trains all of them, so that every person is held out once."""
    set: tuple[str, ...] = ()
    """Changed settings of all contestants; a contestant's own come after them."""
    columns: tuple[str, ...] = ()
    """Figures beside the track's own metric, of pipelines/contest_figures.py."""
    contestants: Annotated[dict[str, Contestant], Field(min_length=2)]
    """Name -> who it is; the others are compared with the first."""

    def settings(self, name: str) -> list[str]:
        """The changed settings of a contestant, as --set options."""
        return [*self.set, *self.contestants[name].set]


def find_contest(name: str) -> tuple[str, Contest]:
    """The name and the declaration of a contest, shipped or in a YAML file of the user's.

    Raises:
        CompetitionError: There is none, or what it says can't be.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else CONTESTS / f"{name}.yaml"
    check_name(path.stem, "a contest", "Give another name to its file")
    if path.parent == CONTESTS and not path.exists():
        raise CompetitionError(f"unknown contest {name!r}{nearest_hint(name, contest_names())}")
    try:
        contest = Contest.model_validate(read_yaml(path, "no such contest"))
    except ValidationError as error:
        raise CompetitionError(_explain(error), path) from error
    try:
        _check(contest, path)
    except CompetitionError as error:  # an unknown track or run name is reported without a file
        raise CompetitionError(error.what, error.where or path, error.repair or None) from error
    return path.stem, contest


def contest_names() -> list[str]:
    """The contests that are shipped."""
    return sorted(path.stem for path in CONTESTS.glob("*.yaml"))


def load_contestants(contest: Contest) -> dict[str, Experiment]:
    """The settings of every contestant.

    Raises:
        CompetitionError: An experiment or a setting is unknown, or networks differ where they must be equal.
    """
    track = get_track(contest.track)
    experiments = {
        name: load_experiment(experiment_file(track, contestant.experiment), contest.settings(name))
        for name, contestant in contest.contestants.items()
    }
    if contest.phantom is not None:
        _check_equal({name: each for name, each in experiments.items() if contest.contestants[name].learns})
    return experiments


def _check_equal(experiments: dict[str, Experiment]) -> None:
    for key in EQUAL:
        section, field = key.split(".")
        values = {name: getattr(getattr(each, section), field) for name, each in experiments.items()}
        first, wanted = next(iter(values.items()))
        for name, value in values.items():
            if value != wanted:
                raise CompetitionError(
                    f"{first} and {name} differ in {key} ({wanted} and {value}), so the contest is not fair",
                    None,
                    f"Put one {key} under the contest's own set",
                )


def _check(contest: Contest, path: Path) -> None:
    for name in contest.contestants:
        check_run_name(name)
    track = get_track(contest.track)
    if contest.phantom is not None and track.name not in PHANTOMS:
        raise CompetitionError(f"track {track.name} has no drawn data (only {', '.join(PHANTOMS)})", path)
    own, *further = FIGURES[track.task]
    for column in contest.columns:
        if column not in further:
            raise CompetitionError(f"unknown column {column!r} beside {own}{nearest_hint(column, further)}", path)
    reports = [name for name, contestant in contest.contestants.items() if contestant.rule == "report"]
    if reports and track.task == "segmentation":
        raise CompetitionError(f"{reports[0]}: rule decides locations of patients, and {track.name} has masks", path)


def _explain(error: ValidationError) -> str:
    """The first thing that is wrong, with the keys that are known there."""
    first: dict[str, Any] = dict(error.errors()[0])
    place = [str(part) for part in first["loc"]]
    forms: dict[str, type[Section]] = {"phantom": Drawn, "contestants": Contestant}
    form = forms.get(place[0], Contest) if len(place) > 1 else Contest
    where = shortened(".".join(place), 200) or "contest"
    return f"{where}: {shortened(first['msg'], 500)} (keys are {', '.join(form.model_fields)})"

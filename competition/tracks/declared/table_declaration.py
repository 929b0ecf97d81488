"""The keys of the YAML file of a track of images with a table of labels."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, field_validator

from competition.errors import CompetitionError
from competition.file_listing import stem
from competition.formats.images import Channels
from competition.formats.yaml_files import read_yaml
from competition.metrics.metric import make_table_metric
from competition.metrics.tables import TableMetric
from competition.names import label_fault
from competition.plugins import absolute_plugins, load_plugins
from competition.settings import Section
from competition.submission.table.class_form import ClassTableForm
from competition.text import same_spelling, shown
from competition.tracks.declared.contradictions import bad_places
from competition.tracks.declared.declaration import check_file_pattern, checked_place, explain
from competition.tracks.declared.image_sources import ImageReading
from competition.tracks.declared.places import DEFAULT_KEY, Places
from competition.tracks.declared.table import ImageTable
from competition.tracks.declared.table_submission import TableSubmission
from competition.tracks.track import Split

ONE_VIEW = {"image": "{stem}"}
"""The views of a sample that is one image."""

Name = Annotated[str, BeforeValidator(lambda name: str(name) if isinstance(name, int | float) else name)]
"""A class; YAML reads the grades 0, 1, 2 as numbers."""


class TableTrack(Section):
    """The declaration of a track of images with a table of labels."""

    task: Literal["multilabel", "multiclass", "ordinal"]
    """Whether any number of classes applies to a sample, exactly one of them, or one of several ordered grades."""
    plugins: tuple[str, ...] = ()
    """Python files that add metrics, forms and more (competition/plugins.py), relative to this YAML."""
    classes: tuple[Name, ...] = ()
    """The classes; grades in their order. Needed with ``table.target``; else they are the columns ``table.targets``."""
    train: str
    """Training images: a glob pattern below the data folder."""
    test: str
    """Test images: a glob pattern."""
    table: ImageTable
    """The CSV of labels."""
    views: Annotated[dict[str, str], Field(min_length=1)] = ONE_VIEW
    """Where a sample has several images: the name of each view and its file name, where
    {stem} is the id in the table: {L: "{stem}_L.png", R: "{stem}_R.png"}."""
    group: str | None = None
    """In place of ``table.group``: a template or a regular expression, as of masks (``declaration.FolderTrack``)."""
    path: str | None = None
    """A regular expression searched in the path of an image, whose named brackets become fields of templates."""
    key: str | None = None
    """The id of an image in the table and in the submission: a template such as "{parent}_{stem}"."""
    stratum: str | None = None
    """The kind of image, by which scores are split; written as ``group``."""
    exclude: tuple[str, ...] = ()
    """Images that are left out: glob patterns."""
    images: ImageReading = ImageReading()
    """How DICOM, NIfTI and arrays become pictures; the id of a slice is that of its volume with "_017"."""
    channels: Channels = 1
    """Read as grey (1), as RGB (3), or as one channel of colour images: red, green or blue."""
    flip: bool = False
    """Whether a mirrored image is as plausible as the image itself."""
    metric: str | dict[str, Any] = "auroc"
    """The metric for scoring and ranking, by name or as a mapping with options."""
    submission: TableSubmission = TableSubmission()
    """The layout of the submission (``TableSubmission`` explains the keys)."""
    sample: str | None = None
    """The organiser's sample submission, a path relative to this YAML: columns and ids are checked."""

    @field_validator("plugins")
    @classmethod
    def _loaded(cls, plugins: tuple[str, ...]) -> tuple[str, ...]:
        load_plugins(plugins)  # first of all, because other keys may name what a plugin adds
        return plugins

    @field_validator("classes")
    @classmethod
    def _are_labels(cls, classes: tuple[str, ...]) -> tuple[str, ...]:
        for number, name in enumerate(classes):
            if fault := label_fault(name):
                raise ValueError(f"the name {name!r} {fault}")
            if name in classes[:number]:
                raise ValueError(f"holds {name!r} twice")
        return tuple(map(same_spelling, classes))

    @field_validator("train", "test", "exclude")
    @classmethod
    def _below_the_data_folder(cls, place: Any) -> Any:
        for pattern in place if isinstance(place, tuple) else filter(None, (place,)):
            check_file_pattern(pattern)
        return place

    @field_validator("views")
    @classmethod
    def _name_files(cls, views: dict[str, str]) -> dict[str, str]:
        for name, template in views.items():
            if fault := label_fault(name):
                raise ValueError(f"the name {name!r} {fault}")
            if template.count("{stem}") != 1 or set(template.replace("{stem}", "")) & set("{}/*?"):
                raise ValueError(
                    f"{name}: {shown(template)} is no file name with {{stem}} once, such as '{{stem}}_L.png'"
                )
        return views

    @field_validator("group", "stratum", "path")
    @classmethod
    def _with_brackets(cls, pattern: str | None, info: ValidationInfo) -> str | None:
        return checked_place(pattern, info.field_name)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the classes in the order of the submission."""
        return self.table.targets or self.classes

    @property
    def table_metric(self) -> TableMetric:
        """Return the declared metric of the classes; raise CompetitionError if it does not fit them."""
        return make_table_metric(self.metric, self.task, self.names)

    @property
    def form(self) -> ClassTableForm:
        """Return the form of the submission, whose column of ids is called as that of the table by default.

        Raises:
            CompetitionError: Keys of ``submission`` contradict each other or the task.
        """
        given = self.submission
        if "id" not in given.model_fields_set:
            given = given.model_copy(update={"id": self.table.image})
        return given.form(self.table_metric, self.names, self.table.truth)

    @property
    def patterns(self) -> dict[Split, str]:
        """Return the pattern of the images of each split."""
        return {"train": self.train, "test": self.test}

    @property
    def places(self) -> Places:
        """Return what the path of an image says."""
        return Places(self.path, self.key or DEFAULT_KEY, self.group, self.stratum)

    @property
    def index(self) -> None:
        """Return that there is no index of images, because the table of labels is one."""

    def view_of(self, file_name: str) -> tuple[str, str] | None:
        """Return the {stem} and the view of an image; None where no view has such a name."""
        if self.views == ONE_VIEW:
            return stem(file_name), "image"
        for view, template in self.views.items():
            before, after = template.split("{stem}")
            name = same_spelling(file_name)
            if name.startswith(before) and name.endswith(after) and len(name) > len(before) + len(after):
                return name[len(before) : len(name) - len(after)], view
        return None

    def contradiction(self) -> str | None:
        """Return why keys contradict each other; None if they don't."""
        if fault := self.table.contradiction(self.task):
            return fault
        if self.table.target is not None and not self.classes:
            order = ", in their order" if self.task == "ordinal" else ""
            return f"classes is missing: list the values of column {self.table.target!r}{order}"
        if self.table.targets and self.classes:
            return "classes are the columns table.targets: leave classes out"
        if len(self.names) < 2 and self.task != "multilabel":
            return f"{self.task} needs two classes at least"
        if (self.group is None) == (self.table.group is None):
            return (
                "needs either table.group (a column) or group ('^(\\d+)_' finds the person in 012_a.png, '(.+)' makes "
                "each image its own group)"
            )
        if self.views != ONE_VIEW and (self.key is not None or self.submission.ending):
            return "with views, a sample is called by its {stem}: leave key and submission.ending out"
        if (self.key is not None or self.images.slices is not None) and self.submission.ending:
            return "with a key of its own, a submission calls an image by it: leave submission.ending out"
        if self.views != ONE_VIEW and self.images.slices is not None:
            return "the slices of a volume are samples of one view: leave views or images.slices out"
        return bad_places(self)


def read_table_declaration(path: Path) -> TableTrack:
    """Read the YAML file of a track of images with a table of labels.

    Raises:
        CompetitionError: The file is missing, not YAML, or a key is wrong.
    """
    content = absolute_plugins(read_yaml(path, "no such track declaration"), path.parent)
    if isinstance(content, dict) and isinstance(sample := content.get("sample"), str):
        content |= {"sample": str((path.parent / sample).resolve())}
    try:
        declaration = TableTrack.model_validate(content)
    except ValidationError as error:
        raise CompetitionError(explain(error, TableTrack), path) from error
    if (fault := declaration.contradiction()) is not None:
        raise CompetitionError(fault, path)
    try:
        assert declaration.form  # made here, so that the message names the file
    except CompetitionError as error:
        raise CompetitionError(error.what, path) from error
    return declaration

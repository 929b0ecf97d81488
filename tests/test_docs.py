"""The pages in docs/ are true: their commands parse, their settings load, their files are read as they say."""

import re
import shlex
from pathlib import Path

import pytest
import yaml
from test_layering import LAYERS

from competition.metrics.metric import make_metric
from competition.runs.members import parse_members, split_member
from competition.settings import load_experiment
from competition.tracks import get_track
from competition.tracks.declared.track import load_folder_track
from competition.tracks.hand_bone.lists import with_strata, without_excluded, wrongly_labelled
from competition.tracks.track import Listing, Sample
from competition.training.checkpoints import kept_epochs
from pipelines.__main__ import STAGES
from pipelines.context import experiment_file

ROOT = Path(__file__).resolve().parent.parent
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}


TEXTS = PAGES | {path.stem: path.read_text(encoding="utf-8") for path in sorted(ROOT.glob("*.md"))}
ABSENT = ("folds/hand_bone_own.csv", "tests/a/test_b.py", "competition/a/b.py")
"""A file that the program makes, and placeholders."""


def blocks(page, kind=""):
    return [text for name, text in re.findall(r"^```(\S*)\n(.*?)^```$", PAGES[page], re.M | re.S) if name == kind]


def lines_of(page):
    return [line for block in blocks(page) for line in block.splitlines()]


FOLDER_TRACK = "train: a/*.png\ntest: b/*.png\nmasks: 'masks/{class}/{stem}.png'\ngroup: (.+)\n"
HAND_BONE = [line for line in lines_of("your_competition") if "mine.yaml" not in line]


@pytest.fixture(scope="module")
def runs(parse):
    """Name of each run that the page on members trains, with its settings."""
    runs = {}
    for line in lines_of("members_and_voting"):
        if shlex.split(line)[1] == "train":
            args = parse(line)
            settings = list(args.set or []) + ([f"data.pseudo={args.pseudo}"] if args.pseudo else [])
            experiment = load_experiment(experiment_file(get_track(args.track), args.experiment), settings)
            runs.setdefault(args.name or args.experiment, experiment)
    return runs


@pytest.mark.parametrize(("page", "line"), [(page, line) for page in PAGES for line in lines_of(page)])
def test_each_command_is_one_that_the_program_takes(page, line, parse):
    assert line.startswith("./run.sh ")
    words = shlex.split(line, comments=True)
    if words[1] == "test":
        assert words[2:3] in ([], ["quick"], ["trust"], ["exhaustive"])
        return
    assert words[1] in STAGES
    args = parse(line)
    if page == "members_and_voting" or line in HAND_BONE:
        assert args.track == "hand_bone"


@pytest.mark.parametrize("line", [line for page in PAGES for line in lines_of(page) if "--experiment" in line])
def test_experiments_named_in_the_pages_exist(line, parse):
    args = parse(line)
    if args.experiment == "my_experiment.yaml":  # the example of docs/extend.md
        return
    folder = "folder" if args.track.endswith(".yaml") else args.track  # a folder track takes those of all of them
    assert (ROOT / "pipelines" / "experiments" / folder / f"{args.experiment}.yaml").is_file()


def test_there_are_commands_on_every_page_that_shows_how():
    assert {page for page in PAGES if lines_of(page)} == {
        "explain",
        "export",
        "extend",
        "measurements",
        "members_and_voting",
        "predict",
        "quickstart",
        "scaling",
        "your_competition",
    }
    assert set(PAGES) == {page for page in PAGES if lines_of(page)} | {"decisions", "glossary", "json", "trust"}
    assert len(HAND_BONE) == 5


@pytest.mark.parametrize("page", TEXTS)
def test_every_link_leads_to_a_file_and_a_heading(page):
    folder = ROOT if page.isupper() else ROOT / "docs"
    for target in re.findall(r"\]\((?!https:)([^)]+)\)", TEXTS[page]):
        name, _, heading = target.partition("#")
        path = folder / name if name else folder / f"{page}.md"
        assert path.is_file(), target
        if heading:
            headings = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.M)
            assert heading in [re.sub(r"[^a-z0-9 _-]", "", line.lower()).replace(" ", "-") for line in headings]


@pytest.mark.parametrize("page", sorted(TEXTS.keys() - {"CHANGELOG"}))  # it names files as they once were
def test_every_file_of_the_program_that_a_page_names_is_there(page):
    named = re.findall(r"`((?:competition|pipelines|tests|folds)/[\w./*]*)`", TEXTS[page])
    named = [name for name in named if name not in ABSENT]
    assert [name for name in named if not list(ROOT.glob(name))] == []


def test_the_architecture_is_one_page_with_every_folder_in_order_and_eight_files_to_read():
    text = TEXTS["ARCHITECTURE"]
    assert len(text.splitlines()) <= 90
    folders = re.findall(r"^\| `(\w+)/` \|", text, re.M)
    assert folders == [layer for layer in LAYERS if (ROOT / "competition" / layer).is_dir()]
    assert len(re.findall(r"^\d\. `[\w/]+\.py`", text, re.M)) == 8


def test_every_figure_behind_a_decision_belongs_to_one():
    rows = PAGES["measurements"].split("| decision |")[1]
    titles = [title for title in re.findall(r"^\| ([^|]*) \|", rows, re.M) if title]
    named = " ".join(re.findall(r"^- \*\*(.*?)\*\*", PAGES["decisions"], re.M | re.S)).replace("\n", " ")
    assert len(titles) > 15
    assert [title for title in titles if title not in named] == []


def test_the_metrics_of_a_declaration_are_metrics():
    counts, masks = (
        [make_metric(one["metric"]) for one in yaml.safe_load_all(text)]
        for text in blocks("your_competition", "metric.yaml")
    )
    assert [(metric.label, metric.unit, metric.empty, metric.tuned) for metric in counts] == [
        ("IoU", "image", 1, "exactly"),
        ("F2", "image", 1, "exactly"),
        ("Dice", "group", "skip", "exactly"),
    ]
    assert [(metric.label, metric.proposer.label, metric.tuned) for metric in masks] == [
        ("Hausdorff 95", "Dice", "by re-ranking"),
        ("surface Dice at 2 at 0.5x0.5", "Dice", "by re-ranking"),
        ("object AP", "IoU", "by re-ranking"),
        ("0.4 Dice + 0.6 Hausdorff", "Dice", "by re-ranking"),
    ]


def test_the_forms_of_a_declaration_are_forms(tmp_path):
    (tmp_path / "sample_submission.csv").write_text("id,predicted\n7_femur,-\n7_tibia,-\n")
    names = []
    for kind in ("objects", "png", "sample"):
        for number, text in enumerate("".join(blocks("your_competition", f"{kind}.yaml")).split("---\n")):
            classes = "[femur]" if kind == "objects" else "[femur, tibia]"
            path = tmp_path / f"{kind}{number}.yaml"
            path.write_text(f"classes: {classes}\n{FOLDER_TRACK}{text}")
            names.append(load_folder_track(path).form.describe(("femur", "tibia")))
    assert names == [
        "CSV ImageId,EncodedPixels, a row per object, pixels column by column from 1",
        "zip of {class}/{image}.png, values 0, 255",
        "zip of {image}.png, values 0, 1, 2",
        "CSV id,predicted, pixels column by column from 1",
        "CSV id,predicted, pixels column by column from 1",
    ]


def test_the_settings_of_the_members_are_settings(runs):
    assert runs["strong"].hash() != runs["strong_seed1"].hash()
    assert runs["pupil"].data.pseudo == "strong"
    assert runs["strong_longer"].model.init == Path("strong/{fold}/weights.pt")
    assert runs["wrist_crop"].data.crop_to.run == "strong"
    assert runs["wrist_of_quick"].data.crop_to.run == "quick"
    assert runs["wrist_of_quick"].data.classes == runs["wrist_crop"].data.classes


def test_who_votes_was_trained_before(runs, parse):
    (vote,) = [parse(line).members for line in lines_of("members_and_voting") if shlex.split(line)[1] == "tune"]
    members = parse_members(vote)
    assert members["strong"] == (0, 1, 2, 3, 4, "full")
    for name in members:
        run, epoch = split_member(name)
        assert run in runs
        assert epoch is None or epoch in kept_epochs(runs[run].train)
    table = re.findall(r"^\| \d \| (.*?) \|", PAGES["members_and_voting"], re.M)
    named = [parse_members(name) for name in re.findall(r"`(.*?)`", " ".join(table))]
    assert {split_member(name)[0] for members in named for name in members} <= set(runs)


def xray(person, stem, split="train"):
    return Sample(stem, f"{stem}.png", split, person, (f"{split}/DCM/{person}/{stem}.png",))


def test_the_exclude_list_leaves_out_what_it_says(tmp_path):
    (text,) = blocks("your_competition", "exclude.txt")
    (tmp_path / "exclude.txt").write_text(text)
    bad = re.findall(r"^(ID\d+)/(image\d+)", text, re.M)
    hands = [xray(*name) for name in bad]
    assert len(re.findall("image", wrongly_labelled(hands)[0])) == len(bad) == 4
    both = [xray("ID487", "a"), xray("ID487", "b")]
    rest = without_excluded(tmp_path, Listing([*hands, *both, xray("ID001", "c"), xray("ID040", "t", "test")]))
    assert [sample.key for sample in rest.samples] == ["c", "t"]
    assert "6 training X-rays are left out" in " ".join(rest.remarks)


def test_the_list_of_wrists_says_which_are_bent(tmp_path):
    (text,) = blocks("your_competition", "strata.csv")
    (tmp_path / "strata.csv").write_text(text)
    stems = [line.split(".png")[0] for line in text.splitlines()[1:]]
    samples, remarks = with_strata(tmp_path, [xray("ID040", stem, "test") for stem in stems])
    assert [sample.stratum for sample in samples] == ["oblique", "straight"]
    assert len(remarks) == 1
    (tmp_path / "strata.csv").write_text("ID,stratum\nID040,oblique\n")
    assert with_strata(tmp_path, samples)[0][1].stratum == "oblique"


def test_the_tables_of_labels_are_declarations(tmp_path):
    (text,) = blocks("your_competition", "table.yaml")
    (tmp_path / "sample_submission.csv").write_text("id,Edema,Mass\n7,0,0\n")
    tasks = []
    for number, one in enumerate(yaml.safe_load_all(text)):
        (tmp_path / f"labels{number}.yaml").write_text(yaml.safe_dump(one))
        track = get_track(str(tmp_path / f"labels{number}.yaml"))
        tasks.append((track.targets, len(track.classes), len(track.views)))
    assert tasks == [("multilabel", 2, 1), ("ordinal", 5, 1), ("multilabel", 2, 2)]

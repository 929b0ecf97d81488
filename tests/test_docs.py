"""The pages in docs/ say what is: their commands are taken, their settings load, their files are read as they say."""

import re
import shlex
from pathlib import Path

import pytest

from competition.runs.fold_training import kept_epochs
from competition.runs.members import parse_members, split_member
from competition.settings import load_experiment
from competition.tracks import get_track
from competition.tracks.hand_bone.lists import with_strata, without_excluded, wrongly_labelled
from competition.tracks.track import Listing, Sample
from pipelines.context import experiment_file

ROOT = Path(__file__).resolve().parent.parent
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))}


def blocks(page, kind=""):
    return [text for name, text in re.findall(r"^```(\S*)\n(.*?)^```$", PAGES[page], re.M | re.S) if name == kind]


def lines_of(page):
    return [line for block in blocks(page) for line in block.splitlines()]


@pytest.fixture(scope="module")
def runs(parse):
    """Name of each run that the page on members trains, with its settings."""
    runs = {}
    for line in lines_of("members"):
        if shlex.split(line)[1] == "train":
            args = parse(line)
            settings = list(args.set or []) + ([f"data.pseudo={args.pseudo}"] if args.pseudo else [])
            experiment = load_experiment(experiment_file(get_track(args.track), args.experiment), settings)
            runs.setdefault(args.name or args.experiment, experiment)
    return runs


@pytest.mark.parametrize(("page", "line"), [(page, line) for page in PAGES for line in lines_of(page)])
def test_each_command_is_one_that_the_program_takes(page, line, parse):
    assert line.startswith("./run.sh ")
    args = parse(line)
    assert args.track == "hand_bone"


def test_there_are_commands_on_every_page_but_the_table_of_the_trust_tests():
    assert {page for page in PAGES if lines_of(page)} == {"members", "data_files"}
    assert set(PAGES) == {"members", "data_files", "trust"}


def test_the_settings_of_the_members_are_settings(runs):
    assert runs["strong"].hash() != runs["strong_seed1"].hash()
    assert runs["pupil"].data.pseudo == "strong"
    assert runs["strong_longer"].model.init == Path("strong/{fold}/best.pt")
    assert runs["wrist_crop"].data.crop_to.run == "strong"
    assert runs["wrist_of_quick"].data.crop_to.run == "quick"
    assert runs["wrist_of_quick"].data.classes == runs["wrist_crop"].data.classes


def test_who_votes_was_trained_before(runs, parse):
    (vote,) = [parse(line).members for line in lines_of("members") if shlex.split(line)[1] == "tune"]
    members = parse_members(vote)
    assert members["strong"] == (0, 1, 2, 3, 4, "full")
    for name in members:
        run, epoch = split_member(name)
        assert run in runs
        assert epoch is None or epoch in kept_epochs(runs[run].train)
    table = re.findall(r"^\| \d \| (.*?) \|", PAGES["members"], re.M)
    named = [parse_members(name) for name in re.findall(r"`(.*?)`", " ".join(table))]
    assert {split_member(name)[0] for members in named for name in members} <= set(runs)


def xray(person, stem, split="train"):
    return Sample(stem, f"{stem}.png", split, person, (f"{split}/DCM/{person}/{stem}.png",))


def test_the_exclude_list_leaves_out_what_it_says(tmp_path):
    (text,) = blocks("data_files", "exclude.txt")
    (tmp_path / "exclude.txt").write_text(text)
    bad = re.findall(r"^(ID\d+)/(image\d+)", text, re.M)
    hands = [xray(*name) for name in bad]
    assert len(re.findall("image", wrongly_labelled(hands)[0])) == len(bad) == 4
    both = [xray("ID487", "a"), xray("ID487", "b")]
    rest = without_excluded(tmp_path, Listing([*hands, *both, xray("ID001", "c"), xray("ID040", "t", "test")]))
    assert [sample.key for sample in rest.samples] == ["c", "t"]
    assert "6 training X-rays are left out" in " ".join(rest.remarks)


def test_the_list_of_wrists_says_which_are_bent(tmp_path):
    (text,) = blocks("data_files", "strata.csv")
    (tmp_path / "strata.csv").write_text(text)
    stems = [line.split(".png")[0] for line in text.splitlines()[1:]]
    samples, remarks = with_strata(tmp_path, [xray("ID040", stem, "test") for stem in stems])
    assert [sample.stratum for sample in samples] == ["oblique", "straight"]
    assert len(remarks) == 1
    (tmp_path / "strata.csv").write_text("ID,stratum\nID040,oblique\n")
    assert with_strata(tmp_path, samples)[0][1].stratum == "oblique"

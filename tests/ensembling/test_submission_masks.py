"""Maps of members in, a submission out: what it holds, and whether the announced memory is not exceeded."""

import csv
import re
import subprocess
import sys
import textwrap
from dataclasses import replace

import numpy as np
import pytest
from scipy import ndimage

from competition.data.manifest import Entry, Manifest, write_manifest
from competition.ensembling.decision import Decision, Scores, WeightedMember, save_decision
from competition.ensembling.submission import write_submission
from competition.errors import CompetitionError
from competition.masks.run_lengths import encode_mask
from competition.masks.stored_arrays import write_array
from competition.prediction.probability_maps import map_file, threshold_of, write_map
from competition.tracks import get_track
from competition.workspace import REPOSITORY, Workspace

CUTS = {"disc": 127, "square": 90, "bar": 150}
OPERATIONS = {"disc": "surest+fill", "square": "none", "bar": "drop<25px"}


def decision_of(track, weights, own_classes, cuts=CUTS, operations=OPERATIONS):
    members = [
        WeightedMember(name=f"m{number}", folds=(0,), weight=weight, config_hash="c", fold_hash="f", classes=own)
        for number, (weight, own) in enumerate(zip(weights, own_classes, strict=True))
    ]
    none = dict.fromkeys(("fold_mean", "fold_sd", "oof", "oof_crossfit", "interval_low", "interval_high"))
    return Decision(
        track=track.name,
        dataset=track.name,
        task="segmentation",
        classes=track.classes,
        members=tuple(members),
        levels=cuts,
        thresholds={name: float(threshold_of(np.array(cut))) for name, cut in cuts.items()},
        operations=operations,
        scores=Scores(**none),
        coverage=0,
        reason="made by hand",
    )


def random_maps(folder, entries, classes, seed):
    """Blobs of all levels, so that members disagree and every operation has something to do."""
    random = np.random.default_rng(seed)
    maps = {}
    for entry in entries:
        noise = ndimage.gaussian_filter(random.standard_normal((classes, entry.height, entry.width)), (0, 2, 2))
        maps[entry.sample] = np.clip(127 + 900 * noise, 0, 255).astype(np.uint8)
        write_map(folder, entry.sample, maps[entry.sample])
    return maps


def processed(blend, cut, operation):
    mask = blend > cut
    labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
    areas = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    if operation == "surest+fill":
        sure = np.bincount(labels[blend > 204], minlength=count + 1)[1:]  # above 0.8 of 255
        return ndimage.binary_fill_holes(labels == 1 + np.lexsort((-areas, -sure))[0]) if count else mask
    return np.isin(labels, 1 + np.flatnonzero(areas >= 25)) if operation == "drop<25px" else mask


@pytest.mark.slow
@pytest.mark.parametrize(
    ("weights", "own_classes"),
    [
        ([1000], [None]),
        ([250, 450, 300], [None, None, None]),
        ([200, 500, 300], [None, ("bar", "disc"), None]),
        ([0, 1000], [None, ("square",)]),
    ],
    ids=["alone", "three", "partial", "weightless"],
)
def test_rows_are_the_dense_vote_of_whole_maps(shared_hands, tmp_path, capsys, weights, own_classes):
    track, entries = shared_hands.track, shared_hands.manifest.entries
    folders = [tmp_path / f"m{number}" for number in range(len(weights))]
    maps = [
        random_maps(folder, entries, len(own or track.classes), seed)
        for seed, (folder, own) in enumerate(zip(folders, own_classes, strict=True))
    ]
    decision = decision_of(track, weights, own_classes)
    write_submission(track, decision, shared_hands.workspace, folders, entries, tmp_path / "out" / "submission.csv")
    by_class = decision.voters().weights_by_class(weights)
    with (tmp_path / "out" / "submission.csv").open(newline="") as file:
        rows = {(row["image_name"], row["class"]): row["rle"] for row in csv.DictReader(file)}
    assert len(rows) == 3 * len(entries)
    for entry in entries:
        for index, name in enumerate(track.classes):
            total = 0
            for own, member_maps, weight in zip(own_classes, maps, by_class[index], strict=True):
                if name in (own or track.classes):
                    level = member_maps[entry.sample][(own or track.classes).index(name)]
                    total = total + int(weight) * level.astype(int)
            mask = processed((total + 500) // 1000, CUTS[name], OPERATIONS[name])
            assert rows[entry.name, name] == encode_mask(mask)
    members = "1 member" if len(weights) == 1 else f"{len(weights)} members"
    assert f"voting: {members}, 3 classes of 64x64 (rows x columns): about " in capsys.readouterr().out


def test_rows_of_more_classes_than_a_plane_holds(shared_hands, tmp_path):
    classes = tuple(f"bone {number}" for number in range(11))
    track, entries = replace(shared_hands.track, classes=classes), shared_hands.manifest.entries[:2]
    maps = random_maps(tmp_path / "m0", entries, len(classes), 0)
    decision = decision_of(track, [1000], [None], dict.fromkeys(classes, 127), dict.fromkeys(classes, "none"))
    write_submission(track, decision, shared_hands.workspace, [tmp_path / "m0"], entries, tmp_path / "submission.csv")
    with (tmp_path / "submission.csv").open(newline="") as file:
        rows = [row["rle"] for row in csv.DictReader(file)]
    assert rows == [encode_mask(level > 127) for entry in entries for level in maps[entry.sample]]


def test_maps_that_cannot_vote_are_named(shared_hands, tmp_path):
    track, entries = shared_hands.track, shared_hands.manifest.entries[:2]
    folders = [tmp_path / "m0", tmp_path / "m1"]
    decision = decision_of(track, [500, 500], [None, None])

    def vote():
        write_submission(track, decision, shared_hands.workspace, folders, entries, tmp_path / "out" / "submission.csv")

    for seed, folder in enumerate(folders):
        random_maps(folder, entries, 3, seed)
    path = map_file(folders[1], entries[1].sample)
    whole = path.read_bytes()
    path.unlink()
    with pytest.raises(CompetitionError, match=rf"no map of sample '{entries[1].sample}': .*m1"):
        vote()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CompetitionError, match=rf"damaged.*m1.*{path.name}"):
        vote()
    other = replace(entries[1], height=entries[1].height + 1)
    random_maps(folders[1], [other], 3, 5)
    with pytest.raises(
        CompetitionError, match=rf"62x47 pixels, image {entries[1].name} has 61x47 \(rows x columns\): .*m1"
    ):
        vote()
    random_maps(folders[1], entries[1:], 2, 5)
    with pytest.raises(CompetitionError, match="different sizes"):
        vote()
    assert not (tmp_path / "out" / "submission.csv").exists()


VOTE_TWICE = textwrap.dedent(
    """
    import sys
    from pathlib import Path

    from competition.data.manifest import read_manifest
    from competition.ensembling.decision import load_decision
    from competition.tracks import get_track
    from competition.workspace import Workspace
    from competition.machine import peak_memory_mb
    from competition.ensembling.submission import write_submission

    track, root = get_track(sys.argv[1]), Path(sys.argv[2])
    workspace, decision = Workspace(root, track.name), load_decision(root / "decision.json")
    entries = read_manifest(workspace, track).of("test")
    folders = [root / member.name for member in decision.members]
    for images in (2, 6):
        path = root / f"out{images}" / f"submission{track.form.ending}"
        write_submission(track, decision, workspace, folders, entries[:images], path)
        print("peak:", peak_memory_mb())
    """
)


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.parametrize("name", ["hand_bone", "lumbar"])
def test_the_memory_that_is_said_before_is_held_for_any_number_of_images(tmp_path, name):
    """In a process of its own, because the most memory a process has held never falls again."""
    track, size, members = get_track(name), 1024, 5
    workspace = Workspace(tmp_path, name)
    rows, columns = np.mgrid[:size, :size]
    grey = np.clip(280 - np.hypot(rows - size / 2, columns - size / 2), 0, 255).astype(np.uint8)
    grey[:80, :80] = 200  # a second component, so that each class is voted on once more
    entries = [
        Entry(f"s{n}", f"{n}.png", "test", str(n), "", (True,), size, size, (0.0,), (1.0,), (), "", "", "")
        for n in range(6)
    ]
    write_manifest(workspace, track, Manifest(tmp_path, tuple(entries)))
    for entry in entries:
        write_array(workspace.image_file(entry.sample, track.views[0]), grey)
    for member in range(members):
        stack = np.broadcast_to(grey - grey // 20 * member, (len(track.classes), size, size))
        for entry in entries[:1]:
            write_map(tmp_path / f"m{member}", entry.sample, stack)
        for entry in entries[1:]:
            map_file(tmp_path / f"m{member}", entry.sample).symlink_to(map_file(tmp_path / f"m{member}", "s0"))
    cuts, operations = (dict.fromkeys(track.classes, value) for value in (127, "surest+fill"))
    decision = decision_of(track, [200] * members, [None] * members, cuts, operations)
    save_decision(tmp_path / "decision.json", decision)
    command = [sys.executable, "-c", VOTE_TWICE, name, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=REPOSITORY)
    said = [int(number) for number in re.findall(r"about (\d+) MB of memory", done.stdout)]
    peaks = [float(number) for number in re.findall(r"peak: ([\d.]+)", done.stdout)]
    assert len(said) == len(peaks) == 2
    assert peaks[0] <= said[0]
    assert peaks[1] <= peaks[0] + 10  # nothing is kept of an image but its small picture; label planes take 4 MB each

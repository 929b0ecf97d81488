"""How many planted errors a review finds where the networks have learned from the wrong labels too.

    python -m pipelines.benchmarks.planted_review hand_bone /tmp/planted --seed 0

It draws synthetic data, plants errors in a twentieth of the training labels, trains the experiment quick on them,
tunes, and looks at the tenth of the samples that is most suspicious. With seed 0, 20 people and 1024 pixels, the two
planted errors have the ranks 1 and 2 of 40.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from competition.console import say
from competition.data.cache import cache_sample
from competition.data.manifest import Entry, Manifest, read_manifest, write_manifest
from competition.ensembling.current_decision import newest_decision
from competition.ensembling.decision import load_decision
from competition.review.ranking import BY_ERROR, rank_review
from competition.tracks import get_track
from competition.tracks.track import Sample, Track
from competition.workspace import PHANTOM, Workspace
from pipelines.benchmarks.planted_labels import (
    HAND_ERRORS,
    HEART_ERRORS,
    choose_wrong,
    flip_targets,
    found_share,
)
from pipelines.context import call_stage


def plant(track: Track, workspace: Workspace, seed: int) -> list[str]:
    """Give a twentieth of the prepared training samples wrong labels, in the cache and the manifest; return which."""
    random, manifest = np.random.default_rng(seed), read_manifest(workspace, track)
    wrong = choose_wrong([entry.sample for entry in manifest.of("train")], random)
    if track.task == "classification":
        entries = [_flipped(entry, random) if entry.sample in wrong else entry for entry in manifest.entries]
    else:
        samples = {sample.key: sample for sample in track.list_samples(manifest.data_root).samples}
        labelled = [samples[entry.sample] for entry in manifest.of("train")]
        entries = []
        for entry in manifest.entries:
            if entry.sample in wrong:
                read_wrong = _wrong_labels(track, manifest.data_root, labelled, samples[entry.sample], random)
                entries.append(cache_sample(workspace, read_wrong, manifest.data_root, samples[entry.sample])[0])
            else:
                entries.append(entry)
    write_manifest(workspace, track, Manifest(manifest.data_root, tuple(entries), manifest.tables, manifest.unused))
    return wrong


def _flipped(entry: Entry, random: np.random.Generator) -> Entry:
    targets = flip_targets(np.array(entry.targets, dtype=np.int64), random)
    return replace(entry, targets=tuple(int(target) for target in targets))


def _wrong_labels(
    track: Track, root: Path, labelled: list[Sample], sample: Sample, random: np.random.Generator
) -> Track:
    """Return the track so that reading the sample's label gives a wrong one."""
    read_label = track.read_label
    assert read_label is not None
    errors = HAND_ERRORS if len(track.classes) > 1 else HEART_ERRORS
    kind = int(random.integers(len(errors) + (len(track.classes) == 1)))
    place = [each.key for each in labelled].index(sample.key)
    # Half of the data away, so that it is another person's.
    other = labelled[(place + len(labelled) // 2) % len(labelled)]

    def read_wrong(path: Path, size_hw: tuple[int, int]) -> NDArray[np.uint8]:
        if kind == len(errors):
            return read_label(root / str(other.label), size_hw)
        return errors[kind](read_label(path, size_hw), len(track.classes), random)

    return replace(track, read_label=read_wrong)


def main() -> None:
    """Measure one track; print the share of the planted errors that was found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("track")
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--people", default="20")
    parser.add_argument("--size", default="512")
    given = parser.parse_args()
    track, workspace = get_track(given.track), Workspace(given.workspace, PHANTOM + given.track)
    common = argparse.Namespace(track=given.track, phantom=True, workspace=str(given.workspace), json=None, debug=True)
    drawn = ["--people", given.people, "--test-people", "2", "--size", given.size, "--seed", str(given.seed)]
    call_stage("prepare", common, drawn)
    wrong = plant(track, workspace, given.seed)
    call_stage("train", common, ["--experiment", "quick"])
    call_stage("tune", common, ["--members", "quick", "--name", "quick"])
    path = newest_decision(workspace)
    assert path is not None  # tune has just written it
    manifest = read_manifest(workspace, track)
    review = rank_review(track, workspace, load_decision(path), manifest, BY_ERROR)
    order = [each.entry.sample for each in review.ranked]
    for sample in wrong:
        say(f"{sample}: rank {order.index(sample) + 1} of {len(manifest.of('train'))}")
    say(f"found among the first tenth: {found_share(wrong, order, len(manifest.of('train'))):.0%}")


if __name__ == "__main__":
    main()

"""How much of a map's energy lies inside the drawn aneurysms of synthetic patients, by trained and untrained networks.

``python -m pipelines.benchmarks.aneurysm_focus [--run RUN] [--workspace DIR] [--occlusion]`` looks at all positive
training patients of the phantom, each with the network of the fold that held it out, and with the same network before
training. What is explained is the class Aneurysm.
"""

import argparse
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from competition.console import say, table
from competition.console import track as shown
from competition.data.cache import read_cached_image
from competition.data.folds import find_folds
from competition.data.manifest import Entry, read_manifest
from competition.ensembling.selection.bootstrap import bootstrap_interval
from competition.errors import CompetitionError
from competition.explanation.energy import Share, energy_share
from competition.explanation.explain import at_native_size
from competition.explanation.held_out_networks import open_held_out
from competition.explanation.network_maps import cam_maps, network_input, occlusions
from competition.models.factory import build_model, place
from competition.phantoms.aneurysm.phantom import patient_index
from competition.phantoms.aneurysm.sacs import sac_masks
from competition.phantoms.aneurysm.stills import noise_tile
from competition.prediction.predictor import Predictor, predict_scores
from competition.runs.members import Member, open_member
from competition.tracks import get_track
from competition.tracks.track import Track
from competition.workspace import PHANTOM, Workspace
from pipelines.context import workspace_root

TRACK = "aneurysm"
RECIPE = re.compile(r"people (\d+), test people \d+, size (\d+), seed (\d+)")
KINDS = ("Grad-CAM", "Grad-CAM, untrained", "occlusion")


@dataclass(frozen=True)
class Focus:
    """Where the energy of one patient's maps lies.

    Attributes:
        sample: The patient.
        kind: Of ``KINDS``.
        probability: Of an aneurysm, by the network that was asked.
        everywhere: The share inside the sacs, of the maps of all views.
        in_sac_views: Likewise of the views that show a sac.
    """

    sample: str
    kind: str
    probability: float
    everywhere: Share
    in_sac_views: Share


def measure(track: Track, workspace: Workspace, member: Member, with_occlusion: bool) -> list[Focus]:
    """Measure all positive training patients of the phantom, trained and untrained."""
    found = []
    positive = [entry for entry in read_manifest(workspace, track).of("train") if entry.targets[0]]
    sacs = Sacs(track, workspace)
    for entry in shown(positive, "maps of positive patients"):
        masks = sacs.of(entry)
        predictor, _ = open_held_out(track, workspace, member, entry)
        untrained = place(build_model(predictor.experiment, predictor.track, pretrained=False), predictor.device).eval()
        before = replace(predictor, models=(untrained,))
        found.append(focus_of(entry, KINDS[0], predictor, _cams(predictor, entry), masks))
        found.append(focus_of(entry, KINDS[1], before, _cams(before, entry), masks))
        if with_occlusion:
            found.append(focus_of(entry, KINDS[2], predictor, _drops(predictor, entry), masks))
    return found


class Sacs:
    """The masks of the aneurysms in the cached images."""

    def __init__(self, track: Track, workspace: Workspace) -> None:
        """Read how the data was drawn.

        Raises:
            CompetitionError: There is no note of it.
        """
        note = workspace.data_folder() / "drawn.txt"
        recipe = RECIPE.search(note.read_text(encoding="utf-8")) if note.exists() else None
        if recipe is None:
            raise CompetitionError(
                "no note of how the synthetic data was drawn", note, "Run ./run.sh prepare --phantom"
            )
        people, size, self._seed = map(int, recipe.groups())
        self._noise = noise_tile(size, self._seed)
        self._numbers = {patient_index("train", number): number for number in range(people)}
        self._track, self._workspace = track, workspace

    def of(self, entry: Entry) -> list[NDArray[np.bool_]]:
        """Return the mask of every view of a patient, (H, W) bool.

        Raises:
            CompetitionError: The patient was drawn by another version of the phantom.
        """
        masks = sac_masks("train", self._numbers[int(entry.sample)], self._noise, self._seed)
        for view, mask in masks.items():
            if read_cached_image(self._workspace, entry.sample, view).shape != mask.shape:
                raise CompetitionError(
                    f"patient {entry.sample} was drawn in another way than now", self._workspace.root
                )
        return [masks[view] for view in self._track.views]


def _cams(predictor: Predictor, entry: Entry) -> list[NDArray[np.float32]]:
    return cam_maps(predictor, predictor.models[0], network_input(predictor, entry), 0)


def _drops(predictor: Predictor, entry: Entry) -> list[NDArray[np.float32]]:
    views = range(len(predictor.track.views))
    (of_views,) = occlusions(predictor, predictor.models[0], network_input(predictor, entry), [0], views, lambda: None)
    return [occlusion.as_map() for occlusion in of_views]


def focus_of(
    entry: Entry,
    kind: str,
    predictor: Predictor,
    maps: Sequence[NDArray[np.float32]],
    masks: Sequence[NDArray[np.bool_]],
) -> Focus:
    """Return where the energy of maps (h, w) of all views lies, given the masks (H, W) of the sacs."""
    sizes = [(mask.shape[0], mask.shape[1]) for mask in masks]
    native = [at_native_size(values, size_hw) for values, size_hw in zip(maps, sizes, strict=True)]
    showing = [view for view, mask in enumerate(masks) if mask.any()]
    return Focus(
        sample=entry.sample,
        kind=kind,
        probability=float(predict_scores(predictor, entry, ["identity"])[0]),
        everywhere=energy_share(native, masks),
        in_sac_views=energy_share([native[view] for view in showing], [masks[view] for view in showing]),
    )


def summary_row(kind: str, shares: Sequence[Share]) -> list[str]:
    """Return kind, patients, empty maps, mean share, that of a uniform map, and the mean ratio with its interval."""
    full = [share for share in shares if not np.isnan(share.energy)]
    empty = str(len(shares) - len(full))
    if not full:
        return [kind, str(len(shares)), empty, "-", "-", "-"]
    ratios = np.array([share.ratio for share in full])
    low, high = bootstrap_interval(ratios, [str(number) for number in range(len(full))], seed=0)
    energy, area = np.mean([share.energy for share in full]), np.mean([share.area for share in full])
    return [
        kind,
        str(len(shares)),
        empty,
        f"{energy:.4f}",
        f"{area:.4f}",
        f"{ratios.mean():.2f} ({low:.2f} to {high:.2f})",
    ]


def report(found: Sequence[Focus]) -> None:
    """Print the shares of all patients, and of those that the trained network calls positive."""
    columns = ["maps", "patients", "empty", "energy in sacs", "of a uniform map", "ratio (95 % interval)"]
    seen = {focus.sample for focus in found if focus.kind == KINDS[0] and focus.probability > 0.5}
    kinds = [kind for kind in KINDS if any(focus.kind == kind for focus in found)]
    for title, samples in (("all positive patients", None), ("patients found (probability above 0.5)", seen)):
        chosen = [focus for focus in found if samples is None or focus.sample in samples]
        for where in ("everywhere", "in_sac_views"):
            rows = [summary_row(kind, [getattr(one, where) for one in chosen if one.kind == kind]) for kind in kinds]
            table(f"{title}, {'all views' if where == 'everywhere' else 'views that show a sac'}", columns, rows)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", default="quick", help="explain this run")
    parser.add_argument("--workspace", metavar="DIR", help="as of the stages")
    parser.add_argument("--occlusion", action="store_true", help="measure occlusion too, 20 seconds a patient")
    args = parser.parse_args()
    track, workspace = get_track(TRACK), Workspace(workspace_root(args), PHANTOM + TRACK)
    folds = find_folds(workspace)
    if folds is None:
        raise CompetitionError("no fold file", workspace.fold_file(), "Run ./run.sh prepare --phantom")
    member = open_member(workspace, folds, read_manifest(workspace, track).of("train"), args.run, None)
    found = measure(track, workspace, member, args.occlusion)
    say(f"synthetic patients with an aneurysm, explained by {member.with_folds()}, each by the fold that held it out")
    report(found)


if __name__ == "__main__":
    main()

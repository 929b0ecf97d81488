"""Energy inside the drawn sacs: on maps that are known, of a small phantom, and the means of all patients."""

import numpy as np
import pytest

from competition.data.cache import cache_sample, read_cached_image
from competition.errors import CompetitionError
from competition.explanation.energy import Share
from competition.phantoms.aneurysm.phantom import draw
from competition.tracks.aneurysm.track import ANEURYSM, list_samples
from competition.workspace import Workspace
from pipelines.benchmarks import aneurysm_focus
from pipelines.benchmarks.aneurysm_focus import KINDS, Focus, Sacs, focus_of, report, summary_row


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Two patients as prepare leaves them."""
    workspace = Workspace(tmp_path_factory.mktemp("sacs"), "phantom_aneurysm")
    root = workspace.data_folder()
    draw(root, 4, 1, 96, 5, lambda: None)
    (root / "drawn.txt").write_text("people 4, test people 1, size 96, seed 5\n")
    samples = [sample for sample in list_samples(root).samples if sample.targets and sample.targets[0]]
    return workspace, [cache_sample(workspace, ANEURYSM, root, sample)[0] for sample in samples]


@pytest.mark.slow
def test_a_map_of_the_dark_sacs_has_all_its_energy_inside_and_a_uniform_one_its_share(drawn, monkeypatch):
    monkeypatch.setattr(aneurysm_focus, "predict_scores", lambda predictor, entry, views: np.array([0.75]))
    workspace, entries = drawn
    assert entries
    sacs = Sacs(ANEURYSM, workspace)
    for entry in entries:
        masks = sacs.of(entry)
        assert any(mask.any() for mask in masks)
        inside = [mask.astype(np.float32) for mask in masks]
        perfect = focus_of(entry, KINDS[0], None, inside, masks)
        assert (perfect.probability, perfect.everywhere.energy, perfect.in_sac_views.energy) == (0.75, 1, 1)
        uniform = focus_of(entry, KINDS[0], None, [np.ones((3, 3), np.float32)] * 8, masks)
        assert uniform.everywhere.ratio == pytest.approx(1)
        assert uniform.in_sac_views.ratio == pytest.approx(1)
        assert uniform.in_sac_views.area > uniform.everywhere.area
        for mask, view in zip(masks, ANEURYSM.views, strict=True):
            image = read_cached_image(workspace, entry.sample, view).astype(float)
            assert not mask.any() or image[mask].mean() < image[~mask].mean() - 20


@pytest.mark.slow
def test_data_drawn_in_another_way_is_refused(drawn, tmp_path):
    workspace, entries = drawn
    with pytest.raises(CompetitionError, match=r"no note of how the synthetic data was drawn: .*drawn\.txt"):
        Sacs(ANEURYSM, Workspace(tmp_path, "phantom_aneurysm"))
    other = Workspace(tmp_path, "phantom_aneurysm")
    other.data_folder().mkdir(parents=True)
    (other.data_folder() / "drawn.txt").write_text("people 4, test people 1, size 128, seed 5\n")
    for view in ANEURYSM.views:
        target = other.image_file(entries[0].sample, view)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(workspace.image_file(entries[0].sample, view).read_bytes())
        for extra in workspace.image_file(entries[0].sample, view).parent.glob(f"{target.name}.*"):
            (target.parent / extra.name).write_bytes(extra.read_bytes())
    with pytest.raises(CompetitionError, match="was drawn in another way than now"):
        Sacs(ANEURYSM, other).of(entries[0])


def test_a_row_has_means_over_patients_and_counts_empty_maps():
    shares = [Share(0.2, 0.1), Share(0.4, 0.1), Share(float("nan"), 0.1)]
    assert summary_row("Grad-CAM", shares) == ["Grad-CAM", "3", "1", "0.3000", "0.1000", "3.00 (2.00 to 4.00)"]
    assert summary_row("Grad-CAM", shares[2:]) == ["Grad-CAM", "1", "1", "-", "-", "-"]


def test_the_report_tells_all_patients_from_those_that_were_found(capsys):
    share = Share(0.2, 0.1)
    found = [Focus(sample, kind, p, share, share) for sample, p in (("a", 0.9), ("b", 0.1)) for kind in KINDS[:2]]
    report(found)
    rows = [line.split("│") for line in capsys.readouterr().out.splitlines() if "Grad-CAM" in line]
    assert [int(row[2]) for row in rows] == [2] * 4 + [1] * 4  # two tables of two kinds each

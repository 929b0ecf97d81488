"""Every experiment file: its figures at full size, and a step and a prediction of a small one.

At full size nothing is computed: on the meta device a network has shapes and no numbers. A step runs on the track's own
drawn data with a small sibling of the encoder.
"""

from pathlib import Path

import numpy as np
import pytest
import torch

from competition.data.boxes import box_around
from competition.data.cache import read_cached_planes
from competition.data.datasets import TrainingSet
from competition.data.grid import oversampling
from competition.data.loader import collate
from competition.data.manifest import Entry, read_manifest
from competition.masks.bit_planes import unpack_planes
from competition.models.factory import ARCHITECTURES, build_model
from competition.models.layers import stride_of
from competition.prediction.predictor import make_predictor, predict_map, predict_scores
from competition.prediction.tile_grid import tile_starts
from competition.prediction.tta_views import check_views
from competition.settings import load_experiment
from competition.tracks import get_track
from competition.tracks.track import narrow
from competition.training.losses import get_loss
from competition.training.steps import batch_loss
from competition.workspace import Workspace
from pipelines.__main__ import main
from pipelines.context import EXPERIMENTS

pytestmark = pytest.mark.slow

# Parameters in all, and the sides of the outputs while training, for a square of data.crop or data.size pixels.
FIGURES = {
    "cardiac/fcn": (1_854_663, [256]),
    "cardiac/fcn_dice": (1_854_663, [256]),
    "cardiac/hidden_layer": (67_174_912, [256]),
    "cardiac/quick": (6_441_881, [160]),
    "cardiac/strong": (22_646_353, [384]),
    "folder/cells": (6_441_881, [160]),
    "folder/quick": (6_441_881, [512]),  # without images to choose a size from
    "folder/strong": (22_093_041, [512]),
    "hand_bone/convnext_upernet_tiles": (58_682_557, [1024]),
    "hand_bone/deeplabv3plus_2048": (45_670_637, [2048]),
    "hand_bone/deeplabv3plus_resnet101": (45_670_637, [512]),
    "hand_bone/fcn_resnet101": (51_946_973, [512]),
    "hand_bone/hrnet_w48_tiles": (67_962_717, [1024]),
    "hand_bone/quick": (1_643_581, [128]),
    "hand_bone/residual_unet_tiles": (105_903_316, [1024, 512, 256, 128]),
    "hand_bone/segformer_b4": (61_369_693, [1024]),
    "hand_bone/strong": (67_962_717, [1024]),
    "hand_bone/unet3plus": (27_044_765, [512]),
    "hand_bone/unet3plus_ds": (27_562_705, [512] * 5),
    "hand_bone/unet3plus_ds_2048": (27_562_995, [2048, 512, 512, 512, 512]),
    "hand_bone/unet3plus_ds_2048_augmented": (27_562_995, [2048, 512, 512, 512, 512]),
    "hand_bone/unet3plus_ds_2048_eff": (7_044_819, [2048, 1024, 256, 64, 16]),
    "hand_bone/unet_efficientnet_b0": (6_254_953, [512]),
    "hand_bone/unetplusplus_efficientnet_b8_tiles": (87_018_219, [1024]),
    "hand_bone/unetplusplus_hrnet_w48_tiles": (76_967_277, [1024]),
    "hand_bone/unetplusplus_hrnet_w64": (127_557_357, [1536]),
    "hand_bone/upernet_swin": (36_747_223, [512]),
    "hand_bone/wrist_crop": (76_964_232, [512]),
    "knee/quick": (6_441_881, [128]),
    "knee/strong": (22_093_041, [512]),
    "knee/vgg_unet": (7_849_025, [256]),
    "lumbar/plain_unet": (31_036_806, [512]),
    "lumbar/quick": (6_442_606, [160]),
    "lumbar/strong": (22_647_078, [1024]),
}
# Of the tracks of patients: parameters in all, and the shape of what two patients give while training.
FIGURES_OF_PATIENTS = {
    "aneurysm/contrastive": (5_265_758, (2, 23)),
    "aneurysm/densenet121": (7_483_404, (2, 22)),
    "aneurysm/efficientnet_b0": (4_675_912, (2, 22)),
    "aneurysm/maximum": (4_937_438, (2, 22)),
    "aneurysm/quick": (5_191_636, (2, 22)),
    "aneurysm/reconstructed": (4_989_271, (2, 23)),
    "aneurysm/report": (62_029_025, (2, 8, 22)),
    "aneurysm/report_quick": (20_638_013, (2, 8, 22)),
    "aneurysm/resnet18": (11_439_820, (2, 22)),
    "aneurysm/strong": (49_920_237, (2, 22)),
    "aneurysm/swinv2_cr_tiny": (27_964_096, (2, 22)),
}
# Of tables of labels: parameters for two classes of colour images.
FIGURES_OF_TABLES = {"table/counting": 147_490, "table/quick": 42_386, "table/strong": 20_181_330}
BLOOD_CELLS = Path(__file__).resolve().parents[2] / "docs/layouts/blood_cells_multilabel.yaml"
# It finds vertebrae by rules, in numbers that the meta device does not have, so its one parameter is measured apart.
BY_RULES = "lumbar/classical"
# A narrower one of the same kind, for encoders that take long to set up.
SIBLINGS = {
    "convnext_small.fb_in22k_ft_in1k": "convnext_atto",
    "mit_b4": "mit_b0",
    "resnet101": "resnet18",
    "tu-convnext_small.dinov3_lvd1689m": "tu-convnext_atto",
    "tu-hrnet_w48": "tu-hrnet_w18_small",
    "tu-hrnet_w48.ms_in1k": "tu-hrnet_w18_small",
    "tu-hrnet_w64.ms_in1k": "tu-hrnet_w18_small",
    "tu-resnet101.a1h_in1k": "tu-resnet18",
    "tu-swin_tiny_patch4_window7_224.ms_in1k": "tu-swin_tiny_patch4_window7_224",
    "tu-tf_efficientnet_b8.ap_in1k": "tu-tf_efficientnet_b0",
    "tu-tf_efficientnetv2_s.in21k_ft_in1k": "tu-tf_efficientnetv2_b0",
}


def experiment_file(name):
    return EXPERIMENTS / f"{name}.yaml"


def track_of(name):
    """The track as the experiment's network sees it."""
    track = name.split("/")[0]
    classes = load_experiment(experiment_file(name)).data.classes
    return narrow(get_track("knee" if track == "folder" else track), classes)


def boxes_of(experiment, workspace, entries):
    """Where a first stage with perfect predictions would crop; None for an experiment that looks at whole images."""
    if experiment.data.crop_to is None:
        return None
    whole, settings = get_track("hand_bone"), experiment.data.crop_to
    rows = [whole.classes.index(name) for name in settings.classes]
    boxes = {}
    for entry in entries:
        masks = unpack_planes(read_cached_planes(workspace, entry.sample), len(whole.classes))
        boxes[entry.sample] = box_around(masks[rows].any(axis=0), settings.margin)
    return boxes


def small(name):
    """The experiment with a tenth of its pixels and channels."""
    experiment = load_experiment(experiment_file(name))
    sides = {"data.size": 64}
    if experiment.model.architecture == "unet3plus_ds_2048_eff":
        sides = {"data.size": 256}
    if experiment.data.crop or experiment.predict.tile:
        sides = {"data.size": 96}
    if experiment.model.architecture == "residual_unet":
        sides["data.size"] = 160
    if experiment.data.crop:
        sides["data.crop"] = 64 if experiment.model.architecture != "residual_unet" else 128
    if experiment.predict.tile:
        sides["predict.tile"] = sides["data.crop"]
    overrides = [f"{key}={value}" for key, value in sides.items()] + ["model.pretrained=false"]
    if experiment.model.encoder in SIBLINGS:
        overrides.append(f"model.encoder={SIBLINGS[experiment.model.encoder]}")
    without_width = (*ARCHITECTURES, "classical", "fcn_resnet101")
    if track_of(name).task == "segmentation" and experiment.model.architecture not in without_width:
        overrides.append("model.width=4")
    return load_experiment(experiment_file(name), overrides)


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory):
    """Track name -> its workspace with prepared synthetic data, drawn at its first use."""
    root, made = tmp_path_factory.mktemp("phantoms"), {}

    def workspace_of(track):
        if track not in made:
            drawn = ["--phantom", "--people", "3", "--test-people", "1", "--size", "128", "--folds", "2"]
            assert main(["prepare", "--track", track, "--workspace", str(root), *drawn]) == 0
            made[track] = Workspace(root, f"phantom_{track}")
        return made[track]

    return workspace_of


def of_all_tracks(names):
    """The two experiments that every track has; the others belong to the exhaustive tests."""
    exhaustive = pytest.mark.exhaustive
    return [name if name.endswith(("/quick", "/strong")) else pytest.param(name, marks=exhaustive) for name in names]


def test_every_experiment_has_its_figures():
    found = {f"{path.parent.name}/{path.stem}" for path in EXPERIMENTS.glob("*/*.yaml")}
    assert found == {*FIGURES, *FIGURES_OF_PATIENTS, *FIGURES_OF_TABLES, BY_RULES}


@pytest.mark.parametrize("name", of_all_tracks(FIGURES))
def test_parameters_and_outputs_at_full_size(name):
    experiment, track = load_experiment(experiment_file(name), ["model.pretrained=false"]), track_of(name)
    if experiment.model.encoder.startswith("mit_"):  # it reads numbers while it is built
        model = build_model(experiment, track).to("meta")
    else:
        with torch.device("meta"):
            model = build_model(experiment, track)
    side = experiment.data.crop or experiment.data.size
    outputs = model.train()(torch.zeros(2, track.channels, side, side, device="meta"))
    outputs = outputs if isinstance(outputs, list) else [outputs]
    parameters, sides = FIGURES[name]
    assert sum(value.numel() for value in model.parameters()) == parameters
    assert [tuple(logits.shape) for logits in outputs] == [(2, len(track.classes), size, size) for size in sides]


@pytest.mark.parametrize("name", of_all_tracks(FIGURES_OF_PATIENTS))
def test_parameters_and_outputs_for_patients_at_full_size(name):
    experiment, track = load_experiment(experiment_file(name), ["model.pretrained=false"]), track_of(name)
    with torch.device("meta"):
        model = build_model(experiment, track).train()
        images = torch.zeros(2, len(track.views), track.channels, *[experiment.data.size] * 2)
        outputs = model(images, torch.ones(2, len(track.views), dtype=torch.bool))
    parameters, shape = FIGURES_OF_PATIENTS[name]
    assert sum(value.numel() for value in model.parameters()) == parameters
    assert tuple(outputs.shape) == shape


@pytest.mark.parametrize("name", FIGURES_OF_TABLES)
def test_parameters_for_tables_at_full_size(name):
    experiment, track = load_experiment(experiment_file(name), ["model.pretrained=false"]), get_track(str(BLOOD_CELLS))
    check_views(experiment.predict.views, track)
    with torch.device("meta"):
        model = build_model(experiment, track).train()
        images = torch.zeros(2, 1, track.channels, *[experiment.data.size] * 2)
        outputs = model(images, torch.ones(2, 1, dtype=torch.bool))
    assert sum(value.numel() for value in model.parameters()) == FIGURES_OF_TABLES[name]
    assert tuple(outputs.shape) == (2, 2)


def test_the_rules_have_one_parameter_and_answer_at_full_size():
    experiment, track = load_experiment(experiment_file(BY_RULES)), track_of(BY_RULES)
    model = build_model(experiment, track).train()
    assert [value.numel() for value in model.parameters()] == [1]
    side = experiment.data.size
    logits = model(torch.randn(1, 1, side, side, generator=torch.Generator().manual_seed(0)))
    assert tuple(logits.shape) == (1, len(track.classes), side, side) == (1, 6, 512, 512)


def take_a_step(name, experiment, track, workspace, entries):
    """A step on two samples; returns the network and the names of the weights that no gradient reached."""
    check_views(experiment.predict.views, track)
    model = build_model(experiment, track).train()
    boxes = boxes_of(experiment, workspace, entries)
    dataset = TrainingSet(entries, workspace, track, experiment, boxes=boxes, stride=stride_of(model))
    batch = collate([dataset[index, index] for index in range(2)])
    loss = batch_loss(model, batch, dataset.factor, len(track.classes), get_loss(experiment.train.loss), None)
    loss.backward()
    assert torch.isfinite(loss), name
    before = [value.detach().clone() for value in model.parameters()]
    torch.optim.SGD(model.parameters(), lr=0.01).step()
    assert any(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
    return model, [
        key for key, value in model.named_parameters() if value.grad is None or not value.grad.isfinite().all()
    ]


@pytest.mark.parametrize("name", of_all_tracks([*FIGURES, BY_RULES]))
def test_a_step_and_a_prediction_on_drawn_data(name, phantoms):
    experiment, track = small(name), track_of(name)
    workspace = phantoms(track.name)
    entries = read_manifest(workspace, get_track(track.name)).of("train")
    model, silent = take_a_step(name, experiment, track, workspace, entries)
    assert not silent or experiment.model.architecture in ARCHITECTURES
    assert len(silent) < 0.1 * len(list(model.parameters()))  # some encoders end in layers that no decoder looks at
    entry, boxes = entries[-1], boxes_of(experiment, workspace, entries)
    predictor = make_predictor([model], experiment, track, workspace, None, boxes)
    levels = predict_map(predictor, entry, experiment.predict.views)
    assert (levels.shape, levels.dtype) == ((len(track.classes), entry.height, entry.width), np.uint8)


@pytest.mark.parametrize("name", of_all_tracks(FIGURES_OF_PATIENTS))
def test_a_step_and_a_prediction_on_drawn_patients(name, phantoms):
    experiment, track = small(name), track_of(name)
    workspace = phantoms(track.name)
    entries = read_manifest(workspace, get_track(track.name)).of("train")
    model, silent = take_a_step(name, experiment, track, workspace, entries)
    assert not silent
    predictor = make_predictor([model], experiment, track, workspace, None)
    probs = predict_scores(predictor, entries[-1], experiment.predict.views)
    assert probs.shape == (len(track.classes),)
    assert ((probs > 0) & (probs < 1)).all()


def test_patients_are_judged_by_the_fused_network_and_by_one_maximum_to_compare_with():
    architectures = {
        name.removeprefix("aneurysm/"): load_experiment(experiment_file(name)).model.architecture
        for name in FIGURES_OF_PATIENTS
    }
    fused = {"densenet121", "efficientnet_b0", "quick", "resnet18", "swinv2_cr_tiny"}
    assert {name for name, architecture in architectures.items() if architecture == "multiview_fused"} == fused
    assert architectures["maximum"] == "multiview"
    quick, maximum = (load_experiment(experiment_file(f"aneurysm/{name}")) for name in ("quick", "maximum"))
    assert maximum == quick.model_copy(update={"model": quick.model.model_copy(update={"architecture": "multiview"})})


def test_the_quick_form_of_the_report_learns_as_the_report_does():
    full, quick = (load_experiment(experiment_file(f"aneurysm/{name}")) for name in ("report", "report_quick"))
    assert (full.train.ema, full.train.clip, full.train.loss) == (quick.train.ema, quick.train.clip, quick.train.loss)
    assert not quick.train.ema
    assert full.data.preprocess == quick.data.preprocess


def test_tiles_of_1024_start_every_512_pixels():
    for name in ("hand_bone/hrnet_w48_tiles", "hand_bone/unetplusplus_efficientnet_b8_tiles"):
        predict = load_experiment(experiment_file(name)).predict
        assert tile_starts(2048, predict.tile, predict.overlap) == [0, 512, 1024]


def test_the_wrist_crop_is_of_the_carpals_around_the_carpals(phantoms):
    experiment = load_experiment(experiment_file("hand_bone/wrist_crop"))
    carpals = ("Trapezium", "Trapezoid", "Capitate", "Hamate", "Scaphoid", "Lunate", "Triquetrum", "Pisiform")
    assert experiment.data.classes == experiment.data.crop_to.classes == carpals
    assert experiment_file(f"hand_bone/{experiment.data.crop_to.run}").exists()
    workspace, whole = phantoms("hand_bone"), get_track("hand_bone")
    entries = read_manifest(workspace, whole).of("train")
    for sample, box in boxes_of(experiment, workspace, entries).items():
        masks = unpack_planes(read_cached_planes(workspace, sample), len(whole.classes))
        found = masks[[whole.classes.index(name) for name in carpals]].any(axis=0)
        assert found[box.window].sum() == found.sum()
        assert max(box.size_hw) < 0.5 * max(found.shape)


def test_every_experiment_says_first_what_it_is():
    for path in EXPERIMENTS.glob("*/*.yaml"):
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        assert lines[0].startswith("# "), path
        assert len(lines) <= 20, path


# Rows and columns of the organisers' images; a folder track may have any.
SIZES = {
    "hand_bone": [(2048, 2048)],
    "lumbar": [(3268, 3268)],
    "knee": [(240, 220)],
    "cardiac": [(256, 256)],
    "folder": [(512, 512), (1024, 128), (1024, 1024), (2048, 2048)],
}


@pytest.mark.parametrize("folder", SIZES)
def test_none_of_our_own_recipes_trains_on_labels_shrunk_by_nearest_neighbour(folder):
    ours = [path for name in ("quick", "strong", "wrist_crop") for path in (EXPERIMENTS / folder).glob(f"{name}.yaml")]
    assert len(ours) >= 2
    track = get_track("knee" if folder == "folder" else folder)
    for path in ours:
        data = load_experiment(path).data
        for height, width in SIZES[folder]:
            entry = Entry("s", "s", "train", "g", "", (True,), height, width, (0.0,), (1.0,), (), "", "", "")
            factor = oversampling([entry], track, data)
            assert factor >= 2 or max(height, width) <= data.size, (path.stem, height, width)

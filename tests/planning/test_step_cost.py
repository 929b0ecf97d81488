import copy
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from competition.masks.bit_planes import plane_count
from competition.models.factory import build_model
from competition.planning.devices import GB, Machine
from competition.planning.meter import QUICK, Meter, Rates
from competition.planning.step_cost import Draws, held_bytes, step_cost
from competition.tracks import get_track

RATES = Rates(1e12, 1e10)
REPOSITORY = Path(__file__).resolve().parents[2]


def cost(experiment, samples=2, side=32, factor=1, precision="fp32", on_cuda=True):
    return step_cost(
        experiment, get_track("hand_bone"), Draws(samples, (side, side), factor), precision, on_cuda, RATES
    )


def test_the_meter_counts_what_is_alive_at_once():
    with Meter(RATES, copies_weights=False) as meter:
        one = torch.empty(1000, device="meta")
        two = one + 1
        del one
        three = two.view(10, 100)
        two.add_(1)
        del two
        four = three.double()
        del three, four
        torch.empty(10, device="meta")
    assert meter.peak == 4000 + 8000
    assert meter.flops == 0


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_shapes_found_quickly_are_those_that_torch_finds(layout):
    images = torch.empty(2, 8, 16, 12, device="meta").to(memory_format=layout)
    aten, resize = torch.ops.aten, ([32, 40], False, None, None)
    calls = [
        *((operation, (images, other)) for operation in (aten.add.Tensor, aten.mul.Tensor) for other in (images, 2)),
        *((aten.mul.Tensor, (images, other)) for other in (images[:, :1], images.half(), images.contiguous())),
        (aten.upsample_bilinear2d.default, (images, *resize)),
        (aten.upsample_bilinear2d.default, (images.half(), *resize)),
    ]
    for operation, given in calls:
        found, expected = QUICK[operation](*given), operation(*given)
        assert found.shape == expected.shape
        assert found.stride() == expected.stride()
        assert found.dtype == expected.dtype


def test_held_are_weights_average_moments_and_accumulated_gradients(tiny_experiment):
    layer = nn.Linear(10, 10)  # 110 weights
    assert held_bytes(layer, tiny_experiment(train={"ema": False}).train) == 3 * 440
    assert held_bytes(layer, tiny_experiment(train={"accumulate": 2}).train) == 5 * 440
    assert held_bytes(layer, tiny_experiment(train={"ema": False, "optimizer": "sgd"}).train) == 2 * 440


def test_flops_are_those_that_torch_counts_in_a_real_step(tiny_experiment):
    experiment, track = tiny_experiment(), get_track("hand_bone")
    network = build_model(experiment, track).train()
    with FlopCounterMode(display=False) as counter:
        network(torch.rand(2, 1, 32, 32)).sum().backward()
    assert cost(experiment).flops == counter.get_total_flops()


def test_saved_activations_grow_with_the_batch_and_shrink_by_half_formats_and_checkpointing(tiny_experiment):
    def step(found):
        return found.peak_bytes - found.held_bytes

    wide = {"architecture": "plain_unet", "decoder_channels": None, "width": 24}
    plain = tiny_experiment(model=wide)
    small, large = step(cost(plain, side=256)), step(cost(plain, samples=4, side=256))
    assert large == pytest.approx(2 * small, rel=0.1)
    assert 0.4 * large < step(cost(plain, samples=4, side=256, precision="bf16")) < 0.7 * large
    thrifty = tiny_experiment(model=wide, train={"gradient_checkpointing": True})
    assert step(cost(thrifty, samples=4, side=256)) < 0.8 * large
    both = step(cost(thrifty, samples=4, side=256, precision="bf16"))
    assert both < step(cost(thrifty, samples=4, side=256))


def test_a_card_normalises_layers_in_float32_and_a_processor_does_not(tiny_experiment):
    experiment = tiny_experiment(model={"architecture": "FPN", "encoder": "tu-convnext_atto", "decoder_channels": None})
    card, processor = (cost(experiment, side=64, precision="bf16", on_cuda=cuda) for cuda in (True, False))
    assert card.peak_bytes > processor.peak_bytes


def test_the_fused_loss_costs_a_gradient_in_the_format_of_the_logits(tiny_experiment):
    """Counted with a network of a single convolution, by hand."""
    track = get_track("hand_bone")
    classes, side = len(track.classes), 512
    network = tiny_experiment(model={"architecture": "plain_unet", "decoder_channels": None, "width": 1})
    logits = 4 * classes * side**2
    found = cost(network, samples=1, side=side, factor=2)
    planes = plane_count(classes) * (2 * side) ** 2
    assert found.peak_bytes - found.held_bytes > 2 * logits + planes
    assert found.peak_bytes - found.held_bytes < 2 * logits + planes + 40 * 4 * side**2


# Experiment of a track, samples, side: two that are shipped for a processor, and HRNet-W48 on small tiles.
STEPS = [("knee", "quick", 4, 128), ("hand_bone", "quick", 2, 128), ("hand_bone", "hrnet_w48_tiles", 1, 128)]
# Each experiment grows in a process of its own, forked from one that has only imported what they need.
PROGRAM = """
import os, sys, torch
from pathlib import Path
from competition.machine import peak_memory_mb, MB
from competition.planning.devices import Machine
from competition.planning.meter import Rates
from competition.planning.step_cost import Draws, step_cost
from competition.planning.step_timing import open_trial
from competition.settings import load_experiment
from competition.tracks import get_track

def grow(track, name, samples, side):
    experiment = load_experiment(Path("pipelines/experiments") / track.name / f"{name}.yaml")
    draws = Draws(samples, (side, side), min(experiment.data.oversample, 2))
    cost = step_cost(experiment, track, draws, "fp32", False, Rates(1e12, 1e10))
    torch.nn.functional.conv2d(torch.rand(1, 8, 16, 16), torch.rand(8, 8, 3, 3))
    before = int(next(line for line in open("/proc/self/status") if line.startswith("VmRSS")).split()[1]) / 1024
    open("/proc/self/clear_refs", "w").write("5")  # the peak begins anew
    trial = open_trial(experiment, track, "fp32", torch.device("cpu"))
    for _ in range(2):
        trial.step(draws)
    print(Machine("", 0, False, "fp32").needed(cost) / MB, peak_memory_mb() - before, flush=True)

for words in sys.argv[1:]:
    track, name, samples, side = words.split()
    if os.fork() == 0:
        grow(get_track(track), name, int(samples), int(side))
        os._exit(0)
    assert os.wait()[1] == 0
"""


@pytest.mark.exhaustive
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells the peak of a process")
def test_processes_grow_as_predicted():
    heap = {"MALLOC_MMAP_THRESHOLD_": "33554432", "MALLOC_TRIM_THRESHOLD_": "1073741824", "THP_MEM_ALLOC_ENABLE": "1"}
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, *(" ".join(map(str, step)) for step in STEPS)]
    environment = os.environ | heap | {"PYTHONPATH": str(REPOSITORY)}
    output = subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=True).stdout
    figures = [tuple(map(float, line.split())) for line in output.splitlines()]
    assert len(figures) == len(STEPS)
    for predicted, measured in figures:
        assert predicted == pytest.approx(measured, rel=0.15)


def test_the_spare_of_a_card_and_of_a_process(tiny_experiment):
    found = cost(tiny_experiment())
    card, process = (Machine("", 2 * GB, on_cuda, "fp32") for on_cuda in (True, False))
    assert card.needed(found) > 1.5 * GB
    assert process.needed(found) < 0.2 * GB
    assert card.fits(found)
    assert not Machine("", GB, True, "fp32").fits(found)


def test_tracing_changes_nothing_that_is_shared(tiny_experiment):
    before = copy.deepcopy(torch.get_default_dtype()), torch.get_rng_state()
    cost(tiny_experiment())
    assert torch.get_default_dtype() == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])


def test_deterministic_upsampling_costs_memory_where_it_is_asked_for(tiny_experiment, monkeypatch):
    options = {"model": {"architecture": "Segformer", "encoder": "resnet18", "decoder_channels": None}}
    plain, asked = (cost(tiny_experiment(**options, train={"deterministic": how}), side=256) for how in ("auto", True))
    assert asked.peak_bytes > 1.05 * plain.peak_bytes
    torch.use_deterministic_algorithms(True)
    try:
        assert cost(tiny_experiment(**options), side=256) == plain  # whatever was trained before in this process
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(False)

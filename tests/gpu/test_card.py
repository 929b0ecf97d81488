"""What only a graphics card can show: run by ``./run.sh test tests/gpu``, skipped where there is none."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from competition.masks.soft_targets import soft_targets
from competition.models.factory import place
from competition.prediction.predictor import predict_map
from competition.training import loop
from competition.training.checkpoints import load_checkpoint, load_trained, open_predictor
from competition.training.fused_loss import FORMS, fused_loss
from competition.training.losses import LOSSES
from competition.training.ranks import Ranks

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU that this torch can use"),
]


def stage(workspace, *words):
    return [sys.executable, "-m", "pipelines", *map(str, words), "--phantom", "--workspace", str(workspace)]


def test_a_fold_is_trained_killed_resumed_and_predicts(tmp_path):
    subprocess.run(stage(tmp_path, "prepare", "--people", 6, "--test-people", 2, "--size", 512), check=True)
    train = stage(tmp_path, "train", "--experiment", "quick", "--fold", 0, "--set", "data.workers=2")
    fold = tmp_path / "runs" / "phantom_hand_bone" / "quick" / "fold0"
    process = subprocess.Popen(train, start_new_session=True)
    try:
        while not (fold / "history.csv").exists():
            assert process.poll() is None
            time.sleep(0.05)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert not (fold / "finished.json").exists()
    subprocess.run(train, check=True)
    subprocess.run(stage(tmp_path, "ensemble", "--no-report", "--out", tmp_path / "submission.csv"), check=True)
    assert (tmp_path / "submission.csv").read_text().count("\n") > 29
    assert load_trained(fold / "weights.pt").precision in ("bf16", "fp16")


def test_the_same_weights_come_out_twice_where_they_are_asked_for(shared_hands, tiny_experiment, tmp_path):
    experiment = tiny_experiment(train={"deterministic": True, "precision": "auto"})
    for name in ("one", "other"):
        loop.train_fold(shared_hands.job(experiment, tmp_path / name))
    one, other = (load_checkpoint(tmp_path / name / "last.pt")["model"] for name in ("one", "other"))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_short_memory_splits_batches_and_the_fold_ends(shared_hands, tiny_experiment, tmp_path):
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    experiment = tiny_experiment(data={"size": 512}, train={"batch_size": 16, "repeats": 8, "epochs": 1})
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 600 * 2**20) / total)
    try:
        state = loop.train_fold(shared_hands.job(experiment, tmp_path))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert state.chunk < 16
    assert (tmp_path / "weights.pt").exists()


@pytest.mark.parametrize("name", ["bce_dice", "focal_dice"])
@pytest.mark.parametrize("form", [torch.float32, torch.bfloat16, torch.float16])
def test_the_loss_and_its_gradient_are_those_of_the_plain_form(name, form):
    planes = torch.randint(0, 256, (2, 96, 64, 4), dtype=torch.uint8)
    logits = torch.randn(2, 29, 96, 64).to(form)
    shown = logits.cuda().contiguous(memory_format=torch.channels_last).requires_grad_()
    loss = fused_loss(shown, planes.cuda(), FORMS[LOSSES[name]])
    (loss * 1024).backward()
    exact = logits.double().requires_grad_()
    expected = LOSSES[name](exact, soft_targets(planes, 29, (96, 64)).double())
    expected.backward()
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    wrong = (shown.grad.double().cpu() / 1024 - exact.grad).norm() / exact.grad.norm()
    assert wrong < {torch.float32: 1e-5, torch.bfloat16: 1e-2, torch.float16: 2e-3}[form]


def test_sums_in_main_memory_give_the_same_map(shared_hands, tiny_experiment, tmp_path):
    loop.train_fold(shared_hands.job(tiny_experiment(), tmp_path))
    predictor = open_predictor([load_trained(tmp_path / "weights.pt")], shared_hands.track, shared_hands.workspace)
    entry, views, failures = shared_hands.train()[0], ("identity", "hflip"), [1]
    plain = predict_map(predictor, entry, views)
    network = predictor.models[0]

    class Short(torch.nn.Module):
        def forward(self, images):
            if failures:
                failures.pop()
                raise torch.OutOfMemoryError("CUDA out of memory")
            return network(images)

    found = predict_map(replace(predictor, models=(Short(),)), entry, views)
    assert np.abs(found.astype(int) - plain).max() <= 1
    assert not failures


def test_gradients_and_weights_travel_by_nccl(tmp_path):
    store = f"file://{tmp_path / 'store'}"
    torch.distributed.init_process_group("cpu:gloo,cuda:nccl", init_method=store, rank=0, world_size=1)
    try:
        ranks = Ranks(0, 2)  # it communicates as one of two does, here with itself
        network = torch.nn.Sequential(torch.nn.Conv2d(1, 4, 3), torch.nn.BatchNorm2d(4), torch.nn.Conv2d(4, 2, 3))
        model = place(network, torch.device("cuda"))
        model[0].bias.requires_grad_(False)
        model[1](torch.rand(2, 4, 8, 8, device="cuda"))  # running statistics
        model[2](torch.rand(2, 4, 8, 8, device="cuda")).mean().backward()
        weights = {name: value.clone() for name, value in model.state_dict().items()}
        gradients = [None if each.grad is None else each.grad.clone() for each in model.parameters()]
        assert ranks.sum_gradients(model, [1.5, 0.25]) == [1.5, 0.25]
        ranks.copy_first(model)
        for each, before in zip(model.parameters(), gradients, strict=True):
            assert torch.equal(each.grad, before) if before is not None else each.grad is None
        assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
        assert ranks.of_first("x") == "x"
    finally:
        torch.distributed.destroy_process_group()

import threading

import pytest
import torch
from torch import nn

from competition.training.precision import AUTOCAST, choose_precision, one_choice, predicting_precision, time_step

CPU = torch.device("cpu")


def never(precision):
    raise AssertionError("nothing should be timed")


@pytest.mark.parametrize("wanted", ["fp32", "bf16", "fp16"])
def test_what_the_experiment_says_is_taken_without_timing(wanted):
    assert choose_precision(wanted, CPU, never)[0] == wanted


@pytest.mark.parametrize(
    ("plain", "half", "expected"),
    [(0.33, 0.16, "bf16"), (0.58, 1.02, "fp32"), (1.0, 0.95, "fp32"), (1.0, 0.90, "bf16")],
)
def test_bf16_on_a_processor_only_where_it_is_a_tenth_faster(monkeypatch, plain, half, expected):
    monkeypatch.setattr("competition.training.precision.computes_bf16", lambda: True)
    chosen, why = choose_precision("auto", CPU, {"fp32": plain, "bf16": half}.__getitem__)
    assert chosen == expected
    assert f"{plain:.2f} s" in why
    assert f"{half:.2f} s" in why


def test_a_processor_without_instructions_for_bf16_is_not_asked(monkeypatch):
    monkeypatch.setattr("competition.training.precision.computes_bf16", lambda: False)
    assert choose_precision("auto", CPU, never)[0] == "fp32"


@pytest.mark.parametrize(("capability", "expected"), [((7, 5), "fp16"), ((8, 0), "bf16"), ((9, 0), "bf16")])
def test_on_a_gpu_its_generation_decides(monkeypatch, capability, expected):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert choose_precision("auto", torch.device("cuda"), never)[0] == expected


@pytest.mark.parametrize(
    ("trained", "old_gpu", "new_gpu", "plain_processor", "bf16_processor"),
    [
        ({"fp32"}, "fp32", "fp32", "fp32", "fp32"),
        ({"bf16"}, "fp32", "bf16", "fp32", "bf16"),  # fp16 could overflow where bf16 does not
        ({"fp16"}, "fp16", "fp16", "fp32", "fp32"),
        ({"bf16", "fp16"}, "fp32", "bf16", "fp32", "fp32"),
        ({"bf16", "fp32"}, "fp32", "fp32", "fp32", "fp32"),
    ],
)
def test_the_machine_that_predicts_decides_what_it_predicts_in(
    monkeypatch, trained, old_gpu, new_gpu, plain_processor, bf16_processor
):
    for capability, expected in (((7, 0), old_gpu), ((8, 6), new_gpu)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device, found=capability: found)
        assert predicting_precision(trained, torch.device("cuda")) == expected
    for able, expected in ((False, plain_processor), (True, bf16_processor)):
        monkeypatch.setattr("competition.training.precision.computes_bf16", lambda found=able: found)
        assert predicting_precision(trained, CPU) == expected


def test_all_folds_of_a_run_take_the_first_ones_choice(tmp_path):
    run = tmp_path / "run"
    with one_choice(run, "settings-cpu") as chosen:
        assert chosen == []
        chosen.append("bf16")
    with one_choice(run, "settings-cpu") as chosen:
        assert chosen == ["bf16"]
    with one_choice(run, "settings-cuda") as chosen:
        assert chosen == []
        chosen.append("fp16")
    with one_choice(run, "settings-cpu") as chosen:
        assert chosen == []


def test_a_choice_that_was_cut_is_none(tmp_path):
    with pytest.raises(KeyboardInterrupt), one_choice(tmp_path, "settings-cpu"):
        raise KeyboardInterrupt
    with one_choice(tmp_path, "settings-cpu") as chosen:
        assert chosen == []


def test_folds_that_start_at_once_wait_for_the_first_ones_choice(tmp_path):
    seen = []

    def second():
        with one_choice(tmp_path, "settings-cpu") as chosen:
            seen.extend(chosen)

    with one_choice(tmp_path, "settings-cpu") as chosen:
        other = threading.Thread(target=second)
        other.start()
        other.join(0.2)
        assert other.is_alive()
        chosen.append("fp32")
    other.join(10)
    assert seen == ["fp32"]


def test_timing_changes_neither_the_model_nor_the_random_numbers():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Dropout(0.5)).eval()
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(1)
    expected = torch.rand(3)
    torch.manual_seed(1)
    seen = []

    def step(trial, autocast):
        seen.append((trial.training, autocast))
        return trial(torch.randn(5, 4)).sum()

    assert time_step(model, step, "bf16") > 0
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not model.training
    assert set(seen) == {(True, torch.bfloat16)}


def test_the_first_slow_step_does_not_count(monkeypatch):
    # A step reads the clock when it starts and, from the second on, when it ends.
    readings = iter([0.0, 100.0, 105.0, 200.0, 203.0])
    monkeypatch.setattr("competition.training.precision.time.perf_counter", lambda: next(readings))
    model = nn.Linear(1, 1)
    assert time_step(model, lambda trial, autocast: trial(torch.ones(1, 1)).sum(), "fp32") == 3.0


def test_every_precision_has_a_number_format():
    assert set(AUTOCAST) == {"fp32", "bf16", "fp16"}
    assert [AUTOCAST[name] for name in ("fp32", "bf16", "fp16")] == [None, torch.bfloat16, torch.float16]

import os
import re

import pytest
import torch

from competition.errors import CompetitionError
from competition.models.gpu import computing_device, gpu_answers, gpu_fault, gpu_of, is_out_of_memory, runs_on


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (ValueError("CUDA error: out of memory"), False),
        (MemoryError(), False),
    ],
)
def test_short_memory_is_told_from_other_errors(error, expected):
    assert is_out_of_memory(error) is expected


def test_a_lost_gpu_answers_no_more(monkeypatch):
    def lost():
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    monkeypatch.setattr(torch.cuda, "synchronize", lost)
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
    assert gpu_answers()  # nothing has used one
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    assert not gpu_answers()
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    assert gpu_answers()


def test_a_gpu_has_a_name_and_a_size_and_a_processor_neither(monkeypatch):
    class Properties:
        name, total_memory = "NVIDIA A10G", 22.5 * 2**30

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: Properties)
    assert gpu_of(torch.device("cuda")) == "NVIDIA A10G, 22.5 GiB"
    assert gpu_of(torch.device("cpu")) == ""


@pytest.mark.parametrize(
    ("capability", "built_for", "expected"),
    [
        ((7, 0), ["sm_75", "sm_80", "sm_90", "sm_120"], False),  # a V100 with PyPI's build
        ((7, 0), ["sm_50", "sm_60", "sm_70", "sm_75"], True),
        ((8, 9), ["sm_75", "sm_80", "sm_90"], True),  # an L4 runs the code of an A100
        ((8, 0), ["sm_75", "sm_86"], False),
        ((12, 1), ["sm_90", "sm_120"], True),
        ((10, 0), ["sm_80", "compute_90"], True),
        ((10, 0), ["sm_90a", "strange"], False),
    ],
)
def test_the_build_of_torch_must_fit_the_card(capability, built_for, expected):
    assert runs_on(capability, built_for) is expected


@pytest.fixture
def listed(tmp_path, monkeypatch):
    """Puts a driver into this machine that lists these cards."""

    def put(*cards):
        tool = tmp_path / "nvidia-smi"
        tool.write_text("#!/bin/sh\n" + "".join(f"echo '{card}'\n" for card in cards))
        tool.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
        gpu_fault.cache_clear()

    yield put
    gpu_fault.cache_clear()


def test_a_card_that_torch_cannot_use_is_named_instead_of_computing_on_the_processor(listed, monkeypatch):
    listed("Tesla V100-SXM2-16GB, 470.57.02", "Tesla V100-SXM2-16GB, 470.57.02")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    card = re.escape("needs a driver for CUDA 13.0, so it can't use Tesla V100-SXM2-16GB (driver 470.57.02). Install")
    with pytest.raises(CompetitionError, match=card):
        computing_device()
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    gpu_fault.cache_clear()
    assert computing_device().type == "cpu"


def test_without_a_card_the_processor_computes(listed):
    listed()
    assert computing_device().type == "cpu"


def test_a_card_that_the_build_does_not_know_is_named(listed, monkeypatch):
    listed()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla V100")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (7, 0))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_80"])
    with pytest.raises(CompetitionError, match=r"Tesla V100 has compute capability 7\.0.* for sm_75, sm_80\. Install"):
        computing_device()
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_70"])
    gpu_fault.cache_clear()
    assert computing_device().type == "cuda"

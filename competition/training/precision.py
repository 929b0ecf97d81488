"""The number format of a training step, chosen by what the machine computes fast."""

import copy
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from competition.files import file_lock, write_text

AUTOCAST: dict[str, torch.dtype | None] = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}

# The compute capability of the first GPUs that compute it; older ones emulate it.
NATIVE_BF16 = (8, 0)

# bfloat16 has fewer digits, so it must pay.
WORTHWHILE = 1.1


def computes_bf16() -> bool:
    """Return whether the processor has instructions for bfloat16 (AVX-512 or AMX).

    Without them a step in bfloat16 is emulated and takes 2 to 12 times longer, so it is not even timed. With those of
    AVX-512 it depends on the network: eight small views took 0.6 of the time of float32, a U-Net on 256 pixels 1.8
    times it.
    """
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def time_step(model: nn.Module, step: Callable[[nn.Module, torch.dtype | None], torch.Tensor], precision: str) -> float:
    """Return the seconds of one training ``step`` on a copy of the model: the faster of two, after one to warm up."""
    trial = copy.deepcopy(model).train()
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        seconds = float("inf")
        for number in range(3):
            start = time.perf_counter()
            step(trial, AUTOCAST[precision]).backward()  # type: ignore[no-untyped-call]
            if devices:
                torch.cuda.synchronize()
            if number:
                seconds = min(seconds, time.perf_counter() - start)
    return seconds


@contextmanager
def one_choice(run: Path, made_for: str) -> Iterator[list[str]]:
    """Let all folds of a run compute in one precision, although timing may come out differently for each.

    Folds that start at once wait for each other here, so that no other disturbs the timing. ``made_for`` are settings
    and device, without blanks; a choice made for others does not count.

    Yields:
        The precision chosen before, or an empty list, to which the caller adds the one that is chosen now.
    """
    file = run / "precision.txt"
    with file_lock(run / ".precision.lock"):
        known = file.read_text(errors="replace").split() if file.exists() else []
        chosen = known[1:] if known[:1] == [made_for] else []
        before = len(chosen)
        yield chosen
        if len(chosen) > before:
            write_text(file, f"{made_for} {chosen[-1]}\n")


def choose_precision(wanted: str, device: torch.device, time_of: Callable[[str], float]) -> tuple[str, str]:
    """Return a run's precision and the reason; ``time_of`` times a step, for "auto" on a CPU that computes bf16."""
    if wanted != "auto":
        return wanted, f"{wanted}, as set in the experiment"
    if device.type == "cuda":
        if torch.cuda.get_device_capability(device) >= NATIVE_BF16:
            return "bf16", "bf16, which this GPU computes natively"
        return "fp16", "fp16 with loss scaling, because this GPU is too old for bf16"
    if not computes_bf16():
        return "fp32", "fp32, because this processor has no instructions for bf16"
    plain, half = time_of("fp32"), time_of("bf16")
    if half * WORTHWHILE < plain:
        return "bf16", f"bf16, because a step takes {half:.2f} s instead of {plain:.2f} s on this processor"
    return "fp32", f"fp32, because bf16 is not worth it on this processor ({half:.2f} s against {plain:.2f} s a step)"


def predicting_precision(trained: Collection[str], device: torch.device) -> str:
    """Return what networks predict in: what they were trained in where this machine computes it fast, else fp32.

    A wider format changes no prediction by more than rounding; fp16 in place of bf16 could overflow.

    Args:
        trained: The precision of each network.
        device: Where they predict.
    """
    if "fp32" in trained:
        return "fp32"
    if device.type == "cuda":
        if torch.cuda.get_device_capability(device) >= NATIVE_BF16:
            return "bf16" if "bf16" in trained else "fp16"
        return "fp32" if "bf16" in trained else "fp16"
    return "bf16" if set(trained) == {"bf16"} and computes_bf16() else "fp32"

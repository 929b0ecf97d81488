"""The device that computes: whether this torch can use the GPU, what it is, and which errors mean short memory."""

import os
import subprocess
from functools import cache

import torch

from competition.errors import CompetitionError

ALLOCATIONS = ("CUDNN_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_ALLOC_FAILED", "CUDA error: out of memory")
"""What libraries below torch say where torch itself would raise ``OutOfMemoryError``."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that the memory of the GPU is too small for what was asked."""
    if isinstance(error, torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in ALLOCATIONS)


def gpu_answers() -> bool:
    """Return whether this process can still use its GPU: after an illegal access or a lost card nothing runs there."""
    if not torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        return True
    try:
        torch.cuda.synchronize()
    except RuntimeError:
        return False
    return True


def gpu_of(device: torch.device) -> str:
    """Return name and size of a GPU ("NVIDIA A10G, 22.5 GiB"), which differ where more memory may fit; "" of a CPU."""
    if device.type != "cuda":
        return ""
    properties = torch.cuda.get_device_properties(device)
    return f"{properties.name}, {properties.total_memory / 2**30:.1f} GiB"


def computing_device() -> torch.device:
    """Return the GPU where there is one, else the CPU.

    Raises:
        CompetitionError: There is a GPU that this torch can't use; hours on the CPU must not begin unnoticed.
    """
    if fault := gpu_fault():
        repair = (
            "Install the build of torch for this card as pytorch.org describes (in a checkout, delete .venv: run.sh "
            "chooses it), update the driver, or put CUDA_VISIBLE_DEVICES= before the command to use the CPU"
        )
        raise CompetitionError(fault, None, repair)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@cache
def gpu_fault() -> str:
    """Return why a GPU that is in this machine can't be used; "" where there is none, it is hidden, or it works."""
    if os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1"):
        return ""
    if torch.cuda.is_available():
        major, minor = torch.cuda.get_device_capability()
        if runs_on((major, minor), torch.cuda.get_arch_list()):
            return ""
        name, made_for = torch.cuda.get_device_name(), ", ".join(torch.cuda.get_arch_list())
        return f"{name} has compute capability {major}.{minor}, and this torch is built for {made_for}"
    if not (cards := _installed_cards()):
        return ""
    needs = "is a build without CUDA"
    if torch.version.cuda is not None:
        needs = f"needs a driver for CUDA {torch.version.cuda}"
    return f"torch {torch.__version__} {needs}, so it can't use {cards}"


def runs_on(capability: tuple[int, int], built_for: list[str]) -> bool:
    """Return whether a build of torch runs on a card.

    Args:
        capability: Of the card: (8, 6).
        built_for: As torch lists it: "sm_80" is code for 8.0 to 8.9, and "compute_90" is compiled for 9.0 and above.
    """
    for name in built_for:
        kind, _, number = name.partition("_")
        digits = number.rstrip("af")  # "sm_90a" has instructions of that card alone
        if not digits.isdigit():
            continue
        built = int(digits[:-1]), int(digits[-1])
        if (built <= capability) if kind == "compute" else (built[0] == capability[0] and built[1] <= capability[1]):
            return True
    return False


def _installed_cards() -> str:
    """Return name and driver of the NVIDIA cards in this machine, as its driver lists them; "" for none."""
    command = ["nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ""
    cards = [line.split(", ") for line in listed.splitlines() if ", " in line]
    return "; ".join(f"{name} (driver {driver})" for name, driver in dict.fromkeys(map(tuple, cards)))

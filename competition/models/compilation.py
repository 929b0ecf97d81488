"""torch.compile for a network, with one sentence where this machine can't compile."""

import importlib.util

import torch
from torch import nn

from competition.errors import CompetitionError


def compile_network(network: nn.Module) -> None:
    """Let torch compile a network when it is first called; in place, so that its weights keep their names.

    Raises:
        CompetitionError: This machine lacks what torch compiles with.
    """
    if missing := missing_compiler(next(network.parameters()).device):
        raise CompetitionError(f"train.compile needs {missing}", None, "Install it, or use --set train.compile=false")
    network.compile()


def missing_compiler(device: torch.device) -> str:
    """Return what is not installed and torch needs to compile for a device; "" where nothing is missing."""
    from torch._inductor import cpp_builder, exc  # here, because it takes a second to import

    if device.type == "cuda" and importlib.util.find_spec("triton") is None:
        return "the package triton"
    try:
        cpp_builder.get_cpp_compiler()
    except exc.InvalidCxxCompiler:
        return "a C++ compiler such as g++"
    return ""

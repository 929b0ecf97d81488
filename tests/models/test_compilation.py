import copy

import pytest
import torch
from torch import nn
from torch._inductor import cpp_builder, exc

from competition.errors import CompetitionError
from competition.models.compilation import compile_network, missing_compiler

CPU = torch.device("cpu")


@pytest.mark.slow
@pytest.mark.skipif(bool(missing_compiler(CPU)), reason="there is no C++ compiler")
def test_a_compiled_network_has_the_same_gradients_and_names():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.GELU(), nn.Conv2d(4, 1, 1))
    compiled = copy.deepcopy(network)
    compile_network(compiled)
    assert list(compiled.state_dict()) == list(network.state_dict())
    images = torch.rand(2, 1, 16, 16)
    for each in (network, compiled):
        each(images).square().mean().backward()
    for one, other in zip(compiled.parameters(), network.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(copy.deepcopy(compiled).eval()(images), network.eval()(images))


def test_without_a_compiler_the_repair_is_named(monkeypatch):
    def none_found():
        raise exc.InvalidCxxCompiler

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", none_found)
    with pytest.raises(CompetitionError, match=r"train.compile needs a C\+\+ compiler .* --set train.compile=false"):
        compile_network(nn.Linear(1, 1))

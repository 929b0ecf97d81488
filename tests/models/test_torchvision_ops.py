import sys

import pytest
import torch

from competition.models.torchvision_ops import import_torchvision


def without_torchvision(monkeypatch, tmp_path, error):
    """Lets ``import torchvision`` find a package that fails with this error."""
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text(f"raise {error!r}")
    monkeypatch.syspath_prepend(tmp_path)


def test_torchvision_and_the_operators_are_there():
    import torchvision

    assert torchvision.__version__
    assert torch.ops.torchvision.nms is not None


def test_importing_again_is_harmless():
    import_torchvision()
    import_torchvision()


def test_another_failure_of_torchvision_is_not_hidden(monkeypatch, tmp_path):
    without_torchvision(monkeypatch, tmp_path, RuntimeError("something else"))
    with pytest.raises(RuntimeError, match="something else"):
        import_torchvision()


def test_beside_a_torch_with_cuda_nothing_is_declared(monkeypatch, tmp_path):
    without_torchvision(monkeypatch, tmp_path, RuntimeError("operator torchvision::nms does not exist"))
    monkeypatch.setattr(torch.version, "cuda", "12.8")
    with pytest.raises(RuntimeError, match="torchvision::nms"):
        import_torchvision()

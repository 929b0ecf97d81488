"""Losses with gradients in closed form against the plain ones, which autograd differentiates."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from competition.masks.soft_targets import soft_targets
from competition.training import fused_loss as fused_loss_module
from competition.training.fused_loss import FORMS, fused_loss
from competition.training.losses import LOSSES, bce_dice, focal_dice
from competition.training.steps import supervised_loss

CLASSES = 11
NAMES = sorted(name for name, loss in LOSSES.items() if loss in FORMS)


def some_planes(height, width):
    """Random planes whose second class no sample shows, and of which the first sample shows three classes only."""
    planes = torch.randint(0, 256, (3, height, width, 2), generator=torch.manual_seed(1), dtype=torch.uint8)
    planes[..., 0] &= 0b11111101
    planes[0, ..., 0] &= 0b101
    planes[0, ..., 1] &= 0b1
    return planes


def some_logits(height, width, form=torch.float64):
    logits = 3 * torch.randn(3, CLASSES, height, width, generator=torch.manual_seed(2), dtype=torch.float64)
    return logits.to(form).contiguous(memory_format=torch.channels_last).requires_grad_()


def plain(name, logits, planes):
    """The loss and its gradient in float64."""
    logits = logits.detach().double().requires_grad_()
    loss = LOSSES[name](logits, soft_targets(planes, CLASSES, logits.shape[-2:]).double())
    loss.backward()
    return loss.detach(), logits.grad


@pytest.mark.parametrize(
    "planes_hw", [(8, 12), (16, 24), (11, 9), (6, 8)]
)  # as fine, finer, by no whole number, coarser
@pytest.mark.parametrize("name", NAMES)
def test_loss_and_gradient_are_those_of_the_plain_form(name, planes_hw):
    planes, logits = some_planes(*planes_hw), some_logits(8, 12)
    loss = fused_loss(logits, planes, FORMS[LOSSES[name]])
    loss.backward()
    expected, gradient = plain(name, logits, planes)
    torch.testing.assert_close(loss.detach(), expected, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(logits.grad, gradient, rtol=1e-6, atol=1e-10)
    assert gradient.abs().max() > 1e-5


@pytest.mark.parametrize(("form", "error"), [(torch.float32, 1e-5), (torch.bfloat16, 1e-2), (torch.float16, 2e-3)])
@pytest.mark.parametrize("name", ["bce_dice", "focal_dice"])
def test_other_formats_differ_by_their_rounding_alone(name, form, error):
    planes, logits = some_planes(64, 64), some_logits(64, 64, form)
    loss = fused_loss(logits, planes, FORMS[LOSSES[name]])
    assert loss.dtype == torch.float32
    scale = 1024.0  # as loss scaling does: gradients here are 1e-7, which fp16 alone could not hold
    (loss * scale).backward()
    assert logits.grad.dtype == form
    expected, gradient = plain(name, logits, planes)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    wrong = (logits.grad.double() / scale - gradient).norm() / gradient.norm()
    assert wrong < error


def test_extreme_logits_stay_numbers():
    logits = torch.tensor([-1e4, -100.0, 0.0, 100.0, 1e4]).view(1, 1, 1, 5).repeat(1, 1, 2, 1).requires_grad_()
    planes = torch.zeros(1, 2, 5, 1, dtype=torch.uint8)
    planes[:, 1] = 1
    for form in FORMS.values():
        logits.grad = None
        loss = fused_loss(logits, planes, form)
        loss.backward()
        assert loss.isfinite()
        assert logits.grad.isfinite().all()


def test_a_gradient_is_used_once():
    logits = some_logits(4, 6)
    loss = fused_loss(logits, some_planes(4, 6), FORMS[bce_dice])
    loss.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="used already"):
        loss.backward()


def test_several_outputs_are_averaged_each_against_its_own_size():
    planes, outputs = some_planes(8, 8), [some_logits(8, 8), some_logits(4, 4)]
    supervised_loss(outputs, planes, CLASSES, focal_dice).backward()
    for logits in outputs:
        torch.testing.assert_close(logits.grad, plain("focal_dice", logits, planes)[1] / 2, rtol=1e-6, atol=1e-10)


class Moved(TorchDispatchMode):
    """Counts the bytes that operators read and write of tensors too large for a cache: of more than one class."""

    def __init__(self, cached):
        super().__init__()
        self.cached, self.bytes, self.largest = cached, 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        written, read = ([self.size(each) for each in tree_leaves(values)] for values in (result, (args, kwargs)))
        if not func.is_view:
            self.bytes += sum(size for size in read + written if size > self.cached)
            self.largest = max([self.largest, *written])
        return result

    @staticmethod
    def size(value):
        return value.numel() * value.element_size() if isinstance(value, torch.Tensor) else 0


@pytest.mark.parametrize("name", ["bce_dice", "focal_dice"])
def test_little_memory_is_moved_and_no_float32_copy_of_all_classes_is_made(name, monkeypatch):
    monkeypatch.setattr(fused_loss_module, "CACHED_LOGITS", 64 * 64)  # as of images of 1024 pixels
    planes, logits = some_planes(64, 64), some_logits(64, 64, torch.bfloat16)
    with Moved(4 * 64 * 64) as fused:
        fused_loss(logits, planes, FORMS[LOSSES[name]]).backward()
    with Moved(4 * 64 * 64) as eager:
        LOSSES[name](logits.float().contiguous(), soft_targets(planes, CLASSES, (64, 64))).backward()
    assert fused.bytes < 40 * logits.numel() < 120 * logits.numel() < eager.bytes
    assert fused.largest <= 2 * logits.numel()  # the gradient, in bfloat16
    assert eager.largest >= 4 * logits.numel()

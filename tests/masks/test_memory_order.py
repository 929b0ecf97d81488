"""Values reordered class by class hold the same numbers, in the order of memory that torch calls contiguous."""

import pytest
import torch

from competition.masks import memory_order
from competition.masks.memory_order import class_by_class


@pytest.mark.parametrize("cached", [1, 30, 100, 1 << 18])  # a row at once, a row, several with a rest, all
@pytest.mark.parametrize("form", [torch.float32, torch.bfloat16])
def test_the_classes_of_a_pixel_are_taken_apart(cached, form, monkeypatch):
    monkeypatch.setattr(memory_order, "CACHED_VALUES", cached)
    plain = torch.arange(2 * 3 * 7 * 10).to(form).view(2, 3, 7, 10)
    values = plain.contiguous(memory_format=torch.channels_last)
    assert not values.is_contiguous()
    apart = class_by_class(values)
    assert apart.is_contiguous()
    assert torch.equal(apart, plain)


def test_a_part_of_the_classes_and_mirrored_rows_are_taken_apart():
    values = torch.randn(2, 5, 6, 4)
    for view in (values[:, 1:3], values.flip(2).mT, values.expand(2, 5, 6, 4)[:, :, ::2]):
        assert class_by_class(view).is_contiguous()
        assert torch.equal(class_by_class(view), view)


def test_what_is_in_order_is_not_copied():
    values = torch.randn(2, 3, 4, 5)
    assert class_by_class(values).data_ptr() == values.data_ptr()

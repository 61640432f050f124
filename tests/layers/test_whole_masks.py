"""A mask that is True everywhere is known to be, where this takes no waiting and is no rule for other masks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from fusionkit.layers.known_masks import is_whole, whole
from fusionkit.layers.masking import fill_absent, softmax_present, zero_empty


def test_a_mask_is_whole_until_it_is_changed() -> None:
    array = np.ones((3, 5), dtype=bool)
    mask = torch.from_numpy(array)
    assert is_whole(mask) and is_whole(mask.T) and is_whole(mask[:0])
    array[2, 4] = False
    assert not is_whole(mask) and is_whole(mask[:2])
    told = whole(torch.ones(7, dtype=torch.bool))
    assert is_whole(told)
    told[3] = False
    assert not is_whole(told)
    with torch.inference_mode():
        assert is_whole(torch.ones(2, dtype=torch.bool))


def test_no_mask_without_values_is_whole() -> None:
    assert not is_whole(torch.ones(3, dtype=torch.bool, device="meta"))
    with FakeTensorMode():
        assert not is_whole(torch.ones(3, dtype=torch.bool))
    seen = []
    torch.vmap(lambda mask: seen.append(is_whole(mask)) or mask)(torch.ones(2, 3, dtype=torch.bool))
    assert seen == [False]


@pytest.mark.filterwarnings("ignore:.*torch.jit.trace:FutureWarning")
def test_a_traced_function_holds_for_other_masks() -> None:
    def rule(values: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
        return fill_absent([values], present)[0]

    values, all_there = torch.randn(5, 3), torch.ones(5, 1, dtype=torch.bool)
    traced = torch.jit.trace(rule, (values, all_there))
    assert not traced(values, ~all_there).any()


def test_what_is_all_there_is_taken_as_it_is_to_the_bit() -> None:
    torch.manual_seed(0)
    scores, there = torch.randn(5, 3, 7, requires_grad=True), torch.ones(5, 3, dtype=torch.bool)
    assert softmax_present(scores, there).equal(scores.softmax(1))
    assert softmax_present(scores[:1], there).shape == (5, 3, 7)
    assert zero_empty(scores, there) is scores
    assert fill_absent([scores], there[:, :1])[0] is scores

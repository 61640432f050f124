"""What operations give on the meta device is what PyTorch says, remembered or not, and costs are PyTorch's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from fusionkit.network import meta_results
from fusionkit.network.meta_results import Counted, MetaResults


def made(*sizes: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.empty(sizes, dtype=dtype, device="meta")


def laid(result: Any) -> list[tuple[Any, ...]]:
    parts = result if isinstance(result, tuple | list) else (result,)
    return [(type(part), part.shape, part.stride(), part.dtype, part.device) for part in parts]


def apart() -> Tensor:
    """A matrix whose rows are not next to each other."""
    return made(3, 5, 7).transpose(0, 2)


X, Y = made(3, 5, 7), made(3, 5, 7)
DOUBLE = made(3, 5, 7, dtype=torch.float64)
HALF = made(3, 5, 7, dtype=torch.bfloat16)
OPERATIONS: dict[str, Callable[[], Any]] = {
    "added": lambda: X + Y, "times a number": lambda: X * 2, "divided by a whole": lambda: made(3, 5) / 2,
    "whole by whole": lambda: made(3, dtype=torch.int64) / 2, "broadcast": lambda: X + made(7),
    "of two types": lambda: X + DOUBLE, "of half": lambda: functional.gelu(HALF),
    "of a single number": lambda: X + torch.ones((), device="meta"), "in other strides": lambda: apart() + apart(),
    "gelu": lambda: functional.gelu(X), "gelu by tanh": lambda: functional.gelu(X, approximate="tanh"),
    "elu": lambda: functional.elu(X), "selu": lambda: functional.selu(X), "softplus": lambda: functional.softplus(X),
    "hardtanh": lambda: functional.hardtanh(X), "leaky": lambda: functional.leaky_relu(X),
    "comparison": lambda: X > 0, "chosen": lambda: torch.where(X > 0, X, 0.0), "mean": lambda: X.mean(1),
    "split": lambda: X.split(2, 1), "chunks": lambda: torch.chunk(X, 3, 2), "moments": lambda: torch.var_mean(X, 1),
    "linear": lambda: functional.linear(X, made(11, 7), made(11)),
    "linear of a matrix": lambda: functional.linear(made(5, 7), made(11, 7), made(11)),
    "linear without bias": lambda: functional.linear(made(5, 7), made(11, 7)),
    "products": lambda: X @ made(3, 7, 2), "of columns": lambda: apart()[:, :, 0] @ made(5, 2),
    "norm": lambda: functional.layer_norm(X, (5, 7), made(5, 7), made(5, 7)),
    "norm without weights": lambda: functional.layer_norm(X, (7,)),
    "norm in double": lambda: functional.layer_norm(DOUBLE, (7,)),
    "norm of half": lambda: functional.layer_norm(HALF, (7,)),
    "norm in other strides": lambda: functional.layer_norm(apart(), (3,)),
    "norm of a batch": lambda: functional.batch_norm(X, made(5), made(5), made(5), made(5)),
    "norm of the batch": lambda: functional.batch_norm(X, None, None, made(5), made(5), training=True),
    "attention": lambda: functional.scaled_dot_product_attention(X, Y, Y),
    "softmax": lambda: torch.softmax(X, 1), "convolution": lambda: functional.conv1d(X, made(2, 5, 3)),
    "convolution in steps": lambda: functional.conv3d(
        made(2, 6, 9, 8, 7), made(4, 3, 3, 2, 1), made(4), (2, 1, 3), (1, 0, 2), (1, 2, 1), 2),
    "convolution of one place": lambda: functional.conv2d(made(3, 1, 5, 5), made(8, 1, 1, 1)),
    "convolution by a number": lambda: functional.conv2d(made(3, 2, 5, 5), made(8, 2, 3, 3), made(8), 2, 1),
    "convolution of columns": lambda: functional.conv2d(made(3, 2, 1, 5), made(8, 2, 1, 3), padding="same"),
    "convolution, channels last": lambda: functional.conv2d(
        made(3, 2, 5, 5).to(memory_format=torch.channels_last), made(8, 2, 3, 3)),
    "transposed convolution": lambda: functional.conv_transpose2d(made(3, 2, 5, 5), made(2, 8, 3, 3), stride=2),
    "convolution of no cases": lambda: functional.conv1d(made(0, 5, 7), made(2, 5, 3)),
    "mean of all": lambda: X.mean(), "mean of axes": lambda: made(2, 3, 4, 5, 6).mean((2, 3, -1)),
    "kept mean": lambda: X.mean((-1, 0), keepdim=True), "mean in other strides": lambda: apart().mean(1),
    "mean in another type": lambda: X.mean(1, dtype=torch.float64), "mean of a number": lambda: made().mean(),
    "column compared": lambda: made(5, 7)[:, 3] <= 4, "whole compared": lambda: made(5, dtype=torch.int64) != 2,
    "compared in other strides": lambda: apart() > 1, "both": lambda: (X > 0) & (X <= 4),
    "both, one broadcast": lambda: (X > 0) & (made(7) > 0), "else a number": lambda: X.where(X > 0, 0),
    "else a wide number": lambda: X.where(X > 0, made(dtype=torch.float64)), "else a tensor": lambda: X.where(X > 0, Y),
    "column else a number": lambda: made(5, 7)[:, 3].where(made(5) > 0, 0), "rounded": lambda: made(5, 7)[:, 3].round(),
    "rounded to digits": lambda: X.round(decimals=2), "size": lambda: X.abs(), "size of whole": lambda: made(
        3, dtype=torch.int64).abs(), "at most": lambda: made(3, dtype=torch.int64).clamp(max=4),
    "between": lambda: X.clamp(-1, 1), "whole between broken": lambda: made(3, dtype=torch.int64).clamp(0.5, 2.5),
    "codes": lambda: functional.embedding(made(5, dtype=torch.int64), made(4, 8)),
    "codes with none": lambda: functional.embedding(made(5, 2, dtype=torch.int64), made(4, 8), padding_idx=0),
    "joined columns": lambda: torch.cat([made(5, 7)[:, :4], made(5, 8)], 1),
    "ones": lambda: torch.ones_like(X), "zeros in another type": lambda: torch.zeros_like(X, dtype=torch.bool),
    "ones of a column": lambda: torch.ones_like(made(5, 7)[:, 3:4]), "ones of columns": lambda: torch.ones_like(
        made(5, 7)[:, 3:5]), "empty, in other strides": lambda: torch.empty_like(apart()),
    "ones, channels last": lambda: torch.ones_like(made(2, 3, 5, 7), memory_format=torch.channels_last),
    "ones of half": lambda: torch.ones_like(HALF),
    "joined turned": lambda: torch.cat([made(5, 7).T, made(7, 5)], 1),
    "upsampled": lambda: functional.interpolate(made(2, 3, 5, 7), (11, 13), mode="bilinear"),
    "channels last": lambda: functional.relu(made(2, 3, 5, 7).to(memory_format=torch.channels_last)),
    "joined": lambda: torch.cat([X, made(3, 2, 7), Y], 1), "joined at the end": lambda: torch.cat([X, Y], -1),
    "joined of types": lambda: torch.cat([X, DOUBLE]), "joined with nothing": lambda: torch.cat([X, made(0)], 1),
    "joined in other strides": lambda: torch.cat([apart(), apart()]),
    "drawn": lambda: functional.dropout(X, 0.5), "counted": lambda: torch.arange(7, device="meta"),
    "empty": lambda: made(0, 7) @ made(7, 0),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_result_is_pytorchs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meta_results, "_known", {})
    operation = OPERATIONS[name]
    wanted = laid(operation())
    with MetaResults():
        first, again = operation(), operation()
    assert laid(first) == laid(again) == wanted
    parts = zip(first, again, strict=True) if isinstance(first, tuple | list) else [(first, again)]
    assert all(one is not other for one, other in parts)


@pytest.mark.parametrize("wrong", [
    lambda: X + made(2), lambda: X @ made(3, 5, 7), lambda: functional.linear(X, made(11, 5), made(11)),
    lambda: functional.linear(made(5, 7), made(11, 7), made(2)), lambda: functional.layer_norm(X, (5,)),
    lambda: functional.layer_norm(X, (7,), made(5)), lambda: torch._safe_softmax(X, 3),
    lambda: torch.cat([X, made(2, 5, 7)], 1), lambda: torch.cat([X, Y], 3),
    lambda: torch.cat([X, made(3, 5)]), lambda: made(3, 5) @ made(3, 5),
    lambda: functional.gelu(X, approximate="none of these"),
    lambda: functional.conv1d(X, made(2, 4, 3)), lambda: functional.conv1d(X, made(2, 5, 8)),
    lambda: X.mean(3), lambda: X.mean((1, -2)), lambda: (X > 0) & (made(2) > 0), lambda: X.where(X, 0),
])
def test_what_fails_fails_each_time(wrong: Callable[[], Any]) -> None:
    for _ in range(2):
        with pytest.raises((RuntimeError, IndexError)), MetaResults():
            wrong()


def test_sizes_types_and_settings_have_results_of_their_own() -> None:
    with MetaResults():
        assert X.sum(1).shape == (3, 7) and X.sum(2).shape == (3, 5) and X.sum(1, keepdim=True).shape == (3, 1, 7)
        assert (X > 1).dtype == torch.bool and DOUBLE.sum(1).dtype == torch.float64
        whole = made(3, dtype=torch.int64)
        assert ((whole * 2).dtype, (whole * 2.0).dtype) == (torch.int64, torch.float32)
        before = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        try:
            assert (whole * 2.0).dtype == torch.float64
        finally:
            torch.set_default_dtype(before)


def test_what_has_values_is_computed() -> None:
    x = torch.randn(5, 7, generator=torch.Generator().manual_seed(2))
    with MetaResults():
        found = functional.gelu(x) @ x.T
    assert torch.equal(found, functional.gelu(x) @ x.T) and not torch.equal(found[0], found[1])


def test_it_forgets_before_it_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meta_results, "_known", known := {})
    monkeypatch.setattr(meta_results, "MOST", 5)
    with MetaResults():
        for size in range(1, 13):
            assert made(size, 2).sum(0).shape == (2,)
    assert 0 < len(known) <= 5


class Mixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.seen, self.back = nn.Conv2d(2, 6, 3, groups=2), nn.ConvTranspose2d(6, 4, 2)
        self.told, self.order = nn.Linear(7, 5), nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, image: Tensor, table: Tensor) -> Tensor:
        seen = self.back(self.seen(image)).flatten(2).transpose(1, 2)
        return torch.baddbmm(seen.new_zeros(3, 1, 4), self.order(seen, seen, seen)[0], seen.new_zeros(3, 4, 4)).sum(
            (1, 2)) + self.told(table).sum(1)


@pytest.mark.parametrize("device", ["meta", "cpu"])
def test_costs_are_pytorchs(device: str) -> None:
    with torch.device(device):
        module, given = Mixed().eval(), (torch.zeros(3, 2, 9, 11), torch.zeros(3, 7))
    with torch.no_grad(), FlopCounterMode(display=False) as wanted:
        module(*given)
    with torch.no_grad(), Counted() as counted:
        module(*given)
    assert counted.flops == wanted.get_total_flops() > 0


def test_views_take_no_bytes() -> None:
    with Counted() as counted:
        made(3, 5).t().unsqueeze(0)
    assert (counted.bytes, counted.operations) == (3 * 5 * 4, 3)
    with Counted() as counted:
        torch.split_copy(made(4, 5, dtype=torch.float64), 2)
    assert counted.bytes == (4 * 5 * 8) * 2

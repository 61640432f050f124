"""Names of ours to names of a release, and what becomes of a release's tensors."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fusionkit.components.release import Release
from fusionkit.conversion.name_mapping import Part, Transfer, counterpart, transfer


@pytest.mark.parametrize(("name", "names", "theirs"), [
    ("gate.down.weight", {"gate.down": "excite.0"}, "excite.0.weight"),
    ("weight", {"": ""}, "weight"),
    ("weight", {"": "fc"}, "fc.weight"),
    ("block.conv.bias", {"block": ""}, "conv.bias"),
    ("stages.2.5.norm.bias", {"stages.{i}.{j}": "encoders.{i}.blocks.{j}"}, "encoders.2.blocks.5.norm.bias"),
    ("levels.3.norm", {"levels.{i}.norm": "norm.{i}"}, "norm.3"),
    ("levels.3.norm", {"levels.{i}": "a.{i}", "levels.3": "b"}, "b.norm"),
    ("levels.3.norm", {"levels": "a", "levels.{i}.norm": "b.{i}"}, "b.3"),
    ("scales.weight", {"scale": "a"}, None),
    ("down", {"down.0": "a"}, None),
    ("pair.1.2", {"pair.{i}.{i}": "same.{i}"}, None),
])
def test_the_longest_beginning_counts(name: str, names: dict[str, str], theirs: str | None):
    assert counterpart(name, names) == theirs


class Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(3, 2), nn.BatchNorm1d(2)
        self.register_buffer("grid", torch.tensor([7.0]))


NAMES = {"first": "fc", "norm": "bn", "grid": "grid"}


def tensors() -> dict[str, torch.Tensor]:
    return {"net.fc.weight": torch.arange(6.0).reshape(2, 3), "net.fc.bias": torch.tensor([8.0, 9.0]),
            "net.bn.weight": torch.ones(2), "net.bn.bias": torch.zeros(2), "net.bn.running_mean": torch.full((2,), 5.0),
            "net.bn.running_var": torch.ones(2), "net.grid": torch.zeros(1)}


def moved(given: dict[str, torch.Tensor], release: Release, kept: tuple[str, ...] = ()) -> tuple[Small, Transfer]:
    module = Small()
    return module, transfer([Part(module, None, release, "node.0", "net")], given, kept)


def test_tensors_are_set_under_their_names_in_the_network():
    module, report = moved({**tensors(), "decoder.w": torch.zeros(1), "net.aux.w": torch.zeros(1)},
                           Release(NAMES, unused=("aux.",)))
    assert torch.equal(module.first.weight, torch.arange(6.0).reshape(2, 3))
    assert torch.equal(module.norm.running_mean, torch.full((2,), 5.0))
    assert module.grid.item() == 0
    assert report.used["node.0.first.bias"] == "net.fc.bias" and len(report.used) == 7
    assert (report.unused, report.unexpected) == (["net.aux.w"], ["decoder.w"])
    assert not (report.missing or report.misfits or report.kept), "a counter of batches is no gap"


def test_what_is_missing_does_not_fit_or_stays_is_told():
    given = tensors() | {"net.fc.weight": torch.zeros(3, 2)}
    del given["net.bn.bias"]
    module, report = moved(given, Release(NAMES), kept=("net.grid",))
    assert report.missing == ["node.0.norm.bias (net.bn.bias)"]
    assert report.misfits == ["net.fc.weight is [3, 2], node.0.first.weight is [2, 3]"]
    assert report.kept == ["node.0.grid"] and module.grid.item() == 7


def test_own_parts_are_no_gap_and_names_may_depend_on_the_options():
    given = tensors()
    del given["net.grid"]
    _, report = moved(given, Release(lambda config: {"first": "fc", "norm": "bn"}, own=("grid",)))
    assert not report.missing and report.kept == ["node.0.grid"]
    _, report = moved(given, Release({"first": "fc", "norm": "bn"}))
    assert report.missing == ["node.0.grid"]


def test_a_layout_turns_tensors_by_our_own_name_of_them():
    seen = []

    def layout(name: str, tensor: torch.Tensor) -> torch.Tensor:
        seen.append(name)
        return tensor.T if name == "first.weight" else tensor

    module, report = moved(tensors() | {"net.fc.weight": torch.arange(6.0).reshape(3, 2)}, Release(NAMES, layout))
    assert torch.equal(module.first.weight, torch.arange(6.0).reshape(3, 2).T)
    assert "norm.running_var" in seen and not report.misfits


def test_a_layout_that_fails_is_told_and_harms_no_other():
    def layout(name: str, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.reshape(5, 5) if name == "first.weight" else tensor

    _, report = moved(tensors(), Release(NAMES, layout))
    assert len(report.misfits) == 1 and "cannot become node.0.first.weight" in report.misfits[0]
    assert len(report.used) == 6

"""Absent rows: what they hold reaches nothing, and what is present is computed as if they were not there."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable

import pytest
import torch
from networks import SIMPLE, assert_same, build, good, inputs_of, rows
from torch import Tensor, nn

from fusionkit.layers import masking
from fusionkit.network import absence
from fusionkit.network.absence import Absence, evaluate
from fusionkit.network.model import FusionModel
from fusionkit.shapes.presence import Maybe, Presence, all_of, any_of

A, B = Presence("input", "a"), Presence("input", "b")


@pytest.mark.parametrize(("present", "given", "mask"), [
    (None, {"a": rows(0, 1)}, None),
    (A, {"a": rows(0, 1)}, [0, 1]),
    (A, {}, None),
    (any_of([A, B]), {"a": rows(0, 1, 0), "b": rows(0, 0, 1)}, [0, 1, 1]),
    (all_of([A, B]), {"a": rows(0, 1, 1), "b": rows(0, 0, 1)}, [0, 0, 1]),
    (any_of([A, B]), {"a": rows(0, 1)}, None),
    (all_of([A, B]), {"a": rows(0, 1)}, [0, 1]),
])
def test_masks_by_presence(present: Maybe, given: dict[str, Tensor], mask: list[int] | None):
    found = evaluate(present, given)
    assert found is None if mask is None else found is not None and found.tolist() == [bool(bit) for bit in mask]


MASKS = {"ct": rows(1, 0, 1, 1, 0), "ehr": rows(1, 1, 0, 1, 0), "notes": rows(0, 1, 1, 1, 0)}


def spoilt(x: dict[str, Tensor], content: float) -> dict[str, Tensor]:
    """The inputs with something dreadful in every absent row."""
    worse = {name: value.clone() for name, value in x.items()}
    for name, mask in MASKS.items():
        worse[name][~mask] = content
    return worse


def gradients(model: FusionModel, x: dict[str, Tensor], present: dict[str, Tensor]) -> dict[str, Tensor]:
    model.zero_grad()
    torch.manual_seed(0)
    total = torch.stack([value.square().sum() for value in model(x, present).values()]).sum()
    total.backward()
    return {name: value.grad.clone() for name, value in model.named_parameters() if value.grad is not None}


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("content", [math.nan, math.inf, -math.inf, 1e30])
def test_what_an_absent_row_holds_reaches_no_output_and_no_gradient(content: float, training: bool):
    model = good("all_optional").train(training)
    x = inputs_of(model)
    worse = spoilt(x, content)
    clean = spoilt(x, 0.0)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    first = gradients(model, clean, MASKS)
    model.load_state_dict(state)
    second = gradients(model, worse, MASKS)
    assert_same(first, second)
    assert all(value.isfinite().all() for value in second.values())
    model.load_state_dict(state)
    torch.manual_seed(0)
    outputs = model(worse, MASKS)
    assert all(value.isfinite().all() for value in outputs.values())
    assert all(value.isfinite().all() for value in model.state_dict().values())


def test_gradients_reach_inputs_only_where_they_are_present():
    model = good("all_optional").eval()
    x = {name: value.requires_grad_() for name, value in inputs_of(model).items()}
    torch.stack([value.sum() for value in model(x, MASKS).values()]).sum().backward()
    for name, mask in MASKS.items():
        assert x[name].grad is not None
        assert not x[name].grad[~mask].any(), name
        assert x[name].grad[mask].any(), name


def test_a_mask_of_all_is_no_mask():
    model = good("all_optional").eval()
    x = inputs_of(model)
    assert_same(model(x, {name: rows(1, 1, 1, 1, 1) for name in x}), model(x))


def test_an_input_left_out_is_absent_in_every_row():
    model = good("all_optional").eval()
    x = inputs_of(model)
    none = model({name: x[name] for name in ("ct", "notes")}, {"ct": MASKS["ct"]})
    assert_same(none, model(x, {"ct": MASKS["ct"], "ehr": rows(0, 0, 0, 0, 0)}), exact=False)


def test_rows_are_computed_alone():
    model = good("all_optional").eval()
    x = inputs_of(model)
    together = model(x, MASKS)
    for row in range(5):
        alone = model({name: value[row : row + 1] for name, value in x.items()},
                      {name: mask[row : row + 1] for name, mask in MASKS.items()})
        assert_same(alone, {name: value[row : row + 1] for name, value in together.items()}, exact=False)


def test_absent_results_are_zero_and_told_invalid():
    model = good("all_optional").eval()
    outputs = model(inputs_of(model), MASKS)
    valid = model.validity(MASKS)
    assert valid["size"] is not None and torch.equal(valid["size"], MASKS["ct"])
    assert valid["kind"] is not None and torch.equal(valid["kind"], MASKS["ct"] | MASKS["notes"])
    for name, mask in valid.items():
        assert mask is None or not outputs[name][~mask].any()
    assert model.validity({}) == {"kind": None, "stage": None, "size": None}


NORMED = SIMPLE.replace("ct: {volume: [1, 5, 7, 6]}", "ct: {volume: [1, 5, 7, 6], optional: true}")


def statistics(model: FusionModel) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.named_buffers() if "running" in name}


def test_norms_learn_from_present_rows_only():
    masked, gathered = build(NORMED), build(NORMED)
    x = inputs_of(masked)
    mask = rows(1, 0, 1, 0, 1)
    worse = {**x, "ct": torch.where(mask.reshape(-1, 1, 1, 1, 1), x["ct"], torch.tensor(math.nan))}
    out = masked(worse, {"ct": mask})["kind"]
    expected = gathered({name: value[mask] for name, value in x.items()})["kind"]
    assert torch.allclose(out[mask], expected, atol=1e-6)
    assert_same(statistics(masked), statistics(gathered), exact=False)


@pytest.mark.parametrize("mask", [rows(0, 0, 1, 0, 0), rows(0, 0, 0, 0, 0)])
def test_with_one_row_or_none_norms_stand_still_and_parameters_take_part(mask: Tensor):
    model = build(NORMED)
    before = statistics(model)
    model(inputs_of(model), {"ct": mask})["kind"].sum().backward()
    assert_same(statistics(model), before)
    assert all(value.grad is not None for value in model.parameters()), "distributed training waits for each"
    assert all(part.training for part in model.modules()), "norms are back in training"


def test_norms_put_in_later_are_heeded():
    """As nn.SyncBatchNorm.convert_sync_batchnorm puts them in."""
    model = build(NORMED.replace("norm: none", "").replace("widths: [3, 5]", "widths: [3, 5], norm: none"))
    chained = build(NORMED.replace("use: encoder.conv, from: ct, with: {widths: [3, 5]}",
                                   "chain: [{use: encoder.conv, with: {widths: [3, 5], norm: none}}, "
                                   "encoder.dropout], from: ct"))
    for network, place in ((model, "lungs.stem.1"), (chained, "lungs.0.stem.1")):
        network.set_submodule(place, nn.BatchNorm3d(3))
        x = inputs_of(network)
        x["ct"][1] = math.nan
        network(x, {"ct": rows(1, 0, 1, 1, 1)})
        assert all(value.isfinite().all() for value in statistics(network).values())


class Recorder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Tensor | None] = []

    def forward(self, *features: Tensor, present: Tensor | None = None) -> Tensor:
        self.seen.append(present)
        return features[0]


@pytest.mark.parametrize("semantics", ["drop", "neutral", "identity", "fill"])
def test_what_a_component_is_told(semantics: str):
    module = Recorder()
    absence = Absence(semantics)  # type: ignore[arg-type]  # one of Absent
    x = torch.ones(3, 7)
    absence.call(module, [x, x], [None, None])
    absence.call(module, [x, x], [None, rows(1, 0, 1)])
    assert module.seen[0] is None
    assert module.seen[1] is not None and module.seen[1].tolist() == [[True, True], [True, False], [True, True]]


@pytest.mark.parametrize(("semantics", "columns", "left"), [
    ("skip", [rows(1, 0), rows(1, 1)], [1, 0]),
    ("skip", [None, rows(0, 1)], [0, 1]),
    ("skip", [None, None], None),
    ("drop", [rows(1, 0), rows(0, 0)], [1, 0]),
    ("neutral", [None, rows(0, 1)], None),
    ("identity", [rows(1, 0), rows(1, 1)], [1, 0]),
    ("identity", [None, rows(0, 1)], None),
    ("fill", [rows(1, 0)], None),
])
def test_what_is_there_after_a_call(semantics: str, columns: list[Tensor | None], left: list[int] | None):
    mask = Absence(semantics).output_mask(columns)  # type: ignore[arg-type]  # one of Absent
    assert mask is None if left is None else mask is not None and mask.tolist() == [bool(bit) for bit in left]


@pytest.mark.parametrize("made", [lambda: good("all_optional"), lambda: build(SIMPLE)])
@pytest.mark.parametrize("training", [False, True])
def test_a_network_whose_inputs_are_all_there_gives_what_masks_would_to_the_bit(
        made: Callable[[], FusionModel], training: bool, monkeypatch: pytest.MonkeyPatch):
    model = made().train(training)
    x = inputs_of(model, 7)
    present = {value.name: torch.ones(7, dtype=torch.bool) for value in model.plan.inputs if value.present is not None}
    found, weights = [], []
    for short in (True, False):
        if not short:
            for module in (absence, masking):
                monkeypatch.setattr(module, "is_whole", lambda mask: False)
        state = copy.deepcopy(model)
        found.append(gradients(state, x, present))
        weights.append({key: value.clone() for key, value in state.state_dict().items()})
    assert present and found[0].keys() == found[1].keys()
    for first, second in (found, weights):
        assert all(torch.equal(first[key], second[key]) for key in first)


def test_weights_for_what_is_absent_have_a_gradient_when_nothing_is():
    model = build(SIMPLE.replace("  fused:", "  known: {use: encoder.placeholder, from: table}\n  fused:").replace(
        "[lungs, table]", "[lungs, known]"))
    x = inputs_of(model)
    found = gradients(model, x, {"ehr": rows(1, 1, 1, 1, 1)})
    assert any(key.startswith("known.") and not value.any() for key, value in found.items())

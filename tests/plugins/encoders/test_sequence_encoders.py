"""Encoders of events and of series: numbers of the published code, and what is not observed is unread."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from fusionkit_plugins.encoders.gru import GRU, GRUConfig
from fusionkit_plugins.encoders.grud import GRUD, GRUDConfig
from fusionkit_plugins.encoders.lstm import LSTM, LSTMConfig
from fusionkit_plugins.encoders.mtand import MTAND, MTANDConfig
from fusionkit_plugins.encoders.strats import Strats, StratsConfig
from fusionkit_plugins.encoders.transformer import Transformer, TransformerConfig
from networks import build
from recorded import GOLDEN as RECORDED
from torch import Tensor, nn

from fusionkit.api import Events, MaskedEvents, MaskedSeries, MaskedTokens, Series
from fusionkit.conversion.verification.state_form import filled

GOLDEN = RECORDED / "encoders"


def recorded(name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The arrays of a recording, and the weights that it was made with."""
    with np.load(GOLDEN / f"{name}.npz") as file:
        arrays = {key: file[key] for key in file.files}
    return arrays, {key: filled(key, sizes) for key, (sizes, _) in json.loads(str(arrays["state"])).items()}


def test_the_last_state_is_that_of_the_published_encoder() -> None:
    arrays, weights = recorded("medfuse_ehr_lstm")
    module = LSTM(LSTMConfig(width=8, layers=2), [MaskedTokens((7, 6), ("x",))])
    module.load_state_dict({f"weights.{part}_l{layer}": weights[f"layer{layer}.{part}_l0"] for layer in (0, 1)
                            for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")})
    steps, valid = torch.tensor(arrays["input0"]), torch.arange(7) < torch.tensor(arrays["input1"])[:, None]
    with torch.no_grad():
        assert torch.allclose(module(steps, valid), torch.tensor(arrays["out_feats"]), atol=1e-5)
        # Padding may stand anywhere: what is real is moved to the front.
        turned = module(steps.flip(1).roll(0, 1), valid.flip(1))
        alone = torch.stack([module(steps[row : row + 1, :count].flip(1))[0] for row, count in enumerate((7, 4, 1))])
    assert torch.allclose(turned, alone, atol=1e-6)


def strats(weights: dict[str, Tensor], output: str) -> Strats:
    module = Strats(StratsConfig(width=4, layers=2, heads=1, output=output), [MaskedEvents((7, 5), ("x",))])
    state = {"variable.weight": weights["variable_emb.weight"]}
    for own, name in (("time", "cve_time"), ("value", "cve_value")):
        state |= {f"{own}.first.weight": weights[f"{name}.W1"].T, f"{own}.first.bias": weights[f"{name}.b1"],
                  f"{own}.second.weight": weights[f"{name}.W2"].T}
    for layer in range(2):
        found = {"query": weights["transformer.Wq"][layer, 0], "key": weights["transformer.Wk"][layer, 0],
                 "value": weights["transformer.Wv"][layer, 0], "join": weights["transformer.Wo"][layer],
                 "wide": weights["transformer.W1"][layer], "narrow": weights["transformer.W2"][layer]}
        state |= {f"layers.{layer}.{name}.weight": weight.T for name, weight in found.items()}
        state |= {f"layers.{layer}.wide.bias": weights["transformer.b1"][layer].flatten(),
                  f"layers.{layer}.narrow.bias": weights["transformer.b2"][layer].flatten()}
    if output == "vector":
        state |= {"project.weight": weights["fusion_att.W"].T, "project.bias": weights["fusion_att.b"],
                  "ask.weight": weights["fusion_att.u"].T}
    module.load_state_dict(state)
    return module.eval()


@pytest.mark.parametrize(("output", "recorded_as"), [("vector", "out_pooled"), ("tokens", "out_context")])
def test_events_become_what_the_published_network_makes_of_them(output: str, recorded_as: str) -> None:
    arrays, weights = recorded("strats")
    # The recording's times are in -1..1 already.
    hours = (torch.tensor(arrays["input1"]) - 1) * 24
    events = Events(hours, torch.tensor(arrays["input2"]), torch.tensor(arrays["input0"]))
    valid = torch.tensor(arrays["input3"]).bool()
    with torch.no_grad():
        found = strats(weights, output)(events, valid)
    found = found if output == "vector" else found * valid[..., None]
    assert torch.allclose(found, torch.tensor(arrays[recorded_as]), atol=1e-5)


def linear(weight: Tensor, bias: Tensor | None = None) -> dict[str, Tensor]:
    """The tensors of a layer of ours, of a matrix that the release multiplies from the right."""
    return {"weight": weight.T} | ({} if bias is None else {"bias": bias.flatten()})


def grud(weights: dict[str, Tensor], output: str) -> GRUD:
    module = GRUD(GRUDConfig(width=6, output=output), [MaskedSeries((5, 4), ("x",))])
    release = {name.removeprefix("cell."): tensor for name, tensor in weights.items()}
    layers = {
        "forget": linear(release["W_gamma_h"], release["b_gamma_h"]),
        "value": linear(torch.cat([release[f"W{gate}"] for gate in ("_z", "_r", "")], 1)),
        "missing": linear(torch.cat([release[f"V{gate}"] for gate in ("_z", "_r", "")], 1),
                          torch.cat([release[f"b{gate}"] for gate in ("_z", "_r", "")], 1)),
        "gates": linear(torch.cat([release["U_z"], release["U_r"]], 1)), "new": linear(release["U"])}
    module.load_state_dict({"fade": release["W_gamma"][0], "fade_bias": release["b_gamma"][0]} | {
        f"{layer}.{part}": tensor for layer, parts in layers.items() for part, tensor in parts.items()})
    return module.eval()


@pytest.mark.parametrize(("output", "recorded_as"), [("vector", "out_last"), ("tokens", "out_states")])
def test_states_decay_as_in_the_published_network(output: str, recorded_as: str) -> None:
    arrays, weights = recorded("grud")
    series = Series(torch.tensor(arrays["input0"]), torch.tensor(arrays["input1"]) > 0, torch.tensor(arrays["times"]))
    module = grud(weights, output)
    with torch.no_grad():
        found = module(series)
        assert torch.allclose(found, torch.tensor(arrays[recorded_as]), atol=1e-5)
        # Padding in front of the steps and between them is not read.
        place = torch.tensor([1, 2, 4, 5, 7])
        padded = Series(*(torch.full((2, 8, *part.shape[2:]), 7, dtype=part.dtype).index_copy(1, place, part)
                          for part in series))
        valid = torch.zeros(2, 8, dtype=torch.bool).index_fill(1, place, True)
        again = module(padded, valid)
        assert torch.allclose(again if output == "vector" else again[:, place], found, atol=1e-6)


def test_channels_are_asked_for_near_each_time_as_in_the_published_network() -> None:
    arrays, weights = recorded("mtand")
    module = MTAND(MTANDConfig(width=12, reference=6, span=48, time_width=8, heads=2), [MaskedSeries((5, 4), ("x",))])
    names = {"linear": "linear", "periodic": "periodic", "query": "att.linears.0", "key": "att.linears.1",
             "join": "att.linears.2"}
    module.load_state_dict({f"{own}.{part}": weights[f"{name}.{part}"] for own, name in names.items()
                            for part in ("weight", "bias")})
    hours = torch.tensor(arrays["input2"]) * 48
    series = Series(torch.tensor(arrays["input0"]), torch.tensor(arrays["input1"]) > 0, hours)
    with torch.no_grad():
        assert torch.allclose(module(series), torch.tensor(arrays["out_tokens"]), atol=1e-5)


def test_a_transformer_is_told_the_time_of_a_step_and_not_its_place() -> None:
    torch.manual_seed(3)
    module = Transformer(TransformerConfig(width=8, heads=2, layers=1), [MaskedSeries((5, 3), ("x",))]).eval()
    series = Series.unpacked(cases()["vitals"])
    order = torch.tensor([3, 0, 4, 1, 2])
    with torch.no_grad():
        found = module(series)
        assert torch.allclose(module(Series(*(part[:, order] for part in series))), found, atol=1e-6)
        assert not torch.allclose(module(series._replace(time=2 * series.time)), found, atol=1e-3)


def test_a_gru_is_that_of_torch() -> None:
    torch.manual_seed(3)
    module, whole = GRU(GRUConfig(width=5, layers=2), [MaskedTokens((7, 3), ("x",))]), nn.GRU(3, 5, 2, batch_first=True)
    whole.load_state_dict({name: module.weights[name] for name in whole.state_dict()})
    steps = torch.randn(2, 7, 3)
    with torch.no_grad():
        assert torch.allclose(module(steps), whole(steps)[0][:, -1], atol=1e-6)
        assert torch.allclose(module(steps, torch.arange(7).expand(2, 7) > 3), whole(steps[:, 4:])[0][:, -1], atol=1e-6)


def test_in_training_whole_variables_of_a_case_are_left_out() -> None:
    torch.manual_seed(3)
    module = Strats(StratsConfig(width=4, layers=1, variable_dropout=0.9), [MaskedEvents((6, 3), ("x",))])
    events = Events(torch.zeros(500, 1), torch.ones(500, 1, dtype=torch.int64), torch.ones(500, 1))
    with torch.no_grad():
        assert 0.05 < float(module(events).abs().sum(1).gt(0).float().mean()) < 0.15
        assert bool(module.eval()(events).abs().sum(1).gt(0).all())


GRAPH = """
fusionkit: 1
inputs:
  labs: {events: 6, variables: 7, optional: true}
  vitals: {series: [null, 3], max: 5, optional: true}
nodes:
  chemistry: {use: encoder.strats, from: labs, with: {width: 4, layers: 1}}
  course: {use: encoder.lstm, from: vitals, with: {width: 4}}
  decaying: {use: encoder.grud, from: vitals, with: {width: 4}}
  nearby:
    from: vitals
    chain: [{use: encoder.mtand, with: {width: 6, reference: 3}}, {use: encoder.gru, with: {width: 4}}]
  attended: {use: encoder.transformer, from: vitals, with: {width: 4, heads: 2, layers: 1}}
  both: {use: fusion.mean, from: [chemistry, course, decaying, nearby, attended]}
  result: {use: head.regress, from: both, with: {values: [y]}}
"""


def cases() -> dict[str, Tensor]:
    random = torch.Generator().manual_seed(0)
    labs = Events(torch.randn(4, 6, generator=random), torch.randint(0, 7, (4, 6), generator=random),
                  torch.randn(4, 6, generator=random))
    vitals = Series(torch.randn(4, 5, 3, generator=random), torch.rand(4, 5, 3, generator=random) > 0.4,
                    torch.arange(5.0).expand(4, 5))
    return {"labs": labs.packed(), "vitals": vitals.packed()}


def test_one_tensor_carries_events_and_a_series_and_gives_them_back() -> None:
    inputs = cases()
    assert inputs["labs"].shape == (4, 6, 3) and inputs["vitals"].shape == (4, 5, 7)
    assert torch.equal(Events.unpacked(inputs["labs"]).packed(), inputs["labs"])
    series = Series.unpacked(inputs["vitals"])
    assert series.observed.dtype == torch.bool and not series.values[~series.observed].any()


def test_what_was_not_observed_and_what_is_padding_reach_no_result() -> None:
    model, inputs = build(GRAPH).eval(), cases()
    valid = {"labs": torch.arange(6) < torch.tensor([6, 1, 0, 3])[:, None],
             "vitals": torch.arange(5) < torch.tensor([2, 5, 1, 0])[:, None]}
    wanted = model(inputs, None, valid)["result"]
    changed = {name: tensor.clone() for name, tensor in inputs.items()}
    unseen = changed["vitals"][..., 3:6] == 0
    changed["vitals"][..., :3][unseen] = float("nan")
    for name, mask in valid.items():
        changed[name][~mask] = float("nan")
    assert torch.equal(model(changed, None, valid)["result"], wanted) and bool(wanted.isfinite().all())
    without = model({"vitals": inputs["vitals"]}, None, {"vitals": valid["vitals"]})["result"]
    assert torch.equal(without[2], wanted[2])


def test_an_exported_network_takes_them_with_their_masks() -> None:
    model, inputs = build(GRAPH).eval(), cases()
    valid = {"labs": torch.ones(4, 6, dtype=torch.bool), "vitals": torch.arange(5).expand(4, 5) < 3}
    program = torch.export.export(model, (inputs, None, valid), strict=False)
    with torch.no_grad():
        found = program.module()(inputs, None, valid)["result"]
        assert torch.allclose(found, model(inputs, None, valid)["result"], atol=1e-6)

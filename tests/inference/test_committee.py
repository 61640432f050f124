"""Networks that answer as one: their mean predicts, with any uncertainty method that asks for one network."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import Dataset

import fusionkit
from fusionkit.data.batch import Case
from fusionkit.inference.ensemble import Committee
from fusionkit.inference.predict import Settings, predict
from fusionkit.network.model import FusionModel

GRAPH: dict[str, Any] = {
    "fusionkit": 1, "inputs": {"table": {"vector": [3]}},
    "nodes": {"code": {"use": "encoder.mlp", "from": "table", "with": {"width": 5, "hidden": [7], "dropout": 0.3}},
              "kind": {"use": "head.classify", "from": "code", "with": {"classes": ["a", "b"]}},
              "size": {"use": "head.regress", "from": "code", "with": {"values": ["mm"]}}}}
SETTINGS = Settings(batch_size=4, device="cpu")


class Cases(Dataset[Case]):
    def __init__(self) -> None:
        self.rows = torch.randn(11, 3, generator=torch.Generator().manual_seed(0))

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> Case:
        return Case(index=index, inputs={"table": self.rows[index]}, present={"table": True}, targets={},
                    target_present={})


def network(seed: int, method: str | None = None, **options: Any) -> FusionModel:
    graph = GRAPH if method is None else {**GRAPH, "uncertainty": {"use": method, "with": options}}
    return fusionkit.build(graph, seed=seed)


def test_the_mean_of_the_networks_predicts() -> None:
    models = [network(seed) for seed in range(3)]
    alone = [predict(model, Cases(), None, SETTINGS) for model in models]
    found = predict(Committee(models), Cases(), None, SETTINGS)
    for head in ("kind", "size"):
        wanted = np.mean([each[head].values for each in alone], axis=0)
        assert found[head].values == pytest.approx(wanted, abs=1e-6)
        assert not np.allclose(found[head].values, alone[0][head].values)


def test_samples_are_spread_over_the_networks() -> None:
    """Five networks without dropout, five samples: each network gives one, so that the mean is that of all."""
    models = [network(seed, "uncertainty.mc_dropout", samples=5) for seed in range(5)]
    for model in models:
        for part in model.modules():
            if isinstance(part, torch.nn.Dropout):
                part.p = 1e-12
    alone = [predict(model, Cases(), None, SETTINGS) for model in models]
    found = predict(Committee(models), Cases(), models[0].plan.uncertainty, SETTINGS)
    assert found["kind"].values == pytest.approx(np.mean([each["kind"].values for each in alone], axis=0), abs=1e-5)
    spread = np.var([each["kind"].values[:, 1] for each in alone], axis=0)
    assert (found["kind"].measures["variance"] > 0.5 * spread).all()


def test_a_method_of_several_networks_takes_them_one_by_one() -> None:
    models = [network(seed, "uncertainty.deep_ensemble", members=3) for seed in range(3)]
    method = models[0].plan.uncertainty
    asked, given = predict(Committee(models), Cases(), method, SETTINGS), predict(models, Cases(), method, SETTINGS)
    assert (asked["kind"].values == given["kind"].values).all()
    assert (asked["kind"].measures["variance"] == given["kind"].measures["variance"]).all()


def test_what_the_search_found_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    models, kept = [network(seed, "uncertainty.mc_dropout", samples=5) for seed in range(2)], {}
    method = models[0].plan.uncertainty
    predict(models[0], Cases(), method, SETTINGS, kept=kept)
    first = predict(Committee(models), Cases(), method, SETTINGS, kept=kept)
    assert list(kept) == models
    monkeypatch.setattr("fusionkit.inference.predict.Sampler", None)
    again = predict(Committee(models), Cases(), method, SETTINGS, kept=kept)
    assert (again["kind"].values == first["kind"].values).all()
    assert (again["kind"].measures["variance"] == first["kind"].measures["variance"]).all()

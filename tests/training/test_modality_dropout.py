"""Modality dropout: how often, what stays, of what the draw depends, and that training goes by the masks."""

from __future__ import annotations

import itertools
from collections import Counter
from typing import Any

import pytest
import torch
from small_runs import NETWORK, STILL, Cohort, differing, network, weights

import fusionkit
from fusionkit.data.batch import Batch, collate
from fusionkit.errors import UserError
from fusionkit.network.model import FusionModel
from fusionkit.training.loop import fit
from fusionkit.training.modality_dropout import ModalityDropout
from fusionkit.training.settings import TrainingSettings

CASES = 3001


def three(certain: bool = False) -> FusionModel:
    inputs: dict[str, Any] = {name: {"vector": [2], "optional": True} for name in ("a", "b", "c")}
    if certain:
        inputs["d"] = {"vector": [2]}
    return fusionkit.build({"fusionkit": 1, "inputs": inputs, "nodes": {
        "fused": {"use": "fusion.mean", "from": list(inputs)},
        "out": {"use": "head.regress", "from": "fused", "with": {"values": ["y"]}}}})


def batch(model: FusionModel, absent: str = "", count: int = CASES) -> Batch:
    names = [value.name for value in model.plan.inputs]
    rows = torch.arange(count)
    return Batch({name: torch.zeros(count, 2) for name in names},
                 {name: torch.full((count,), name != absent) for name in names}, {}, {}, rows)


def kept(model: FusionModel, given: Batch, epoch: int = 0, **settings: Any) -> Counter[str]:
    made = ModalityDropout(model.plan, TrainingSettings(**settings))(given, epoch)
    columns = {name: mask.tolist() for name, mask in made.present.items()}
    return Counter("".join(name for name in columns if columns[name][row]) for row in range(len(given)))


def near(count: int, share: float) -> bool:
    return abs(count - CASES * share) < 4 * (CASES * share * (1 - share)) ** 0.5


def test_each_input_goes_on_its_own():
    model = three()
    found = kept(model, batch(model), modality_dropout=0.3)
    assert near(found["abc"], 0.7**3)
    assert near(found["ab"], 0.7**2 * 0.3)
    assert near(found["a"], 0.7 * 0.3**2 + 0.3**3 / 3)
    assert found[""] == 0


def test_one_may_be_all_that_is_left():
    model = three()
    found = kept(model, batch(model), modality_dropout=0.6, modality_scheme="exactly_one")
    assert near(found["abc"], 0.4)
    assert all(near(found[name], 0.2) for name in "abc")


def test_every_selection_is_as_likely():
    model = three()
    found = kept(model, batch(model), modality_dropout=0.999999, modality_scheme="subset")
    assert set(found) == {"".join(some) for size in (1, 2, 3) for some in itertools.combinations("abc", size)}
    assert all(near(count, 1 / 7) for count in found.values())


def test_all_optional_inputs_may_go_where_another_is_certain():
    model = three(certain=True)
    for scheme, share in (("independent", 0.5**3), ("exactly_one", 0.5), ("subset", 0.5 / 8)):
        found = kept(model, batch(model), modality_dropout=0.5, modality_scheme=scheme)
        assert near(found["d"], share), scheme
        assert all("d" in names for names in found)


@pytest.mark.parametrize("scheme", ["independent", "exactly_one", "subset"])
def test_what_is_absent_stays_so_and_something_stays(scheme: str):
    model = three()
    found = kept(model, batch(model, absent="b"), modality_dropout=0.9, modality_scheme=scheme)
    assert set(found) == {"ac", "a", "c"}
    both = Batch({}, {"a": torch.tensor([False, True]), "b": torch.tensor([False, False]),
                      "c": torch.tensor([False, False])}, {}, {}, torch.arange(2))
    assert kept(model, both, modality_dropout=0.9, modality_scheme=scheme) == {"": 1, "a": 1}


def test_a_case_is_drawn_for_by_seed_and_epoch_wherever_it_stands():
    model = three()
    given = batch(model, count=41)
    dropout = ModalityDropout(model.plan, TrainingSettings(modality_dropout=0.5))
    whole = dropout(given, 3).present
    order = torch.randperm(41, generator=torch.Generator().manual_seed(0))
    part = Batch({}, {name: mask[order] for name, mask in given.present.items()}, {}, {}, order)
    assert all(torch.equal(dropout(part, 3).present[name], whole[name][order]) for name in whole)
    assert any(not torch.equal(dropout(given, 4).present[name], whole[name]) for name in whole)
    other = ModalityDropout(model.plan, TrainingSettings(modality_dropout=0.5, seed=1))(given, 3).present
    assert any(not torch.equal(other[name], whole[name]) for name in whole)
    assert all(bool(mask.all()) for mask in given.present.values()), "the batch that was given has changed"


def test_training_meets_a_dropped_input_as_an_absent_one(tmp_path):
    """With all tables dropped, training ends as it does on cases that have none."""
    def trained(name: str, has_table: bool, **settings: Any) -> dict[str, torch.Tensor]:
        cohort = Cohort(gaps=False)
        cohort.has_table[:] = has_table
        model = network(**STILL)
        fit(model, cohort, None, TrainingSettings(epochs=2, batch_size=8, device="cpu", **settings), tmp_path / name)
        return weights(model)

    without = trained("without", False)
    dropped = trained("dropped", True, modality_dropout=0.9999999)
    assert not differing(without, dropped)
    assert differing(without, trained("with", True))


def test_it_is_the_same_however_a_step_is_divided(tmp_path):
    found = []
    for size, accumulate in ((8, 1), (4, 2)):
        model = network(**STILL)
        settings = TrainingSettings(epochs=2, batch_size=size, accumulate=accumulate, modality_dropout=0.5,
                                    device="cpu")
        fit(model, Cohort(24), None, settings, tmp_path / str(size))
        found.append(weights(model))
    for name, value in found[0].items():
        torch.testing.assert_close(value, found[1][name], rtol=1e-4, atol=1e-5)


def test_validation_drops_nothing(tmp_path):
    results = []
    for share in (0.0, 0.9):
        model = network(**STILL)
        settings = TrainingSettings(epochs=1, learning_rate=1e-30, weight_decay=0.0, modality_dropout=share,
                                    device="cpu")
        results.append(fit(model, Cohort(), Cohort(11, seed=1), settings, tmp_path / str(share)).history[0])
    assert results[0]["validation_loss"] == pytest.approx(results[1]["validation_loss"], rel=1e-6)


def test_a_network_whose_inputs_are_all_certain_has_nothing_to_drop(tmp_path):
    graph = {**NETWORK, "inputs": {"scan": {"image": [2, 5, 7]}, "table": {"vector": [3]}}}
    with pytest.raises(UserError, match=r"no input of .* is optional"):
        fit(fusionkit.build(graph), Cohort(), None, TrainingSettings(modality_dropout=0.2), tmp_path / "run")


def test_a_dropped_batch_is_still_a_batch():
    made = ModalityDropout(network().plan, TrainingSettings(modality_dropout=0.5))(
        collate([Cohort()[row] for row in range(7)]), 0)
    assert made.present["scan"].all()
    assert set(made.targets) == {"kind", "size"}

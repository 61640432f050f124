"""`encoder.tabm` and `head.tabm`: recorded numbers of the package, copies, and a loss for each of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from fusionkit_plugins.encoders.tabm import Tabm, TabmConfig
from fusionkit_plugins.heads.tabm import TabmHead, TabmHeadConfig
from recorded import GOLDEN
from small_study import read_table, train, write_study
from small_study import without_plots as without_plots

from fusionkit.cli.parser import main
from fusionkit.conversion.verification.check import check
from fusionkit.registry.lookup import discover
from fusionkit.shapes.layouts import Tokens, Vector

SMALL: dict[str, Any] = {"copies": 3, "width": 7, "blocks": 2, "categories": [2, 5]}
ROWS: list[tuple[Any, ...]] = [
    *[("encoder.tabm", {**SMALL, **more}, [(5,)]) for more in ({}, {"scales": "first"}, {"numbers": "plr"})],
    ("head.tabm", {"classes": ["a", "b", "c"], "label_smoothing": 0.1}, [(7, 5)])]
GRAPH = """\
fusionkit: 1
inputs:
  lab: {vector: [3]}
nodes:
  told: {use: encoder.tabm, from: lab, with: {copies: 3, width: 7, blocks: 1}}
  result: {use: head.tabm, from: told, with: {classes: [no, yes], class_weights: balanced}}
training: {epochs: 1, hold_out: 0, batch_size: 16}
"""


def network(**options: object) -> Tabm:
    torch.manual_seed(0)
    return Tabm(TabmConfig.model_validate({**SMALL, **options}), [Vector((5,))]).eval()


def test_tokens_and_logits_are_those_of_the_package() -> None:
    found = check("encoder.tabm", GOLDEN / "encoders" / "tabm_full.npz", registry=discover())
    assert {row.entry for row in found.rows if not row.note} == {
        "out_logits", "out_mean", "tap_backbone", "grad_input0"}
    assert all(row.ok for row in found.rows)


@pytest.mark.parametrize(("options", "signs"), [
    ({}, True), ({"numbers": "plr"}, False), ({"start": "normal"}, False),
    ({"start": "signs", "numbers": "plr"}, True)])
def test_copies_start_apart_by_the_scales_of_their_inputs_alone(options: dict[str, Any], signs: bool) -> None:
    module = network(**options)
    first = module.blocks[0].r.detach()
    assert bool((first.abs() == 1).all()) is signs
    assert all(bool((part == 1).all()) for part in (module.blocks[0].s, module.blocks[1].r, module.blocks[1].s))
    tokens = module(torch.randn(2, 5))
    assert not torch.allclose(tokens[:, 0], tokens[:, 1])
    first[:] = first[:1].clone()
    module.blocks[0].r.data.copy_(first)
    tokens = module(torch.randn(2, 5))
    torch.testing.assert_close(tokens[:, 0], tokens[:, 1])


def test_an_unknown_category_has_no_indicator() -> None:
    module, row = network(), torch.zeros(1, 5)
    assert bool((super(Tabm, module).forward(row) == 0).all())
    row[0, 3:] = torch.tensor([2.0, 4.0])
    assert super(Tabm, module).forward(row)[0].tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 1, 0]


def test_the_loss_is_the_mean_over_copies_and_not_that_of_their_mean() -> None:
    torch.manual_seed(0)
    module = TabmHead(TabmHeadConfig(classes=["a", "b", "c"]), [Tokens((5, 7))])
    logits, target = module(torch.randn(11, 5, 7)), torch.arange(11) % 3
    apart = torch.stack([F.cross_entropy(logits[:, copy], target, reduction="none") for copy in range(5)]).mean(0)
    torch.testing.assert_close(module.loss(logits, target), apart)
    joined = F.nll_loss(module.decode(logits).log(), target, reduction="none")
    assert bool((module.loss(logits, target) > joined).all())
    shares = F.one_hot(target, 3).float()
    torch.testing.assert_close(module.loss(logits, shares), apart)
    torch.testing.assert_close(module.decode(logits), logits.softmax(2).mean(1))


def test_balanced_weights_apply_to_every_copy() -> None:
    module = TabmHead(TabmHeadConfig(classes=["a", "b"], class_weights="balanced"), [Tokens((3, 5))])
    logits, target = module(torch.randn(7, 3, 5)), torch.arange(7) % 2
    plain = module.loss(logits, target)
    module.balance(torch.tensor([9.0, 3.0]))
    torch.testing.assert_close(module.loss(logits, target), plain * torch.tensor([2 / 3, 2.0])[target])


def test_a_network_of_copies_is_trained_evaluated_and_explained(tmp_path: Path) -> None:
    """The raw results of its head have one more axis than those of others."""
    write_study(tmp_path, GRAPH)
    run = train(tmp_path, "--device", "cpu")
    told = read_table(run / "predictions.csv")
    assert len(told) == 22 and len({row["result:yes"] for row in told}) == 22
    assert main(["explain", str(run), "--method", "shapley", "-o", str(tmp_path / "why"), "--device", "cpu",
                 "--case", "c4"]) == 0

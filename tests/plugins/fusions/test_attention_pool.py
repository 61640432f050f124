"""Gated attention pooling: recorded numbers, the formula for inputs and for tokens, absence, and sizes."""

from __future__ import annotations

import pytest
import torch
from fusionkit_plugins.fusions.attention_pool import component
from recorded import GOLDEN

from fusionkit.conversion.verification.check import check
from fusionkit.conversion.verification.reading import read_fixture

X, Y, Z = (torch.randn(3, 5, generator=torch.Generator().manual_seed(seed)) for seed in range(3))
SLICES, MORE = torch.randn(3, 7, 5), torch.randn(3, 2, 5)


def by_hand(module, items, gated=True):
    scores = []
    for item in items.unbind(1):
        hidden = torch.tanh(item @ module.hidden.weight.T + module.hidden.bias)
        if gated:
            hidden = hidden / (1 + torch.exp(-(item @ module.gate.weight.T + module.gate.bias)))
        scores.append((hidden * module.score.weight[0]).sum(1))
    shares = torch.stack(scores, 1).exp()
    return ((shares / shares.sum(1, keepdim=True)).unsqueeze(2) * items).sum(1)


@pytest.mark.parametrize("path", sorted((GOLDEN / "methods" / "abmil").glob("*.npz")), ids=lambda path: path.stem)
def test_recorded_numbers_are_reproduced(path):
    found = check("fusion.attention_pool", path)
    assert found.ok, [row for row in found.rows if not row.ok]


@pytest.mark.parametrize("gated", [True, False])
def test_inputs_are_weighed_by_the_formula(build, gated):
    module = build(component, X, Y, Z, hidden=3, gated=gated)
    torch.testing.assert_close(module(X, Y, Z), by_hand(module, torch.stack([X, Y, Z], 1), gated))


def test_tokens_of_all_inputs_are_weighed_together(build):
    module = build(component, SLICES, MORE, hidden=3)
    torch.testing.assert_close(module(SLICES, MORE), by_hand(module, torch.cat([SLICES, MORE], 1)))


def test_an_absent_input_leaves_the_softmax(build):
    module = build(component, X, Y, Z, hidden=3)
    gone = torch.full_like(Y, float("inf"))
    found = module(X, gone, Z, present=torch.tensor([[True, False, True]] * 3))
    torch.testing.assert_close(found, by_hand(module, torch.stack([X, Z], 1)))
    weights = module.weights(X, gone, Z, present=torch.tensor([[True, False, True]] * 3))
    assert not weights[:, 1].any()
    torch.testing.assert_close(weights.sum(1), torch.ones(3))


def test_one_that_is_alone_is_given_back(build):
    module = build(component, X, Y, hidden=3)
    torch.testing.assert_close(module(X, Y, present=torch.tensor([[False, True]] * 3)), Y)


@pytest.mark.parametrize(("width", "hidden"), [(5, 3), (5, 64)])
def test_sizes(build, count, width, hidden):
    """The number that the authors add to all scores is left out: a softmax does not see it."""
    assert count(build(component, X, Y, hidden=hidden)) == 2 * (width * hidden + hidden) + hidden
    assert count(build(component, X, Y, hidden=hidden, width=2)) == 2 * (6 * 2) + 2 * (2 * hidden + hidden) + hidden


def test_the_pooling_of_monais_network_for_bags_is_the_same(build):
    """Its scores have one more number, the same for all items, which the softmax takes away again."""
    case = read_fixture(GOLDEN / "encoders" / "monai_mil_att.npz")
    release, tokens = case.parameters, case.arrays["out_tokens"]
    module = build(component, tokens, hidden=2048, gated=False)
    module.load_state_dict({"hidden.weight": release["attention.0.weight"], "hidden.bias": release["attention.0.bias"],
                            "score.weight": release["attention.2.weight"]})
    scores = module.scores(tokens) + release["attention.2.bias"]
    torch.testing.assert_close(scores.unsqueeze(2), case.arrays["tap_attention"], atol=1e-6, rtol=1e-5)
    logits = module(tokens) @ release["myfc.weight"].T + release["myfc.bias"]
    torch.testing.assert_close(logits, case.arrays["out_logits"], atol=1e-6, rtol=1e-5)

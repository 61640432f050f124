"""DrFuse: pooling, class attention and both losses written out; absent inputs; any number of them; refusals."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from fusionkit_plugins.fusions.drfuse import component, pool
from torch import nn

from fusionkit.components.config import ComponentError

PAIRS = [torch.randn(5, 7) for _ in range(4)]
FULL = torch.ones(5, 4, dtype=torch.bool)


def attended(module: nn.Module, tokens: list[torch.Tensor], present: torch.Tensor) -> torch.Tensor:
    """Logits of one case by loops over classes and tokens."""
    width = tokens[0].shape[0]
    here = [token for token, there in zip(tokens, present.tolist(), strict=True) if there]
    parts = [module.attend.project(token).split(width) for token in here]
    query = torch.stack([part[0] for part in parts]).mean(0)
    logits = []
    for k in range(module.decide.out_features):
        weights = torch.stack([query @ part[2 + k] / width**0.5 for part in parts]).softmax(0)
        vector = sum(w * part[1] for w, part in zip(weights, parts, strict=True))
        logits.append(vector @ module.decide.weight[k] + module.decide.bias[k])
    return torch.stack(logits)


@pytest.mark.parametrize("present", [(True, True), (True, False), (False, True)], ids=str)
def test_each_class_attends_for_itself(build, present):
    module = build(component, *PAIRS, inputs="pairs", classes=3).double()
    a, p, b, q = (x.double() for x in PAIRS)
    masks = torch.tensor(present).repeat_interleave(2).expand(5, 4)
    shares = [module.project(x).sigmoid() for x, there in zip((a, b), present, strict=True) if there]
    shared = (sum(shares) / len(shares)).logit()
    given = module(a, p, b, q, present=masks)
    tokens_here = torch.tensor([present[0], True, present[1]])
    wanted = torch.stack([attended(module, [p[i], shared[i], q[i]], tokens_here) for i in range(5)])
    torch.testing.assert_close(given[0], wanted)
    torch.testing.assert_close(given[2], shared)


def test_vectors_are_split_into_shared_and_distinct(build):
    x, y = torch.randn(5, 3), torch.randn(5, 11)
    module = build(component, x, y, width=7)
    pairs = build(component, *PAIRS, inputs="pairs")
    pairs.load_state_dict({name: value for name, value in module.state_dict().items() if "split" not in name})
    parts = [layer(value) for layer, value in zip(module.split, (x, x, y, y), strict=True)]
    for given, wanted in zip(module(x, y), pairs(*parts), strict=True):
        torch.testing.assert_close(given, wanted)


def test_the_losses_are_the_formulas(build):
    module = build(component, *PAIRS, inputs="pairs", disentangle=0.5, align=2.0)
    a, p, b, q = PAIRS
    s, t = module.project(a), module.project(b)
    *_, disentangle, align = module(a, p, b, q)
    cosines = F.cosine_similarity(s, p).abs().mean() + F.cosine_similarity(t, q).abs().mean()
    torch.testing.assert_close(disentangle, 0.5 * cosines)
    u, v = s.sigmoid(), t.sigmoid()
    m = (u + v) / 2
    torch.testing.assert_close(align, 2.0 * ((u * (u / m).log() + v * (v / m).log()) / 2).sum(1).mean())


def test_the_whole_bernoulli_divergence_is_larger_and_symmetric(build):
    module = build(component, *PAIRS, inputs="pairs", bernoulli=True)
    part = build(component, *PAIRS, inputs="pairs")
    part.load_state_dict(module.state_dict())
    a, p, b, q = PAIRS
    assert module(a, p, a, q)[4].abs() < 1e-6
    torch.testing.assert_close(module(a, p, b, q)[4], module(b, q, a, p)[4])
    u, v = module.project(a).sigmoid().double(), module.project(b).sigmoid().double()
    entropy = [-(x * x.log() + (1 - x) * (1 - x).log()) for x in ((u + v) / 2, u, v)]
    wanted = (entropy[0] - (entropy[1] + entropy[2]) / 2).sum(1).mean()
    torch.testing.assert_close(module(a, p, b, q)[4].double(), wanted, rtol=1e-4, atol=1e-6)


def test_losses_count_rows_that_have_what_they_compare(build):
    module = build(component, *PAIRS, inputs="pairs")
    present = FULL.clone()
    present[3:, 2:] = False
    *_, disentangle, align = module(*PAIRS, present=present)
    whole, rows = module(*PAIRS), module(*[x[:3] for x in PAIRS])
    torch.testing.assert_close(align, rows[4])
    first = build(component, *PAIRS[:2], inputs="pairs")
    first.load_state_dict(module.state_dict())
    torch.testing.assert_close(disentangle - first(*PAIRS[:2])[3], rows[3] - first(*[x[:3] for x in PAIRS[:2]])[3])
    assert not torch.allclose(align, whole[4])


def test_half_a_pair_is_no_modality(build):
    module = build(component, *PAIRS, inputs="pairs")
    half, none = FULL.clone(), FULL.clone()
    half[:, 3], none[:, 2:] = False, False
    for given, wanted in zip(module(*PAIRS, present=half), module(*PAIRS, present=none), strict=True):
        assert torch.equal(given, wanted)


def test_pooling_stays_finite_where_sigmoids_are_full():
    one, other = torch.tensor([[200.0]]), torch.tensor([[-200.0]])
    present = torch.ones(1, 2, dtype=torch.bool)
    assert pool([one, one], present) == 200
    assert pool([one, other], present).abs() < 1e-6


def test_three_inputs_have_four_tokens(build):
    inputs = [torch.randn(5, width) for width in (3, 5, 11)]
    module = build(component, *inputs, width=7, classes=2)
    present = torch.tensor([[True, True, True], [True, False, True], [False, False, True], [False] * 3, [True] * 3])
    logits = module(*inputs, present=present)[0]
    assert logits.shape == (5, 2) and not logits[3].any()
    alone = module(*[torch.full_like(x, 1e9) for x in inputs[:2]], inputs[2], present=present)[0]
    torch.testing.assert_close(alone[2], logits[2])


@pytest.mark.parametrize(("inputs", "options", "message"), [
    (PAIRS[:3], {"inputs": "pairs"}, "3 are given"),
    ([*PAIRS[:3], torch.empty(1, 5)], {"inputs": "pairs"}, "5 and 7"),
    (PAIRS, {"inputs": "pairs", "width": 3}, "3 and 7"),
    ([torch.empty(1, 3), torch.empty(1, 5)], {}, "3 and 5")])
def test_widths_that_do_not_fit_are_refused(build, inputs, options, message):
    with pytest.raises(ComponentError, match=message):
        build(component, *inputs, **options)


def test_the_published_size(build, count):
    heads, unused = 3 * (16 * 3 + 3), (16 * 3 + 3) + (16 * 8 + 8) + (8 + 1)
    module = build(component, *[torch.empty(1, 16)] * 4, inputs="pairs", classes=3)
    assert count(module) + heads + unused == 3104

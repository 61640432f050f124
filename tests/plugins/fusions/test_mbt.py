"""Attention bottlenecks: the steps by hand, who writes into them, and sizes."""

from __future__ import annotations

import pytest
import torch
from fusionkit_plugins.fusions.mbt import component
from pydantic import ValidationError

X, Y, Z = torch.randn(3, 5, 7), torch.randn(3, 2, 11), torch.randn(3, 4, 3)
SMALL = {"width": 6, "heads": 2, "bottlenecks": 2}
LATE = SMALL | {"fusion_layer": 1, "output": "bottlenecks"}


def by_hand(module, *inputs):
    """All blocks: means of the class tokens and of the bottlenecks at the end."""
    rows = [torch.cat([module.collectors[m].expand(3, -1, -1),
                       module.streams[m].project(x) + module.streams[m].embedding], 1) for m, x in enumerate(inputs)]
    shared = module.bottlenecks.expand(3, -1, -1)
    for layer in range(module.layers):
        if layer < module.fusion_layer:
            rows = [module.blocks[m][layer](row) for m, row in enumerate(rows)]
            continue
        both = [module.blocks[m][layer](torch.cat([row, shared], 1)) for m, row in enumerate(rows)]
        rows, shared = [x[:, :-2] for x in both], torch.stack([x[:, -2:] for x in both]).mean(0)
    return torch.stack([row[:, 0] for row in rows]).mean(0), shared


def test_the_steps_by_hand(build):
    for options, place in ((SMALL, 0), (SMALL | {"layers": 3, "fusion_layer": 1}, 0), (LATE, 1)):
        module = build(component, X, Y, **options)
        torch.testing.assert_close(module(X, Y), by_hand(module, X, Y)[place])


def test_bottlenecks_are_all_that_streams_share(build):
    """Before the second block with bottlenecks nothing of one stream can be in another."""
    module = build(component, X, Y, output="tokens", **SMALL)
    assert (module(X, Y + 1)[:, :5] - module(X, Y)[:, :5]).abs().max() > 1e-6
    module.fusion_layer = 1  # which the options refuse
    torch.testing.assert_close(module(X, Y + 1)[:, :5], module(X, Y)[:, :5])


def test_an_absent_stream_writes_into_no_bottleneck(build):
    three, two = (build(component, *inputs, layers=3, **SMALL) for inputs in ((X, Y, Z), (X, Z)))
    kept = {name: value for name, value in three.state_dict().items() if name.split(".")[1:2] != ["1"]}
    two.load_state_dict({name.replace("s.2", "s.1", 1): value for name, value in kept.items()})
    found = three(X, torch.full_like(Y, float("nan")), Z, present=torch.tensor([[True, False, True]] * 3))
    torch.testing.assert_close(found, two(X, Z))


@pytest.mark.parametrize(("share", "stacks"), [(False, 2), (True, 1)])
def test_sizes(build, count, share, stacks):
    module = build(component, X, Y, width=8, layers=3, fusion_layer=1, share=share)
    block = 12 * 8**2 + 13 * 8
    # Projections, an embedding and a class token for each stream, bottlenecks, blocks.
    assert count(module) == (7 + 1 + 11 + 1) * 8 + 2 * 2 * 8 + 4 * 8 + stacks * 3 * block
    assert 0.01 < float(module.bottlenecks.detach().std()) < 0.04


@pytest.mark.parametrize("options", [
    {"layers": 2, "fusion_layer": 2}, {"layers": 2, "fusion_layer": 1}, {"layers": 1, "output": "tokens"},
    {"layers": 2, "fusion_layer": 2, "output": "bottlenecks"},
], ids=str)
def test_streams_that_never_meet_are_refused(options):
    """They write into the bottlenecks in one block, and another stream reads that in the next."""
    with pytest.raises(ValidationError, match="never fused"):
        component.config(**options)

"""MulT: stacks for every direction by hand, absence, and sizes."""

from __future__ import annotations

import pytest
import torch
from fusionkit_plugins.fusions.mult import component

from fusionkit.components.config import ComponentError

X, Y, Z = torch.randn(3, 5, 7), torch.randn(3, 2, 11), torch.randn(3, 4, 3)
SMALL = {"width": 4, "heads": 2, "layers": 2}


def summaries(module, inputs, pool):
    rows = [stream(x) for stream, x in zip(module.streams, inputs, strict=True)]
    for a, own in enumerate(rows):
        parts = []
        for b, asked in enumerate(rows):
            if a != b:
                first, second = module.asking[f"{a}_{b}"]
                parts.append(second(first(own, asked), asked))
        together = torch.cat(parts, 2)
        if pool == "class":
            together = torch.cat([module.collectors[a].expand(3, -1, -1), together], 1)
        together = module.own[a][0](together)
        yield together[:, 0] if pool == "class" else together.mean(1)


@pytest.mark.parametrize("pool", ["mean", "class"])
def test_every_direction_by_hand(build, pool):
    module = build(component, X, Y, Z, pool=pool, **SMALL)
    torch.testing.assert_close(module(X, Y, Z), torch.cat(list(summaries(module, (X, Y, Z), pool)), 1))


def test_the_summary_is_not_the_last_position(build):
    """With positions unknown, no token is special."""
    module = build(component, X, Y, positions="none", **SMALL)
    torch.testing.assert_close(module(X.flip(1), Y.flip(1)), module(X, Y))


def test_an_absent_stream_leaves_zeros_and_is_not_heard(build):
    module = build(component, X, Y, Z, **SMALL)
    present = torch.tensor([[True, False, True]] * 3)
    found = module(X, torch.full_like(Y, float("nan")), Z, present=present)
    assert torch.equal(found, module(X, torch.randn_like(Y), Z, present=present))
    assert not found[:, 8:16].any() and found[:, :8].all() and found[:, 16:].all()


def test_sizes(build, count):
    module = build(component, X, Y, Z, width=4, heads=2, layers=2, self_layers=1)
    asking, own = 12 * 16 + 15 * 4, 12 * 64 + 13 * 8
    streams = (7 + 11 + 3 + 3) * 4 + 3 * 4 + (5 + 2 + 4) * 4
    assert count(module) == streams + 6 * 2 * asking + 3 * own
    assert module(X, Y, Z).shape == (3, 3 * 2 * 4)


@pytest.mark.parametrize("streams", [1, 5])
def test_one_stream_or_five_are_refused(build, streams):
    with pytest.raises(ComponentError, match="it reads"):
        build(component, *[X] * streams, **SMALL)

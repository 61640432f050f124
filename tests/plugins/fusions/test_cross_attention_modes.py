"""Cross-attention among three streams: who asks whom in each mode, and what absence does to it."""

from __future__ import annotations

import pytest
import torch
from fusionkit_plugins.fusions.cross_attention import component

A, B, C = (torch.randn(2, tokens, 6, generator=torch.Generator().manual_seed(tokens)) for tokens in (5, 3, 7))
STREAMS = (A, B, C)


def ask(block, queries, keys):
    return block(queries, keys, None, None)


def test_in_pairs_every_direction_has_a_block_and_their_mean_counts(build):
    module = build(component, *STREAMS, heads=2, mode="pairs")
    blocks = iter(module.blocks)
    for place, found in enumerate(module(*STREAMS)):
        parts = [ask(next(blocks), STREAMS[place], STREAMS[m]) for m in range(3) if m != place]
        torch.testing.assert_close(found, (parts[0] + parts[1]) / 2)
    assert len(module.blocks) == 6


def test_around_a_hub_the_others_do_not_hear_each_other(build):
    module = build(component, *STREAMS, heads=2, mode="hub")
    found = module(*STREAMS)
    torch.testing.assert_close(found[0], ask(module.blocks[0], A, torch.cat([B, C], 1)))
    torch.testing.assert_close(found[1], ask(module.blocks[1], B, A))
    torch.testing.assert_close(found[2], ask(module.blocks[2], C, A))


@pytest.mark.parametrize("mode", ["pairs", "hub"])
def test_two_streams_are_the_same_in_every_mode(build, mode):
    modules = [build(component, A, B, heads=2, mode=one) for one in (mode, "bidirectional")]
    modules[0].load_state_dict(modules[1].state_dict())
    for found, wanted in zip(modules[0](A, B), modules[1](A, B), strict=True):
        assert torch.equal(found, wanted)


def test_in_pairs_an_absent_partner_leaves_the_mean(build):
    module = build(component, *STREAMS, heads=2, mode="pairs")
    found = module(A, torch.full_like(B, float("nan")), C, present=torch.tensor([[True, False, True]] * 2))
    torch.testing.assert_close(found[0], ask(module.blocks[1], A, C))
    torch.testing.assert_close(found[2], ask(module.blocks[4], C, A))
    assert not found[1].any()


def test_in_pairs_a_stream_alone_keeps_itself(build):
    module = build(component, *STREAMS, heads=2, mode="pairs")
    found = module(*STREAMS, present=torch.tensor([[True, False, False]] * 2))
    alone = [A + block.feed_forward(A) for block in module.blocks[:2]]
    torch.testing.assert_close(found[0], (alone[0] + alone[1]) / 2)


@pytest.mark.parametrize("mode", ["pairs", "hub", "bidirectional"])
def test_shared_weights_and_a_start_as_the_identity(build, count, mode):
    module = build(component, *STREAMS, heads=2, mode=mode, share=True, zero_start=True)
    assert count(module) == 12 * 6**2 + 15 * 6
    for found, wanted in zip(module(*STREAMS), STREAMS, strict=True):
        torch.testing.assert_close(found, wanted)

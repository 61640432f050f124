from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from fusionkit_plugins.fusions.cross_attention import component

import fusionkit
from fusionkit.components.config import ComponentError
from fusionkit.shapes.layouts import Bundle, Tokens, Vector

QUERY, CONTEXT, OTHER = (torch.randn(2, tokens, 6, generator=torch.Generator().manual_seed(tokens))
                         for tokens in (5, 3, 7))


def _norm(layer, x):
    return F.layer_norm(x, (x.shape[-1],), layer.weight, layer.bias)


def _by_hand(block, queries, keys):
    """One head, from the definition: softmax(q k^T / sqrt(d)) v, then the feed-forward layer."""
    q, k, v = (F.linear(x, weight, bias) for x, weight, bias in zip(
        (_norm(block.norm_queries, queries), *[_norm(block.norm_keys, keys)] * 2),
        block.attention.in_proj_weight.chunk(3), block.attention.in_proj_bias.chunk(3), strict=True))
    shares = (q @ k.transpose(1, 2) / queries.shape[-1] ** 0.5).softmax(-1)
    refined = queries + F.linear(shares @ v, block.attention.out_proj.weight, block.attention.out_proj.bias)
    norm, wide, _, narrow = block.feed_forward
    return refined + narrow(F.gelu(wide(_norm(norm, refined))))


def test_one_head_by_hand(build):
    module = build(component, QUERY, CONTEXT, heads=1)
    torch.testing.assert_close(module(QUERY, CONTEXT), _by_hand(module.blocks[0], QUERY, CONTEXT))


def test_several_contexts_are_one_row_of_keys(build):
    module = build(component, QUERY, CONTEXT, OTHER, heads=1)
    keys = torch.cat([CONTEXT, OTHER], 1)
    torch.testing.assert_close(module(QUERY, CONTEXT, OTHER), _by_hand(module.blocks[0], QUERY, keys))


def test_both_directions_read_the_streams_as_they_came(build):
    module = build(component, QUERY, CONTEXT, heads=1, mode="bidirectional")
    first, second = module(QUERY, CONTEXT)
    torch.testing.assert_close(first, _by_hand(module.blocks[0], QUERY, CONTEXT))
    torch.testing.assert_close(second, _by_hand(module.blocks[1], CONTEXT, QUERY))


def test_shared_weights(build, count):
    module = build(component, QUERY, CONTEXT, heads=1, mode="bidirectional", share=True)
    first, second = module(QUERY, CONTEXT)
    swapped_second, swapped_first = module(CONTEXT, QUERY)
    torch.testing.assert_close((first, second), (swapped_first, swapped_second))
    assert count(module) == 12 * 6**2 + 15 * 6


def test_an_absent_context_is_not_asked(build):
    """Three streams, the second absent: as if there were two."""
    three = build(component, QUERY, CONTEXT, OTHER, heads=2)
    two = build(component, QUERY, OTHER, heads=2)
    two.load_state_dict(three.state_dict())
    found = three(QUERY, CONTEXT, OTHER, present=torch.tensor([[True, False, True]] * 2))
    torch.testing.assert_close(found, two(QUERY, OTHER))


@pytest.mark.parametrize("contexts", [[CONTEXT], [CONTEXT, OTHER]])
def test_without_any_context_the_attention_term_is_zero(build, contexts):
    module = build(component, QUERY, *contexts, heads=2)
    present = torch.tensor([[True] + [False] * len(contexts)] * 2)
    wanted = QUERY + module.blocks[0].feed_forward(QUERY)
    torch.testing.assert_close(module(QUERY, *contexts, present=present), wanted)


def test_an_absent_query_gives_zeros(build):
    module = build(component, QUERY, CONTEXT, heads=2)
    found = module(QUERY, CONTEXT, present=torch.tensor([[False, True], [True, True]]))
    assert not found[0].any()
    assert torch.equal(found[1], module(QUERY, CONTEXT)[1])


def _query_and_key_gradients(module, query, context):
    """Gradients of the weights that make queries and keys; the values' are left out."""
    module(query, context).square().sum().backward()
    width = module.blocks[0].attention.embed_dim
    return module.blocks[0].attention.in_proj_weight.grad[: 2 * width]


def test_a_single_key_is_degenerate_and_slots_are_not(build):
    vector = torch.randn(2, 5)
    degenerate = _query_and_key_gradients(build(component, QUERY, vector, width=8), QUERY, vector)
    assert degenerate.abs().max() < 1e-6
    slots = _query_and_key_gradients(build(component, QUERY, vector, width=8, vector_to_tokens=3), QUERY, vector)
    assert slots.abs().max() > 1e-3


def test_zero_start_is_the_identity(build):
    module = build(component, QUERY, CONTEXT, heads=2, zero_start=True, mode="bidirectional")
    for found, wanted in zip(module(QUERY, CONTEXT), (QUERY, CONTEXT), strict=True):
        assert torch.equal(found, wanted)


def test_sizes(build, count):
    assert count(build(component, QUERY, CONTEXT, heads=2)) == 12 * 6**2 + 15 * 6
    projected = build(component, torch.zeros(1, 5, 3), torch.zeros(1, 7), width=8, vector_to_tokens=2)
    # The query's projection, two tokens made of the vector, and no projection of the vector besides.
    assert count(projected) == 12 * 8**2 + 15 * 8 + (3 * 8 + 8) + (7 * 16 + 16)


def test_the_result_is_named_by_who_asks():
    both = component.config(mode="bidirectional", width=8)
    assert component.output(both, [Tokens((5, 3)), Vector((7,))]) == Bundle(
        (("query", Tokens((5, 8))), ("context", Vector((8,)))))
    assert component.output(both, [Vector((7,))] * 3).names == ("query", "context_1", "context_2")
    assert component.output(component.config(), [Tokens((5, 4)), Tokens((7, 4))]) == Tokens((5, 4))


def test_heads_must_divide_the_width():
    with pytest.raises(ComponentError, match="6 features cannot be divided equally among 4 heads"):
        component.output(component.config(), [Tokens((5, 6)), Tokens((3, 6))])


def test_each_stream_is_given_back_as_present_as_it_came(tmp_path):
    graph = tmp_path / "graph.yaml"
    graph.write_text("""
fusionkit: 1
name: exchange
inputs:
  ct: {tokens: [5, 6], optional: true}
  report: {tokens: [3, 6]}
nodes:
  both: {use: fusion.cross_attention, from: [ct, report], with: {heads: 2, mode: bidirectional}}
  first: {use: encoder.pool, from: both.query}
  second: {use: encoder.pool, from: both.context}
  fused: {use: fusion.mean, from: [first, second]}
  kind: {use: head.classify, from: fused, with: {classes: [a, b]}}
""")
    values = fusionkit.plan(graph).node("both").values
    assert {value.name: str(value.present) for value in values} == {"both.query": "ct", "both.context": "None"}

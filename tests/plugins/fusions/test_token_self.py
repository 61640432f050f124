"""Self-attention over all tokens: recorded numbers, a block by hand, who is asked, what each output is, and sizes."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from fusionkit_plugins.blocks.transformer import SelfBlock
from fusionkit_plugins.fusions.token_self import TokenSelfConfig, component
from pydantic import ValidationError
from recorded import GOLDEN

import fusionkit
from fusionkit.components.config import ComponentError
from fusionkit.conversion.verification.check import check

X, Y = torch.randn(3, 5, 7), torch.randn(3, 2, 11)
SMALL = {"width": 6, "layers": 1, "heads": 1}


def norm(layer, x):
    return F.layer_norm(x, (x.shape[-1],), layer.weight, layer.bias)


def by_hand(block: SelfBlock, x: torch.Tensor) -> torch.Tensor:
    attention, width = block.attention, x.shape[-1]
    normed = norm(block.norm, x)
    query, (key, value) = attention.query(normed), attention.key_value(normed).split(width, 2)
    shares = (query @ key.transpose(1, 2) / width ** 0.5).softmax(2)
    x = x + attention.join(shares @ value)
    first, wide, _, narrow = block.feed_forward
    return x + narrow(F.gelu(wide(norm(first, x))))


def tokens_of(module, *inputs):
    parts = [stream.project(x) + stream.embedding for stream, x in zip(module.streams, inputs, strict=True)]
    return torch.cat([module.collector.expand(len(inputs[0]), 1, -1), *parts], 1)


@pytest.mark.parametrize(("output", "picked"), [
    ("class", lambda x: x[:, 0]), ("mean", lambda x: x[:, 1:].mean(1)), ("tokens", lambda x: x[:, 1:])])
def test_one_block_by_hand(build, output, picked):
    module = build(component, X, Y, output=output, **SMALL)
    torch.testing.assert_close(module(X, Y), picked(by_hand(module.blocks[0], tokens_of(module, X, Y))))


def test_heads_share_the_width(build):
    """Two heads are two attentions of half the width, side by side."""
    module = build(component, X, Y, width=6, layers=1, heads=2)
    attention, normed = module.blocks[0].attention, torch.randn(2, 4, 6)
    query, (key, value) = attention.query(normed), attention.key_value(normed).split(6, 2)
    parts = [F.scaled_dot_product_attention(*(x[..., half] for x in (query, key, value)))
             for half in (slice(0, 3), slice(3, 6))]
    torch.testing.assert_close(attention(normed, normed), attention.join(torch.cat(parts, 2)))


@pytest.mark.parametrize("output", ["class", "mean"])
def test_an_absent_input_is_as_if_it_were_not_there(build, output):
    two, one = (build(component, *inputs, output=output, **SMALL) for inputs in ((X, Y), (X,)))
    one.load_state_dict({name: value for name, value in two.state_dict().items() if not name.startswith("streams.1")})
    found = two(X, torch.full_like(Y, float("nan")), present=torch.tensor([[True, False]] * 3))
    torch.testing.assert_close(found, one(X))


def test_absent_tokens_are_zeros_among_the_tokens(build):
    found = build(component, X, Y, output="tokens", **SMALL)(X, Y, present=torch.tensor([[True, False]] * 3))
    assert found[:, :5].all() and not found[:, 5:].any()


def test_a_map_has_a_token_for_each_position_and_a_code_for_it(build):
    image, other = torch.randn(3, 4, 2, 3), torch.randn(3, 2, 1, 5)
    flat = [x.flatten(2).transpose(1, 2) for x in (image, other)]
    maps, tokens = build(component, image, other, **SMALL), build(component, *flat, positions="all", **SMALL)
    tokens.load_state_dict(maps.state_dict())
    torch.testing.assert_close(maps(image, other), tokens(*flat))
    assert maps.streams[0].code.shape == (6, 6)
    assert build(component, image, positions="none", **SMALL).streams[0].code is None


def test_without_codes_the_order_of_tokens_is_not_seen(build):
    module = build(component, X, Y, **SMALL)
    torch.testing.assert_close(module(X.flip(1), Y), module(X, Y))
    coded = build(component, X, Y, positions="all", **SMALL)
    assert (coded(X.flip(1), Y) - coded(X, Y)).abs().max() > 1e-4


@pytest.mark.parametrize("layers", [1, 3])
def test_sizes(build, count, layers):
    width, streams = 8, (7 + 1) * 8 + (11 + 1) * 8
    module = build(component, X, Y, width=width, layers=layers)
    assert count(module) == streams + 3 * width + layers * (12 * width**2 + 13 * width)
    assert count(build(component, X, Y, width=width, layers=layers, positions="all")) == count(module) + 7 * width


def test_heads_must_divide_the_width(build):
    with pytest.raises(ComponentError, match="6 features cannot be divided equally among 4 heads"):
        build(component, X, Y, width=6)


@pytest.mark.parametrize("path", sorted((GOLDEN / "methods" / "simbamm").glob("*.npz")), ids=lambda path: path.stem)
def test_recorded_numbers_are_reproduced(path):
    """SimBaMM: a last norm, with and without class token, and norms behind the layers; some inputs missing."""
    found = check("fusion.token_self", path)
    assert found.ok, [row for row in found.rows if not row.ok]


@pytest.mark.parametrize("options", [{"norm": "last"}, {"norm": "last", "class_token": False, "output": "mean"},
                                     {"norm": "after", "output": "mean"}])
def test_an_input_that_all_lack_is_as_if_the_network_did_not_have_it(build, options):
    two, one = (build(component, *inputs, **SMALL, **options) for inputs in ((X, Y), (X,)))
    one.load_state_dict({name: value for name, value in two.state_dict().items() if not name.startswith("streams.1")})
    found = two(X, Y, present=torch.tensor([[True, False]] * 3))
    torch.testing.assert_close(found, one(X), atol=1e-6, rtol=0)


def test_without_the_class_token_there_is_none_to_give():
    with pytest.raises(ValidationError, match="'output: class' needs 'class_token: true'"):
        TokenSelfConfig(class_token=False)


def test_the_baseline_of_its_authors_has_so_many_parameters(build, count):
    vectors = [torch.randn(2, 64)] * 3
    assert count(build(component, *vectors, width=128, heads=4, norm="last")) == 422272
    small = [torch.randn(2, size) for size in (4, 6, 5)]
    bare = build(component, *small, width=8, heads=2, norm="last", class_token=False, output="mean")
    assert count(bare) == 1928


def test_the_graph_of_the_baseline_predicts_from_what_is_there():
    model = fusionkit.build("simbamm", seed=3).eval()
    inputs = {"ct": torch.rand(3, 1, 16, 32, 32), "clinic": torch.ones(3, 10)}
    present = {"ct": torch.tensor([True, False, True]), "clinic": torch.tensor([True, True, False])}
    with torch.no_grad():
        scores = model(inputs, present=present)["diagnosis"]
        alone = model({name: value[1:2] for name, value in inputs.items()},
                      present={name: value[1:2] for name, value in present.items()})["diagnosis"]
    torch.testing.assert_close(scores[1:2], alone)
    assert not torch.equal(scores[0], scores[1])

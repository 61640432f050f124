"""Encoders of tables and vectors: embeddings of codes, perceptron, projection."""

from __future__ import annotations

import pytest
import torch
from fusionkit_plugins.encoders.embed import Embed, EmbedConfig
from fusionkit_plugins.encoders.mlp import MLP, MLPConfig
from fusionkit_plugins.encoders.project import Project, ProjectConfig
from torch import nn

from fusionkit.components.config import ComponentError
from fusionkit.shapes.layouts import Image, Tokens, Vector


def embed(**options: object) -> Embed:
    torch.manual_seed(0)
    return Embed(EmbedConfig.model_validate({"width": 11, "activation": "none", **options}), [Vector((5,))]).eval()


def test_numbers_and_embeddings_stand_side_by_side() -> None:
    module = embed(categories=[3, 7], dimension=2)
    table = torch.tensor([[0.1, 0.2, 0.3, 3.0, 7.0]])
    first, second = (module.embeddings[i].weight for i in (0, 1))
    joined = torch.cat([table[0, :3], first[3], second[7]])
    torch.testing.assert_close(module(table)[0], module.join(joined))


def test_code_0_has_an_embedding_of_its_own() -> None:
    module = embed(categories=[3, 7])
    assert [layer.num_embeddings for layer in module.embeddings] == [4, 8]


@pytest.mark.parametrize("code", [4.0, -1.0, 1e20, float("nan"), float("inf"), -float("inf")])
def test_what_is_no_code_counts_as_unknown(code: float) -> None:
    module = embed(categories=[7, 3])
    unknown, strange = torch.zeros(1, 5), torch.zeros(1, 5)
    strange[0, 4] = code
    assert torch.equal(module(strange), module(unknown))


def test_gradients_reach_only_the_embeddings_that_occur() -> None:
    module = embed(categories=[3])
    table = torch.zeros(2, 5)
    table[:, 4] = torch.tensor([1.0, 3.0])
    module(table).sum().backward()
    assert module.embeddings[0].weight.grad.any(1).tolist() == [False, True, False, True]


def test_more_categories_than_columns_are_refused() -> None:
    with pytest.raises(ComponentError, match="'categories' has 6 columns, but its input has 5"):
        embed(categories=[2] * 6)


def test_a_perceptron_treats_each_token_alone() -> None:
    torch.manual_seed(0)
    module = MLP(MLPConfig(width=3, hidden=[7], norm="layer"), [Tokens((5, 11))]).eval()
    tokens = torch.rand(2, 5, 11)
    other = tokens.clone()
    other[:, 1:] += 1
    assert torch.equal(module(tokens)[:, 0], module(other)[:, 0])
    assert not torch.equal(module(tokens)[:, 1], module(other)[:, 1])


def test_every_layer_of_a_perceptron_has_all_its_parts() -> None:
    module = MLP(MLPConfig(width=3, hidden=[7, 5], norm="batch", activation="silu", dropout=0.2), [Vector((11,))])
    kinds = [type(part) for part in module.layers]
    assert kinds == [nn.Linear, nn.BatchNorm1d, nn.SiLU, nn.Dropout] * 3


def test_batch_norm_on_tokens_counts_every_token() -> None:
    module = Project(ProjectConfig(width=3, norm="batch"), [Tokens((5, 11))]).train()
    given = module(torch.rand(7, 5, 11)).flatten(0, 1)
    torch.testing.assert_close(given.mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(given.var(0, correction=0), torch.ones(3), atol=1e-3, rtol=0)


def test_a_projection_of_a_map_is_one_linear_layer_at_every_position() -> None:
    module = Project(ProjectConfig(width=2), [Image((3, 5, 7))])
    x = torch.rand(2, 3, 5, 7)
    weight, bias = module.projection.weight[:, :, 0, 0], module.projection.bias
    torch.testing.assert_close(module(x), torch.einsum("bchw,oc->bohw", x, weight) + bias[:, None, None])


def test_layer_norm_of_a_map_is_over_channels_at_each_position() -> None:
    module = Project(ProjectConfig(width=7, norm="layer"), [Image((3, 5, 11))])
    torch.testing.assert_close(module(torch.rand(2, 3, 5, 11)).mean(1), torch.zeros(2, 5, 11), atol=1e-5, rtol=0)


def test_a_projection_before_a_norm_has_no_bias() -> None:
    assert Project(ProjectConfig(norm="group"), [Vector((3,))]).projection.bias is None

"""Pooling to a vector, and maps as tokens."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from fusionkit_plugins.encoders.pool import Pool, PoolConfig, pooled_shape
from pydantic import ValidationError

from fusionkit.components.config import ComponentError
from fusionkit.shapes.layouts import Image, TensorShape, Tokens, Volume

SHAPES = [Tokens((7, 5)), Image((5, 3, 7)), Volume((5, 2, 3, 7))]


def pool(x: torch.Tensor, shape: TensorShape, **options: Any) -> torch.Tensor:
    return Pool(PoolConfig(**options), [shape])(x)


def positions(x: torch.Tensor, shape: TensorShape) -> torch.Tensor:
    """(B, c, P), by plain reshaping."""
    return x.transpose(1, 2) if shape.layout == "tokens" else x.reshape(len(x), shape.width, -1)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_known_values(shape: TensorShape) -> None:
    x = torch.rand(2, *shape.sizes)
    flat = positions(x, shape)
    torch.testing.assert_close(pool(x, shape), flat.mean(2))
    torch.testing.assert_close(pool(x, shape, kind="max"), flat.max(2).values)
    torch.testing.assert_close(pool(x, shape, kind="avgmax"), (flat.mean(2) + flat.max(2).values) / 2)
    torch.testing.assert_close(pool(x, shape, kind="gem"), (flat**3).mean(2) ** (1 / 3))


@pytest.mark.parametrize("shape", SHAPES[1:], ids=str)
def test_tokens_follow_the_grid_with_the_last_axis_fastest(shape: TensorShape) -> None:
    x = torch.rand(2, *shape.sizes)
    tokens = pool(x, shape, to="tokens")
    assert pooled_shape(PoolConfig(to="tokens"), [shape]) == Tokens((shape.positions, 5))
    assert torch.equal(tokens[:, 1], x[..., 0, 1] if shape.layout == "image" else x[..., 0, 0, 1])
    assert torch.equal(tokens.transpose(1, 2).reshape(x.shape), x)


def test_the_generalised_mean_goes_from_average_to_maximum() -> None:
    shape, x = SHAPES[1], torch.rand(2, 5, 3, 7) + 0.1
    module = Pool(PoolConfig(kind="gem"), [shape])
    with torch.no_grad():
        module.exponent.fill_(1.0)
        torch.testing.assert_close(module(x), x.mean((2, 3)))
        module.exponent.fill_(200.0)
        torch.testing.assert_close(module(x), x.amax((2, 3)), rtol=0.05, atol=0)


def test_negative_features_leave_the_generalised_mean_finite() -> None:
    x = (-torch.rand(2, 7, 5)).requires_grad_()
    module = Pool(PoolConfig(kind="gem"), [SHAPES[0]])
    module(x).sum().backward()
    assert module.exponent.grad.isfinite()
    assert x.grad.isfinite().all()


def test_tokens_to_tokens_is_refused() -> None:
    with pytest.raises(ComponentError, match="already is tokens"):
        pooled_shape(PoolConfig(to="tokens"), [SHAPES[0]])


def test_a_kind_without_use_is_refused() -> None:
    with pytest.raises(ValidationError, match="keeps them all"):
        PoolConfig(to="tokens", kind="max")

"""Tokens of timm's transformers as features, and tensors of a file fitted to another input.

Source: Wightman 2019, PyTorch Image Models, doi:10.5281/zenodo.4414861.
"""
# Axes: B batch, P class token and registers, N positions of the grid, C features.

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isqrt, prod
from typing import Any, Literal

import torch
from torch import Tensor, nn

from fusionkit.api import ComponentError

Pool = Literal["model", "cls", "mean", "cls_mean", "tokens"]


def check_pool(network: Any, pool: Pool, model: str) -> None:
    """Refuse a pooling that the network has no tokens for, and remove the pooling of its own that it then lacks.

    Raises: ComponentError.
    """
    if pool == "model":
        return
    if getattr(network, "num_prefix_tokens", None) is None:
        raise ComponentError(f"{model!r} gives no tokens", why="it is not a transformer with a sequence of patches",
                             fix="use 'pool: model', or 'features: map'")
    if pool in ("cls", "cls_mean") and getattr(network, "cls_token", None) is None:
        raise ComponentError(f"{model!r} has no class token", fix="use 'pool: mean', 'tokens' or 'model'")
    if getattr(network, "attn_pool", None) is not None:
        network.attn_pool = None


def pooled_tokens(network: Any, image: Tensor, pool: Pool, keep: bool) -> Tensor:
    """The class token, the mean of the patches, both, or the tokens, each after the final norm.

    Shapes: image (B, c, H, W); gives (B, C), (B, 2 C) for both, or (B, N, C), with `keep` (B, P + N, C).
    """
    tokens: Tensor = network.forward_features(image)
    first, norm = network.num_prefix_tokens, getattr(network, "fc_norm", None) or nn.Identity()
    if pool == "tokens":
        kept: Tensor = norm(tokens if keep else tokens[:, first:])
        return kept
    parts = [tokens[:, 0]] if pool == "cls" else [tokens[:, first:].mean(1)] if pool == "mean" else [
        tokens[:, 0], tokens[:, first:].mean(1)]
    return torch.cat([norm(part) for part in parts], 1)


def adapted(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], first: Sequence[str],
            grid: Sequence[int] | None) -> dict[str, Tensor]:
    """Tensors of a file under timm's names, fitted to the channels and the size of another input.

    Filters for three channels are summed for one, else repeated and rescaled, as timm does; those for one are divided
    among several. Learned positions are interpolated to `grid`, the patches of the image, as timm does.
    """
    from timm.layers import resample_abs_pos_embed, resample_abs_pos_embed_nhwc
    from timm.models import adapt_input_conv

    found = dict(tensors)
    for name in first:
        if name in found and name in wanted and found[name].shape != wanted[name].shape:
            channels = wanted[name].shape[1]
            if found[name].shape[1] == 1:
                found[name] = found[name].expand(-1, channels, *found[name].shape[2:]) / channels
            else:
                found[name] = adapt_input_conv(channels, found[name])
    given, ours = found.get("pos_embed"), wanted.get("pos_embed")
    if given is None or ours is None or given.shape == ours.shape or given.dim() != ours.dim():
        return found
    if given.dim() == 4:
        found["pos_embed"] = resample_abs_pos_embed_nhwc(given, list(ours.shape[1:3]))
    elif grid is not None:
        before = ours.shape[1] - prod(grid)
        side = isqrt(max(given.shape[1] - before, 0))
        if side > 0 and side ** 2 == given.shape[1] - before:  # of another form the sides are not known
            found["pos_embed"] = resample_abs_pos_embed(given, list(grid), num_prefix_tokens=before)
    return found

"""Inputs of masked tokens as a network takes them: which are padding, which cases lack the input, zeros in padding."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import torch
from torch import Tensor

from fusionkit.layers.known_masks import both, computed, constant
from fusionkit.network.coded_inputs import blank
from fusionkit.planning.plan import Value

# Axes: B batch, N tokens, c features of a token.
Tensors = Mapping[str, Tensor]


def padded(masked: Sequence[Value], inputs: Tensors, present: Tensors | None, valid: Tensors, *,
           unread: Collection[str] = (), cells: Sequence[Value] = ()) -> tuple[Tensors, Tensors, Tensors]:
    """Inputs, `present` and `valid` that agree: a missing input has no tokens, and one without tokens is missing.

    Padding becomes zeros, whatever it was, so that it reaches no result and no gradient. An input that is omitted, or
    has no tokens in any case, has one of padding for each case; inputs that are `unread` may lack everything.

    Shapes: `inputs` (B, N, c), (B, N, ...) for items, or (B, N) for ids, `present` (B,), `valid` (B, N), by input;
    `masked` are the inputs that have `valid`. Those whose `cells` may be blank have the mask (B, c) of the others.

    Raises: ValueError for a mask of something else, of another size, or that is not boolean.
    """
    there, valid = apart(present or {}, valid)
    strange = sorted(valid.keys() - {value.name for value in (*masked, *cells)})
    if strange:
        raise ValueError(f"`valid` has {strange[0]!r}, which is not an input of masked tokens, and no component asks "
                         "for its known cells")
    tensors, real = dict(inputs), {value.name: valid[value.name] for value in cells if value.name in valid}
    there = those_with_tokens(cells, there, real)
    for value in masked:
        name = value.name
        tokens, mask_BN = inputs.get(name), valid.get(name)
        if tokens is None and name not in unread and value.present is not None and inputs:
            count = next(iter(inputs.values())).shape[0]
            tokens, mask_BN = blank(value.shape, (count, 0, *value.shape.carried[1:]), inputs), None
        if tokens is not None:
            mask_BN = _checked(name, mask_BN, tokens)
            if not tokens.shape[1]:
                # Not all operations are defined on no tokens at all.
                tokens = tokens.new_zeros(tokens.shape[0], 1, *value.shape.carried[1:])
                mask_BN = constant(False, tokens.shape[:2], tokens.device)
        if mask_BN is None:
            continue
        if name in there:
            mask_BN = both(mask_BN, computed(_column, there[name]))
        if value.present is not None:
            there[name] = computed(_any, mask_BN)
        real[name] = mask_BN
        if tokens is not None:
            tensors[name] = tokens.where(mask_BN.reshape(*mask_BN.shape, *[1] * (tokens.dim() - 2)), 0)
    return tensors, there, real


def apart(present: Tensors, valid: Tensors) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Masks of cases (B,) and masks of tokens (B, N), which may be among the former."""
    return ({name: mask for name, mask in present.items() if mask.dim() == 1},
            {**valid, **{name: mask for name, mask in present.items() if mask.dim() > 1}})


def those_with_tokens(masked: Sequence[Value], present: Tensors, valid: Tensors) -> dict[str, Tensor]:
    """`present` (B,) by input, in which an optional input without a token, or without a known cell, is missing."""
    there, valid = apart(present, valid)
    for value in masked:
        if value.present is not None and value.name in valid:
            some = computed(_any, valid[value.name])
            there[value.name] = both(there[value.name], some) if value.name in there else some
    return there


def _column(mask_B: Tensor) -> Tensor:
    return mask_B.unsqueeze(1)


def _any(mask_BN: Tensor) -> Tensor:
    return mask_BN.any(1)


def _checked(name: str, mask_BN: Tensor | None, tokens_BNc: Tensor) -> Tensor:
    """The mask of some tokens; all are tokens if there is none."""
    if mask_BN is None:
        return constant(True, tokens_BNc.shape[:2], tokens_BNc.device)
    if mask_BN.shape != tokens_BNc.shape[:2] or mask_BN.dtype != torch.bool:
        raise ValueError(f"`valid` of input {name!r} is {mask_BN.dtype} {list(mask_BN.shape)} for tokens "
                         f"{list(tokens_BNc.shape)}; it must be boolean and have the first two of these sizes")
    return mask_BN

"""Results of a network's heads as recorded by a release: logits, probabilities, inputs of the heads, losses."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from fusionkit.conversion.verification.case import Fixture
from fusionkit.network.model import FusionModel

POOLED, LOSS = "pooled", "loss"
_NUMBERED = re.compile(r"(?:prob|logit)(\d+)")


def head_results(model: FusionModel, results: Mapping[str, Tensor], remaining: Sequence[str],
                 fixture: Fixture) -> Iterator[tuple[str, Tensor]]:
    """The results named in `remaining`, each from the head with the number in its name, else from the next head.

    A recorded result whose rows sum to one is compared with the decoded output, any other with the logits.
    """
    heads = [head.name for head in model.plan.heads]
    recorded = {one.name: one for one in fixture.expected if one.role == "output"}
    sizes = fixture.meta.get("outputs", {})
    for place, name in enumerate(remaining):
        number = _NUMBERED.fullmatch(name)
        place = int(number[1]) if number else place
        if place >= len(heads):
            continue
        value = results[heads[place]]
        one = recorded.get(name)
        if one is not None and not one.stride and _is_shares(torch.from_numpy(one.array)):
            yield name, model.head(heads[place]).decode(value)
        else:
            yield name, _margin(value, sizes.get(name, value.shape))


def losses(model: FusionModel, results: Mapping[str, Tensor], fixture: Fixture) -> dict[str, Tensor]:
    """The mean loss of each head and their weighted sum, if the case has a label for every head."""
    heads = model.plan.heads
    labels = [fixture.arrays.get(f"label{place}") for place in range(len(heads))]
    known = [label for label in labels if label is not None]
    if not heads or len(known) < len(heads):
        return {}
    means = torch.stack([model.head(head.name).loss(results[head.name], label).mean()
                         for head, label in zip(heads, known, strict=True)])
    weights = torch.tensor(fixture.meta.get("loss_weights", [head.weight for head in heads]), dtype=means.dtype)
    return {LOSS: torch.cat([means, (weights * means).sum().reshape(1)])}


def _is_shares(recorded: Tensor) -> bool:
    is_table = recorded.dim() == 2 and recorded.shape[1] > 1 and recorded.is_floating_point()
    return is_table and bool((recorded >= 0).all()) and bool(((recorded.sum(1) - 1).abs() < 1e-4).all())


def _margin(value: Tensor, sizes: Sequence[int]) -> Tensor:
    """Two logits as one, the second minus the first, if the release uses a sigmoid."""
    two_for_one = value.dim() == 2 and value.shape[1] == 2 and list(sizes)[1:] == [1]
    return value[:, 1:] - value[:, :1] if two_for_one else value

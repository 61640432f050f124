"""The point of least norm in the convex hull of some vectors, from their dot products.

Source: Sener and Koltun 2018, Multi-task learning as multi-objective optimization, arXiv 1810.04650, algorithm 2 for
two vectors; for more, projected gradient descent that begins at the best pair, as MMPareto (arXiv 2405.17730) uses it.
"""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor

_ITERATIONS, _CHANGE, _STEP = 250, 1e-5, 1e-7


def weight_of_first(first: float, both: float, second: float) -> float:
    """The weight a of two vectors for which a v + (1 - a) w is shortest, of <v, v>, <v, w> and <w, w>.

    Where one of the two is the shortest point, it has 0.999 of the weight.
    """
    if both >= first:
        return 0.999
    if both >= second:
        return 0.001
    return (second - both) / (first + second - 2 * both)


def min_norm(gram: Tensor) -> Tensor:
    """The weights (n,), at least 0 and of sum 1, of the shortest point; of n >= 2 vectors with dot products (n, n)."""
    gram = gram.double().cpu()
    weights = _best_pair(gram)
    if len(gram) == 2:
        return weights
    for _ in range(_ITERATIONS):
        further = _step(weights, -(gram @ weights))
        share = weight_of_first(*(float(a @ gram @ b) for a, b in ((weights, weights), (weights, further),
                                                                   (further, further))))
        changed = share * weights + (1 - share) * further
        if float((changed - weights).abs().sum()) < _CHANGE:
            break
        weights = changed
    return weights


def _best_pair(gram: Tensor) -> Tensor:
    best, shortest = torch.zeros(len(gram), dtype=gram.dtype), float("inf")
    for one, other in combinations(range(len(gram)), 2):
        share = weight_of_first(float(gram[one, one]), float(gram[one, other]), float(gram[other, other]))
        weights = torch.zeros(len(gram), dtype=gram.dtype)
        weights[one], weights[other] = share, 1 - share
        length = float(weights @ gram @ weights)
        if length < shortest:
            best, shortest = weights, length
    return best


def _step(weights: Tensor, direction: Tensor) -> Tensor:
    """As far along a direction as some weight reaches 0 or 1, and back onto the simplex."""
    along = direction - direction.mean()
    limits = torch.cat([-weights[along < 0] / along[along < 0], (1 - weights[along > 0]) / along[along > 0]])
    reached = limits[limits > _STEP]
    return _on_simplex(weights + along * (float(reached.min()) if len(reached) else 1.0))


def _on_simplex(point: Tensor) -> Tensor:
    """The nearest point with weights of at least 0 and sum 1."""
    falling = point.sort(descending=True).values
    excess = (falling.cumsum(0) - 1) / torch.arange(1, len(point) + 1)
    return (point - excess[int((falling > excess).sum()) - 1]).clamp(min=0)

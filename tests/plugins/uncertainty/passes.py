"""A runner whose passes are given, and the statistics of section 7.2 over all passes at once, in numpy."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch

# Axes: E networks, S passes, B batch, K columns of a head.


class Passes:
    """Passes (E, S, B, K) for each head; the first pass of a network is also the one without randomness."""

    def __init__(self, passes: Mapping[str, np.ndarray], tasks: Mapping[str, str]) -> None:
        self.passes = {head: torch.tensor(values) for head, values in passes.items()}
        self.tasks = tasks
        self.members = len(next(iter(self.passes.values())))
        self.asked: list[tuple[int, int]] = []

    def once(self, member: int = 0) -> dict[str, torch.Tensor]:
        self.asked.append((member, 1))
        return {head: values[member, 0] for head, values in self.passes.items()}

    def samples(self, count: int, member: int = 0) -> Iterator[dict[str, torch.Tensor]]:
        self.asked.append((member, count))
        for index in range(count):
            yield {head: values[member, index] for head, values in self.passes.items()}


def random_probabilities(*sizes: int) -> np.ndarray:
    raw = np.random.default_rng(0).gamma(0.5, size=sizes)
    return raw / raw.sum(-1, keepdims=True)


def entropy(p: np.ndarray) -> np.ndarray:
    return -(p * np.log(np.where(p > 0, p, 1))).sum(-1)


def binary_entropy(p: np.ndarray) -> np.ndarray:
    return entropy(np.stack([p, 1 - p], -1)).mean(-1)


def statistics(p: np.ndarray, task: str) -> dict[str, np.ndarray]:
    """Every measure of passes (E, S, B, K), each (B,)."""
    variances = {"variance": p.var((0, 1)), "variance_within": p.var(1).mean(0), "variance_between": p.mean(1).var(0)}
    if task == "regression":
        if p.shape[-1] == 1:
            return {name: value[:, 0] for name, value in variances.items()}
        return {f"{name}_{column + 1}": value[:, column] for name, value in variances.items()
                for column in range(p.shape[-1])}
    of, members, mean = (entropy if task == "multiclass" else binary_entropy), p.mean(1), p.mean((0, 1))
    total, expected, of_members = of(mean), of(p).mean((0, 1)), of(members).mean(0)
    return {
        **{name: value.mean(-1) for name, value in variances.items()},
        "predictive_entropy": total,
        "expected_entropy": expected,
        "mutual_information": total - expected,
        "mutual_information_within": of_members - expected,
        "mutual_information_between": total - of_members,
        "normalised_entropy": total / np.log(p.shape[-1] if task == "multiclass" else 2),
        "confidence": mean.max(-1) if task == "multiclass" else np.maximum(mean, 1 - mean).mean(-1),
    }

"""Exact Shapley values of the modalities: what each adds to a result, averaged over all orders of adding them.

Source: Shapley 1953, A value for n-person games, in Contributions to the Theory of Games II; for predictions: Lundberg
and Lee 2017, A Unified Approach to Interpreting Model Predictions, arXiv 1705.07874, eq. 8. Nothing is sampled: every
subset of the modalities is run, with the others missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import factorial
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from fusionkit.arrays import Bools, Floats
from fusionkit.explanation.activations import batches
from fusionkit.inference.predict import Settings
from fusionkit.network.model import FusionModel
from fusionkit.network.optional_inputs import answers
from fusionkit.planning.plan import PlannedHead
from fusionkit.progress import Progress

# Axes: S subsets of the M modalities, N cases, K columns of a head.
MOST = 10
"""The most modalities for which all subsets are run: 1,024 passes. One more would double them."""
Prior = Callable[[PlannedHead], "Floats | None"]


@dataclass(frozen=True)
class Shares:
    """What each modality adds to the results of one head.

    *Shapes*: `values` (N, M, K), `whole` and `nothing` (N, K): the results with all inputs of a case, and with none.
    `valid` (N,) is False where the head has no result, `there` (N, M) where a case lacks the modality: it adds 0.
    `answered` is True if the network itself has a result without inputs; otherwise that is the prior.
    """

    head: PlannedHead
    inputs: tuple[str, ...]
    values: Floats
    whole: Floats
    nothing: Floats
    valid: Bools
    there: Bools
    answered: bool


def shapley(results: Floats) -> Floats:
    """Shapley values from the results of all subsets; subset s contains modality m if bit m of s is 1.

    The value of m is the sum over the subsets S without it of |S|! (M - |S| - 1)! / M! times (v(S with m) - v(S)).

    *Shapes*: (2**M, ...) gives (M, ...).
    """
    count = len(results).bit_length() - 1
    assert len(results) == 1 << count, "one result for each subset; please report"
    values = np.zeros((count, *results.shape[1:]))
    for subset in range(1 << count):
        size = subset.bit_count()
        for member in range(count):
            if not subset >> member & 1:
                weight = factorial(size) * factorial(count - size - 1) / factorial(count)
                values[member] += weight * (results[subset | 1 << member] - results[subset])
    return values


def shares(model: FusionModel, dataset: Dataset[Any], heads: Sequence[PlannedHead], prior: Prior, settings: Settings,
           *, progress: Progress | None = None) -> tuple[dict[str, Shares], list[str]]:
    """The shares of a network whose inputs are all optional, and notes on heads without shares.

    Where a head has no result for a subset, the `prior` (K,) is used: the prediction for a case of which nothing is
    known. `progress(done, total)` counts passes.
    """
    names = tuple(value.name for value in model.plan.inputs)
    assert len(names) <= MOST, "too many subsets should have been refused; please report"
    values: dict[str, list[list[Floats]]] = {head.name: [] for head in heads}
    valid: dict[str, list[list[Bools]]] = {head.name: [] for head in heads}
    there: list[Bools] = []
    total, done = (len(dataset) - 1) // settings.batch_size + 1, 0  # type: ignore[arg-type]  # our datasets are sized
    for batch in batches(dataset, settings):
        found: Mapping[str, list[list[Any]]] = {head.name: [[], []] for head in heads}
        for subset in range(1 << len(names)):
            keep = [name for place, name in enumerate(names) if subset >> place & 1]
            with torch.inference_mode():
                output = answers(model, batch.inputs, batch.present, keep)
            for name, parts in found.items():
                parts[0].append(output[name].values.cpu().double().numpy())
                parts[1].append(output[name].valid.cpu().numpy())
            done += 1
            if progress:
                progress(done, total << len(names))
        for name, parts in found.items():
            values[name].append(parts[0])
            valid[name].append(parts[1])
        there.append(torch.stack([batch.present[name] for name in names], 1).cpu().numpy())
    made, notes = {}, []
    for head in heads:
        table_SNK = np.concatenate([np.stack(part) for part in values[head.name]], axis=1)
        known_SN = np.concatenate([np.stack(part) for part in valid[head.name]], axis=1)
        fallback = None if known_SN.all() else prior(head)
        if not known_SN.all() and fallback is None:
            notes.append(f"Shapley values of {head.name!r} are left out: it has no result without some inputs, and no "
                         "training target is available for the class frequencies")
            continue
        made[head.name] = _shares(head, names, table_SNK, known_SN, fallback, there_NM=np.concatenate(there))
    return made, notes


def _shares(head: PlannedHead, names: tuple[str, ...], table_SNK: Floats, known_SN: Bools, fallback: Floats | None,
            *, there_NM: Bools) -> Shares:
    filled = table_SNK if fallback is None else np.where(known_SN[:, :, None], table_SNK, fallback)
    return Shares(head, names, shapley(filled).transpose(1, 0, 2), filled[-1], filled[0], known_SN[-1], there_NM,
                  bool(known_SN[0].all()))

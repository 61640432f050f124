"""Modality dropout: during training, present inputs of a case are treated as missing, at random.

Source: Neverova et al. 2016, ModDrop, arXiv 1501.00102. Only the masks change, so that every component treats a dropped
input exactly as a missing one.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from fusionkit.data.batch import Batch
from fusionkit.errors import Diagnostic, UserError
from fusionkit.layers.known_masks import listed, on_cpu, sent
from fusionkit.planning.plan import Plan
from fusionkit.training.batch_order import seed_of
from fusionkit.training.settings import TrainingSettings


class ModalityDropout:
    """Drops optional inputs of a network's batches; a case keeps at least one of the inputs that it has.

    Raises: UserError with `nothing-to-drop` if the network has no optional input.
    """

    def __init__(self, plan: Plan, settings: TrainingSettings) -> None:
        self.share, self.scheme, self.seed = settings.modality_dropout, settings.modality_scheme, settings.seed
        self.names = [value.name for value in plan.inputs if value.present is not None]
        self.certain = len(self.names) < len(plan.inputs)
        if self.share and not self.names:
            raise UserError(Diagnostic(
                "nothing-to-drop", f"'modality_dropout' is {self.share:g}, but no input of {plan.name!r} is optional",
                plan.graph.inputs[0].span,
                why="it treats inputs as missing, which is possible only for those with 'optional: true'",
                fix="write 'optional: true' on the inputs that may be dropped, or set modality_dropout to 0"))

    def __call__(self, batch: Batch, epoch: int) -> Batch:
        """The batch with masks drawn for each case from seed, epoch and row, wherever it is in the batch."""
        if not self.share:
            return batch
        known = {name: on_cpu(batch.present[name]) for name in self.names}
        present = {name: (batch.present[name] if mask is None else mask).clone() for name, mask in known.items()}
        for place, row in enumerate(listed(batch.index)):
            there = [name for name in self.names if present[name][place]]
            random = np.random.default_rng(seed_of(self.seed, "modality dropout", epoch, row))
            kept = self._kept(there, random)
            for name in there:
                present[name][place] = name in kept
        device = batch.index.device
        sent_back = {name: sent(mask, device, non_blocking=True) for name, mask in present.items()}
        return replace(batch, present=batch.present | sent_back)

    def _kept(self, there: Sequence[str], random: np.random.Generator) -> Collection[str]:
        """Which of a case's optional inputs are kept; possibly none only if another input is always present."""
        if not there:
            return ()
        if self.scheme == "independent":
            kept = [name for name in there if random.random() >= self.share]
        elif random.random() >= self.share:
            return there
        elif self.scheme == "exactly_one":
            kept = []
        else:
            members = int(random.integers(0 if self.certain else 1, 2 ** len(there)))
            kept = [name for place, name in enumerate(there) if members >> place & 1]
        return kept if kept or self.certain else [there[int(random.integers(len(there)))]]

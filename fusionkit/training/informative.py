"""Whether validation cases can select an epoch: some tasks have targets that tell good networks from none."""

from __future__ import annotations

from torch.utils.data import Dataset

from fusionkit.data.batch import Case
from fusionkit.network.model import FusionModel
from fusionkit.training.class_balance import Targets


def informative(network: FusionModel, dataset: Dataset[Case] | None) -> Dataset[Case] | None:
    """The validation cases, None if no head could be judged by their targets: the last epoch is the best then."""
    heads = network.plan.heads
    if dataset is None or not all(head.declared_task.keys for head in heads):
        return dataset
    targets = Targets(dataset, [head.name for head in heads])
    judged = (head.declared_task.method.informs(targets.values[head.name][targets.present[head.name]])
              for head in heads)
    return dataset if any(judged) else None

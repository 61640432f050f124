"""The head of a network on which a training method compares modalities: of classes, and seeing all of them."""

from __future__ import annotations

from torch import Tensor

from fusionkit.api import BatchView, ComponentError, TrainingView


def joint_head(view: TrainingView, named: str) -> str:
    """The head of this name, or the only one that sees several inputs.

    Raises: ComponentError if there is no such head, or several to choose from.
    """
    heads = view.joint_heads
    if named in heads:
        return named
    if named or len(heads) != 1:
        found = f"there are {', '.join(heads)}" if heads else "there is none"
        wanted = f"the head {named!r} does not see several inputs" if named else "it needs one head of several inputs"
        raise ComponentError(f"{wanted}: {found}", fix="name a head of several inputs with its option 'head'")
    return heads[0]


def true_classes(batch: BatchView, head: str) -> tuple[Tensor, Tensor]:
    """Logits (B, K) of a head of classes, and its targets (B,); 0 where it counts no case.

    Raises: ComponentError if the head is not one of single classes.
    """
    logits, targets = batch.logits(head), batch.targets[head]
    if logits.dim() != 2 or targets.dim() != 1 or targets.is_floating_point():
        raise ComponentError(f"the head {head!r} tells no single class",
                             fix="name one that does with its option 'head'")
    return logits, targets.where(batch.known[head], 0)


def of_the_true_class(values: Tensor, targets: Tensor) -> Tensor:
    """The value of the true class of each case, (B,), of values (B, K) and targets (B,)."""
    return values.gather(1, targets[:, None])[:, 0]


def complete(view: TrainingView, batch: BatchView, head: str) -> Tensor:
    """Which cases (B,) have every modality and count for a head."""
    rows = batch.known[head]
    for name in view.modalities:
        rows = rows & batch.present[name]
    return rows


def mean_of_others(values: dict[str, float], name: str) -> float:
    """The mean of the values of all modalities but one."""
    others = [value for other, value in values.items() if other != name]
    return sum(others) / len(others)

"""What a comparison is to show of its candidates: a claim and its margin, declared before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import get_args

from fusionkit.comparison.equivalence import ClaimKind
from fusionkit.errors import Diagnostic, UserError
from fusionkit.evaluation.chosen_metrics import ChosenMetric

_ADJECTIVES: Mapping[str, ClaimKind] = {"noninferior": "noninferiority", "equivalent": "equivalence",
                                        "superior": "superiority"}


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim and its margin, in the unit of the metric."""

    kind: ClaimKind
    margin: float

    @property
    def text(self) -> str:
        """The claim in words."""
        if self.kind == "superiority":
            return f"superiority by more than {self.margin:g}" if self.margin else "superiority"
        return f"{self.kind} within {self.margin:g}"


def claim_of(margin: float | None, kind: str | None) -> Claim | None:
    """The claim that `--margin` and `--claim` ask for, None without them; a margin alone asks for noninferiority.

    Raises: UserError with `bad-argument`.
    """
    if margin is None and kind is None:
        return None
    wanted = _ADJECTIVES.get(kind or "", kind) or "noninferiority"
    found = []
    if wanted not in get_args(ClaimKind):
        found.append(Diagnostic("bad-argument", f"--claim cannot be {kind!r}",
                                fix=f"choose one of {', '.join(get_args(ClaimKind))}"))
    elif margin is None and wanted != "superiority":
        found.append(Diagnostic("bad-argument", f"--claim {wanted} needs --margin",
                                why="it is about a difference that is too small to matter, which the data cannot tell",
                                fix="give the largest difference that does not matter, such as --margin 0.02"))
    elif margin is not None and not (math.isfinite(margin) and (margin > 0 or (margin == 0
                                                                               and wanted == "superiority"))):
        found.append(Diagnostic("bad-argument", f"--margin cannot be {margin:g} for {wanted}",
                                why="it is a distance in the unit of the metric",
                                fix="give a number above 0, such as --margin 0.02"))
    if found:
        raise UserError(found)
    kinds: dict[str, ClaimKind] = {each: each for each in get_args(ClaimKind)}
    return Claim(kinds[wanted], margin or 0.0)


def check_unit(claim: Claim | None, metrics: Mapping[str, ChosenMetric]) -> None:
    """Refuse one margin for heads that are compared by different metrics, whose units differ.

    Raises: UserError with `bad-argument`.
    """
    keys = {metric.key for metric in metrics.values()}
    if claim is not None and claim.margin and len(keys) > 1:
        told = ", ".join(f"{head} by {metric.key}" for head, metric in metrics.items())
        raise UserError(Diagnostic("bad-argument",
                                   f"--margin {claim.margin:g} cannot be in the unit of {len(keys)} metrics",
                                   why=f"heads are compared by metrics of their own: {told}",
                                   fix="name one metric: --metric ID"))

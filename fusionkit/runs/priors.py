"""Probabilities after balanced sampling: classes that training drew otherwise than they are, and their correction.

A network that is trained on classes in other shares gives probabilities for these: p(k | x) of the cases as they are is
proportional to what it gives, times the share of the class, divided by that which was drawn.

Source: Saerens, Latinne and Decaestecker 2002, Adjusting the outputs of a classifier to new a priori probabilities,
doi:10.1162/089976602753284446, equation 2.4.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from fusionkit.data.loading import Cohort
from fusionkit.errors import Diagnostic, GraphError
from fusionkit.network.model import FusionModel
from fusionkit.planning.plan import Plan
from fusionkit.training.settings import TrainingSettings

PRIORS = "priors"
"""The key of `run.json` with the shares of classes of a head that training drew otherwise."""


class PriorShift(BaseModel):
    """The share of each class among the training cases, and among those that training drew, in the order of the head.
    """

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)

    classes: list[str]
    training: list[float] = Field(min_length=2)
    drawn: list[float] = Field(min_length=2)

    @property
    def ratios(self) -> tuple[float, ...]:
        """What the probability of each class is multiplied by, before all are divided by their sum."""
        return tuple(own / drawn if drawn > 0 else 0.0 for own, drawn in zip(self.training, self.drawn, strict=True))


def prior_shifts(plan: Plan, cohort: Cohort, rows: Sequence[int], settings: TrainingSettings) -> dict[str, PriorShift]:
    """The shares of the first head of classes where `balance: classes` draws them equally often; else nothing.

    `rows` are the training cases.
    """
    head = next((head for head in plan.heads if head.declared_task.cells == "class"), None)
    if settings.balance != "classes" or head is None:
        return {}
    counts = list(cohort.class_counts(head.name, rows).values())
    there = sum(count > 0 for count in counts)
    if not there:
        return {}
    return {head.name: PriorShift(classes=list(head.names), training=[count / sum(counts) for count in counts],
                                  drawn=[1 / there if count else 0.0 for count in counts])}


def correct_priors(models: Iterable[FusionModel], shifts: Mapping[str, PriorShift]) -> None:
    """Have the networks correct the probabilities of these heads."""
    for model in models:
        model.class_priors = {name: shift.ratios for name, shift in shifts.items()}


def recorded_priors(about: Mapping[str, Any], plan: Plan) -> dict[str, PriorShift]:
    """The shares that a run records, which `_About` of `runs.folder` has checked one by one.

    Raises: GraphError with `no-run` for a head or a number of classes that the network does not have.
    """
    found = {name: PriorShift.model_validate(shift) for name, shift in (about.get(PRIORS) or {}).items()}
    names = {head.name: len(head.names) for head in plan.heads}
    for name, shift in found.items():
        if not len(shift.training) == len(shift.drawn) == names.get(name):
            raise GraphError(Diagnostic("no-run", f"'priors' of run.json do not fit the head {name!r} of the network",
                                        fix="give the folder of a run made by `fusionkit train`"))
    return found


def as_record(shifts: Mapping[str, PriorShift]) -> dict[str, Any]:
    """What `run.json` keeps: nothing where classes were drawn as they are."""
    return {PRIORS: {name: shift.model_dump() for name, shift in shifts.items()}} if shifts else {}


def told(plan: Plan, shifts: Mapping[str, PriorShift]) -> list[str]:
    """A line for each corrected head, and for the heads that cannot be corrected."""
    lines = []
    for name, shift in shifts.items():
        shares = ", ".join(f"{label} {own:.3g}" for label, own in zip(shift.classes, shift.training, strict=True))
        lines.append(f"'balance: classes' drew every class of {name} equally often; its probabilities are corrected to "
                     f"the shares of the training cases: {shares}. Decide by a threshold where rare cases must be "
                     "found: fusionkit calibrate RUN --threshold youden")
        others = [head.name for head in plan.heads if head.name != name]
        if others:
            lines.append(f"the results of {', '.join(others)} are for cases drawn like that, and are not corrected")
    return lines
